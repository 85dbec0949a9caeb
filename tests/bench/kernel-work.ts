/** What the bench does with a kernel, through the typed face that production uses: copies included. */
import { createHash } from "node:crypto";
import { BLOCK_BODY_BYTES_MAX } from "../../wire/limits.ts";
import { resultTail } from "../../wire/result.ts";
import type { Kernel, RowChunk } from "../../wasm/kernel.ts";
import type { KernelLimits } from "../../wasm/limits.ts";
import { TOP_COUNT_MAX } from "../../wasm/limits.ts";
import type { PartialBlock } from "./case-blocks.ts";
import { WINDOW_SECONDS } from "./cases.ts";

const UNIT = { job: "bench", partitions: 1, partition: 0, emission: 1, emittedOn: 20_000 };
const CHUNK_BYTES_MAX = BLOCK_BODY_BYTES_MAX;

/** A kernel that says what it takes. */
export interface MeasuredKernel extends Kernel {
  figures(): {
    readonly linearMemoryBytes: number;
    readonly runRows: number;
    readonly runBytes: number;
  };
}

/** An empty kernel; limits that are not given are KERNEL_LIMITS. */
export type CreateKernel = (limits?: Partial<KernelLimits>) => MeasuredKernel;

/** Throws when a block is refused: all that the bench makes are sound, and fit. */
export function ingestAll(kernel: Kernel, blocks: readonly PartialBlock[]): void {
  for (const { body, rows } of blocks) {
    const outcome = kernel.ingest(body, rows);
    if (!outcome.ok) throw new Error(`${outcome.reason} at byte ${outcome.offset}`);
  }
}

/** Closes windows: their rows in canonical order, as result rows. */
export function closeThrough(kernel: Kernel, closedThroughSeconds: number): RowChunk[] {
  return kernel.close({
    closedThroughSeconds,
    lateThroughSeconds: 0,
    windowSeconds: WINDOW_SECONDS,
    unit: UNIT,
    chunkBytesMax: CHUNK_BYTES_MAX,
  });
}

/** The longest list over the last `windows` closed windows. */
export function topOf(kernel: Kernel, windows: number): RowChunk {
  return kernel.top({ windows, count: TOP_COUNT_MAX, unit: UNIT });
}

/** All that a kernel needs to go on elsewhere. */
export interface Dump {
  readonly state: ReturnType<Kernel["state"]>;
  readonly windows: readonly RowChunk[];
  readonly runs: ReadonlyMap<number, readonly RowChunk[]>;
}

export function dumpWindows(kernel: Kernel): RowChunk[] {
  return kernel.dumpWindows(CHUNK_BYTES_MAX);
}

export function dumpRun(kernel: Kernel, number: number): RowChunk[] {
  return kernel.dumpRun(number, CHUNK_BYTES_MAX);
}

/** Makes an empty kernel the one that was dumped. */
export function restore(kernel: Kernel, dump: Dump): void {
  kernel.restoreState(dump.state);
  for (const { body, rows } of dump.windows) requireTaken(kernel.restoreWindows(body, rows));
  for (const [number, chunks] of dump.runs) {
    for (const { body, rows } of chunks) requireTaken(kernel.restoreRun(number, body, rows));
  }
}

function requireTaken(outcome: ReturnType<Kernel["ingest"]>): void {
  if (!outcome.ok) throw new Error(`restoring: ${outcome.reason} at byte ${outcome.offset}`);
}

export function rowsOf(chunks: readonly RowChunk[]): number {
  return chunks.reduce((sum, { rows }) => sum + rows, 0);
}

/** Equal for equal chunks. */
export function digestOf(chunks: readonly RowChunk[]): string {
  const hash = createHash("sha256");
  for (const { rows, clicks, body } of chunks) hash.update(`${rows} ${clicks}\n`).update(body);
  return hash.digest("hex");
}

/**
 * Tells every row of closed windows: window_start u32, key, clicks i64, origin u8, then the tail (wire/result.ts).
 *
 * @param tell gets the chunk's bytes and where in them the key begins
 */
export function tellChunks(
  chunks: readonly RowChunk[],
  tell: (body: Uint8Array, key: number, windowStartSeconds: number, clicks: number) => void,
): void {
  for (const [index, { body, rows }] of chunks.entries()) {
    const tailBytes = resultTail(UNIT, index).length;
    const view = new DataView(body.buffer, body.byteOffset, body.length);
    let at = 0;
    for (let row = 0; row < rows; row++) {
      const windowStartSeconds = view.getUint32(at, true);
      const key = at + 4;
      at = key;
      for (let field = 0; field < 4; field++) at += 1 + body[at]!;
      tell(body, key, windowStartSeconds, Number(view.getBigInt64(at, true)));
      at += 8 + 1 + tailBytes;
    }
    if (at !== body.length) throw new Error("bytes are left over in a chunk");
  }
}
