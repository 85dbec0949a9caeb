/** A shard's figures between two reports. */
import { expect, test } from "vitest";
import { parseReport } from "../../wire/report.ts";
import type { ShardReport } from "../../wire/report.ts";
import { ShardFigures } from "./figures.ts";

const START = 1_800_000_000_000;
const STATE = {
  journalBytes: 1,
  rejectedJournalBytes: 2,
  dedupIds: 3,
  dedupSegments: 4,
  dedupBytes: 5,
  acceptFromMs: 6,
  rowsWritten: 7,
};
const VALID = { skewMs: 0, invalidReason: "" };

function taken(figures: ShardFigures, nowMs: number): ShardReport {
  const report = parseReport(figures.take(nowMs, STATE));
  if (report === null) throw new Error("no reader takes this report");
  return report;
}

test("a report has what was counted since the one before, and what the shard is like now", () => {
  const figures = new ShardFigures(START);
  figures.accepted(3, { skewMs: -11_000, invalidReason: "bot_user_agent" });
  figures.accepted(2, { skewMs: null, invalidReason: "" });
  figures.accepted(4, VALID);
  figures.duplicate(5);
  figures.unavailable(6);
  figures.rejected("missing", 1);
  figures.rejected("missing", 2);
  figures.rejected("__proto__", 1);
  figures.committed(10);
  figures.committed(40);
  figures.published(8);
  figures.flushFailed();
  expect(taken(figures, START + 1_000)).toEqual({
    ...STATE,
    sinceMs: START,
    atMs: START + 1_000,
    accepted: 9,
    duplicate: 5,
    unavailable: 6,
    rejected: JSON.parse(`{"missing":3,"__proto__":1}`),
    invalid: { bot_user_agent: 3 },
    skew: [0, 0, 0, 3, 4, 0, 0, 0, 0],
    withoutClock: 2,
    commits: 2,
    commitMsMean: 25,
    commitMsMax: 40,
    flushMs: 8,
    flushFailures: 1,
  });
  // Nothing twice; the flush before is the one before still.
  expect(taken(figures, START + 2_000)).toEqual({
    ...STATE,
    sinceMs: START + 1_000,
    atMs: START + 2_000,
    accepted: 0,
    duplicate: 0,
    unavailable: 0,
    rejected: {},
    invalid: {},
    skew: [0, 0, 0, 0, 0, 0, 0, 0, 0],
    withoutClock: 0,
    commits: 0,
    commitMsMean: 0,
    commitMsMax: 0,
    flushMs: 8,
    flushFailures: 0,
  });
});

test("a reason that no accepted click has is not in the report", () => {
  const figures = new ShardFigures(START);
  figures.accepted(0, { skewMs: 0, invalidReason: "bot_user_agent" });
  expect(taken(figures, START).invalid).toEqual({});
});

test("a clock that is set back leaves a report that readers take", () => {
  const figures = new ShardFigures(START);
  figures.committed(-3_000);
  figures.published(-3_000);
  expect(taken(figures, START - 3_000)).toMatchObject({
    sinceMs: START,
    atMs: START,
    commits: 1,
    commitMsMean: 0,
    flushMs: 0,
  });
});
