/** What a shard's newest messages say of it, and what all of them say together. */
import { describe, expect, test } from "vitest";
import { garbage, ofVersion, ownRaw, ownResult } from "../../tests/helpers/set-aside-fixtures.ts";
import {
  AT_MS,
  EPOCH,
  rawFlush,
  rejectedFlush,
  shardReport,
} from "../../tests/helpers/shard-flushes.ts";
import { encodeBlock } from "../../wire/block.ts";
import { encodeReport } from "../../wire/report.ts";
import type { ShardReport } from "../../wire/report.ts";
import type { ShardMessage } from "../source/shard-messages.ts";
import { REPORT_CURRENT_MS } from "./limits.ts";
import { acceptedPerSecond, duplicateShare, shardViews, totalsOf } from "./shard-views.ts";
import type { ShardView } from "./shard-views.ts";

const NOW_MS = AT_MS + 500;

function message(changes: Partial<ShardMessage> = {}): ShardMessage {
  return {
    shard: 3,
    chain: "clicks",
    brokerTimeMs: AT_MS,
    report: encodeReport(shardReport()),
    data: rawFlush({ shard: 3, flush: 17, rows: 780 }),
    ...changes,
  };
}
function rejected(changes: Partial<ShardMessage> = {}): ShardMessage {
  return message({
    chain: "rejected",
    data: rejectedFlush({ shard: 3, flush: 4 }),
    ...changes,
  });
}
function only(messages: readonly ShardMessage[]): ShardView {
  const views = shardViews(messages, NOW_MS);
  expect(views).toHaveLength(1);
  return views[0]!;
}

describe("a shard", () => {
  test("is its newest flush and report", () => {
    expect(only([message()])).toEqual({
      shard: 3,
      epoch: EPOCH,
      flush: 17,
      rows: 780,
      rejectedFlush: null,
      ageMs: 500,
      report: shardReport(),
      notes: [],
    });
  });

  test("has no age below zero where the broker's clock is ahead", () => {
    expect(only([message({ brokerTimeMs: NOW_MS + 9_000 })]).ageMs).toBe(0);
  });

  test("that has rejected clicks only has a flush of those only", () => {
    expect(only([rejected()])).toMatchObject({
      epoch: EPOCH,
      flush: null,
      rows: null,
      rejectedFlush: 4,
      report: shardReport(),
    });
  });

  test("is listed in order of its number", () => {
    const of = (shard: number) => message({ shard, data: rawFlush({ shard, flush: 1 }) });
    const views = shardViews([of(12), of(2), of(100)], NOW_MS);
    expect(views.map(({ shard }) => shard)).toEqual([2, 12, 100]);
  });

  test.each([undefined, "", "no JSON", "null", JSON.stringify({ ...shardReport(), skew: [1] })])(
    "whose newest message has no readable report (%s) is there without one",
    (report) => {
      const view = only([message({ report })]);
      expect(view).toMatchObject({ flush: 17, report: null, notes: ["no report"] });
    },
  );

  test("says of what is not its own on its subject that it cannot be read, and believes no report there", () => {
    const made = Object.values(garbage(ownRaw(AT_MS), ownResult(AT_MS)));
    const foreign = [
      rawFlush({ shard: 5, flush: 1 }),
      rejectedFlush({ shard: 3, flush: 1 }),
      encodeBlock({ kind: "tick" }, 0, new Uint8Array(0)).bytes,
    ];
    for (const data of [...made, ...foreign]) {
      const view = only([message({ data })]);
      expect(view).toMatchObject({ epoch: null, flush: null, report: null });
      expect(view.notes).toEqual([expect.stringMatching(/^unreadable newest message: \w/)]);
    }
  });

  test("that a later version wrote shows its report, and says that its flush is not read", () => {
    const data = ofVersion(rawFlush({ shard: 3, flush: 17 }), 99);
    expect(only([message({ data })])).toMatchObject({
      epoch: null,
      flush: null,
      report: shardReport(),
      notes: [expect.stringMatching(/^newest message of a later version: wire version 99,/)],
    });
    expect(only([message({ data, report: "no JSON" })]).report).toBeNull();
  });

  test("whose one subject has garbage is read from the other", () => {
    const view = only([message(), rejected({ brokerTimeMs: AT_MS + 5, data: new Uint8Array(3) })]);
    expect(view).toMatchObject({ flush: 17, rejectedFlush: null, report: shardReport() });
    expect(view.notes).toEqual([
      "rejected clicks: unreadable newest message: 3 bytes are no block",
    ]);
  });
});

describe("a shard that reports on both subjects", () => {
  const later: Partial<ShardReport> = { sinceMs: AT_MS, atMs: AT_MS + 3 };
  const nothingNew = shardReport({
    ...later,
    accepted: 0,
    duplicate: 1,
    rejected: { too_old: 1, missing: 0 },
    invalid: {},
    skew: [0, 0, 0, 0, 0, 0, 0, 0, 0],
    withoutClock: 0,
    commits: 20,
    commitMsMean: 15.25,
    commitMsMax: 40,
    flushMs: 9,
    rowsWritten: 2,
    journalBytes: 7,
  });

  test("has both as one where the later begins where the earlier ends, on whichever subject that is", () => {
    const both = {
      ...shardReport(),
      atMs: AT_MS + 3,
      duplicate: 21,
      rejected: { missing: 6, too_old: 3 },
      commits: 80,
      commitMsMean: (60 * 7.25 + 20 * 15.25) / 80,
      commitMsMax: 40,
      flushMs: 9,
      rowsWritten: 77,
      journalBytes: 7,
    };
    const first = encodeReport(shardReport());
    const second = encodeReport(nothingNew);
    expect(only([message({ report: first }), rejected({ report: second })]).report).toEqual(both);
    expect(only([message({ report: second }), rejected({ report: first })]).report).toEqual(both);
  });

  test("has the later one alone where the two do not touch, overlap, or are of two epochs", () => {
    for (const sinceMs of [AT_MS - 1, AT_MS + 1]) {
      const report = { ...nothingNew, sinceMs };
      const view = only([message(), rejected({ report: encodeReport(report) })]);
      expect(view.report).toEqual(report);
    }
    const data = rejectedFlush({ shard: 3, flush: 1, epoch: "epoch-02" });
    const brokerTimeMs = AT_MS + 3;
    const reset = rejected({ report: encodeReport(nothingNew), data, brokerTimeMs });
    expect(only([message(), reset])).toMatchObject({ epoch: "epoch-02", report: nothingNew });
  });

  test("has none where the newest message has none: the other says what was", () => {
    const view = only([message({ brokerTimeMs: AT_MS + 1, report: undefined }), rejected()]);
    expect(view).toMatchObject({ report: null, notes: ["no report"] });
    expect(only([message(), rejected({ brokerTimeMs: 1, report: undefined })]).report).toEqual(
      shardReport(),
    );
  });
});

describe("all of them", () => {
  const view = (shard: number, report: ShardReport | null, ageMs = 0): ShardView => ({
    shard,
    epoch: EPOCH,
    flush: 1,
    rows: 1,
    rejectedFlush: null,
    ageMs,
    report,
    notes: [],
  });

  test("are sums, means by commits, and the most of what is a time", () => {
    const other = shardReport({
      accepted: 220,
      duplicate: 80,
      unavailable: 3,
      rejected: { missing: 1, empty: 1 },
      invalid: {},
      skew: [0, 0, 0, 0, 220, 0, 0, 0, 0],
      commits: 20,
      commitMsMean: 15.25,
      commitMsMax: 12,
      flushMs: 9,
      flushFailures: 2,
      acceptFromMs: AT_MS - 1_000,
    });
    expect(totalsOf([view(0, shardReport()), view(1, null), view(2, other)])).toEqual({
      shards: 3,
      shardsWithReport: 2,
      acceptedPerSecond: 1_000,
      accepted: 1_000,
      duplicate: 100,
      unavailable: 3,
      rejected: { missing: 7, too_old: 2, empty: 1 },
      invalid: { bot: 31 },
      skew: [1, 0, 4, 12, 960, 10, 2, 0, 1],
      withoutClock: 20,
      journalBytes: 240 * 1024 ** 2,
      rejectedJournalBytes: 600 * 1024,
      commits: 80,
      commitMsMean: (60 * 7.25 + 20 * 15.25) / 80,
      commitMsMax: 31,
      flushMsMax: 9,
      flushFailures: 2,
      dedupIds: 16_024_690,
      dedupSegments: 48,
      dedupBytes: 36_000_000,
      acceptFromMs: AT_MS - 1_000,
      rowsWritten: 150,
    });
  });

  test("accept per second what shards with a current report do, whatever time it is of", () => {
    const long = shardReport({ sinceMs: AT_MS - 10_000 });
    const ages = [REPORT_CURRENT_MS, REPORT_CURRENT_MS + 1];
    const views = ages.map((ageMs, shard) => view(shard, long, ageMs));
    expect(totalsOf(views)).toMatchObject({ acceptedPerSecond: 78, accepted: 1_560 });
  });

  test("are nothing without shards", () => {
    expect(totalsOf([])).toMatchObject({
      shards: 0,
      acceptedPerSecond: 0,
      commitMsMean: 0,
      commitMsMax: 0,
      skew: Array.from({ length: 9 }, () => 0),
      acceptFromMs: null,
    });
  });

  test("sum names that are anybody's", () => {
    const rejectedBy = JSON.parse('{"__proto__":1,"constructor":2}') as Record<string, number>;
    const { rejected: sums } = totalsOf([
      view(0, shardReport({ rejected: rejectedBy })),
      view(1, shardReport({ rejected: rejectedBy })),
    ]);
    expect(JSON.stringify(sums)).toBe('{"__proto__":2,"constructor":4}');
  });
});

test("there is no rate in no time, and no share of nothing", () => {
  expect(acceptedPerSecond(shardReport())).toBe(780);
  expect(acceptedPerSecond(shardReport({ sinceMs: AT_MS }))).toBeNull();
  expect(duplicateShare({ accepted: 3, duplicate: 1 })).toBe(0.25);
  expect(duplicateShare({ accepted: 0, duplicate: 0 })).toBeNull();
});
