/** Faults in sliding windows, top lists and limits. */
import type { EarlyRequest, Kernel } from "../../../wasm/kernel.ts";
import type { Breaker } from "./breaker.ts";
import { knownRuns, RIGHT_PARTS, runsWithin, withLists } from "./plain-list.ts";
import type { KnownRun } from "./plain-list.ts";
import type { RunRow } from "./places.ts";

export const LIST_BREAKERS: Readonly<Record<string, Breaker>> = {
  "forgets late deltas in sliding windows": (good) =>
    withLists(good, {
      runs: (runs, state, last) =>
        RIGHT_PARTS.runs(runs, state, last).filter((run) => firstOfWindow(runs, run)),
    }),

  "subtracts a window from sliding windows one close too early": (good) =>
    withLists(good, { runs: (runs, state, last) => runsWithin(runs, state, last - 1) }),

  "subtracts a window from sliding windows one close too late": (good) =>
    withLists(good, { runs: (runs, state, last) => runsWithin(runs, state, last + 1) }),

  "counts windows in sliding windows before they are closed": (good) =>
    withLists(good, {
      runs: (runs, { closedThroughSeconds, windowSeconds }, last) =>
        runs.filter((run) => run.windowStartSeconds >= closedThroughSeconds - last * windowSeconds),
    }),

  "counts early deltas twice in sliding windows": (good) => {
    const early = new EarlyRuns(good);
    return early.kernel({
      runs: (runs, state, last) =>
        RIGHT_PARTS.runs(runs, state, last).flatMap((run) =>
          early.numbers.has(run.number) ? [run, run] : [run],
        ),
    });
  },

  "leaves early deltas out of sliding windows": (good) => {
    const early = new EarlyRuns(good);
    return early.kernel({
      runs: (runs, state, last) =>
        RIGHT_PARTS.runs(runs, state, last).filter((run) => !early.numbers.has(run.number)),
    });
  },

  "loses one run in 50 from sliding windows": (good) =>
    withLists(good, {
      runs: (runs, state, last) =>
        RIGHT_PARTS.runs(runs, state, last).filter((run) => run.number % 50 > 0),
    }),

  "keeps sliding windows when the window size changes": (good) => {
    let dropped: KnownRun[] = [];
    const remember = (request: EarlyRequest) => {
      const changes = request.windowSeconds !== good.state().windowSeconds;
      if (changes) dropped = [...dropped, ...knownRuns(good)];
    };
    return {
      ...withLists(good, {
        runs: (runs, state, last) => RIGHT_PARTS.runs([...dropped, ...runs], state, last),
      }),
      close(request) {
        remember(request);
        return good.close(request);
      },
      emitEarly(request) {
        remember(request);
        return good.emitEarly(request);
      },
    };
  },

  "lists ads of equal counts the other way round": (good) =>
    withLists(good, {
      order: (a, b) => b.clicks - a.clicks || Buffer.compare(b.adId, a.adId),
    }),

  "lists a longer id before the one that it begins with": (good) =>
    withLists(good, {
      order(a, b) {
        const shared = Math.min(a.adId.length, b.adId.length);
        const byShared = Buffer.compare(a.adId.subarray(0, shared), b.adId.subarray(0, shared));
        return b.clicks - a.clicks || byShared || b.adId.length - a.adId.length;
      },
    }),

  "takes bytes of ids for signed numbers": (good) =>
    withLists(good, {
      order: (a, b) => b.clicks - a.clicks || compareSigned(a, b),
    }),

  "compares clicks of ads in 32 bits": (good) =>
    withLists(good, {
      order: (a, b) => (b.clicks >>> 0) - (a.clicks >>> 0) || Buffer.compare(a.adId, b.adId),
    }),

  "drops the last ad of a full list": (good) =>
    withLists(good, {
      cut: (ads, count) => ads.slice(0, ads.length < count ? count : count - 1),
    }),

  "is off by one in ranks from the tenth on": (good) =>
    withLists(good, { rank: (index) => (index < 9 ? index + 1 : index + 2) }),

  "forgets untracked clicks in lists": (good) => withLists(good, { untrackedClicks: () => 0 }),

  "forgets untracked clicks of late deltas": (good) =>
    withLists(good, {
      untrackedClicks: (runs) =>
        RIGHT_PARTS.untrackedClicks(runs.filter((run) => firstOfWindow(runs, run))),
    }),

  "tracks an ad more than its limit": (_, limits, makeGood) =>
    makeGood({ ...limits, adsMax: limits.adsMax + 1 }),

  "tracks a row more than its limit": (_, limits, makeGood) =>
    makeGood({ ...limits, runRowsMax: limits.runRowsMax + 1 }),

  "is over its limit when it has as many keys": (good, limits) => ({
    ...good,
    isOverLimit: () => good.isOverLimit() || good.rowCount() === limits.keysMax,
  }),

  "is over its limit when it has as many windows": (good, limits) => ({
    ...good,
    isOverLimit: () => good.isOverLimit() || good.windows().length === limits.windowsMax,
  }),

  "is never over its limit for windows": (good, limits) => ({
    ...good,
    isOverLimit: () => good.rowCount() > limits.keysMax,
  }),
};

/** Runs that early emissions made: all others are of a close. */
class EarlyRuns {
  readonly numbers = new Set<number>();
  readonly #good: Kernel;

  constructor(good: Kernel) {
    this.#good = good;
  }

  kernel(parts: Parameters<typeof withLists>[1]): Kernel {
    const good = this.#good;
    return {
      ...withLists(good, parts),
      emitEarly: (request) => {
        const { runsMade } = good.state();
        const chunks = good.emitEarly(request);
        for (let run = runsMade + 1; run <= good.state().runsMade; run++) this.numbers.add(run);
        return chunks;
      },
    };
  }
}

function firstOfWindow(runs: readonly KnownRun[], run: KnownRun): boolean {
  return runs.find((other) => other.windowStartSeconds === run.windowStartSeconds) === run;
}

function compareSigned(a: RunRow, b: RunRow): number {
  const [bytesA, bytesB] = [Int8Array.from(a.adId), Int8Array.from(b.adId)];
  const at = bytesA.findIndex((byte, i) => byte !== bytesB[i]);
  if (at < 0 || at >= bytesB.length) return bytesA.length - bytesB.length;
  return bytesA[at]! - bytesB[at]!;
}
