/** When requests arrive that know nothing of one another: a Poisson process, never a metronome. */
import type { Random } from "../../traffic/random.ts";

/** Milliseconds from the start, rising, without end. */
export function* poissonArrivals(perSecond: number, random: Random): Generator<number> {
  if (!(perSecond > 0)) throw new Error(`${perSecond} arrivals a second`);
  const meanGapMs = 1_000 / perSecond;
  // 1 − [0, 1) is never 0, so no gap is infinite.
  for (let atMs = 0; ;) yield (atMs -= Math.log(1 - random.next()) * meanGapMs);
}

/** Of values in any order, the least that this share of them does not exceed (nearest rank). */
export function percentile(values: readonly number[], share: number): number {
  if (values.length === 0) throw new Error("a percentile of nothing");
  const sorted = Float64Array.from(values).toSorted();
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]!;
}
