/** What the contenders in this process's language have in common. */
import { setTimeout } from "node:timers/promises";
import type { PartialBlock } from "./case-blocks.ts";
import type { TallyMaker } from "./tally.ts";

export interface GroupBy {
  /** Adds a block's rows; throws when a row is broken. */
  add(block: PartialBlock): void;
  /** Tells every key and its clicks; not on the clock. The group-by is of no use afterwards. */
  tell(tally: TallyMaker): void;
}

/**
 * A process groups a case so many times, and is compared in the last pass. Compilers and memory that has
 * never been used make the first ones slower: the kernel's got faster until the fourth or fifth (118, 109,
 * 107, 103, 101, 101 ms in one run of the second case), and a process that runs for days is there.
 */
export const PASSES = 5;

export interface Clocked<T> {
  readonly seconds: number;
  readonly result: T;
}

export function clocked<T>(work: () => T): Clocked<T> {
  const startMs = performance.now();
  const result = work();
  return { seconds: (performance.now() - startMs) / 1_000, result };
}

/** Compilers and the collector work in the background; when they have ended, nothing says. */
const SETTLE_MS = 200;

/**
 * Between what is timed: code is compiled, garbage is gone. Needs --expose-gc. Its memory is given back in the
 * background, too, after the call: a pass right behind it was 2 % slower.
 */
export async function settle(): Promise<void> {
  globalThis.gc!();
  await setTimeout(SETTLE_MS);
}
