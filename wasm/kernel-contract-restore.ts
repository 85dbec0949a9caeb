/** What every kernel must do to be made again from a state and its rows. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BLOCK_BODY_BYTES_MAX } from "../wire/limits.ts";
import {
  add,
  manyRows,
  minute,
  resultsOf,
  restoredCopy,
  rowOf,
  shownBy,
  topTexts,
  W,
} from "./kernel-checks.ts";
import type { CreateKernel } from "./kernel-checks.ts";
import { adKey, closeRequest, keyOf, UNIT } from "./kernel-rows.ts";
import {
  bodyOf,
  complete,
  completeRuns,
  completeWindows,
  isBug,
  NEW,
  RUN,
  RUN_ROWS,
  runRow,
  STATE,
  WINDOW_ROWS,
  windowRow,
} from "./kernel-snapshots.ts";
import { play, SHORT_LISTS, stepsOf } from "./kernel-steps.ts";
import type { Kernel, KernelState } from "./kernel.ts";

function withRun(over: Partial<typeof RUN>): Partial<KernelState> {
  return { runs: [{ ...RUN, ...over }] };
}

export function restoreContract(name: string, create: CreateKernel): void {
  /** Waits for all rows of STATE. */
  const awaiting = (): Kernel => {
    const kernel = create();
    kernel.restoreState(STATE);
    return kernel;
  };

  describe(`${name}: a restored kernel goes on as the one that was dumped`, () => {
    test("restored at any step, it gives the same bytes for every step that follows", () => {
      const limits = { slidingWindows: SHORT_LISTS, adsMax: 5, runRowsMax: 14, keysMax: 9 };
      fc.assert(
        fc.property(stepsOf(10), (steps) => {
          const kernel = create(limits);
          const copies: Kernel[] = [];
          for (const step of steps) {
            copies.push(restoredCopy(kernel, create, limits, 150));
            const chunks = play(kernel, step);
            const shown = shownBy(kernel);
            for (const copy of copies) {
              expect(play(copy, step)).toEqual(chunks);
              expect(shownBy(copy)).toEqual(shown);
            }
          }
        }),
        { numRuns: 12 },
      );
    });

    test("neither the order of arrival nor the split into blocks nor restarts show", () => {
      const limits = { slidingWindows: SHORT_LISTS, adsMax: 5, runRowsMax: 14 };
      const plan = fc.record({
        rowsPerBlock: fc.integer({ min: 1, max: 13 }),
        isReversed: fc.boolean(),
        isRestored: fc.boolean(),
        chunkBytesMax: fc.constantFrom(1, 200, 10_000),
      });
      fc.assert(
        fc.property(
          stepsOf(24),
          fc.array(plan, { minLength: 24, maxLength: 24 }),
          (steps, plans) => {
            const kernel = create(limits);
            let other = create(limits);
            steps.forEach((step, i) => {
              const { rowsPerBlock, isReversed, isRestored, chunkBytesMax } = plans[i]!;
              const chunks = play(kernel, step);
              const otherStep =
                step.call === "ingest" && isReversed
                  ? { ...step, rows: step.rows.toReversed() }
                  : step;
              expect(play(other, otherStep, rowsPerBlock)).toEqual(chunks);
              if (isRestored) other = restoredCopy(other, create, limits, chunkBytesMax);
              expect(shownBy(other)).toEqual(shownBy(kernel));
            });
          },
        ),
        { numRuns: 25 },
      );
    });

    test("many rows, in chunks of any size", () => {
      const kernel = create();
      add(kernel, manyRows(12_000, 5_000, 6));
      kernel.close(closeRequest({ closedThroughSeconds: minute(4) }));
      const shown = shownBy(kernel);
      for (const bytesMax of [1_000, BLOCK_BODY_BYTES_MAX]) {
        expect(shownBy(restoredCopy(kernel, create, {}, bytesMax))).toEqual(shown);
      }
    });

    test("numbers of runs go on, even when the newest runs are no longer needed", () => {
      const kernel = create();
      add(kernel, [rowOf(W, "a", 1)]);
      kernel.close(closeRequest({ closedThroughSeconds: minute(1) }));
      kernel.close(closeRequest({ closedThroughSeconds: minute(100) }));
      const copy = restoredCopy(kernel, create, {});
      add(copy, [rowOf(minute(100), "a", 1)]);
      copy.close(closeRequest({ closedThroughSeconds: minute(101) }));
      expect(copy.state()).toMatchObject({ runsMade: 2, runs: [{ number: 2 }] });
    });

    test("a run of untracked clicks alone is restored with its state", () => {
      const limits = { runRowsMax: 1 };
      const kernel = create(limits);
      add(kernel, [rowOf(W, "a", 1), rowOf(minute(1), "b", 2)]);
      kernel.close(closeRequest({ closedThroughSeconds: minute(2) }));
      expect(kernel.state().runs[1]).toMatchObject({ rows: 0, untrackedClicks: 2 });
      expect(shownBy(restoredCopy(kernel, create, limits))).toEqual(shownBy(kernel));
    });

    test("limits are not for rows that are restored, only for what comes then", () => {
      const kernel = create();
      add(kernel, [rowOf(W, "a", 1), rowOf(W, "b", 2), rowOf(W, "c", 3)]);
      kernel.close(closeRequest({ closedThroughSeconds: minute(1) }));
      add(kernel, [rowOf(minute(1), "a", 10), rowOf(minute(1), "d", 20)]);
      const copy = restoredCopy(kernel, create, { adsMax: 2, keysMax: 1, windowsMax: 1 });
      expect(topTexts(copy, 1)).toEqual(["c 3", "b 2", "a 1"]);
      expect(copy.isOverLimit()).toBe(true);
      copy.close(closeRequest({ closedThroughSeconds: minute(2) }));
      expect(topTexts(copy, 5)).toEqual(["a 11", "c 3", "b 2"]);
      expect(copy.state().runs[1]).toMatchObject({ rows: 1, untrackedClicks: 20 });
      const narrow = restoredCopy(kernel, create, { runRowsMax: 2 });
      narrow.close(closeRequest({ closedThroughSeconds: minute(2) }));
      expect(narrow.state().runs[1]).toMatchObject({ rows: 0, untrackedClicks: 30 });
    });

    test("clicks up to 2^53 - 1 are restored", () => {
      const most = Number.MAX_SAFE_INTEGER;
      const kernel = create();
      kernel.restoreState({
        ...STATE,
        windows: [{ windowStartSeconds: minute(1), rows: 1 }],
        runs: [{ ...RUN, rows: 1, clicks: most }],
      });
      const ok = { ok: true, clicks: most };
      expect(
        kernel.restoreWindows(windowRow(minute(1), keyOf("", "", "", ""), BigInt(most)), 1),
      ).toEqual(ok);
      expect(kernel.restoreRun(1, runRow("", BigInt(most)), 1)).toEqual(ok);
      expect(topTexts(kernel, 1)).toEqual([` ${most}`]);
      kernel.close(closeRequest({ closedThroughSeconds: minute(2) }));
      expect(topTexts(kernel, 1)).toEqual([` ${most}`]);
    });

    test("the caller's bytes are neither kept nor changed", () => {
      const kernel = awaiting();
      const bodies = [bodyOf(...WINDOW_ROWS), bodyOf(...RUN_ROWS)] as const;
      kernel.restoreWindows(bodies[0], 2);
      for (const number of [1, 4]) kernel.restoreRun(number, bodies[1], 2);
      expect(bodies).toEqual([bodyOf(...WINDOW_ROWS), bodyOf(...RUN_ROWS)]);
      for (const body of bodies) body.fill(0);
      const expected = awaiting();
      complete(expected);
      expect(shownBy(kernel)).toEqual(shownBy(expected));
    });
  });

  describe(`${name}: the order of restoring`, () => {
    test("a state without rows is complete at once", () => {
      const kernel = create();
      const state = { ...NEW, closedThroughSeconds: minute(3), windowSeconds: 60, runsMade: 9 };
      kernel.restoreState(state);
      expect(kernel.state()).toEqual(state);
      const untracked = { ...RUN, rows: 0, clicks: 0, untrackedClicks: 3 };
      const other = create();
      other.restoreState({ ...state, runs: [untracked] });
      expect(other.state()).toEqual({ ...state, runs: [untracked] });
      expect(() => other.close(closeRequest({ closedThroughSeconds: minute(2) }))).toThrow(
        "closed through",
      );
    });

    test("until every row is there, no other method may be called", () => {
      const calls: readonly ((kernel: Kernel) => unknown)[] = [
        (kernel) => kernel.ingest(new Uint8Array(0), 0),
        (kernel) => kernel.close(closeRequest()),
        (kernel) => kernel.emitEarly(closeRequest()),
        (kernel) => kernel.isOverLimit(),
        (kernel) => kernel.top({ windows: 1, count: 1, unit: UNIT }),
        (kernel) => kernel.windows(),
        (kernel) => kernel.rowCount(),
        (kernel) => kernel.state(),
        (kernel) => kernel.dumpWindows(BLOCK_BODY_BYTES_MAX),
        (kernel) => kernel.dumpRun(1, BLOCK_BODY_BYTES_MAX),
        (kernel) => kernel.restoreState(STATE),
      ];
      const refuses = (kernel: Kernel) => {
        for (const call of calls) expect(() => call(kernel)).toThrow("is not restored: ");
      };
      const kernel = awaiting();
      refuses(kernel);
      expect(kernel.restoreWindows(WINDOW_ROWS[1]!, 1)).toEqual({ ok: true, clicks: 2 });
      refuses(kernel);
      expect(kernel.restoreWindows(WINDOW_ROWS[0]!, 1)).toEqual({ ok: true, clicks: 1 });
      expect(() => kernel.rowCount()).toThrow("run 1 is not restored: ");
      expect(kernel.restoreRun(1, bodyOf(...RUN_ROWS), 2)).toEqual({ ok: true, clicks: 12 });
      expect(() => kernel.rowCount()).toThrow("run 4 is not restored: ");
      expect(kernel.restoreRun(4, RUN_ROWS[1]!, 1)).toEqual({ ok: true, clicks: 7 });
      refuses(kernel);
      expect(kernel.restoreRun(4, RUN_ROWS[0]!, 1)).toEqual({ ok: true, clicks: 5 });
      expect(kernel.state()).toEqual(STATE);
      expect(kernel.windows()).toEqual([minute(1)]);
      expect(kernel.rowCount()).toBe(2);
      expect(topTexts(kernel, 1)).toEqual(["bc 14", "a 10"]);
      add(kernel, [{ window: minute(1), key: adKey("a"), clicks: 8 }]);
      const rows = resultsOf(kernel.close(closeRequest({ closedThroughSeconds: minute(2) })));
      expect(rows.map((r) => `${r.adId} ${r.clicks}`).toSorted()).toEqual(["a 9", "b 2"]);
      expect(kernel.state()).toMatchObject({
        runsMade: 6,
        runs: [RUN, { number: 4 }, { number: 6 }],
      });
      const missing = awaiting();
      completeRuns(missing);
      expect(() => missing.rowCount()).toThrow(`window ${minute(1)} is not restored: `);
    });

    test("only a kernel that is new takes a state", () => {
      const used: readonly ((kernel: Kernel) => unknown)[] = [
        (kernel) => add(kernel, [rowOf(W, "a", 1)]),
        (kernel) => kernel.close(closeRequest({ closedThroughSeconds: 0 })),
        (kernel) => kernel.emitEarly(closeRequest({ closedThroughSeconds: W })),
        (kernel) => kernel.restoreState(NEW),
      ];
      for (const use of used) {
        const kernel = create();
        use(kernel);
        expect(isBug(() => kernel.restoreState(NEW))).toBe(true);
        expect(isBug(() => kernel.restoreState(STATE))).toBe(true);
      }
      const kernel = awaiting();
      complete(kernel);
      expect(isBug(() => kernel.restoreState(STATE))).toBe(true);
      expect(kernel.state()).toEqual(STATE);
    });

    test("a state that no kernel has throws, and leaves the kernel new", () => {
      const window = { windowStartSeconds: minute(1), rows: 2 };
      const wrong: readonly (readonly [Partial<KernelState>, string])[] = [
        [{ slidingWindows: [1, 5, 15] }, "sliding windows are [1, 5, 15]"],
        [{ slidingWindows: [] }, "sliding windows are []"],
        [{ closedThroughSeconds: -1 }, "closedThroughSeconds is -1"],
        [{ closedThroughSeconds: 2 ** 53 }, "closedThroughSeconds is"],
        [{ windowSeconds: 0.5 }, "windowSeconds is 0.5"],
        [{ windowSeconds: 0 }, "windows of 0 seconds"],
        [{ runsMade: Number.NaN }, "runsMade is NaN"],
        [{ runsMade: 3 }, "run 4 of 3"],
        [{ runsMade: 2 ** 32 }, "runsMade is 4294967296"],
        [{ windows: [{ ...window, rows: 2 ** 32 }] }, "rows of a window is 4294967296"],
        [withRun({ number: 2 ** 32 }), "number of a run is 4294967296"],
        [withRun({ rows: 2 ** 32, clicks: 2 ** 33 }), "rows of a run is 4294967296"],
        [{ windows: [{ ...window, rows: 0 }] }, "without rows"],
        [{ windows: [{ ...window, rows: 1.5 }] }, "rows of a window is 1.5"],
        [{ windows: [{ ...window, windowStartSeconds: -60 }] }, "starts at -60"],
        [{ windows: [{ ...window, windowStartSeconds: 2 ** 32 }] }, "starts at 4294967296"],
        [{ windows: [window, window] }, "windows are not ascending"],
        [{ windows: [window, { ...window, windowStartSeconds: W }] }, "windows are not ascending"],
        [{ runs: [RUN, RUN] }, "runs are not ascending"],
        [{ runs: [{ ...RUN, number: 4 }, RUN] }, "runs are not ascending"],
        [withRun({ number: 0 }), "runs are not ascending from 1"],
        [withRun({ number: 1.5 }), "number of a run is 1.5"],
        [withRun({ windowStartSeconds: 2 ** 32 }), "starts at 4294967296"],
        [withRun({ windowStartSeconds: minute(-59) - 1 }), "no sliding window reaches"],
        [withRun({ rows: -1 }), "rows of a run is -1"],
        [withRun({ clicks: 2 ** 53 }), "clicks of a run is"],
        [withRun({ untrackedClicks: -1 }), "untrackedClicks of a run is -1"],
        [withRun({ rows: 0, clicks: 0 }), "run 1 of nothing"],
        [withRun({ rows: 0, clicks: 1, untrackedClicks: 1 }), "1 clicks in 0 rows"],
        [withRun({ rows: 3, clicks: 2 }), "2 clicks in 3 rows"],
      ];
      const kernel = create();
      for (const [over, message] of wrong) {
        expect(() => kernel.restoreState({ ...STATE, ...over })).toThrow(message);
      }
      expect(kernel.state()).toEqual(NEW);
      kernel.restoreState(STATE);
      complete(kernel);
      expect(kernel.state()).toEqual(STATE);
    });

    test("a kernel that refused a block and a request is still new", () => {
      const kernel = create();
      expect(kernel.ingest(new Uint8Array(1), 1).ok).toBe(false);
      expect(kernel.ingest(new Uint8Array(0), 0).ok).toBe(true);
      expect(() => kernel.close(closeRequest({ windowSeconds: 0 }))).toThrow("0 seconds");
      kernel.restoreState(STATE);
      complete(kernel);
      expect(kernel.state()).toEqual(STATE);
    });

    test("a run without rows is complete, and takes a chunk of none while others wait", () => {
      const kernel = create();
      const untracked = { ...RUN, rows: 0, clicks: 0, untrackedClicks: 3 };
      kernel.restoreState({ ...STATE, runs: [untracked] });
      expect(kernel.restoreRun(1, new Uint8Array(0), 0)).toEqual({ ok: true, clicks: 0 });
      completeWindows(kernel);
      expect(kernel.state().runs).toEqual([untracked]);
    });

    test("rows that the state did not promise throw", () => {
      const unknown = windowRow(W, adKey("a"), 1n);
      const third = windowRow(minute(1), adKey("third"), 1n);
      const contradictions: readonly ((kernel: Kernel) => unknown)[] = [
        // A window that is not in the state; more rows than promised; a key twice.
        (k) => k.restoreWindows(unknown, 1),
        (k) => k.restoreWindows(bodyOf(WINDOW_ROWS[0]!, unknown), 2),
        (k) => k.restoreWindows(bodyOf(...WINDOW_ROWS, third), 3),
        (k) => k.restoreWindows(bodyOf(WINDOW_ROWS[0]!, WINDOW_ROWS[0]!), 2),
        (k) => {
          expect(k.restoreWindows(WINDOW_ROWS[0]!, 1).ok).toBe(true);
          k.restoreWindows(windowRow(minute(1), adKey("a"), 2n), 1);
        },
        (k) => {
          completeWindows(k);
          k.restoreWindows(third, 1);
        },
        // A run that is not in the state; more rows than promised; an ad twice.
        (k) => k.restoreRun(2, bodyOf(...RUN_ROWS), 2),
        (k) => k.restoreRun(0, bodyOf(...RUN_ROWS), 2),
        (k) => k.restoreRun(1, bodyOf(...RUN_ROWS, runRow("third", 1n)), 3),
        (k) => {
          expect(k.restoreRun(1, bodyOf(...RUN_ROWS), 2).ok).toBe(true);
          k.restoreRun(1, runRow("third", 1n), 1);
        },
        (k) => k.restoreRun(1, bodyOf(runRow("a", 5n), runRow("a", 7n)), 2),
        (k) => {
          expect(k.restoreRun(1, runRow("a", 5n), 1).ok).toBe(true);
          k.restoreRun(1, runRow("a", 7n), 1);
        },
        // A run before the one that was begun is complete.
        (k) => {
          expect(k.restoreRun(1, RUN_ROWS[0]!, 1).ok).toBe(true);
          k.restoreRun(4, RUN_ROWS[0]!, 1);
        },
        // A run of other clicks.
        (k) => k.restoreRun(1, bodyOf(runRow("a", 5n), runRow("bc", 8n)), 2),
        (k) => {
          expect(k.restoreRun(1, runRow("a", 6n), 1).ok).toBe(true);
          k.restoreRun(1, runRow("bc", 7n), 1);
        },
      ];
      for (const contradict of contradictions) {
        expect(isBug(() => contradict(awaiting()))).toBe(true);
      }
    });

    test("rows for a kernel that waits for none throw", () => {
      const restored = awaiting();
      complete(restored);
      for (const kernel of [create(), restored]) {
        expect(isBug(() => kernel.restoreWindows(WINDOW_ROWS[0]!, 1))).toBe(true);
        expect(isBug(() => kernel.restoreRun(1, RUN_ROWS[0]!, 1))).toBe(true);
      }
      expect(isBug(() => awaiting().restoreWindows(WINDOW_ROWS[0]!, -1))).toBe(true);
      expect(isBug(() => awaiting().restoreRun(1, RUN_ROWS[0]!, 0.5))).toBe(true);
    });
  });
}
