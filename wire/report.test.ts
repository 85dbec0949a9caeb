/** What a shard says about itself. */
import { expect, test } from "vitest";
import { encodeReport, parseReport, REPORT_SKEW_BOUNDS_MS, skewClass } from "./report.ts";
import type { ShardReport } from "./report.ts";

const REPORT: ShardReport = {
  sinceMs: 1_800_000_000_000,
  atMs: 1_800_000_001_000,
  accepted: 100,
  duplicate: 5,
  unavailable: 1,
  rejected: { missing: 2, too_old: 1 },
  invalid: { bot_user_agent: 3 },
  skew: [0, 0, 0, 1, 98, 0, 1, 0, 0],
  withoutClock: 0,
  journalBytes: 25_000,
  rejectedJournalBytes: 900,
  commits: 10,
  commitMsMean: 12.5,
  commitMsMax: 40,
  flushMs: 8,
  flushFailures: 0,
  dedupIds: 8_000_000,
  dedupSegments: 24,
  dedupBytes: 18_000_000,
  acceptFromMs: 1_799_913_600_000,
  rowsWritten: 12,
};

test("a report is read as it was written", () => {
  expect(parseReport(encodeReport(REPORT))).toEqual(REPORT);
});

test("what is no report is none, and nothing throws", () => {
  for (const text of [undefined, "", "{", "null", "7", "[]", "{}"]) {
    expect(parseReport(text)).toBeNull();
  }
  for (const name of Object.keys(REPORT)) {
    for (const wrong of [undefined, null, "1", -1, [1], { a: "b" }]) {
      expect(parseReport(JSON.stringify({ ...REPORT, [name]: wrong }))).toBeNull();
    }
  }
});

test("a skew belongs to the class that its bounds say", () => {
  expect([-1e12, -86_400_000, -10_001, -10_000, 0, 9_999, 10_000, 1e12].map(skewClass)).toEqual([
    0, 1, 3, 4, 4, 4, 5, 8,
  ]);
  expect(REPORT_SKEW_BOUNDS_MS.toSorted((a, b) => a - b)).toEqual(REPORT_SKEW_BOUNDS_MS);
});
