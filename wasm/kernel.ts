/**
 * What a kernel does, in one interface with two implementations: WebAssembly (wasm-kernel.ts), which
 * production runs, and plain TypeScript (reference-kernel.ts), the oracle. Both pass the same contract
 * suite and give the same bytes.
 *
 * A kernel holds open windows: per window start, a count for each key (the bytes of ad_id, country,
 * device and invalid_reason as four RowBinary strings, see wire/partial.ts). And it holds sliding
 * windows: per ad, the sum over the last M closed windows. It sees no clock, no string object and no
 * callback.
 *
 * Sliding windows are kept as runs: what one `close` or `emitEarly` took out of one window, summed per
 * ad, is one run, which never changes. A window that comes late, or left early, has several. With
 * boundary B (the newest closedThroughSeconds) and windows of W seconds, the sum over the last M windows
 * is that over all runs of windows with start + W ≤ B and start ≥ B − M × W. Runs that not even the
 * largest M reaches are dropped at the next close, before it makes new ones.
 */
import type { EmissionUnit } from "../wire/result.ts";

export { OUT_OF_MEMORY_REASON } from "./layout.ts";

/**
 * A block is ingested whole or not at all; `offset` is where in the rows the value begins that is at
 * fault. One reason is not the block's fault: OUT_OF_MEMORY_REASON (wasm/layout.ts), with offset 0. After
 * all windows were closed, it fits if it fits a new kernel; when there are runs, one of half the memory,
 * for sliding windows take no more than half.
 */
export type IngestOutcome =
  | { readonly ok: true; readonly clicks: number }
  | { readonly ok: false; readonly offset: number; readonly reason: string };

/** What leaves and how: of `close` and of `emitEarly`. */
export interface EarlyRequest {
  /** Windows with start + windowSeconds ≤ this are closed (seconds since 1970). It never falls from call to call. */
  readonly closedThroughSeconds: number;
  /** When it is another one than before, sliding windows start anew: all runs are dropped. */
  readonly windowSeconds: number;
  readonly unit: EmissionUnit;
  /** Greatest body of a chunk in bytes, from RESULT_BYTES_MAX to BLOCK_BODY_BYTES_MAX. */
  readonly chunkBytesMax: number;
}

export interface CloseRequest extends EarlyRequest {
  /** Of the closed windows, those with start + windowSeconds ≤ this had been closed before: their rows are `late`. */
  readonly lateThroughSeconds: number;
}

/** Rows of one kind in RowBinary: a copy that stays valid. */
export interface RowChunk {
  readonly rows: number;
  readonly clicks: number;
  readonly body: Uint8Array;
}

export interface TopList extends RowChunk {
  /** What each row carries, also when there is none. */
  readonly untrackedClicks: number;
}

export interface TopRequest {
  /** The last so many closed windows: one of the kernel's slidingWindows. */
  readonly windows: number;
  /** How many ads at most, 1 to TOP_COUNT_MAX. */
  readonly count: number;
  readonly unit: EmissionUnit;
}

/** One run, but for its rows. */
export interface RunFacts {
  /** Rises with every run that a kernel makes, from 1. */
  readonly number: number;
  readonly windowStartSeconds: number;
  /** Ads in it. */
  readonly rows: number;
  /** Clicks of those ads. */
  readonly clicks: number;
  /** Clicks of ads that found no place (KernelLimits): a list over this window may lack them. */
  readonly untrackedClicks: number;
}

/** All of a kernel but rows. Plain numbers: a snapshot may hold it as JSON. */
export interface KernelState {
  /** The kernel's limit of this name: a kernel with another one cannot go on from this state. */
  readonly slidingWindows: readonly number[];
  /** Of the newest close; 0 before the first. */
  readonly closedThroughSeconds: number;
  readonly windowSeconds: number;
  /** Number of the newest run; 0 before the first. */
  readonly runsMade: number;
  /** Open windows, ascending, with the rows (keys) that each holds. */
  readonly windows: readonly { readonly windowStartSeconds: number; readonly rows: number }[];
  /** Runs that sliding windows still need, ascending by number. */
  readonly runs: readonly RunFacts[];
}

export interface Kernel {
  /**
   * Adds the rows of a partial block (wire/partial.ts).
   *
   * @param body RowBinary rows, at most BLOCK_BODY_BYTES_MAX; they are copied
   * @param rows how many there must be
   */
  ingest(body: Uint8Array, rows: number): IngestOutcome;

  /**
   * Closes windows and returns their rows (wire/result.ts) in canonical order: window start, then
   * 64-bit key hash (wasm/key-hash.ts), then key bytes. Chunks are filled to the byte limit in that
   * order; no rows give no chunks. Chunk i carries i in its rows' tails. Needs no memory that is not
   * there already: what could be ingested can be closed.
   */
  close(request: CloseRequest): RowChunk[];

  /**
   * Returns the rows of all windows, as `close` would, and keeps none: early deltas. Windows that end
   * after closedThroughSeconds are not closed by this; what comes for them later is another delta, and
   * their runs count in sliding windows once they are closed. Rows of windows that are closed are `late`.
   */
  emitEarly(request: EarlyRequest): RowChunk[];

  /** Whether it holds more keys or windows than its limits say: time for `emitEarly`. */
  isOverLimit(): boolean;

  /**
   * The ads with the most clicks in the last `windows` closed windows (wire/top.ts): exact but for
   * untracked clicks, which each row carries. Most clicks first, ads of equal counts in the order of
   * their ids' bytes; ads without clicks are not in it.
   */
  top(request: TopRequest): TopList;

  /** Starts of the windows that hold rows, ascending, seconds since 1970. */
  windows(): number[];

  /** Rows held in all open windows (distinct keys per window). */
  rowCount(): number;

  state(): KernelState;

  /** The rows of all open windows (wire/snapshot.ts), in canonical order. Changes nothing. */
  dumpWindows(chunkBytesMax: number): RowChunk[];

  /** The rows of a run (wire/snapshot.ts), in no particular order: one that has once been dumped need not be again. */
  dumpRun(number: number, chunkBytesMax: number): RowChunk[];

  /**
   * Makes this kernel the one that `state()` describes; it must be empty and new. Then come all rows,
   * in any order, through `restoreWindows` and `restoreRun`, each run's chunks one after the other.
   * Until every row that the state promises is there, no other method may be called. From then on
   * the kernel gives the bytes that the dumped one would have given, if its limits are the same. Rows or a state that contradict each
   * other throw, and so does a state that finds no memory (OUT_OF_MEMORY_REASON): that kernel is of no use.
   */
  restoreState(state: KernelState): void;
  /** Rows of a chunk of `dumpWindows`; one that is not what it should be is refused whole. */
  restoreWindows(body: Uint8Array, rows: number): IngestOutcome;
  /** Rows of a chunk of `dumpRun`; one that is not what it should be is refused whole. */
  restoreRun(number: number, body: Uint8Array, rows: number): IngestOutcome;
}
