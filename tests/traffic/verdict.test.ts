/** The verdict must find every kind of difference, and must never net a loss against a double. */
import { describe, expect, test } from "vitest";
import type { TimeSource } from "../../wire/columns.ts";
import { Ledger } from "./ledger.ts";
import { FAR_OFF_MS_MIN, SLIGHTLY_OFF_MS_MAX } from "./installations.ts";
import {
  differenceLines,
  firstOfEachKind,
  PRINTED_OF_A_KIND_MAX,
  verdictJson,
  verdictLines,
} from "./verdict-report.ts";
import { Judge, LISTED_OF_A_KIND_MAX, STALL_MS } from "./verdict.ts";
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
    const timeSource = sourceOf(i);
    const index = ledger.enter({
      clickId,
      adId,
      claimedMs,
      clockOffsetMs: timeSource === "skew_corrected" ? -FAR_OFF_MS_MIN : SLIGHTLY_OFF_MS_MAX,
      stampsSentAt: timeSource !== "server",
      good: true,
    });
    ledger.sent(1);
    ledger.attempted(index, 20);
    ledger.answered(index, i % 10 === 0 ? "duplicate" : "accepted");
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
    stampsSentAt: true,
    good: false,
  });
  ledger.sent(1);
  ledger.answered(broken, "rejected");
  return { ledger, raw, counted: countsOf(raw) };
}

/** Every seventh clock is far off, and every 25th installation does not tell its clock. */
function sourceOf(i: number): TimeSource {
  if (i % 7 === 0) return "skew_corrected";
  return i % 25 === 24 ? "server" : "client";
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
  expect(verdict.rowsByTimeSource).toEqual({ client: 82, skew_corrected: 15, server: 3 });
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
        stampsSentAt: true,
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

describe("step (iii): time", () => {
  function changed(run: ReturnType<typeof rightRun>, change: (row: RawRow) => RawRow) {
    const raw = run.raw.map(change);
    return judge({ ...run, raw, counted: countsOf(raw) });
  }
  const only = (clickId: string, changes: Partial<RawRow>) => (row: RawRow) =>
    row.clickId === clickId ? { ...row, ...changes } : row;
  const stood = (claimedMs: number): Partial<RawRow> => ({
    eventTimeMs: claimedMs,
    timeSource: "client",
  });

  test("an event time that is not the client's, only where the client's stood", () => {
    const run = rightRun();
    const wrong = changed(run, only("c.1", { eventTimeMs: run.raw[1]!.eventTimeMs + 1 }));
    expect(wrong).toMatchObject({
      clean: false,
      lost: 0,
      double: 0,
      figures: { wrong_event_time: 1, wrong_time_source: 0 },
    });
    expect(wrong.listed[0]!.what).toContain("c.1: event time 2027-01-15T08:00:00.501Z");
    for (const i of [7, 24]) {
      const later = only(`c.${i}`, { eventTimeMs: run.raw[i]!.eventTimeMs + 1 });
      expect(changed(run, later).clean).toBe(true);
    }
  });

  test.for<TimeSource>(["client", "skew_corrected", "server"])(
    "canary: an edge that stamps every row %s is found out",
    (timeSource) => {
      const run = rightRun();
      const verdict = changed(run, (row) => ({ ...row, timeSource }));
      expect(verdict.clean).toBe(false);
      expect(verdict.figures.wrong_time_source).toBe(
        run.raw.filter((row) => row.timeSource !== timeSource).length,
      );
    },
  );

  test("a good clock that was not let stand, by server time or corrected", () => {
    for (const timeSource of ["server", "skew_corrected"] as const) {
      const verdict = changed(rightRun(), only("c.1", { timeSource }));
      expect(verdict).toMatchObject({ lost: 0, double: 0, figures: { wrong_time_source: 1 } });
      expect(verdict.listed[0]!.what).toBe(
        `c.1: time source ${timeSource}, client was due (its clock is 3000 ms off; its longest request took 20 ms)`,
      );
    }
  });

  test("a clock that is far off, or was never told, and was let stand", () => {
    const run = rightRun();
    for (const i of [7, 24]) {
      const verdict = changed(run, only(`c.${i}`, stood(1_800_000_000_000 + i * 500)));
      expect(verdict.figures).toMatchObject({ wrong_time_source: 1, wrong_event_time: 0 });
    }
  });

  test("a request that stalled excuses a correction, of its own clicks only", () => {
    const corrected = { timeSource: "skew_corrected" } as const;
    const run = rightRun();
    run.ledger.attempted(run.ledger.indexOf("c.1"), STALL_MS);
    expect(changed(run, only("c.1", corrected)).clean).toBe(false);
    run.ledger.attempted(run.ledger.indexOf("c.1"), STALL_MS + 1);
    expect(changed(run, only("c.1", corrected)).clean).toBe(true);
    expect(changed(run, only("c.2", corrected)).figures.wrong_time_source).toBe(1);
    // Without a clock to correct by there is no excuse.
    run.ledger.attempted(run.ledger.indexOf("c.24"), STALL_MS + 1);
    expect(changed(run, only("c.24", corrected)).figures.wrong_time_source).toBe(1);
  });
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

test("every difference is kept, and the first of each kind are printed", () => {
  const run = rightRun();
  const raw = run.raw.slice(0, 30).map((row) => ({ ...row, adId: "other" }));
  const verdict = judge({ ...run, raw, rawCounts: [], counted: [] });
  expect(verdict.figures).toMatchObject({ wrong_ad: 30, lost_id: 70 });
  const lines = verdictLines(verdict, run.ledger);
  expect(lines[0]).toContain("NO: 70 lost, 30 with a wrong ad");
  const printed = (kind: string) => lines.filter((line) => line.startsWith(`  ${kind}`));
  expect(printed("lost_id")).toHaveLength(PRINTED_OF_A_KIND_MAX + 1);
  expect(printed("lost_id").at(-1)).toBe("  lost_id  and 50 more");
  expect(printed("wrong_ad").at(-1)).toBe("  wrong_ad  and 10 more");
  expect(firstOfEachKind(verdict)).toHaveLength(2 * PRINTED_OF_A_KIND_MAX);
  const all = [...differenceLines(verdict)];
  expect(all).toHaveLength(100);
  expect(new Set(all).size).toBe(100);
  expect(all.every((line) => line.endsWith("\n"))).toBe(true);
});

test("what is kept of a kind has a bound, which the list names and other kinds do not feel", () => {
  const ledger = new Ledger();
  const judged = new Judge(ledger);
  for (let i = 0; i < LISTED_OF_A_KIND_MAX + 5; i++) {
    judged.rawRow({ clickId: `x${i}`, adId: "ad", eventTimeMs: 0, timeSource: "client" });
  }
  judged.countedClicks({ adId: "ad", windowStartSeconds: 0, invalidReason: "", clicks: 9 });
  const verdict = judged.verdict();
  expect(verdict.figures).toMatchObject({
    foreign_id: LISTED_OF_A_KIND_MAX + 5,
    double_count: 9,
  });
  const lines = [...differenceLines(verdict)];
  expect(lines.slice(-2)).toEqual([
    "foreign_id  and 5 more, which were counted but not kept\n",
    "double_count  ad, window 1970-01-01T00:00:00.000Z: 0 in raw, 9 counted\n",
  ]);
});
