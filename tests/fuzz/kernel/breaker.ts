/** How a fault is planted around a good kernel. */
import type { Kernel } from "../../../wasm/kernel.ts";
import type { KernelLimits } from "../../../wasm/limits.ts";
import type { KernelMaker } from "./compare.ts";

/**
 * @param good new and empty; what is not broken is left to it
 * @param limits those that it was made with
 * @param makeGood for a fault that needs a good kernel with other limits
 */
export type Breaker = (good: Kernel, limits: KernelLimits, makeGood: KernelMaker) => Kernel;

/** True for every `count`th call. */
export function oneIn(count: number): () => boolean {
  let calls = 0;
  return () => ++calls % count === 0;
}
