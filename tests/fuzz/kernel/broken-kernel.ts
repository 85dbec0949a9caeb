/** Kernels with one fault each, planted around a good one: a comparison that cannot find them finds nothing. */
import { KERNEL_LIMITS } from "../../../wasm/limits.ts";
import type { Breaker } from "./breaker.ts";
import { COUNT_BREAKERS } from "./broken-counts.ts";
import { LIST_BREAKERS } from "./broken-lists.ts";
import { SNAPSHOT_BREAKERS } from "./broken-snapshots.ts";
import { compareSequence } from "./compare.ts";
import type { KernelMaker } from "./compare.ts";
import { makeSequence } from "./operations.ts";

export const BREAKERS: Readonly<Record<string, Breaker>> = {
  ...COUNT_BREAKERS,
  ...LIST_BREAKERS,
  ...SNAPSHOT_BREAKERS,
};

/**
 * Sequences in which each of them must be found. Over 20 seeds, with two reference kernels, the hardest
 * (one run in 50 is not restored) takes 113 on average and 327 at most; every other one 76 and 243.
 */
export const CANARY_SEQUENCES_MAX = 2_000;

/** Every kernel that it makes has the fault, so that a restored one has it, too. */
export function brokenMaker(breaker: Breaker, makeKernel: KernelMaker): KernelMaker {
  return (limits) => breaker(makeKernel(limits), { ...KERNEL_LIMITS, ...limits }, makeKernel);
}

/** The number of the first sequence that shows the fault, or null when none of so many does. */
export function sequenceThatCatches(
  breaker: Breaker,
  seed: number,
  makeKernel: KernelMaker,
): number | null {
  const makeBroken = brokenMaker(breaker, makeKernel);
  for (let sequence = 0; sequence < CANARY_SEQUENCES_MAX; sequence++) {
    if (compareSequence(makeSequence(seed, sequence), makeBroken) !== undefined) return sequence;
  }
  return null;
}
