/**
 * The kernel in WebAssembly, with types: the only file that touches linear memory.
 *
 * One copy in, one copy out: a block is copied to the transfer area, a chunk is copied from it.
 * Growth of linear memory detaches every view, so none is kept across a call into the kernel.
 * Rows, bytes and clicks are compared on both sides of every call; a difference is a bug and throws.
 *
 * `npm run build:wasm` makes the module from assembly/.
 */
import { readFile } from "node:fs/promises";
import { BLOCK_BODY_BYTES_MAX } from "../wire/limits.ts";
import { resultTail } from "../wire/result.ts";
import { RUN_ROW_BYTES_MAX, WINDOW_ROW_BYTES_MAX } from "../wire/snapshot.ts";
import { TOP_BYTES_MAX, topTail } from "../wire/top.ts";
import type { EarlyRequest, IngestOutcome, Kernel, RowChunk, RunFacts } from "./kernel.ts";
import { faultOf, faultReason, LAYOUT_VERSION, OUT_OF_MEMORY_REASON } from "./layout.ts";
import { KERNEL_LIMITS } from "./limits.ts";
import type { KernelLimits } from "./limits.ts";
import { MissingRows } from "./missing-rows.ts";
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

const PAGE_BYTES = 65_536;

/** assembly/kernel.ts; 32-bit results and globals arrive signed. */
interface KernelExports {
  readonly memory: WebAssembly.Memory;
  layoutVersion(): number;
  slidingWindow(index: number, windows: number): void;
  initialize(memoryPagesMax: number, adsMax: number, runRowsMax: number): number;
  readonly transfer: Global32;
  readonly bytesTaken: Global64;

  readonly ingestBlock: BlockCall;
  readonly ingestSnapshot: BlockCall;
  readonly faultOffset: Global32;
  readonly ingestedRows: Global32;
  readonly ingestedClicks: Global64;
  readonly lineSteps: Global64;
  readonly rowsCounted: Global64;
  readonly rowsHeld: Global64;
  readonly windowCount: Global32;
  windowStart(index: number): number;
  windowRows(index: number): number;
  tableEntries(): bigint;

  beginClose(closedThrough: bigint, lateThrough: bigint, windowSeconds: bigint, all: number): void;
  beginDump(): void;
  readonly closingRows: Global64;
  readonly closingClicks: Global64;
  readonly tail: Global32;
  writeChunk(tailBytes: number, bytesMax: number): number;
  readonly chunkRows: Global32;
  readonly chunkClicks: Global64;

  readonly topTail: Global32;
  writeTop(index: number, count: number, tailBytes: number): number;
  readonly topRows: Global32;
  readonly topClicks: Global64;
  readonly topUntracked: Global64;

  readonly boundary: Global64;
  readonly windowSeconds: Global64;
  readonly runsMade: Global32;
  readonly runCount: Global32;
  readonly runRows: Global32;
  readonly runBytes: Global64;
  readonly adCount: Global32;
  readonly untrackedForMemory: Global64;
  runAfter(run: number): number;
  findRun(number: number): number;
  runNumber(run: number): number;
  runStart(run: number): number;
  runRowsOf(run: number): number;
  runClicks(run: number): bigint;
  runUntracked(run: number): bigint;
  beginRunDump(number: number): number;
  writeRunChunk(bytesMax: number): number;
  readonly runChunkRows: Global32;
  readonly runChunkClicks: Global64;

  promiseRows(start: number, rows: number): number;
  restoreBoundary(closedThrough: bigint, windowSeconds: bigint, runsMade: number): void;
  restoreRun(number: number, start: number, rows: number, untrackedClicks: bigint): number;
  readonly checkRunRows: BlockCall;
  readonly runFaultOffset: Global32;
  addRunRows(number: number, rows: number): number;
  readonly memoryIsOut: Global32;
}
/** Takes the rows in the transfer area; returns a fault code. */
type BlockCall = (bytes: number, rows: number) => number;
type Global32 = WebAssembly.Global<"i32">;
type Global64 = WebAssembly.Global<"i64">;

/** What operators and benchmarks look at: figures of this moment, and sums since the kernel was made. */
export interface KernelFigures {
  /** Rows in open windows, and how many those windows are. */
  readonly rows: number;
  readonly windows: number;
  /** Rows by entries of all open tables: at most 3/4 when a block comes. */
  readonly loadFactor: number;
  /** Lines of a table (seven entries each) that a row is looked for in, on average: 1 is the least. */
  readonly probeLength: number;
  /** Of sliding windows: ads, runs, their rows, and the bytes that these rows take. */
  readonly ads: number;
  readonly runs: number;
  readonly runRows: number;
  readonly runBytes: number;
  /** Clicks that no run has because memory was at its limit: raise bytesMax, lists of top ads lack them. */
  readonly untrackedForMemoryClicks: number;
  /** Bytes that are handed out of linear memory, and all of it: it never shrinks. */
  readonly bytesInUse: number;
  readonly linearMemoryBytes: number;
  readonly ingest: { readonly blocks: number; readonly rows: number; readonly ms: number };
  readonly close: { readonly calls: number; readonly rows: number; readonly ms: number };
}

export interface WasmKernel extends Kernel {
  figures(): KernelFigures;
}

/** Compiles the kernel; kernels made from one module share its code and no memory. */
export async function loadKernelModule(): Promise<WebAssembly.Module> {
  return WebAssembly.compile(await readFile(new URL("build/kernel.wasm", import.meta.url)));
}

/**
 * An empty kernel.
 *
 * @param limits those of KERNEL_LIMITS unless given
 * @param nowMs a clock for figures; nothing else depends on it
 */
export function createWasmKernel(
  module: WebAssembly.Module,
  limits: Partial<KernelLimits> = {},
  nowMs: () => number = () => performance.now(),
): WasmKernel {
  const all: KernelLimits = { ...KERNEL_LIMITS, ...limits };
  assertLimits(all);
  const kernel = new WebAssembly.Instance(module).exports as unknown as KernelExports;
  const version = kernel.layoutVersion() >>> 0;
  if (version !== LAYOUT_VERSION) {
    throw new Error(
      `kernel.wasm has layout ${version}, this code ${LAYOUT_VERSION}: run npm run build:wasm`,
    );
  }
  const { slidingWindows } = all;
  for (const [i, windows] of slidingWindows.entries()) kernel.slidingWindow(i, windows);
  const pagesMax = Math.floor(all.bytesMax / PAGE_BYTES);
  if (kernel.initialize(pagesMax, all.adsMax, all.runRowsMax) === 0) {
    throw new Error(`${all.bytesMax} bytes are too few for a kernel`);
  }
  const transfer = u32(kernel.transfer);
  const bytesOf = () => new Uint8Array(kernel.memory.buffer);
  const chunkOf = (bytes: number, rows: Global32, clicks: Global64): RowChunk => ({
    rows: u32(rows),
    clicks: safe(clicks.value),
    body: bytesOf().slice(transfer, transfer + bytes),
  });

  const ingested = { blocks: 0, rows: 0, ms: 0 };
  const closed = { calls: 0, rows: 0, ms: 0 };
  let isNew = true;
  let missing: MissingRows | null = null;
  /** Why the kernel is of no use. */
  let broken: string | null = null;

  function assertSound(): void {
    if (broken !== null) throw new Error(`the kernel is of no use: ${broken}`);
  }

  function assertRestored(): void {
    assertSound();
    const words = missing?.inWords();
    if (words !== undefined) throw new Error(words);
    missing = null;
  }

  /** The rows that are missing, for those that come; what throws in `work` leaves half of them. */
  function restoring<T>(work: (missingRows: MissingRows) => T): T {
    assertSound();
    if (missing?.inWords() === undefined)
      throw new Error("rows of a snapshot, but no state waits for any");
    try {
      return work(missing);
    } catch (error) {
      broken = (error as Error).message;
      throw error;
    }
  }

  /** Copies a block in and has it taken by `call`. */
  function taken(
    body: Uint8Array,
    rows: number,
    call: BlockCall,
    offset: Global32,
  ): IngestOutcome | null {
    assertRows(rows);
    if (body.length > BLOCK_BODY_BYTES_MAX) {
      return { ok: false, offset: BLOCK_BODY_BYTES_MAX, reason: faultReason("long_block") };
    }
    bytesOf().set(body, transfer);
    const fault = faultOf(call(body.length, rows));
    return fault === "none" ? null : { ok: false, offset: u32(offset), reason: faultReason(fault) };
  }

  function ingestWith(call: BlockCall, body: Uint8Array, rows: number): IngestOutcome {
    const refusal = taken(body, rows, call, kernel.faultOffset);
    if (refusal !== null) return refusal;
    assertEqual("rows of a block", rows, u32(kernel.ingestedRows));
    return { ok: true, clicks: safe(kernel.ingestedClicks.value) };
  }

  /** The chunks of what has been begun, with the given bytes behind each chunk's rows. */
  function chunksOf(chunkBytesMax: number, tailOf: ((chunk: number) => Uint8Array) | null) {
    const rowsPromised = safe(kernel.closingRows.value);
    const clicksPromised = safe(kernel.closingClicks.value);
    const chunks: RowChunk[] = [];
    while (true) {
      const tail = tailOf?.(chunks.length) ?? new Uint8Array(0);
      bytesOf().set(tail, u32(kernel.tail));
      const bytes = kernel.writeChunk(tail.length, chunkBytesMax) >>> 0;
      if (bytes === 0) break;
      if (bytes > chunkBytesMax) throw new Error(`a chunk of ${bytes} bytes`);
      chunks.push(chunkOf(bytes, kernel.chunkRows, kernel.chunkClicks));
    }
    assertEqual("rows of windows", rowsPromised, sumOf(chunks, "rows"));
    assertEqual("clicks of windows", clicksPromised, sumOf(chunks, "clicks"));
    return chunks;
  }

  function close(request: EarlyRequest, lateThroughSeconds: number, early: boolean): RowChunk[] {
    const startMs = nowMs();
    const rowsBefore = safe(kernel.rowsHeld.value);
    kernel.beginClose(
      BigInt(request.closedThroughSeconds),
      BigInt(lateThroughSeconds),
      BigInt(request.windowSeconds),
      early ? 1 : 0,
    );
    const chunks = chunksOf(request.chunkBytesMax, (chunk) => resultTail(request.unit, chunk));
    const rows = sumOf(chunks, "rows");
    assertEqual("rows left", rowsBefore - rows, safe(kernel.rowsHeld.value));
    closed.calls++;
    closed.rows += rows;
    closed.ms += nowMs() - startMs;
    return chunks;
  }

  function openWindows() {
    return Array.from({ length: u32(kernel.windowCount) }, (_, i) => ({
      windowStartSeconds: kernel.windowStart(i) >>> 0,
      rows: kernel.windowRows(i) >>> 0,
    }));
  }

  function runsOf(): RunFacts[] {
    const runs: RunFacts[] = [];
    for (let run = kernel.runAfter(0); run !== 0; run = kernel.runAfter(run)) {
      runs.push({
        number: kernel.runNumber(run) >>> 0,
        windowStartSeconds: kernel.runStart(run) >>> 0,
        rows: kernel.runRowsOf(run) >>> 0,
        clicks: safe(kernel.runClicks(run)),
        untrackedClicks: safe(kernel.runUntracked(run)),
      });
    }
    return runs;
  }

  return {
    ingest(body, rows) {
      assertRestored();
      const startMs = nowMs();
      const outcome = ingestWith(kernel.ingestBlock, body, rows);
      ingested.blocks++;
      if (outcome.ok) {
        ingested.rows += rows;
        isNew = isNew && rows === 0;
      }
      ingested.ms += nowMs() - startMs;
      return outcome;
    },

    close(request) {
      assertRestored();
      assertCloseRequest(request, safe(kernel.boundary.value));
      isNew = false;
      return close(request, request.lateThroughSeconds, false);
    },

    emitEarly(request) {
      assertRestored();
      assertEarlyRequest(request, safe(kernel.boundary.value));
      isNew = false;
      return close(request, request.closedThroughSeconds, true);
    },

    isOverLimit() {
      assertRestored();
      return safe(kernel.rowsHeld.value) > all.keysMax || u32(kernel.windowCount) > all.windowsMax;
    },

    top(request) {
      assertRestored();
      assertTopRequest(request, slidingWindows, safe(kernel.boundary.value));
      const tail = topTail(request.unit);
      bytesOf().set(tail, u32(kernel.topTail));
      const index = slidingWindows.indexOf(request.windows);
      const bytes = kernel.writeTop(index, request.count, tail.length) >>> 0;
      if (bytes > request.count * TOP_BYTES_MAX) throw new Error(`a list of ${bytes} bytes`);
      return {
        ...chunkOf(bytes, kernel.topRows, kernel.topClicks),
        untrackedClicks: safe(kernel.topUntracked.value),
      };
    },

    windows() {
      assertRestored();
      return openWindows().map(({ windowStartSeconds }) => windowStartSeconds);
    },

    rowCount() {
      assertRestored();
      return safe(kernel.rowsHeld.value);
    },

    state() {
      assertRestored();
      return {
        closedThroughSeconds: safe(kernel.boundary.value),
        windowSeconds: safe(kernel.windowSeconds.value),
        slidingWindows: [...slidingWindows],
        runsMade: u32(kernel.runsMade),
        windows: openWindows(),
        runs: runsOf(),
      };
    },

    dumpWindows(chunkBytesMax) {
      assertRestored();
      assertChunkBytes(chunkBytesMax, WINDOW_ROW_BYTES_MAX);
      kernel.beginDump();
      return chunksOf(chunkBytesMax, null);
    },

    dumpRun(number, chunkBytesMax) {
      assertRestored();
      assertRunNumber(number);
      assertChunkBytes(chunkBytesMax, RUN_ROW_BYTES_MAX);
      if (kernel.beginRunDump(number) === 0) throw new Error(`there is no run ${number}`);
      const chunks: RowChunk[] = [];
      while (true) {
        const bytes = kernel.writeRunChunk(chunkBytesMax) >>> 0;
        if (bytes === 0) break;
        chunks.push(chunkOf(bytes, kernel.runChunkRows, kernel.runChunkClicks));
      }
      const run = kernel.findRun(number);
      assertEqual("rows of a run", kernel.runRowsOf(run) >>> 0, sumOf(chunks, "rows"));
      assertEqual("clicks of a run", safe(kernel.runClicks(run)), sumOf(chunks, "clicks"));
      return chunks;
    },

    restoreState(state) {
      assertRestored();
      if (!isNew) throw new Error("only a new kernel can be restored");
      assertState(state, slidingWindows);
      isNew = false;
      broken = "a state that was not taken whole";
      kernel.restoreBoundary(
        BigInt(state.closedThroughSeconds),
        BigInt(state.windowSeconds),
        state.runsMade,
      );
      for (const { windowStartSeconds, rows } of state.windows) {
        if (kernel.promiseRows(windowStartSeconds, rows) === 0) throw outOfMemory();
      }
      for (const { number, windowStartSeconds, rows, untrackedClicks } of state.runs) {
        const untracked = BigInt(untrackedClicks);
        if (kernel.restoreRun(number, windowStartSeconds, rows, untracked) === 0) {
          throw outOfMemory();
        }
      }
      missing = new MissingRows(state);
      broken = null;
    },

    restoreWindows(body, rows) {
      return restoring((missingRows) => {
        const outcome = ingestWith(kernel.ingestSnapshot, body, rows);
        if (outcome.ok) missingRows.takeWindows(openWindows(), rows);
        return outcome;
      });
    },

    restoreRun(number, body, rows) {
      return restoring((missingRows) => {
        missingRows.assertNext(number);
        const refusal = taken(body, rows, kernel.checkRunRows, kernel.runFaultOffset);
        if (refusal !== null) return refusal;
        const clicks = safe(kernel.runChunkClicks.value);
        missingRows.takeRun(number, rows, clicks);
        if (kernel.addRunRows(number, rows) >>> 0 !== rows) {
          if (kernel.memoryIsOut.value !== 0) throw outOfMemory();
          throw new Error(`run ${number} has an ad twice`);
        }
        return { ok: true, clicks };
      });
    },

    figures() {
      const rows = safe(kernel.rowsHeld.value);
      const entries = safe(kernel.tableEntries());
      return {
        rows,
        windows: u32(kernel.windowCount),
        loadFactor: entries === 0 ? 0 : rows / entries,
        probeLength: 1 + safe(kernel.lineSteps.value) / Math.max(safe(kernel.rowsCounted.value), 1),
        ads: u32(kernel.adCount),
        runs: u32(kernel.runCount),
        runRows: u32(kernel.runRows),
        runBytes: safe(kernel.runBytes.value),
        untrackedForMemoryClicks: safe(kernel.untrackedForMemory.value),
        bytesInUse: transfer + safe(kernel.bytesTaken.value),
        linearMemoryBytes: kernel.memory.buffer.byteLength,
        ingest: { ...ingested },
        close: { ...closed },
      };
    },
  };
}

function outOfMemory(): Error {
  return new Error(OUT_OF_MEMORY_REASON);
}

/** A global's 32 bits without a sign. */
function u32(global: Global32): number {
  return global.value >>> 0;
}

/** A 64-bit number of the kernel's as a number; beyond 2^53 our counts are wrong, not large. */
function safe(value: bigint): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number)) throw new Error(`${value} is beyond 2^53`);
  return number;
}

function sumOf(chunks: readonly RowChunk[], field: "rows" | "clicks"): number {
  return chunks.reduce((sum, chunk) => sum + chunk[field], 0);
}

function assertEqual(what: string, expected: number, found: number): void {
  if (expected !== found) throw new Error(`${what}: expected ${expected}, the kernel has ${found}`);
}
