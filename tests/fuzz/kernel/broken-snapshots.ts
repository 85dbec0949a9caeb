/** Faults in dumping and restoring. */
import type { IngestOutcome, Kernel, KernelState, RowChunk } from "../../../wasm/kernel.ts";
import { blockOf } from "../../../wasm/kernel-rows.ts";
import { oneIn } from "./breaker.ts";
import type { Breaker } from "./breaker.ts";
import { RIGHT_PARTS, withLists } from "./plain-list.ts";
import { firstTwoSwapped, resultPlaces, runPlaces, viewOf, windowPlaces } from "./places.ts";

export const SNAPSHOT_BREAKERS: Readonly<Record<string, Breaker>> = {
  "counts a row again when it dumps it": (good) => ({
    ...good,
    dumpWindows(chunkBytesMax) {
      const chunks = good.dumpWindows(chunkBytesMax);
      const [chunk] = chunks;
      if (chunk !== undefined) {
        const window = viewOf(chunk.body).getUint32(0, true);
        const key = chunk.body.slice(4, windowPlaces(chunk.body)[0]!.clicksAt);
        good.ingest(blockOf([{ window, key, clicks: 1 }]), 1);
      }
      return chunks;
    },
  }),

  "loses a run's row from lists once it was dumped": (good) => {
    const dumped = new Set<number>();
    return {
      ...withLists(good, {
        runs: (runs, state, last) =>
          RIGHT_PARTS.runs(runs, state, last).map((run) =>
            dumped.has(run.number) ? { ...run, ads: run.ads.slice(1) } : run,
          ),
      }),
      dumpRun(number, chunkBytesMax) {
        dumped.add(number);
        return good.dumpRun(number, chunkBytesMax);
      },
    };
  },

  "dumps a run with other clicks the second time": (good) => {
    const dumped = new Set<number>();
    return {
      ...good,
      dumpRun(number, chunkBytesMax) {
        const chunks = good.dumpRun(number, chunkBytesMax);
        if (dumped.has(number)) moveClick(chunks);
        dumped.add(number);
        return chunks;
      },
    };
  },

  "dumps windows as they were when they were dumped first": (good) => {
    let first: RowChunk[] = [];
    return {
      ...good,
      dumpWindows(chunkBytesMax) {
        const chunks = good.dumpWindows(chunkBytesMax);
        const isSame = rowsIn(first) === rowsIn(chunks);
        if (first.length === 0) first = chunks;
        return isSame ? first : chunks;
      },
    };
  },

  "dumps rows of windows in another order": (good) => ({
    ...good,
    dumpWindows: (chunkBytesMax) =>
      good.dumpWindows(chunkBytesMax).map((chunk) => ({
        ...chunk,
        body: firstTwoSwapped(chunk.body, windowPlaces(chunk.body)),
      })),
  }),

  "loses a row of a run when it is restored": (good) => {
    let restored = false;
    return {
      ...withLists(good, {
        runs: (runs, state, last) =>
          RIGHT_PARTS.runs(runs, state, last).map((run, i) =>
            restored && i === 0 ? { ...run, ads: run.ads.slice(1) } : run,
          ),
      }),
      restoreState(state) {
        restored = true;
        good.restoreState(state);
      },
    };
  },

  "loses one run in 50 when it is restored": (good) => {
    let restored = 0;
    return {
      ...withLists(good, {
        runs: (runs, state, last) =>
          RIGHT_PARTS.runs(runs, state, last).filter(
            (run) => run.number > restored || run.number % 50 > 0,
          ),
      }),
      restoreState(state) {
        restored = state.runsMade;
        good.restoreState(state);
      },
    };
  },

  "forgets untracked clicks when it is restored": (good) =>
    restoredOtherwise(good, (state) => ({
      ...state,
      runs: state.runs.map((run) => (run.rows > 0 ? { ...run, untrackedClicks: 0 } : run)),
    })),

  "forgets how many runs it made when it is restored": (good) =>
    restoredOtherwise(good, (state) => ({
      ...state,
      runsMade: state.runs.at(-1)?.number ?? 0,
    })),

  "gives a restored window's rows in another order": (good) => {
    let restored = false;
    return {
      ...good,
      restoreState(state) {
        restored = state.windows.length > 0;
        good.restoreState(state);
      },
      close(request) {
        const chunks = good.close(request);
        if (!restored) return chunks;
        return chunks.map((chunk) => ({
          ...chunk,
          body: firstTwoSwapped(chunk.body, resultPlaces(chunk.body)),
        }));
      },
    };
  },

  "accepts a damaged chunk of a snapshot": (good) =>
    restoringOtherwise(good, (outcome) => (outcome.ok ? outcome : { ok: true, clicks: 0 })),

  "says another place of a fault in a snapshot": (good) =>
    restoringOtherwise(good, (outcome) =>
      outcome.ok ? outcome : { ...outcome, offset: Math.max(outcome.offset - 1, 0) },
    ),

  "keeps the rows before a fault of a snapshot": (good) => ({
    ...good,
    restoreWindows(body, rows) {
      const outcome = good.restoreWindows(body, rows);
      if (!outcome.ok) {
        const ends = windowPlaces(body).map((row) => row.end);
        const before = ends.filter((end) => end <= outcome.offset);
        if (before.length > 0) good.restoreWindows(body.slice(0, before.at(-1)), before.length);
      }
      return outcome;
    },
  }),

  "restores a row that is not its run's": (good) => {
    const isRare = oneIn(3);
    return {
      ...good,
      restoreRun(number, body, rows) {
        const [first] = runPlaces(body);
        if (first === undefined || first.clicksAt === 1 || !isRare()) {
          return good.restoreRun(number, body, rows);
        }
        const changed = body.slice();
        changed[first.clicksAt - 1]! ^= 0x20;
        return good.restoreRun(number, changed, rows);
      },
    };
  },
};

function restoredOtherwise(good: Kernel, change: (state: KernelState) => KernelState): Kernel {
  return { ...good, restoreState: (state) => good.restoreState(change(state)) };
}

function restoringOtherwise(
  good: Kernel,
  change: (outcome: IngestOutcome) => IngestOutcome,
): Kernel {
  return {
    ...good,
    restoreWindows: (body, rows) => change(good.restoreWindows(body, rows)),
    restoreRun: (number, body, rows) => change(good.restoreRun(number, body, rows)),
  };
}

/** A click of the first ad is the second's. */
function moveClick(chunks: readonly RowChunk[]): void {
  const [chunk] = chunks;
  if (chunk === undefined || chunk.rows < 2) return;
  const view = viewOf(chunk.body);
  const [first, second] = runPlaces(chunk.body);
  const add = (at: number, clicks: bigint) =>
    view.setBigInt64(at, view.getBigInt64(at, true) + clicks, true);
  add(first!.clicksAt, -1n);
  add(second!.clicksAt, 1n);
}

function rowsIn(chunks: readonly RowChunk[]): number {
  return chunks.reduce((sum, chunk) => sum + chunk.rows, 0);
}
