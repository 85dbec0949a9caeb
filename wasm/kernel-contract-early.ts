/** What every kernel must do at its limits: early deltas, and clicks that no list tracks. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  add,
  byHashThenBytes,
  clicksOf,
  hexOf,
  manyRows,
  minute,
  resultsOf,
  rowOf,
  runOf,
  topOf,
  topTexts,
  W,
} from "./kernel-checks.ts";
import type { CreateKernel } from "./kernel-checks.ts";
import { adKey, closeRequest, UNIT } from "./kernel-rows.ts";
import { play, SHORT_LISTS, SlidingModel, stepsOf } from "./kernel-steps.ts";
import type { EarlyRequest, Kernel, RowChunk } from "./kernel.ts";

function closeAt(kernel: Kernel, closedThroughSeconds: number): RowChunk[] {
  return kernel.close(closeRequest({ closedThroughSeconds }));
}

function earlyRequest(over: Partial<EarlyRequest> = {}): EarlyRequest {
  const { lateThroughSeconds: _, ...request } = closeRequest(over);
  return request;
}

function earlyAt(kernel: Kernel, closedThroughSeconds: number): RowChunk[] {
  return kernel.emitEarly(earlyRequest({ closedThroughSeconds }));
}

export function earlyContract(name: string, create: CreateKernel): void {
  describe(`${name}: early deltas`, () => {
    test("they are all rows as a close would give them, and none is kept", () => {
      const [kernel, closing] = [create(), create()];
      for (const each of [kernel, closing]) add(each, manyRows(500, 300, 7));
      const chunkBytesMax = 1_000;
      const early = kernel.emitEarly(
        earlyRequest({ closedThroughSeconds: minute(3), chunkBytesMax }),
      );
      const closed = closing.close(
        closeRequest({
          closedThroughSeconds: minute(100),
          lateThroughSeconds: minute(3),
          chunkBytesMax,
        }),
      );
      expect(early.length).toBeGreaterThan(7);
      expect(early).toEqual(closed);
      expect(kernel.windows()).toEqual([]);
      expect(kernel.rowCount()).toBe(0);
      expect(earlyAt(kernel, minute(3))).toEqual([]);
    });

    test("rows of windows that are closed are late, the others on time", () => {
      const kernel = create();
      add(
        kernel,
        [0, 1, 2].map((n) => rowOf(minute(n), "a", 1)),
      );
      const rows = resultsOf(earlyAt(kernel, minute(2) + 59));
      expect(rows.map((r) => r.origin)).toEqual(["late", "late", "on_time"]);
    });

    test("a window that was left early goes on counting, from nothing", () => {
      const kernel = create();
      for (const clicks of [1, 2, 4]) {
        add(kernel, [rowOf(W, "a", clicks)]);
        expect(resultsOf(earlyAt(kernel, W))).toMatchObject([{ clicks, origin: "on_time" }]);
      }
      add(kernel, [rowOf(W, "a", 8)]);
      expect(resultsOf(closeAt(kernel, minute(1)))).toMatchObject([{ clicks: 8 }]);
    });

    test("what left early counts in lists once its window is closed, together with the rest", () => {
      const kernel = create();
      add(kernel, [rowOf(W, "a", 5), rowOf(minute(1), "b", 1)]);
      earlyAt(kernel, W);
      expect(topTexts(kernel, 5)).toEqual([]);
      expect(kernel.state().runs.map((run) => run.windowStartSeconds)).toEqual([W, minute(1)]);
      add(kernel, [rowOf(W, "a", 3), rowOf(W, "c", 1)]);
      closeAt(kernel, minute(1));
      expect(topTexts(kernel, 1)).toEqual(["a 8", "c 1"]);
      expect(runOf(kernel, 1)).toEqual([{ id: "61", clicks: 5 }]);
      closeAt(kernel, minute(2));
      expect(topTexts(kernel, 1)).toEqual(["b 1"]);
      expect(topTexts(kernel, 5)).toEqual(["a 8", "b 1", "c 1"]);
    });

    test("they move the boundary as a close does", () => {
      const kernel = create({ slidingWindows: [2] });
      add(kernel, [rowOf(W, "a", 5)]);
      earlyAt(kernel, minute(1));
      expect(topTexts(kernel, 2)).toEqual(["a 5"]);
      expect(() => closeAt(kernel, W)).toThrow("closed through");
      expect(() => earlyAt(kernel, minute(1) - 1)).toThrow("closed through");
      earlyAt(kernel, minute(3));
      expect(kernel.state()).toMatchObject({ closedThroughSeconds: minute(3), runs: [] });
      kernel.emitEarly(earlyRequest({ closedThroughSeconds: minute(3), windowSeconds: 30 }));
      expect(kernel.state()).toMatchObject({ windowSeconds: 30 });
    });

    test("a request that makes no sense throws and keeps every row", () => {
      const kernel = create();
      add(kernel, [rowOf(W, "a", 1)]);
      expect(() => kernel.emitEarly(earlyRequest({ windowSeconds: 0 }))).toThrow("0 seconds");
      expect(() => kernel.emitEarly(earlyRequest({ closedThroughSeconds: 0.5 }))).toThrow("0.5");
      expect(() => kernel.emitEarly(earlyRequest({ chunkBytesMax: 10 }))).toThrow("chunks of 10");
      expect(kernel.rowCount()).toBe(1);
      expect(kernel.state()).toMatchObject({ closedThroughSeconds: 0, windowSeconds: 0 });
    });
  });

  describe(`${name}: limits`, () => {
    test("over its limit is who holds more keys than keysMax, until they leave", () => {
      const kernel = create({ keysMax: 3 });
      expect(kernel.isOverLimit()).toBe(false);
      add(kernel, [rowOf(W, "a", 1), rowOf(W, "b", 1), rowOf(minute(1), "a", 1)]);
      expect(kernel.isOverLimit()).toBe(false);
      add(kernel, [rowOf(W, "a", 1)]);
      expect(kernel.isOverLimit()).toBe(false);
      add(kernel, [rowOf(minute(1), "b", 1)]);
      expect(kernel.isOverLimit()).toBe(true);
      add(kernel, [rowOf(minute(1), "c", 1)]);
      earlyAt(kernel, W);
      expect(kernel.isOverLimit()).toBe(false);
    });

    test("over its limit is who holds more windows than windowsMax, until they leave", () => {
      const kernel = create({ windowsMax: 2 });
      add(kernel, [rowOf(W, "a", 1), rowOf(W, "b", 1), rowOf(minute(1), "a", 1)]);
      expect(kernel.isOverLimit()).toBe(false);
      add(kernel, [rowOf(minute(2), "a", 1)]);
      expect(kernel.isOverLimit()).toBe(true);
      closeAt(kernel, minute(1));
      expect(kernel.isOverLimit()).toBe(false);
    });

    test("beyond adsMax, clicks of new ads are untracked: the first in canonical order have a place", () => {
      const kernel = create({ adsMax: 2 });
      const ads = ["a", "b", "c", "d"];
      const clicks = (ad: string) => 10 ** ads.indexOf(ad);
      add(
        kernel,
        ads.map((ad) => rowOf(W, ad, clicks(ad))),
      );
      expect(clicksOf(closeAt(kernel, minute(1)))).toBe(1_111);
      const order = ads.toSorted((a, b) => byHashThenBytes(adKey(a), adKey(b)));
      const tracked = order.slice(0, 2).toSorted((a, b) => clicks(b) - clicks(a));
      expect(topTexts(kernel, 1)).toEqual(tracked.map((ad) => `${ad} ${clicks(ad)}`));
      const untrackedClicks = clicks(order[2]!) + clicks(order[3]!);
      expect(topOf(kernel, 1).untrackedClicks).toBe(untrackedClicks);
      expect(kernel.state().runs).toEqual([
        {
          number: 1,
          windowStartSeconds: W,
          rows: 2,
          clicks: 1_111 - untrackedClicks,
          untrackedClicks,
        },
      ]);
    });

    test("an ad that stands in a run has a place in others, and a new one when windows have left", () => {
      const kernel = create({ adsMax: 2, slidingWindows: [1, 3] });
      add(kernel, [rowOf(minute(0), "a", 1), rowOf(minute(0), "b", 2)]);
      closeAt(kernel, minute(1));
      add(kernel, [
        rowOf(minute(1), "b", 4),
        rowOf(minute(1), "c", 100, "DE"),
        rowOf(minute(1), "c", 200, "FR"),
      ]);
      closeAt(kernel, minute(2));
      expect(topOf(kernel, 3)).toMatchObject({ untrackedClicks: 300 });
      expect(topTexts(kernel, 3)).toEqual(["b 6", "a 1"]);
      expect(topTexts(kernel, 1)).toEqual(["b 4"]);
      closeAt(kernel, minute(3));
      // With this close, the window of "a" has left: its place is free before runs are made.
      add(kernel, [rowOf(minute(3), "c", 8), rowOf(minute(3), "b", 16)]);
      closeAt(kernel, minute(4));
      expect(topTexts(kernel, 3)).toEqual(["b 20", "c 8"]);
      expect(topOf(kernel, 3).untrackedClicks).toBe(300);
      expect(topOf(kernel, 1).untrackedClicks).toBe(0);
      closeAt(kernel, minute(5));
      expect(topTexts(kernel, 3)).toEqual(["b 16", "c 8"]);
      expect(topOf(kernel, 3).untrackedClicks).toBe(0);
    });

    test("an ad that stands in one run of a close has a place in the next one", () => {
      const kernel = create({ adsMax: 1 });
      add(kernel, [rowOf(minute(0), "a", 1), rowOf(minute(1), "a", 2), rowOf(minute(1), "b", 4)]);
      closeAt(kernel, minute(2));
      expect(topTexts(kernel, 5)).toEqual(["a 3"]);
      expect(kernel.state().runs.map((run) => run.untrackedClicks)).toEqual([0, 4]);
    });

    test("beyond runRowsMax, clicks are untracked even of ads that stand in a run", () => {
      const kernel = create({ runRowsMax: 3, slidingWindows: [1, 3] });
      add(kernel, [rowOf(minute(0), "a", 1), rowOf(minute(0), "b", 2)]);
      add(kernel, [rowOf(minute(1), "a", 4)]);
      closeAt(kernel, minute(2));
      add(kernel, [rowOf(minute(2), "a", 8, "DE"), rowOf(minute(2), "a", 16, "FR")]);
      closeAt(kernel, minute(3));
      expect(kernel.state().runs).toMatchObject([
        { number: 1, rows: 2, clicks: 3, untrackedClicks: 0 },
        { number: 2, rows: 1, clicks: 4, untrackedClicks: 0 },
        { number: 3, rows: 0, clicks: 0, untrackedClicks: 24 },
      ]);
      expect(kernel.dumpRun(3, 1_000)).toEqual([]);
      expect(topTexts(kernel, 3)).toEqual(["a 5", "b 2"]);
      expect(topOf(kernel, 3).untrackedClicks).toBe(24);
      // No ad has clicks in the last window, so no row is there to say that 24 are untracked.
      expect(topTexts(kernel, 1)).toEqual([]);
      add(kernel, [rowOf(minute(3), "c", 32), rowOf(minute(3), "c", 32, "FR")]);
      closeAt(kernel, minute(4));
      expect(topTexts(kernel, 3)).toEqual(["c 64", "a 4"]);
    });

    test("a row of a run is for an ad, not for a key", () => {
      const kernel = create({ adsMax: 1, runRowsMax: 1 });
      add(kernel, manyRows(100, 1, 1));
      add(kernel, [rowOf(W, "ad-0", 1, "FR"), rowOf(W, "ad-0", 1, "ES"), rowOf(W, "ad-0", 1, "")]);
      closeAt(kernel, minute(1));
      expect(kernel.state().runs).toMatchObject([{ rows: 1, untrackedClicks: 0 }]);
    });

    test("clicks in lists and untracked ones are all that left the windows", () => {
      const limits = fc.record({
        adsMax: fc.integer({ min: 1, max: 6 }),
        runRowsMax: fc.integer({ min: 1, max: 12 }),
      });
      fc.assert(
        fc.property(limits, stepsOf(20), ({ adsMax, runRowsMax }, steps) => {
          const kernel = create({ adsMax, runRowsMax, slidingWindows: SHORT_LISTS });
          const model = new SlidingModel();
          for (const step of steps) {
            play(kernel, step);
            model.play(step);
            const { runs, closedThroughSeconds, windowSeconds } = kernel.state();
            expect(runs.reduce((rows, run) => rows + run.rows, 0)).toBeLessThanOrEqual(runRowsMax);
            const ads = new Set(runs.flatMap((run) => runOf(kernel, run.number).map((r) => r.id)));
            expect(ads.size).toBeLessThanOrEqual(adsMax);
            for (const windows of SHORT_LISTS) {
              const all = model.list(windows);
              const listed = topOf(kernel, windows);
              const untrackedClicks = runs
                .filter(
                  ({ windowStartSeconds: start }) =>
                    start >= closedThroughSeconds - windows * windowSeconds &&
                    start + windowSeconds <= closedThroughSeconds,
                )
                .reduce((clicks, run) => clicks + run.untrackedClicks, 0);
              expect(clicksOf(listed.ads) + untrackedClicks).toBe(clicksOf(all));
              expect(listed.untrackedClicks).toBe(untrackedClicks);
              for (const { id, clicks } of listed.ads) {
                expect(clicks).toBeLessThanOrEqual(all.find((ad) => ad.id === id)!.clicks);
              }
            }
          }
        }),
        { numRuns: 40 },
      );
    });

    test("limits of lists do not show in what is emitted", () => {
      const [small, large] = [create({ adsMax: 1, runRowsMax: 1 }), create()];
      const emitted = [small, large].map((kernel) => {
        add(kernel, manyRows(400, 100, 3));
        const early = earlyAt(kernel, minute(1));
        add(kernel, manyRows(400, 100, 3));
        return hexOf([...early, ...closeAt(kernel, minute(3))]);
      });
      expect(emitted[0]).toBe(emitted[1]);
      expect(small.top({ windows: 60, count: 9, unit: UNIT }).rows).toBe(1);
    });
  });
}
