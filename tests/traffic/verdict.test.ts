/** The verdict must find every kind of difference, and must never net a loss against a double. */
import { describe, expect, test } from "vitest";
import type { TimeSource } from "../../wire/columns.ts";
import { Ledger } from "./ledger.ts";
import { verdictJson, verdictLines } from "./verdict-report.ts";
import { Judge, LISTED_OF_A_KIND_MAX } from "./verdict.ts";
import type { KeyCount, RawRow } from "./verdict.ts";

const WINDOW_MS = 10_000;

/** A run of 100 clicks on 5 ads in which everything is right, to be spoilt by each test. */
function rightRun() {
  const ledger = new Ledger();
  const raw: RawRow[] = [];
  for (let i = 0; i < 100; i++) {
    const clickId = `c.${i}`;
    const adId = `ad-${i % 5}`;
    const claimedMs = 1_800_000_000_000 + i * 500;
    const index = ledger.enter({ clickId, adId, claimedMs, clockOffsetMs: 0, good: true });
    ledger.sent(1);
    ledger.answered(index, i % 10 === 0 ? "duplicate" : "accepted");
    const timeSource: TimeSource = i % 7 === 0 ? "skew_corrected" : "client";
    raw.push({
      clickId,
      adId,
      eventTimeMs: claimedMs + (timeSource === "client" ? 0 : 333),
      timeSource,
    });
  }
  const broken = ledger.enter({
    clickId: "broken",
    adId: "ad-0",
    claimedMs: 5,
    clockOffsetMs: 0,
    good: false,
  });
  ledger.sent(1);
  ledger.answered(broken, "rejected");
  return { ledger, raw, counted: countsOf(raw) };
}

function countsOf(raw: readonly RawRow[]): KeyCount[] {
  const counts = new Map<string, KeyCount>();
  for (const row of raw) {
    const windowStartSeconds = (Math.floor(row.eventTimeMs / WINDOW_MS) * WINDOW_MS) / 1_000;
    const key = `${row.adId} ${windowStartSeconds}`;
    const clicks = (counts.get(key)?.clicks ?? 0) + 1;
    counts.set(key, { adId: row.adId, windowStartSeconds, invalidReason: "", clicks });
  }
  return [...counts.values()];
}

function judge(run: {
  ledger: Ledger;
  raw: readonly RawRow[];
  counted: readonly KeyCount[];
  rawCounts?: readonly KeyCount[];
}) {
  const judged = new Judge(run.ledger);
  for (const row of run.raw) judged.rawRow(row);
  for (const row of run.rawCounts ?? countsOf(run.raw)) judged.rawCount(row);
  for (const row of run.counted) judged.countedClicks(row);
  return judged.verdict();
}

test("a right run is clean", () => {
  const run = rightRun();
  const verdict = judge(run);
  expect(verdict).toMatchObject({ clean: true, lost: 0, double: 0, rawRows: 100, counted: 100 });
  expect(verdict.rowsByTimeSource).toEqual({ client: 85, skew_corrected: 15, server: 0 });
  expect(verdictLines(verdict, run.ledger).join("\n")).not.toContain("NO");
  expect(verdictJson(verdict, run.ledger, 100, 3)).toBe(
    '{"sent":101,"accepted":100,"duplicates":10,"rejected":1,"counted":100,"late":3,"lost":0,"double":0}',
  );
});

describe("step (i): ids", () => {
  test("a lost id, even one that was only ever answered duplicate", () => {
    const run = rightRun();
    const raw = run.raw.filter((row) => row.clickId !== "c.10");
    const verdict = judge({ ...run, raw, counted: countsOf(raw) });
    expect(verdict).toMatchObject({ clean: false, lost: 1, double: 0 });
    expect(verdict.listed).toEqual([
      { kind: "lost_id", what: "c.10: answered as safe, not in raw" },
    ]);
  });

  test("a doubled id, counted once for each row too many", () => {
    const run = rightRun();
    const raw = [...run.raw, run.raw[3]!, run.raw[3]!];
    const verdict = judge({ ...run, raw, counted: countsOf(raw) });
    expect(verdict).toMatchObject({ clean: false, lost: 0, double: 2 });
    expect(verdict.listed.map((d) => d.what)).toEqual([
      "c.3: in raw again (row 2)",
      "c.3: in raw again (row 3)",
    ]);
  });

  test("a loss and a double of the same key are two differences, not none", () => {
    const run = rightRun();
    // c.5 is lost and c.0, of the same ad and window, is there twice: the counts agree.
    const raw = run.raw.map((row) => (row.clickId === "c.5" ? run.raw[0]! : row));
    const verdict = judge({ ...run, raw });
    expect(verdict).toMatchObject({ clean: false, lost: 1, double: 1 });
  });

  test("an id that was never sent, and one that was rejected", () => {
    const run = rightRun();
    const more = ["unknown", "broken"].map((clickId) => ({
      ...run.raw[0]!,
      clickId,
      timeSource: "server" as const,
    }));
    const raw = [...run.raw, ...more];
    const verdict = judge({ ...run, raw, counted: countsOf(raw) });
    expect(verdict).toMatchObject({ clean: false, lost: 0, double: 2, figures: { foreign_id: 2 } });
  });

  test("an id without any answer may be in raw or not, but not twice", () => {
    for (const [copies, double] of [
      [0, 0],
      [1, 0],
      [2, 1],
    ] as const) {
      const run = rightRun();
      const row: RawRow = { clickId: "mute", adId: "ad-1", eventTimeMs: 50, timeSource: "client" };
      run.ledger.enter({
        clickId: "mute",
        adId: "ad-1",
        claimedMs: 50,
        clockOffsetMs: 0,
        good: true,
      });
      const raw = [...run.raw, ...Array.from({ length: copies }, () => row)];
      const verdict = judge({ ...run, raw, counted: countsOf(raw) });
      expect(verdict).toMatchObject({ lost: 0, double, unansweredButCounted: copies > 0 ? 1 : 0 });
    }
  });

  test("a click under another ad is lost for one and double for the other", () => {
    const run = rightRun();
    const raw = run.raw.map((row) => (row.clickId === "c.5" ? { ...row, adId: "ad-1" } : row));
    const verdict = judge({ ...run, raw, counted: countsOf(raw) });
    expect(verdict).toMatchObject({ clean: false, lost: 1, double: 1, figures: { wrong_ad: 1 } });
  });
});

describe("step (ii): counts", () => {
  const key = { adId: "ad-1", windowStartSeconds: 1_800_000_000, invalidReason: "" };

  test("too few, too many, and a key that only one side has", () => {
    const run = rightRun();
    const spoilt = (clicks: number) => {
      const counted = run.counted.map((c) =>
        c.adId === key.adId && c.windowStartSeconds === key.windowStartSeconds
          ? { ...c, clicks: c.clicks + clicks }
          : c,
      );
      return judge({ ...run, counted });
    };
    expect(spoilt(-2)).toMatchObject({ clean: false, lost: 2, double: 0 });
    expect(spoilt(3)).toMatchObject({ clean: false, lost: 0, double: 3 });
    expect(judge({ ...run, counted: run.counted.slice(1) })).toMatchObject({ lost: 4, double: 0 });
    expect(
      judge({ ...run, counted: [...run.counted, { ...key, adId: "new", clicks: 1 }] }),
    ).toMatchObject({
      lost: 0,
      double: 1,
    });
  });

  test.for<readonly [string, Partial<KeyCount>]>([
    ["ad", { adId: "ad-2" }],
    ["window", { windowStartSeconds: key.windowStartSeconds + 600 }],
    ["invalid reason", { invalidReason: "bot" }],
  ])("a click counted under another %s is a loss and a double", ([, change]) => {
    const run = rightRun();
    const counted = [...run.counted, { ...key, clicks: -1 }, { ...key, ...change, clicks: 1 }];
    expect(judge({ ...run, counted })).toMatchObject({
      clean: false,
      lost: 1,
      double: 1,
      counted: 100,
    });
  });

  test("deltas of a key are summed", () => {
    const run = rightRun();
    const counted = [...run.counted, { ...key, clicks: 5 }, { ...key, clicks: -5 }];
    expect(judge({ ...run, counted }).clean).toBe(true);
  });
});

test("step (iii): an event time that is not the client's, only where the client's stood", () => {
  const run = rightRun();
  const moved = (clickId: string, timeSource: TimeSource) => {
    const raw = run.raw.map((row) =>
      row.clickId === clickId ? { ...row, eventTimeMs: row.eventTimeMs + 1, timeSource } : row,
    );
    return judge({ ...run, raw, counted: countsOf(raw) });
  };
  const wrong = moved("c.1", "client");
  expect(wrong).toMatchObject({
    clean: false,
    lost: 0,
    double: 0,
    figures: { wrong_event_time: 1 },
  });
  expect(wrong.listed[0]!.what).toContain("c.1: event time 2027-01-15T08:00:00.501Z");
  expect(moved("c.7", "skew_corrected").clean).toBe(true);
  expect(moved("c.7", "server").clean).toBe(true);
});

test("answers that contradict what was sent are differences too", () => {
  const run = rightRun();
  run.ledger.answered(run.ledger.indexOf("c.1"), "accepted");
  run.ledger.answered(run.ledger.indexOf("c.2"), "rejected");
  run.ledger.answered(run.ledger.indexOf("broken"), "accepted");
  const verdict = judge(run);
  expect(verdict.figures).toMatchObject({
    accepted_twice: 1,
    good_rejected: 1,
    broken_accepted: 1,
  });
  expect(verdict.clean).toBe(false);
});

test("the list is capped for each kind, the figures are not", () => {
  const run = rightRun();
  const verdict = judge({ ...run, raw: [], counted: [] });
  expect(verdict.figures.lost_id).toBe(100);
  expect(verdict.listed).toHaveLength(LISTED_OF_A_KIND_MAX);
  const text = verdictLines(verdict, run.ledger).join("\n");
  expect(text).toContain("NO: 100 lost");
  expect(text).toContain("and 50 more");
});
