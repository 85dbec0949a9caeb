/**
 * Sequences of operations for a kernel, from chance alone: a sequence follows from its seed and number.
 *
 * Each sequence has habits of its own (how many keys, windows and rows, its limits, how it goes through
 * time), so that runs meet states that an even mixture would not: a thousand windows, one hot key,
 * hashes that all collide, an ad too many.
 */
import type { CloseRequest, EarlyRequest, TopRequest } from "../../../wasm/kernel.ts";
import type { TestRow } from "../../../wasm/kernel-rows.ts";
import { TOP_COUNT_MAX } from "../../../wasm/limits.ts";
import type { KernelLimits } from "../../../wasm/limits.ts";
import { BLOCK_BODY_BYTES_MAX } from "../../../wire/limits.ts";
import { RUN_ROW_BYTES_MAX, WINDOW_ROW_BYTES_MAX } from "../../../wire/snapshot.ts";
import { Random } from "../../traffic/random.ts";
import { closeEverything, makeCourse, makeUnit, TOP_BOUNDARY_MAX } from "./course.ts";
import type { Course, Pace } from "./course.ts";
import { makeDamage } from "./damage.ts";
import type { Damage } from "./damage.ts";
import { rowsMaker } from "./rows.ts";
import { makeTrouble } from "./snapshot-trouble.ts";
import type { Trouble } from "./snapshot-trouble.ts";

export interface Ingest {
  readonly do: "ingest";
  readonly rows: readonly TestRow[];
  readonly damage: Damage | null;
}

/** Reads all of both kernels; what a run has once given, it gives again. */
export interface Dump {
  readonly do: "dump";
  readonly windowChunkBytesMax: number;
  readonly runChunkBytesMax: number;
}

/** The sequence goes on with new kernels; when only one is, a restored one is compared with one that never was. */
export interface DumpAndRestore {
  readonly do: "dump and restore";
  readonly windowChunkBytesMax: number;
  readonly runChunkBytesMax: number;
  readonly whose: "the kernel" | "the reference" | "both";
  /** From the other's rows: either reads what the other wrote. */
  readonly fromOther: boolean;
  /** The order of the rows follows from it. */
  readonly orderSeed: number;
  /** What is given to new kernels first. */
  readonly trouble: Trouble | null;
}

export type Operation =
  | Ingest
  | { readonly do: "close"; readonly request: CloseRequest }
  | { readonly do: "emit early"; readonly request: EarlyRequest }
  | { readonly do: "top"; readonly requests: readonly TopRequest[] }
  | Dump
  | DumpAndRestore
  /** Takes all rows out; then blocks that were refused for want of memory must be taken. */
  | { readonly do: "drain"; readonly how: "close"; readonly request: CloseRequest }
  | { readonly do: "drain"; readonly how: "emit early"; readonly request: EarlyRequest };

export interface Sequence {
  /** With a bytesMax of its own, blocks may find no memory. */
  readonly limits: Partial<KernelLimits>;
  readonly operations: readonly Operation[];
}

const OPERATIONS_MAX = 35;
const PAGE_BYTES = 65_536;
/** 20 pages of static areas (a block, its row index, the orders of pages) and one for the rest. */
const MEMORY_PAGES_MIN = 21;
/** A page takes 32 windows of few rows, or a thousand rows of one window. */
const FREE_PAGES = [0, 1, 2, 3, 4, 6, 9, 14, 24] as const;
/** Sequence and seed are the two halves of the generator's seed. */
export const SEED_MAX = 1_000_000;

export function makeSequence(seed: number, sequence: number): Sequence {
  const random = new Random(seed * 2 ** 32 + sequence);
  const limits = random.chance(0.25) ? littleMemory(random) : ownLimits(random);
  const hasLittleMemory = limits.bytesMax !== undefined;
  const makeOperation = operationMaker(random, limits, hasLittleMemory);
  const length = random.whole(hasLittleMemory ? OPERATIONS_MAX / 5 : 1, OPERATIONS_MAX);
  const operations = Array.from({ length }, makeOperation);
  return {
    limits,
    operations: [...operations, { do: "drain", how: "close", request: closeEverything() }],
  };
}

/**
 * Without sliding windows, all can be compared even when memory runs out. With them, a kernel without
 * memory counts clicks as untracked that the reference tracks.
 */
function littleMemory(random: Random): Partial<KernelLimits> {
  return {
    bytesMax: (MEMORY_PAGES_MIN + random.pick(FREE_PAGES)) * PAGE_BYTES,
    slidingWindows: random.chance(0.8) ? [] : random.pick([[1], [1, 5, 15, 60]]),
  };
}

function ownLimits(random: Random): Partial<KernelLimits> {
  const slidingWindows = random.pick([
    [1, 5, 15, 60],
    [1, 5, 15, 60],
    [1, 2, 3],
    [1],
    [2, 1_440],
    [],
  ]);
  return {
    slidingWindows,
    ...(random.chance(0.3) && { adsMax: random.pick([1, 3, 20, 150]) }),
    ...(random.chance(0.25) && { runRowsMax: random.pick([1, 10, 100, 1_000]) }),
    ...(random.chance(0.25) && { keysMax: random.pick([1, 10, 100, 1_000]) }),
    ...(random.chance(0.25) && { windowsMax: random.pick([1, 2, 5, 20]) }),
  };
}

function operationMaker(
  random: Random,
  limits: Partial<KernelLimits>,
  hasLittleMemory: boolean,
): () => Operation {
  const pace = random.pick<Pace>(
    hasLittleMemory
      ? ["minute by minute", "jumps", "jumps", "everything", "everything"]
      : [
          "minute by minute",
          "minute by minute",
          "minute by minute",
          "jumps",
          "jumps",
          "everything",
        ],
  );
  const windowCount = random.pick([1, 3, 8, 60, 60, hasLittleMemory ? 400 : 2_000]);
  const rowsMax = random.pick(hasLittleMemory ? [70, 700, 2_000] : [4, 70, 70, 700]);
  const course = makeCourse(random, pace, windowCount);
  const makeRows = rowsMaker(random, rowsMax, course.window);
  const slidingWindows = limits.slidingWindows ?? [];
  // Without memory a kernel knows fewer ads than the reference, so that neither can go on from the other's runs.
  const restores = !hasLittleMemory || slidingWindows.length === 0;
  const topShare = random.pick([0.1, 0.2, 0.4]);
  const restoreShare = random.pick([0.03, 0.1, 0.3]);

  return () => {
    if (random.chance(pace === "minute by minute" ? 0.3 : 0.2)) {
      return { do: "close", request: course.close() };
    }
    if (random.chance(0.08)) return { do: "emit early", request: course.emitEarly() };
    if (random.chance(hasLittleMemory ? 0.1 : 0.02)) return drain(random, pace, course);
    const topPossible = slidingWindows.length > 0 && course.boundary() <= TOP_BOUNDARY_MAX;
    if (topPossible && random.chance(topShare)) {
      const some = random.chance(0.4) ? [random.pick(slidingWindows)] : slidingWindows;
      return { do: "top", requests: some.map((windows) => makeTop(random, windows)) };
    }
    if (random.chance(0.04)) return { do: "dump", ...chunkLimits(random) };
    if (restores && random.chance(restoreShare)) return makeRestore(random, hasLittleMemory);
    return {
      do: "ingest",
      rows: makeRows(),
      damage: random.chance(0.25) ? makeDamage(random) : null,
    };
  };
}

/** By closing, nothing is left that is not closed; by early deltas, the sequence can go on as before. */
function drain(random: Random, pace: Pace, course: Course): Operation {
  if (pace === "everything" && random.chance(0.5)) {
    return { do: "drain", how: "close", request: course.closeAll() };
  }
  return { do: "drain", how: "emit early", request: course.emitEarly() };
}

function makeTop(random: Random, windows: number): TopRequest {
  const count = random.pick([1, 2, 10, 100, TOP_COUNT_MAX, random.whole(1, TOP_COUNT_MAX)]);
  return { windows, count, unit: makeUnit(random) };
}

function makeRestore(random: Random, hasLittleMemory: boolean): DumpAndRestore {
  return {
    do: "dump and restore",
    ...chunkLimits(random),
    whose: random.pick(["the kernel", "the reference", "both", "both"]),
    fromOther: random.chance(0.3),
    orderSeed: random.whole(0, 2 ** 31),
    // Memory may run out in one kernel before the fault is found, which is no difference to look for.
    trouble: !hasLittleMemory && random.chance(0.6) ? makeTrouble(random) : null,
  };
}

function chunkLimits(random: Random) {
  const bytesMax = (rowBytesMax: number) =>
    random.chance(0.2)
      ? BLOCK_BODY_BYTES_MAX
      : random.whole(rowBytesMax, rowBytesMax + random.pick([0, 300, 5_000, 100_000]));
  return {
    windowChunkBytesMax: bytesMax(WINDOW_ROW_BYTES_MAX),
    runChunkBytesMax: bytesMax(RUN_ROW_BYTES_MAX),
  };
}
