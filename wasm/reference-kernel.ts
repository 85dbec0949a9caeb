/** The kernel in plain TypeScript: slow, obviously right, the oracle of the one in WebAssembly. */
import { ORIGIN } from "../wire/columns.ts";
import { resultTail } from "../wire/result.ts";
import { RUN_ROW_BYTES_MAX, WINDOW_ROW_BYTES_MAX } from "../wire/snapshot.ts";
import { topTail } from "../wire/top.ts";
import type { EarlyRequest, IngestOutcome, Kernel, RowChunk } from "./kernel.ts";
import { keyHash } from "./key-hash.ts";
import { KERNEL_LIMITS } from "./limits.ts";
import type { KernelLimits } from "./limits.ts";
import {
  assertChunkBytes,
  assertCloseRequest,
  assertEarlyRequest,
  assertLimits,
  assertRows,
  assertRunNumber,
  assertState,
  assertTopRequest,
} from "./preconditions.ts";
import { Restoring } from "./reference-restore.ts";
import {
  chunksOf,
  joined,
  nameOf,
  readPartialRows,
  readRunRows,
  readWindowRows,
  resultRow,
  runRow,
  topRow,
  windowRow,
} from "./reference-rows.ts";
import type { RefusedBlock, WindowRow } from "./reference-rows.ts";
import { makeRun, runFacts, sum, sumOf } from "./reference-sliding.ts";
import type { Run } from "./reference-sliding.ts";

/** The rows of a window by the names of their keys. */
type Window = Map<string, WindowRow>;

/** An empty kernel; `bytesMax` is not applied. */
export function createReferenceKernel(over: Partial<KernelLimits> = {}): Kernel {
  const limits: KernelLimits = { ...KERNEL_LIMITS, ...over };
  assertLimits(limits);
  const windows = new Map<number, Window>();
  let closedThroughSeconds = 0;
  let windowSeconds = 0;
  let runs: Run[] = [];
  let runsMade = 0;
  let isNew = true;
  let restoring: Restoring | undefined;

  const starts = () => [...windows.keys()].toSorted((a, b) => a - b);
  const heldRows = () => sum([...windows.values()].map((rows) => rows.size));
  const largest = limits.slidingWindows.at(-1);
  /** Whether sliding windows over the last `last` windows reach back to this one. */
  const isReached = (start: number, last: number | undefined) =>
    last !== undefined && start >= closedThroughSeconds - last * windowSeconds;

  function assertRestored(): void {
    const missing = restoring?.missing();
    if (missing !== undefined) throw new Error(missing);
  }

  function addRow(row: WindowRow): void {
    const rows = windows.get(row.windowStartSeconds) ?? new Map<string, WindowRow>();
    windows.set(row.windowStartSeconds, rows);
    const name = nameOf(row.key);
    rows.set(name, { ...row, clicks: (rows.get(name)?.clicks ?? 0) + row.clicks });
    isNew = false;
  }

  /** Takes these windows out, their rows into chunks, their ads into runs. */
  function leave(
    request: EarlyRequest,
    leaving: readonly number[],
    lateThroughSeconds: number,
  ): RowChunk[] {
    if (request.windowSeconds !== windowSeconds) runs = [];
    windowSeconds = request.windowSeconds;
    closedThroughSeconds = request.closedThroughSeconds;
    isNew = false;
    runs = runs.filter((run) => isReached(run.windowStartSeconds, largest));
    const left: WindowRow[] = [];
    for (const start of leaving) {
      const rows = canonical(windows.get(start)!);
      windows.delete(start);
      for (const row of rows) left.push(row);
      if (isReached(start, largest)) {
        runsMade += 1;
        runs.push(makeRun(runsMade, start, rows, runs, limits));
      }
    }
    return chunksOf(left, request.chunkBytesMax, (row, chunk) => {
      const isLate = row.windowStartSeconds + windowSeconds <= lateThroughSeconds;
      return resultRow(row, isLate ? ORIGIN.late : ORIGIN.on_time, resultTail(request.unit, chunk));
    });
  }

  function restoreRows<Row extends { readonly clicks: number }>(
    read: readonly Row[] | RefusedBlock,
    restoreRow: (row: Row) => void,
  ): IngestOutcome {
    if ("ok" in read) return read;
    for (const row of read) restoreRow(row);
    if (restoring!.missing() === undefined) {
      runs = restoring!.runs();
      restoring = undefined;
    }
    return { ok: true, clicks: sum(read.map((row) => row.clicks)) };
  }

  return {
    ingest(body, rows) {
      assertRestored();
      assertRows(rows);
      const read = readPartialRows(body, rows);
      if ("ok" in read) return read;
      for (const row of read) addRow(row);
      return { ok: true, clicks: sum(read.map((row) => row.clicks)) };
    },

    close(request) {
      assertRestored();
      assertCloseRequest(request, closedThroughSeconds);
      const closed = starts().filter(
        (start) => start + request.windowSeconds <= request.closedThroughSeconds,
      );
      return leave(request, closed, request.lateThroughSeconds);
    },

    emitEarly(request) {
      assertRestored();
      assertEarlyRequest(request, closedThroughSeconds);
      return leave(request, starts(), request.closedThroughSeconds);
    },

    isOverLimit() {
      assertRestored();
      return heldRows() > limits.keysMax || windows.size > limits.windowsMax;
    },

    top(request) {
      assertRestored();
      assertTopRequest(request, limits.slidingWindows, closedThroughSeconds);
      const { windows: last, count, unit } = request;
      const { ads, untrackedClicks } = sumOf(
        runs.filter(
          ({ windowStartSeconds: start }) =>
            start + windowSeconds <= closedThroughSeconds && isReached(start, last),
        ),
      );
      const facts = { windowEndSeconds: closedThroughSeconds, windows: last, untrackedClicks };
      const tail = topTail(unit);
      const listed = ads.slice(0, count);
      return {
        rows: listed.length,
        clicks: sum(listed.map((ad) => ad.clicks)),
        body: joined(listed.map((ad, i) => topRow(facts, i + 1, ad, tail))),
        untrackedClicks,
      };
    },

    windows() {
      assertRestored();
      return starts();
    },

    rowCount() {
      assertRestored();
      return heldRows();
    },

    state() {
      assertRestored();
      return {
        slidingWindows: [...limits.slidingWindows],
        closedThroughSeconds,
        windowSeconds,
        runsMade,
        windows: starts().map((start) => ({
          windowStartSeconds: start,
          rows: windows.get(start)!.size,
        })),
        runs: runs.map(runFacts),
      };
    },

    dumpWindows(chunkBytesMax) {
      assertRestored();
      assertChunkBytes(chunkBytesMax, WINDOW_ROW_BYTES_MAX);
      const rows = starts().flatMap((start) => canonical(windows.get(start)!));
      return chunksOf(rows, chunkBytesMax, windowRow);
    },

    dumpRun(number, chunkBytesMax) {
      assertRestored();
      assertRunNumber(number);
      assertChunkBytes(chunkBytesMax, RUN_ROW_BYTES_MAX);
      const run = runs.find((each) => each.number === number);
      if (run === undefined) throw new Error(`there is no run ${number}`);
      return chunksOf([...run.ads.values()], chunkBytesMax, runRow);
    },

    restoreState(state) {
      assertRestored();
      if (!isNew) throw new Error("a state for a kernel that is not new");
      assertState(state, limits.slidingWindows);
      ({ closedThroughSeconds, windowSeconds, runsMade } = state);
      isNew = false;
      restoring = new Restoring(state);
      restoreRows([], () => {});
    },

    restoreWindows(body, rows) {
      assertRows(rows);
      const now = assertRestoring(restoring);
      return restoreRows(readWindowRows(body, rows), (row) => {
        now.addWindowRow(row);
        addRow(row);
      });
    },

    restoreRun(number, body, rows) {
      assertRows(rows);
      const now = assertRestoring(restoring);
      now.assertNext(number);
      return restoreRows(readRunRows(body, rows), (row) => now.addRunRow(number, row));
    },
  };
}

function assertRestoring(restoring: Restoring | undefined): Restoring {
  if (restoring === undefined) throw new Error("rows of a snapshot, but no state waits for any");
  return restoring;
}

/** The rows of a window in canonical order. */
function canonical(window: Window): WindowRow[] {
  return [...window.values()]
    .map((row) => ({ row, hash: keyHash(row.key) }))
    .toSorted((a, b) => {
      if (a.hash !== b.hash) return a.hash < b.hash ? -1 : 1;
      return Buffer.compare(a.row.key, b.row.key);
    })
    .map(({ row }) => row);
}
