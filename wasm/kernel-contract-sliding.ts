/** What every kernel must do with closed windows: runs, and lists of top ads. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { AD_ID_BYTES_MAX, BLOCK_BODY_BYTES_MAX } from "../wire/limits.ts";
import {
  add,
  clicksOf,
  manyRows,
  minute,
  rowOf,
  runOf,
  topOf,
  topTexts,
  W,
} from "./kernel-checks.ts";
import type { CreateKernel } from "./kernel-checks.ts";
import { adKey, closeRequest, keyOf, UNIT } from "./kernel-rows.ts";
import { play, SHORT_LISTS, SlidingModel, stepsOf } from "./kernel-steps.ts";
import type { Kernel, TopList, RunFacts } from "./kernel.ts";
import {
  KERNEL_LIMITS,
  SLIDING_WINDOW_MAX,
  SLIDING_WINDOWS,
  SLIDING_WINDOWS_MAX,
} from "./limits.ts";

const NO_ROWS: TopList = { rows: 0, clicks: 0, body: new Uint8Array(0), untrackedClicks: 0 };

function closeAt(kernel: Kernel, closedThroughSeconds: number, windowSeconds = 60) {
  return kernel.close(closeRequest({ closedThroughSeconds, windowSeconds }));
}

function runStarts(kernel: Kernel): number[] {
  return kernel.state().runs.map((run) => run.windowStartSeconds);
}

function trackedRun(number: number, start: number, rows: number, clicks: number): RunFacts {
  return { number, windowStartSeconds: start, rows, clicks, untrackedClicks: 0 };
}

export function slidingContract(name: string, create: CreateKernel): void {
  /** A kernel with one closed window of these ads. */
  const closedWith = (ads: readonly (readonly [adId: string, clicks: number])[]) => {
    const kernel = create();
    add(
      kernel,
      ads.map(([adId, clicks]) => rowOf(W, adId, clicks)),
    );
    closeAt(kernel, minute(1));
    return kernel;
  };

  describe(`${name}: sliding windows`, () => {
    test("a list is empty until a window is closed", () => {
      const kernel = create();
      const list = () => kernel.top({ windows: 1, count: 10, unit: UNIT });
      expect(list()).toEqual(NO_ROWS);
      add(kernel, [rowOf(W, "a", 1)]);
      expect(list()).toEqual(NO_ROWS);
      closeAt(kernel, minute(0));
      expect(list()).toEqual(NO_ROWS);
      closeAt(kernel, minute(1));
      expect(topTexts(kernel, 1)).toEqual(["a 1"]);
    });

    test("a window counts in a list over M from its close until M more are closed", () => {
      const kernel = create({ slidingWindows: SHORT_LISTS });
      for (let n = 0; n < 20; n++) {
        // Another power of two in every minute: the sum tells which ones are in it.
        add(kernel, [rowOf(minute(n), "a", 2 ** n)]);
        closeAt(kernel, minute(n + 1));
        for (const windows of SHORT_LISTS) {
          const first = Math.max(0, n + 1 - windows);
          expect(topTexts(kernel, windows)).toEqual([`a ${2 ** (n + 1) - 2 ** first}`]);
        }
      }
    });

    test("the lists are over 1, 5, 15 and 60 windows unless told otherwise", () => {
      const kernel = create();
      for (let n = 0; n < 70; n++) {
        add(kernel, [rowOf(minute(n), "a", 7), rowOf(minute(n), `only-${n}`, 1)]);
        closeAt(kernel, minute(n + 1));
        for (const windows of [1, 5, 15, 60]) {
          const list = topTexts(kernel, windows);
          const counted = Math.min(windows, n + 1);
          expect(list[0]).toBe(`a ${7 * counted}`);
          expect(list.length).toBe(1 + counted);
        }
      }
      expect(runStarts(kernel)).toEqual(Array.from({ length: 60 }, (_, i) => minute(10 + i)));
    });

    test("what comes late for a window counts in every list that has it, and leaves with it", () => {
      const kernel = create({ slidingWindows: SHORT_LISTS });
      for (let n = 0; n < 4; n++) add(kernel, [rowOf(minute(n), "a", 10 ** n)]);
      closeAt(kernel, minute(4));
      expect([1, 2, 5].map((m) => topTexts(kernel, m))).toEqual([
        ["a 1000"],
        ["a 1100"],
        ["a 1111"],
      ]);
      add(kernel, [rowOf(minute(2), "a", 500), rowOf(minute(2), "b", 7)]);
      closeAt(kernel, minute(4));
      expect(topTexts(kernel, 1)).toEqual(["a 1000"]);
      expect(topTexts(kernel, 2)).toEqual(["a 1600", "b 7"]);
      expect(topTexts(kernel, 5)).toEqual(["a 1611", "b 7"]);
      closeAt(kernel, minute(5));
      expect(topTexts(kernel, 2)).toEqual(["a 1000"]);
      closeAt(kernel, minute(7));
      expect(topTexts(kernel, 5)).toEqual(["a 1600", "b 7"]);
      closeAt(kernel, minute(8));
      expect(topTexts(kernel, 5)).toEqual(["a 1000"]);
    });

    test("what comes too late for every list makes no run, and its rows leave all the same", () => {
      const kernel = create({ slidingWindows: SHORT_LISTS });
      closeAt(kernel, minute(10));
      add(kernel, [rowOf(minute(4), "a", 3), rowOf(minute(5), "a", 4)]);
      expect(clicksOf(closeAt(kernel, minute(10)))).toBe(7);
      expect(kernel.state().runs).toEqual([
        { number: 1, windowStartSeconds: minute(5), rows: 1, clicks: 4, untrackedClicks: 0 },
      ]);
      expect(topTexts(kernel, 5)).toEqual(["a 4"]);
    });

    test("minutes without clicks move lists on like others, one by one and many at once", () => {
      const kernel = create({ slidingWindows: SHORT_LISTS });
      add(kernel, [rowOf(minute(0), "a", 1), rowOf(minute(2), "b", 1)]);
      closeAt(kernel, minute(3));
      expect(topTexts(kernel, 5)).toEqual(["a 1", "b 1"]);
      expect(closeAt(kernel, minute(4))).toEqual([]);
      expect([1, 2, 5].map((m) => topTexts(kernel, m))).toEqual([[], ["b 1"], ["a 1", "b 1"]]);
      closeAt(kernel, minute(6));
      expect([1, 2, 5].map((m) => topTexts(kernel, m))).toEqual([[], [], ["b 1"]]);
      expect(runStarts(kernel)).toEqual([minute(2)]);
      closeAt(kernel, minute(100_000));
      expect([1, 2, 5].map((m) => topTexts(kernel, m))).toEqual([[], [], []]);
      expect(kernel.state()).toMatchObject({ runs: [], runsMade: 2 });
      add(kernel, [rowOf(minute(100_000), "a", 9)]);
      closeAt(kernel, minute(100_001));
      expect(topTexts(kernel, 5)).toEqual(["a 9"]);
      expect(kernel.state().runs.map((run) => run.number)).toEqual([3]);
    });

    test("a window is in a list when all of it lies in the last M × W seconds, aligned or not", () => {
      const kernel = create({ slidingWindows: SHORT_LISTS });
      add(kernel, [rowOf(W + 7, "a", 1)]);
      closeAt(kernel, W + 66);
      expect([1, 2, 5].map((m) => topTexts(kernel, m))).toEqual([[], [], []]);
      closeAt(kernel, W + 67);
      expect([1, 2, 5].map((m) => topTexts(kernel, m))).toEqual([["a 1"], ["a 1"], ["a 1"]]);
      closeAt(kernel, W + 68);
      expect([1, 2, 5].map((m) => topTexts(kernel, m))).toEqual([[], ["a 1"], ["a 1"]]);
      closeAt(kernel, W + 7 + 5 * 60);
      expect(topTexts(kernel, 5)).toEqual(["a 1"]);
      closeAt(kernel, W + 7 + 5 * 60 + 1);
      expect(topTexts(kernel, 5)).toEqual([]);
    });

    test("a list may reach back beyond 1970", () => {
      const kernel = create();
      add(kernel, [rowOf(0, "a", 1), rowOf(60, "b", 2)]);
      closeAt(kernel, 120);
      expect([1, 5, 60].map((m) => topTexts(kernel, m))).toEqual([
        ["b 2"],
        ["b 2", "a 1"],
        ["b 2", "a 1"],
      ]);
    });

    test("windows of another size start lists anew, and numbers of runs go on", () => {
      const kernel = create();
      add(kernel, [rowOf(minute(0), "a", 1), rowOf(minute(1), "a", 2), rowOf(minute(2), "a", 4)]);
      closeAt(kernel, minute(2));
      expect(topTexts(kernel, 5)).toEqual(["a 3"]);
      closeAt(kernel, minute(2), 30);
      expect(topTexts(kernel, 5)).toEqual([]);
      expect(kernel.state()).toMatchObject({ windowSeconds: 30, runsMade: 2, runs: [] });
      closeAt(kernel, minute(2) + 30, 30);
      expect(topTexts(kernel, 1)).toEqual(["a 4"]);
      expect(kernel.state().runs).toMatchObject([{ number: 3, windowStartSeconds: minute(2) }]);
      closeAt(kernel, minute(2) + 30, 60);
      expect(topTexts(kernel, 60)).toEqual([]);
    });

    test("a run is what one close took out of one window, by ad; numbers rise with window starts", () => {
      const kernel = create();
      add(kernel, [
        rowOf(minute(1), "a", 10),
        rowOf(minute(0), "b", 5),
        rowOf(minute(0), "a", 1, "DE"),
        rowOf(minute(0), "a", 2, "FR"),
        rowOf(minute(2), "a", 100),
      ]);
      closeAt(kernel, minute(2));
      add(kernel, [rowOf(minute(0), "c", 3)]);
      closeAt(kernel, minute(3));
      expect(kernel.state()).toEqual({
        slidingWindows: SLIDING_WINDOWS,
        closedThroughSeconds: minute(3),
        windowSeconds: 60,
        runsMade: 4,
        windows: [],
        runs: [
          trackedRun(1, minute(0), 2, 8),
          trackedRun(2, minute(1), 1, 10),
          trackedRun(3, minute(0), 1, 3),
          trackedRun(4, minute(2), 1, 100),
        ],
      });
      expect(runOf(kernel, 1)).toEqual([
        { id: "61", clicks: 3 },
        { id: "62", clicks: 5 },
      ]);
      expect(runOf(kernel, 3)).toEqual([{ id: "63", clicks: 3 }]);
    });

    test("a run stays what it is while others come and go", () => {
      const kernel = create({ slidingWindows: [3] });
      for (const row of manyRows(600, 200, 1)) add(kernel, [{ ...row, window: minute(2) }]);
      closeAt(kernel, minute(3));
      const [facts] = kernel.state().runs;
      const rows = runOf(kernel, 1);
      expect(rows.length).toBe(200);
      for (let n = 3; n < 5; n++) {
        add(
          kernel,
          [...manyRows(900, 300, 1)].map((row) => ({ ...row, window: minute(n) })),
        );
        add(
          kernel,
          manyRows(50, 50, 1).map((row) => ({ ...row, window: minute(2) })),
        );
        closeAt(kernel, minute(n + 1));
        expect(kernel.state().runs[0]).toEqual(facts);
        expect(runOf(kernel, 1)).toEqual(rows);
      }
      closeAt(kernel, minute(6));
      expect(kernel.state().runs.every((run) => run.number > 1)).toBe(true);
      expect(() => kernel.dumpRun(1, BLOCK_BODY_BYTES_MAX)).toThrow("run 1");
    });

    test("without sliding windows there are no runs and no lists", () => {
      const kernel = create({ slidingWindows: [] });
      add(kernel, [rowOf(W, "a", 1)]);
      expect(clicksOf(closeAt(kernel, minute(1)))).toBe(1);
      expect(kernel.state()).toMatchObject({ slidingWindows: [], runsMade: 0, runs: [] });
      expect(() => topOf(kernel, 1)).toThrow("top ads of 1 windows");
    });

    test("lists are the sums over what left the windows, whatever comes late, early or not at all", () => {
      fc.assert(
        fc.property(stepsOf(25), (steps) => {
          const kernel = create({ slidingWindows: SHORT_LISTS });
          const model = new SlidingModel();
          for (const step of steps) {
            play(kernel, step);
            model.play(step);
            for (const windows of SHORT_LISTS) {
              const { ads, untrackedClicks } = topOf(kernel, windows);
              expect(ads).toEqual(model.list(windows));
              expect(untrackedClicks).toBe(0);
            }
          }
        }),
        { numRuns: 60 },
      );
    });

    test("limits that make no sense throw", () => {
      const tooMany = Array.from({ length: SLIDING_WINDOWS_MAX + 1 }, (_, i) => i + 1);
      const wrong = [
        { slidingWindows: [5, 1] },
        { slidingWindows: [1, 1] },
        { slidingWindows: [0, 1] },
        { slidingWindows: [1.5] },
        { slidingWindows: [SLIDING_WINDOW_MAX + 1] },
        { slidingWindows: tooMany },
      ];
      for (const limits of wrong) {
        expect(() => create(limits)).toThrow(
          `slidingWindows are [${limits.slidingWindows.join(", ")}]`,
        );
      }
      for (const field of ["keysMax", "windowsMax", "adsMax", "runRowsMax"] as const) {
        for (const value of [0, -1, 1.5, Number.NaN]) {
          expect(() => create({ [field]: value })).toThrow(`${field} is ${value}`);
        }
      }
      expect(() =>
        create({ slidingWindows: [...tooMany.slice(2), SLIDING_WINDOW_MAX] }),
      ).not.toThrow();
      expect(KERNEL_LIMITS.slidingWindows).toEqual([1, 5, 15, 60]);
    });
  });

  describe(`${name}: top ads`, () => {
    test("most clicks first; equal counts in the order of the ids' bytes", () => {
      const kernel = closedWith([
        ["b", 2],
        ["ab", 2],
        ["z", 9],
        ["a", 2],
        ["", 2],
        ["aa", 2],
        ["c", 1],
      ]);
      expect(topTexts(kernel, 1)).toEqual(["z 9", " 2", "a 2", "aa 2", "ab 2", "b 2", "c 1"]);
    });

    test("bytes are ordered without a sign, and not as text", () => {
      const kernel = create();
      // In UTF-16, the last one would come before the one before it.
      const texts = ["\u0000", "\u007f", "\u0080", "é", "\uffff", "😀"].map((t) => Buffer.from(t));
      const bytes = [[0x7f, 0xff], [0x80], [0x80, 0x00], [0xc3], [0xff]].map((b) => Buffer.from(b));
      const ids = [...texts, ...bytes];
      add(
        kernel,
        ids.map((id) => ({ window: W, key: keyOf(id, "", "", ""), clicks: 5 })),
      );
      closeAt(kernel, minute(1));
      expect(topOf(kernel, 1).ads.map((ad) => ad.id)).toEqual(
        ids.toSorted((a, b) => Buffer.compare(a, b)).map((id) => id.toString("hex")),
      );
    });

    test("ids that agree in all bytes but the last are ordered by it", () => {
      const ids = ["1", "3", "2"].map((last) => "x".repeat(AD_ID_BYTES_MAX - 1) + last);
      const kernel = closedWith([...ids, "x".repeat(AD_ID_BYTES_MAX - 1)].map((id) => [id, 1]));
      expect(topTexts(kernel, 1)).toEqual([
        `${"x".repeat(AD_ID_BYTES_MAX - 1)} 1`,
        ...ids.toSorted().map((id) => `${id} 1`),
      ]);
    });

    test("ads are told apart by ad_id alone, and by all of it", () => {
      const kernel = create();
      add(kernel, [
        { window: W, key: adKey("a", "DE", "mobile", ""), clicks: 1 },
        { window: W, key: adKey("a", "FR", "mobile", ""), clicks: 10 },
        { window: W, key: adKey("a", "DE", "tv", ""), clicks: 100 },
        { window: W, key: adKey("a", "DE", "mobile", "bot"), clicks: 1_000 },
        { window: W, key: keyOf("aDE", "", "", ""), clicks: 7 },
        { window: W, key: keyOf("", "a", "", ""), clicks: 3 },
      ]);
      closeAt(kernel, minute(1));
      expect(topTexts(kernel, 1)).toEqual(["a 1111", "aDE 7", " 3"]);
    });

    test("a list has as many ads as asked for, or as there are", () => {
      const ads = Array.from({ length: 1_500 }, (_, i) => [`ad-${i}`, 1 + (i % 100)] as const);
      const kernel = closedWith(ads);
      const all = ads
        .toSorted(([a, clicksA], [b, clicksB]) => clicksB - clicksA || (a < b ? -1 : 1))
        .map(([adId, clicks]) => `${adId} ${clicks}`);
      for (const count of [1, 2, 15, 16, 999, 1_000]) {
        expect(topTexts(kernel, 1, count)).toEqual(all.slice(0, count));
      }
      expect(topTexts(closedWith(ads.slice(0, 3)), 1, 1_000)).toHaveLength(3);
    });

    test("the place in a list comes from the sum, not from any one window", () => {
      const kernel = create();
      for (let n = 0; n < 5; n++) {
        add(kernel, [rowOf(minute(n), `peak-${n}`, 10), rowOf(minute(n), "steady", 3)]);
      }
      closeAt(kernel, minute(5));
      expect(topTexts(kernel, 5, 2)).toEqual(["steady 15", "peak-0 10"]);
      expect(topTexts(kernel, 1, 1)).toEqual(["peak-4 10"]);
    });

    test("sums go beyond 2^32", () => {
      const kernel = create();
      for (let n = 0; n < 5; n++) {
        add(kernel, [rowOf(minute(n), "a", 0xffff_ffff), rowOf(minute(n), "b", 0xffff_fffe)]);
      }
      closeAt(kernel, minute(5));
      expect(topTexts(kernel, 5)).toEqual([`a ${5 * 0xffff_ffff}`, `b ${5 * 0xffff_fffe}`]);
    });

    test("rows are the bytes of wire/top.ts", () => {
      const kernel = create();
      add(kernel, [rowOf(W, "ad", 258), rowOf(W, "b", 1)]);
      closeAt(kernel, minute(1));
      const tail =
        "0400" + // partitions 4
        "0300" + // partition 3
        "4d00000000000000" + // emission 77
        "2c51"; // emitted_on 20,780
      const golden = [
        "e43bb16a" + // window_end 1,790,000,100
          "0f00" + // windows 15
          "0100" + // rank 1
          "026164" + // ad_id
          "0201000000000000" + // clicks 258
          "0000000000000000" + // untracked_clicks
          tail,
        "e43bb16a0f000200" + // window_end, windows, rank 2
          "0162" + // ad_id
          "0100000000000000" + // clicks 1
          "0000000000000000" + // untracked_clicks
          tail,
      ];
      const chunk = kernel.top({ windows: 15, count: 10, unit: UNIT });
      expect(Buffer.from(chunk.body).toString("hex")).toBe(golden.join(""));
      expect(chunk).toMatchObject({ rows: 2, clicks: 259 });
    });

    test("a list stays what it is while the kernel goes on, and asking changes nothing", () => {
      const kernel = closedWith([
        ["a", 1],
        ["b", 2],
      ]);
      const before = kernel.state();
      const list = kernel.top({ windows: 5, count: 10, unit: UNIT });
      const bytes = list.body.slice();
      expect(kernel.top({ windows: 5, count: 10, unit: UNIT })).toEqual(list);
      expect(kernel.state()).toEqual(before);
      for (let n = 1; n < 4; n++) {
        add(kernel, manyRows(20_000, 20_000, 2));
        closeAt(kernel, minute(n + 1));
        kernel.top({ windows: 60, count: 1_000, unit: UNIT });
      }
      expect(list.body).toEqual(bytes);
    });

    test("a request that makes no sense throws", () => {
      const kernel = closedWith([["a", 1]]);
      const top = (windows: number, count: number) => () =>
        kernel.top({ windows, count, unit: UNIT });
      expect(top(2, 10)).toThrow("top ads of 2 windows; there are [1, 5, 15, 60]");
      expect(top(1, 0)).toThrow("0 top ads");
      expect(top(1, 1_001)).toThrow("1001 top ads");
      expect(top(1, 1.5)).toThrow("1.5 top ads");
      closeAt(kernel, 2 ** 32 - 1);
      expect(top(1, 1)()).toEqual(NO_ROWS);
      closeAt(kernel, 2 ** 32);
      expect(top(1, 1)).toThrow("does not fit 32 bits");
    });
  });
}
