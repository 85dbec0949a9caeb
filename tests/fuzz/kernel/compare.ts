/** Does the same to two kernels and compares all that can be seen: outcomes, chunks, states, lists, snapshots. */
import { OUT_OF_MEMORY_REASON } from "../../../wasm/kernel.ts";
import type {
  CloseRequest,
  EarlyRequest,
  IngestOutcome,
  Kernel,
  KernelState,
  RowChunk,
  TopRequest,
} from "../../../wasm/kernel.ts";
import type { KernelLimits } from "../../../wasm/limits.ts";
import { createReferenceKernel } from "../../../wasm/reference-kernel.ts";
import { Random } from "../../traffic/random.ts";
import { blockFor } from "./damage.ts";
import {
  Difference,
  expectSame,
  expectSameChunk,
  expectSameChunks,
  expectSameLines,
  expectSameState,
} from "./differences.ts";
import type { DumpAndRestore, Operation, Sequence } from "./operations.ts";
import type { Seen } from "./seen.ts";
import { plainList } from "./plain-list.ts";
import { contradictingChunks, damagedChunk } from "./snapshot-trouble.ts";
import type { Contradiction, SnapshotChunk, Trouble } from "./snapshot-trouble.ts";
import {
  fromOwnMemory,
  giveChunk,
  giveState,
  runLines,
  shuffledChunks,
  snapshotOf,
} from "./snapshots.ts";
import type { ChunkLimits, Snapshot } from "./snapshots.ts";

export type KernelMaker = (limits: Partial<KernelLimits>) => Kernel;

export interface Mismatch {
  /** The operation after which the kernels differ; as many as there are operations: at the end. */
  readonly at: number;
  readonly difference: string;
}

interface Block {
  readonly body: Uint8Array;
  readonly rows: number;
}

/** The first difference between a kernel and the reference over a sequence. */
export function compareSequence(
  sequence: Sequence,
  makeKernel: KernelMaker,
  seen?: Seen,
): Mismatch | undefined {
  const pair = new Pair(sequence.limits, makeKernel, seen);
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

class Pair {
  readonly #limits: Partial<KernelLimits>;
  readonly #makeKernel: KernelMaker;
  #kernel: Kernel;
  #reference: Kernel;
  readonly #seen: Seen | undefined;
  readonly #hasLittleMemory: boolean;
  /** Out of memory, a kernel with sliding windows counts clicks as untracked. */
  readonly #tracksAlike: boolean;
  readonly #keptChunks: (readonly [RowChunk, RowChunk])[] = [];
  /** The rows of runs that were dumped, by number. */
  readonly #dumpedRuns = new Map<number, readonly string[]>();
  #refused: Block[] = [];

  constructor(limits: Partial<KernelLimits>, makeKernel: KernelMaker, seen: Seen | undefined) {
    this.#limits = limits;
    this.#makeKernel = makeKernel;
    this.#kernel = makeKernel(limits);
    this.#reference = createReferenceKernel(limits);
    this.#seen = seen;
    this.#hasLittleMemory = limits.bytesMax !== undefined;
    this.#tracksAlike = !this.#hasLittleMemory || limits.slidingWindows?.length === 0;
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
      case "emit early":
        this.#emitEarly(operation.request);
        break;
      case "top":
        for (const request of operation.requests) this.#top(request);
        break;
      case "dump":
        this.#dump(operation);
        break;
      case "dump and restore":
        this.#dumpAndRestore(operation);
        break;
      case "drain":
        if (operation.how === "close") this.#drain(() => this.#close(operation.request));
        else this.#drain(() => this.#emitEarly(operation.request));
        break;
    }
    this.#compareState();
  }

  /** Both kernels take the block, or refuse it for the same fault; false when memory has no room for it. */
  #ingest({ body, rows }: Block): boolean {
    const give = (kernel: Kernel) => fromOwnMemory(body, (own) => kernel.ingest(own, rows));
    const mine = give(this.#kernel);
    if (!mine.ok) this.#seen?.blockReasons.add(mine.reason);
    const outOfMemory = isOutOfMemory(mine);
    // The reference has no limit: it is not given the block, but another says that it is a good one.
    const theirs = give(outOfMemory ? createReferenceKernel() : this.#reference);
    const allowed = outOfMemory && this.#hasLittleMemory && mine.offset === 0 && theirs.ok;
    if (!allowed) expectSame("the outcome", mine, theirs);
    return !outOfMemory;
  }

  #close(request: CloseRequest): void {
    const mine = this.#kernel.close(request);
    const theirs = this.#reference.close(request);
    expectSameChunks("a close", mine, theirs);
    this.#keep(mine, theirs);
    this.#seen?.rows(theirs, "closed");
  }

  #emitEarly(request: EarlyRequest): void {
    const mine = this.#kernel.emitEarly(request);
    const theirs = this.#reference.emitEarly(request);
    expectSameChunks("an early emission", mine, theirs);
    this.#keep(mine, theirs);
    this.#seen?.rows(theirs, "early");
  }

  /** An empty kernel takes what a new one takes, whatever it has held before. */
  #drain(takeAll: () => void): void {
    takeAll();
    expectSame("rows after all were taken", this.#kernel.rowCount(), 0);
    for (const block of this.#refused) {
      const fitsNew = this.#makeKernel(this.#limits).ingest(block.body, block.rows).ok;
      const taken = this.#ingest(block);
      // What runs take up does not come back.
      if (fitsNew && !taken && this.#tracksAlike) {
        throw new Difference(
          `a new kernel has room for a block of ${block.rows} rows, this has not`,
        );
      }
      if (taken) this.#seen?.count("blocks taken after a drain");
      takeAll();
    }
    this.#refused = [];
  }

  #top(request: TopRequest): void {
    const mine = this.#kernel.top(request);
    // What a kernel has not tracked the reference has: then the list is one of the kernel's own runs.
    const theirs = this.#tracksAlike
      ? this.#reference.top(request)
      : plainList(this.#kernel, request);
    expectSameChunk(`the list of ${request.windows} windows`, mine, theirs);
    this.#keep([mine], [theirs]);
    this.#seen?.top(theirs, request.count);
  }

  /** Open windows give the same bytes; runs the same rows, today and whenever they are dumped again. */
  #dump(limits: ChunkLimits): { mine: Snapshot; theirs: Snapshot } {
    const mine = snapshotOf(this.#kernel, limits);
    const theirs = snapshotOf(this.#reference, limits);
    expectSameChunks("the open windows", mine.windows, theirs.windows);
    this.#keep(mine.windows, theirs.windows);
    for (const [number, chunks] of mine.runs) {
      const lines = runLines(chunks);
      if (this.#tracksAlike) {
        expectSameLines(`run ${number}`, lines, runLines(theirs.runs.get(number) ?? []));
      }
      const before = this.#dumpedRuns.get(number);
      if (before !== undefined) {
        expectSameLines(`run ${number}, dumped before`, lines, before);
        this.#seen?.count("runs dumped again");
      }
      this.#dumpedRuns.set(number, lines);
    }
    return { mine, theirs };
  }

  #dumpAndRestore(operation: DumpAndRestore): void {
    const { mine, theirs } = this.#dump(operation);
    const { whose, fromOther, trouble } = operation;
    const random = new Random(operation.orderSeed);
    const chunks = shuffledChunks(theirs, random);
    const kernel = this.#makeKernel(this.#limits);
    const reference = createReferenceKernel(this.#limits);
    giveState(reference, theirs.state);
    try {
      giveState(kernel, mine.state);
    } catch (error) {
      // Windows are opened in another order than they were at first, and memory is at its limit.
      if (!this.#hasLittleMemory || (error as Error).message !== OUT_OF_MEMORY_REASON) throw error;
      return;
    }
    if (trouble !== null && !this.#isRefusedByBoth(trouble, theirs, chunks, kernel, reference)) {
      return;
    }
    if (whose !== "the reference") {
      const ownChunks = fromOther ? chunks : shuffledChunks(mine, random);
      if (this.#restore(kernel, ownChunks)) this.#kernel = kernel;
    }
    if (whose !== "the kernel") {
      const ownChunks = fromOther ? shuffledChunks(mine, random) : chunks;
      if (this.#restore(reference, ownChunks)) this.#reference = reference;
    }
    this.#seen?.count(`restores of ${whose}`);
  }

  /** False when memory has no room: the rows come in another order than they came at first. */
  #restore(kernel: Kernel, chunks: readonly SnapshotChunk[]): boolean {
    for (const chunk of chunks) {
      const outcome = giveChunk(kernel, chunk);
      if (this.#hasLittleMemory && isOutOfMemory(outcome)) return false;
      if (!outcome.ok) throw new Difference(`a chunk of a snapshot is refused: ${outcome.reason}`);
    }
    return true;
  }

  /** False when nothing more can be done with these kernels. */
  #isRefusedByBoth(
    trouble: Trouble,
    snapshot: Snapshot,
    chunks: readonly SnapshotChunk[],
    kernel: Kernel,
    reference: Kernel,
  ): boolean {
    if (trouble.trouble !== "a damaged chunk") {
      this.#compareContradiction(trouble, snapshot, chunks, kernel, reference);
      return false;
    }
    const damaged = damagedChunk(chunks, trouble);
    if (damaged === undefined) return true;
    const mine = outcomeOf(() => giveChunk(kernel, damaged));
    const theirs = outcomeOf(() => giveChunk(reference, damaged));
    expectSame("the outcome of a damaged chunk", mine, theirs);
    if (mine === "thrown" || mine.ok) return false;
    this.#seen?.snapshotReasons.add(mine.reason);
    return true;
  }

  #compareContradiction(
    contradiction: Contradiction,
    { state }: Snapshot,
    chunks: readonly SnapshotChunk[],
    kernel: Kernel,
    reference: Kernel,
  ): void {
    const windows = new Set(state.windows.map((window) => window.windowStartSeconds));
    let unknownWindow = 0;
    while (windows.has(unknownWindow)) unknownWindow++;
    const wrong = contradictingChunks(chunks, contradiction, state.runsMade + 1, unknownWindow);
    if (wrong === undefined) return;
    for (const [name, restored] of [
      ["kernel", kernel],
      ["reference", reference],
    ] as const) {
      const outcomes = outcomeOf(() => {
        for (const chunk of wrong) giveChunk(restored, chunk);
        return { ok: true, clicks: 0 };
      });
      if (outcomes !== "thrown") throw new Difference(`the ${name} took ${contradiction.trouble}`);
    }
    this.#seen?.count(contradiction.trouble);
  }

  #compareState(): void {
    const theirs = this.#reference.state();
    expectSame("windows()", this.#kernel.windows(), this.#reference.windows());
    expectSame("rowCount()", this.#kernel.rowCount(), this.#reference.rowCount());
    expectSame("isOverLimit()", this.#kernel.isOverLimit(), this.#reference.isOverLimit());
    const comparable = this.#tracksAlike ? (state: KernelState): object => state : withoutTracking;
    const mine = this.#kernel.state();
    expectSameState(comparable(mine), comparable(theirs));
    const tracksLess = mine.runs.some((run, i) => run.rows < theirs.runs[i]!.rows);
    if (tracksLess) this.#seen?.count("states with ads untracked for want of memory");
    this.#seen?.state(this.#reference, theirs);
  }

  #keep(mine: readonly RowChunk[], theirs: readonly RowChunk[]): void {
    for (const [i, chunk] of mine.entries()) this.#keptChunks.push([chunk, theirs[i]!]);
  }

  /** Chunks are copies: nothing that came after them has changed them. */
  compareKeptChunks(): void {
    for (const [mine, theirs] of this.#keptChunks) expectSameChunk("a kept chunk", mine, theirs);
  }
}

function isOutOfMemory(outcome: IngestOutcome): outcome is Extract<IngestOutcome, { ok: false }> {
  return !outcome.ok && outcome.reason === OUT_OF_MEMORY_REASON;
}

function outcomeOf(give: () => IngestOutcome): IngestOutcome | "thrown" {
  try {
    return give();
  } catch (error) {
    if (error instanceof Difference) throw error;
    return "thrown";
  }
}

/** A click is tracked or not, but it is there. */
function withoutTracking(state: KernelState): object {
  const runs = state.runs.map(({ number, windowStartSeconds, clicks, untrackedClicks }) => ({
    number,
    windowStartSeconds,
    clicks: clicks + untrackedClicks,
  }));
  return { ...state, runs };
}
