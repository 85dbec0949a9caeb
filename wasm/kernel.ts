/**
 * What a kernel does, in one interface with two implementations: WebAssembly (wasm-kernel.ts), which
 * production runs, and plain TypeScript (reference-kernel.ts), the oracle. Both pass the same contract
 * suite and give the same bytes.
 *
 * A kernel holds open windows: per window start, a count for each key (the bytes of ad_id, country,
 * device and invalid_reason as four RowBinary strings, see wire/partial.ts). It sees no clock, no
 * string object and no callback.
 */
import type { EmissionUnit } from "../wire/result.ts";

export { OUT_OF_MEMORY_REASON } from "./layout.ts";

/**
 * A block is ingested whole or not at all; `offset` is where in the rows the value begins that is at
 * fault. One reason is not the block's fault: OUT_OF_MEMORY_REASON (wasm/layout.ts), with offset 0;
 * after all windows were closed, it fits if it fits a new kernel.
 */
export type IngestOutcome =
  | { readonly ok: true; readonly clicks: number }
  | { readonly ok: false; readonly offset: number; readonly reason: string };

export interface CloseRequest {
  /** Windows with start + windowSeconds ≤ this are closed and leave the kernel (seconds since 1970). */
  readonly closedThroughSeconds: number;
  /** Of those, windows with start + windowSeconds ≤ this had been closed before: their rows are `late`. */
  readonly lateThroughSeconds: number;
  readonly windowSeconds: number;
  readonly unit: EmissionUnit;
  /** Greatest body of a chunk in bytes, from RESULT_BYTES_MAX to BLOCK_BODY_BYTES_MAX. */
  readonly chunkBytesMax: number;
}

/** Result rows (wire/result.ts) of one chunk, a copy that stays valid. */
export interface ClosedChunk {
  readonly rows: number;
  readonly clicks: number;
  readonly body: Uint8Array;
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
   * Closes windows and returns their rows in canonical order: window start, then 64-bit key hash
   * (wasm/key-hash.ts), then key bytes. Chunks are filled to the byte limit in that order; no rows
   * give no chunks. Chunk i carries i in its rows' tails. Needs no memory that is not there already:
   * what could be ingested can be closed.
   */
  close(request: CloseRequest): ClosedChunk[];

  /** Starts of the windows that hold rows, ascending, seconds since 1970. */
  windows(): number[];

  /** Rows held in all open windows (distinct keys per window). */
  rowCount(): number;
}
