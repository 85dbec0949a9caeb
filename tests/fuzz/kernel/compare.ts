/** Does the same to two kernels and compares all that can be seen: outcomes, chunks, windows, rows. */
import { isDeepStrictEqual } from "node:util";
import { OUT_OF_MEMORY_REASON } from "../../../wasm/kernel.ts";
import type { ClosedChunk, CloseRequest, IngestOutcome, Kernel } from "../../../wasm/kernel.ts";
import { createReferenceKernel } from "../../../wasm/reference-kernel.ts";
import { blockFor, makeSequence } from "./operations.ts";
import type { Operation, Sequence } from "./operations.ts";

/** @param memoryBytesMax null for the kernel's own limit */
export type KernelMaker = (memoryBytesMax: number | null) => Kernel;

export interface Mismatch {
  /** The operation after which the kernels differ; as many as there are operations: at the end. */
  readonly at: number;
  readonly difference: string;
}

interface Block {
  readonly body: Uint8Array;
  readonly rows: number;
}

/** What a run over sequences has met, so that a test can see that it meets everything. */
export interface Seen {
  readonly reasons: Set<string>;
  /** Blocks refused for want of memory that were taken after windows were closed. */
  takenAfterDrain: number;
  lateCloses: number;
}

class Difference extends Error {}

/** The first difference between a kernel and the reference over a sequence. */
export function compareSequence(
  sequence: Sequence,
  makeKernel: KernelMaker,
  seen?: Seen,
): Mismatch | undefined {
  const pair = new Pair(sequence.memoryBytesMax, makeKernel, seen);
  const { operations } = sequence;
  let at = 0;
  try {
    for (; at < operations.length; at++) pair.do(operations[at]!);
    pair.compareKeptChunks();
    return undefined;
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const difference = error instanceof Difference ? error.message : `thrown: ${error.message}`;
    return { at, difference };
  }
}

/** Blocks put down for want of memory; more than the next drains could take need not be kept. */
const REFUSED_BLOCKS_MAX = 3;
/** Where a block stands in the caller's memory; a kernel must not take it for the start. */
const BODY_OFFSET_BYTES = 3;

class Pair {
  readonly #memoryBytesMax: number | null;
  readonly #makeKernel: KernelMaker;
  readonly #kernel: Kernel;
  readonly #reference = createReferenceKernel();
  readonly #seen: Seen | undefined;
  readonly #keptChunks: (readonly [ClosedChunk, ClosedChunk])[] = [];
  #refused: Block[] = [];

  constructor(memoryBytesMax: number | null, makeKernel: KernelMaker, seen: Seen | undefined) {
    this.#memoryBytesMax = memoryBytesMax;
    this.#makeKernel = makeKernel;
    this.#kernel = makeKernel(memoryBytesMax);
    this.#seen = seen;
  }

  do(operation: Operation): void {
    switch (operation.do) {
      case "ingest": {
        const block = blockFor(operation);
        const taken = this.#ingest(block);
        if (!taken && this.#refused.length < REFUSED_BLOCKS_MAX) this.#refused.push(block);
        break;
      }
      case "close":
        this.#close(operation.request);
        break;
      case "drain":
        this.#drain(operation.request);
        break;
    }
  }

  /** Both kernels take the block, or refuse it for the same fault; false when memory has no room for it. */
  #ingest({ body, rows }: Block): boolean {
    const mine = ingestFromOwnMemory(this.#kernel, body, rows);
    if (!mine.ok) this.#seen?.reasons.add(mine.reason);
    const outOfMemory = !mine.ok && mine.reason === OUT_OF_MEMORY_REASON;
    // The reference has no limit: it is not given the block, but another says that it is a good one.
    const reference = outOfMemory ? createReferenceKernel() : this.#reference;
    const theirs = ingestFromOwnMemory(reference, body, rows);
    const allowed = outOfMemory && this.#memoryBytesMax !== null && mine.offset === 0 && theirs.ok;
    if (!allowed) expectSame("the outcome", mine, theirs);
    this.#compareState();
    return !outOfMemory;
  }

  #close(request: CloseRequest): void {
    const mine = this.#kernel.close(request);
    const theirs = this.#reference.close(request);
    expectSame("chunks", mine.length, theirs.length);
    for (const [i, chunk] of mine.entries()) {
      compareChunks(`chunk ${i}`, chunk, theirs[i]!);
      this.#keptChunks.push([chunk, theirs[i]!]);
    }
    if (this.#seen !== undefined && theirs.length > 0 && request.lateThroughSeconds > 0) {
      this.#seen.lateCloses++;
    }
    this.#compareState();
  }

  /** An empty kernel takes what a new one takes, whatever it has held before. */
  #drain(request: CloseRequest): void {
    this.#close(request);
    for (const block of this.#refused) {
      const fitsNewKernel = this.#makeKernel(this.#memoryBytesMax).ingest(
        block.body,
        block.rows,
      ).ok;
      const taken = this.#ingest(block);
      if (fitsNewKernel && !taken) {
        throw new Difference(
          `a new kernel has room for a block of ${block.rows} rows, this has not`,
        );
      }
      if (taken && this.#seen !== undefined) this.#seen.takenAfterDrain++;
      this.#close(request);
    }
    this.#refused = [];
  }

  #compareState(): void {
    expectSame("windows()", this.#kernel.windows(), this.#reference.windows());
    expectSame("rowCount()", this.#kernel.rowCount(), this.#reference.rowCount());
  }

  /** Chunks are copies: nothing that came after them has changed them. */
  compareKeptChunks(): void {
    for (const [mine, theirs] of this.#keptChunks) compareChunks("a kept chunk", mine, theirs);
  }
}

/** The bytes are the caller's: not changed, and theirs to change afterwards. */
function ingestFromOwnMemory(kernel: Kernel, body: Uint8Array, rows: number): IngestOutcome {
  const memory = new Uint8Array(BODY_OFFSET_BYTES + body.length + BODY_OFFSET_BYTES).fill(0xa5);
  const own = memory.subarray(BODY_OFFSET_BYTES, BODY_OFFSET_BYTES + body.length);
  own.set(body);
  const outcome = kernel.ingest(own, rows);
  if (Buffer.compare(own, body) !== 0) throw new Difference("the caller's block was changed");
  memory.fill(0x5a);
  return outcome;
}

function compareChunks(what: string, mine: ClosedChunk, theirs: ClosedChunk): void {
  expectSame(`rows of ${what}`, mine.rows, theirs.rows);
  expectSame(`clicks of ${what}`, mine.clicks, theirs.clicks);
  expectSame(`bytes of ${what}`, mine.body.length, theirs.body.length);
  if (Buffer.compare(mine.body, theirs.body) === 0) return;
  const at = mine.body.findIndex((byte, i) => byte !== theirs.body[i]);
  expectSame(`byte ${at} of ${what}`, mine.body[at], theirs.body[at]);
}

const DIFFERENCE_CHARACTERS_MAX = 300;

function expectSame(what: string, mine: unknown, theirs: unknown): void {
  if (isDeepStrictEqual(mine, theirs)) return;
  throw new Difference(`${what}: ${inShort(mine)}, the reference has ${inShort(theirs)}`);
}

function inShort(value: unknown): string {
  return JSON.stringify(value).slice(0, DIFFERENCE_CHARACTERS_MAX);
}

export interface FuzzResult {
  readonly sequences: number;
  readonly operations: number;
  /** Each with the number of its sequence. */
  readonly mismatches: readonly (Mismatch & { readonly sequence: number })[];
}

/** A run that finds so many is not looking for more. */
const MISMATCHES_MAX = 5;

/** Compares sequences from number 0 on, for this long, and at least so many. */
export function fuzzKernel(
  seed: number,
  timeMs: number,
  sequencesMin: number,
  makeKernel: KernelMaker,
): FuzzResult {
  const endMs = performance.now() + timeMs;
  const mismatches: (Mismatch & { sequence: number })[] = [];
  let operations = 0;
  let number = 0;
  for (; number < sequencesMin || performance.now() < endMs; number++) {
    if (mismatches.length === MISMATCHES_MAX) break;
    const sequence = makeSequence(seed, number);
    operations += sequence.operations.length;
    const mismatch = compareSequence(sequence, makeKernel);
    if (mismatch !== undefined) mismatches.push({ ...mismatch, sequence: number });
  }
  return { sequences: number, operations, mismatches };
}

/** Runs of a sequence that shrinking may cost. */
const SHRINK_RUNS_MAX = 3_000;

/** A part of the sequence that still shows a mismatch: fewer operations, then fewer rows in each. */
export function shrink(sequence: Sequence, makeKernel: KernelMaker): Sequence {
  let runs = 0;
  const fails = (operations: readonly Operation[]) =>
    runs++ < SHRINK_RUNS_MAX &&
    compareSequence({ ...sequence, operations }, makeKernel) !== undefined;
  let operations = withoutParts(sequence.operations, fails);
  for (const [at, operation] of operations.entries()) {
    if (operation.do !== "ingest") continue;
    const rows = withoutParts(operation.rows, (fewer) =>
      fails(operations.with(at, { ...operation, rows: fewer })),
    );
    operations = operations.with(at, { ...operation, rows });
  }
  return { ...sequence, operations };
}

/** Leaves out halves, quarters … single items, wherever what is left still fails. */
function withoutParts<T>(items: readonly T[], fails: (fewer: readonly T[]) => boolean): T[] {
  let left = [...items];
  for (
    let part = Math.ceil(left.length / 2);
    part >= 1;
    part = part === 1 ? 0 : Math.ceil(part / 2)
  ) {
    for (let from = 0; from < left.length;) {
      const fewer = left.toSpliced(from, part);
      if (fails(fewer)) left = fewer;
      else from += part;
    }
  }
  return left;
}
