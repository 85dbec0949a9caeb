/** A kernel's snapshot, taken and given to another kernel, as a caller would. */
import type { IngestOutcome, Kernel, KernelState, RowChunk } from "../../../wasm/kernel.ts";
import type { Random } from "../../traffic/random.ts";
import { Difference, expectSame } from "./differences.ts";
import { runRows } from "./places.ts";
import type { SnapshotChunk } from "./snapshot-trouble.ts";

export interface ChunkLimits {
  readonly windowChunkBytesMax: number;
  readonly runChunkBytesMax: number;
}

export interface Snapshot {
  readonly state: KernelState;
  readonly windows: readonly RowChunk[];
  readonly runs: ReadonlyMap<number, readonly RowChunk[]>;
}

export function snapshotOf(kernel: Kernel, limits: ChunkLimits): Snapshot {
  const state = kernel.state();
  const windows = kernel.dumpWindows(limits.windowChunkBytesMax);
  const runs = new Map(
    state.runs.map(({ number }) => [number, kernel.dumpRun(number, limits.runChunkBytesMax)]),
  );
  for (const run of state.runs) expectWholeRun(run, runs.get(run.number)!, limits);
  return { state, windows, runs };
}

/** The order of a run's rows is the kernel's own affair; how many there are and of how many clicks is not. */
function expectWholeRun(
  run: KernelState["runs"][number],
  chunks: readonly RowChunk[],
  { runChunkBytesMax }: ChunkLimits,
): void {
  const sumOf = (what: "rows" | "clicks") => chunks.reduce((sum, chunk) => sum + chunk[what], 0);
  expectSame(`rows of the chunks of run ${run.number}`, sumOf("rows"), run.rows);
  expectSame(`clicks of the chunks of run ${run.number}`, sumOf("clicks"), run.clicks);
  for (const { rows, clicks, body } of chunks) {
    if (rows === 0 || body.length > runChunkBytesMax) {
      throw new Difference(
        `a chunk of run ${run.number} has ${rows} rows, ${body.length} bytes of ${runChunkBytesMax}`,
      );
    }
    const found = runRows(body);
    expectSame(`rows in a chunk of run ${run.number}`, found.length, rows);
    const foundClicks = found.reduce((sum, row) => sum + row.clicks, 0);
    expectSame(`clicks in a chunk of run ${run.number}`, foundClicks, clicks);
  }
}

/** The rows of a run, in an order that does not depend on the kernel's. */
export function runLines(chunks: readonly RowChunk[]): string[] {
  return chunks
    .flatMap(({ body }) => runRows(body))
    .map(({ adId, clicks }) => `${Buffer.from(adId).toString("latin1")} ${clicks}`)
    .toSorted();
}

/** All chunks in any order, but those of a run one after the other. */
export function shuffledChunks({ windows, runs }: Snapshot, random: Random): SnapshotChunk[] {
  const inAnyOrder = (run: number | null, chunks: readonly RowChunk[]): SnapshotChunk[] =>
    random.shuffle(chunks.map(({ body, rows }) => ({ run, body, rows })));
  const groups = [
    ...windows.map((chunk) => inAnyOrder(null, [chunk])),
    ...[...runs].map(([number, chunks]) => inAnyOrder(number, chunks)),
  ];
  return random.shuffle(groups).flat();
}

/** A snapshot holds the state as text. */
export function giveState(kernel: Kernel, state: KernelState): void {
  kernel.restoreState(JSON.parse(JSON.stringify(state)) as KernelState);
}

export function giveChunk(kernel: Kernel, { run, body, rows }: SnapshotChunk): IngestOutcome {
  return fromOwnMemory(body, (own) =>
    run === null ? kernel.restoreWindows(own, rows) : kernel.restoreRun(run, own, rows),
  );
}

/** Where a body stands in the caller's memory; a kernel must not take it for the start. */
const BODY_OFFSET_BYTES = 3;

/** The bytes are the caller's: not changed by the kernel, and theirs to change afterwards. */
export function fromOwnMemory(
  body: Uint8Array,
  give: (own: Uint8Array) => IngestOutcome,
): IngestOutcome {
  const memory = new Uint8Array(BODY_OFFSET_BYTES + body.length + BODY_OFFSET_BYTES).fill(0xa5);
  const own = memory.subarray(BODY_OFFSET_BYTES, BODY_OFFSET_BYTES + body.length);
  own.set(body);
  const outcome = give(own);
  if (Buffer.compare(own, body) !== 0) throw new Difference("the caller's bytes were changed");
  memory.fill(0x5a);
  return outcome;
}
