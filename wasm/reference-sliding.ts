/** The reference kernel's sliding windows: nothing is kept but the runs, every sum is made anew. */
import type { RunFacts } from "./kernel.ts";
import type { KernelLimits } from "./limits.ts";
import { adIdOf, nameOf } from "./reference-rows.ts";
import type { AdRow, WindowRow } from "./reference-rows.ts";

export interface Run {
  readonly number: number;
  readonly windowStartSeconds: number;
  /** By the ad's name. */
  readonly ads: ReadonlyMap<string, AdRow>;
  readonly untrackedClicks: number;
}

/**
 * The run of what leaves a window.
 *
 * @param rows in canonical order: the order in which ads get the places that are left
 * @param kept all other runs
 */
export function makeRun(
  number: number,
  windowStartSeconds: number,
  rows: readonly WindowRow[],
  kept: readonly Run[],
  limits: KernelLimits,
): Run {
  const standing = new Set(kept.flatMap((run) => [...run.ads.keys()]));
  const keptRows = sum(kept.map((run) => run.ads.size));
  const ads = new Map<string, AdRow>();
  let untrackedClicks = 0;
  for (const row of rows) {
    const adId = adIdOf(row.key);
    const name = nameOf(adId);
    const before = ads.get(name);
    const hasPlace =
      before !== undefined ||
      (keptRows + ads.size < limits.runRowsMax &&
        (standing.has(name) || standing.size < limits.adsMax));
    if (hasPlace) {
      standing.add(name);
      ads.set(name, { adId, clicks: (before?.clicks ?? 0) + row.clicks });
    } else {
      untrackedClicks += row.clicks;
    }
  }
  return { number, windowStartSeconds, ads, untrackedClicks };
}

export function runFacts(run: Run): RunFacts {
  return {
    number: run.number,
    windowStartSeconds: run.windowStartSeconds,
    rows: run.ads.size,
    clicks: sum([...run.ads.values()].map((ad) => ad.clicks)),
    untrackedClicks: run.untrackedClicks,
  };
}

/** The ads of these runs, most clicks first, then in the order of their ids' bytes. */
export function sumOf(runs: readonly Run[]): { ads: AdRow[]; untrackedClicks: number } {
  const sums = new Map<string, AdRow>();
  for (const run of runs) {
    for (const [name, { adId, clicks }] of run.ads) {
      sums.set(name, { adId, clicks: (sums.get(name)?.clicks ?? 0) + clicks });
    }
  }
  return {
    ads: [...sums.values()].toSorted(
      (a, b) => b.clicks - a.clicks || Buffer.compare(a.adId, b.adId),
    ),
    untrackedClicks: sum(runs.map((run) => run.untrackedClicks)),
  };
}

export function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0);
}
