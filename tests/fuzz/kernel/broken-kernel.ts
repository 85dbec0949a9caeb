/** Kernels with one fault each, planted around a good one: a comparison that cannot find them finds nothing. */
import { KERNEL_LIMITS } from "../../../wasm/limits.ts";
import type { Breaker } from "./breaker.ts";
import { COUNT_BREAKERS } from "./broken-counts.ts";
import { compareSequence } from "./compare.ts";
import type { KernelMaker } from "./compare.ts";
import { makeSequence } from "./operations.ts";

export const BREAKERS: Readonly<Record<string, Breaker>> = {
  ...COUNT_BREAKERS,
};

/** Sequences in which each of them must be found: over 10 seeds the hardest takes 93 on average, 247 at most. */
export const CANARY_SEQUENCES_MAX = 1_000;

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
