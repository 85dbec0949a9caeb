/**
 * A top list made of nothing but a kernel's state and dumped runs, in parts that can each be replaced:
 * a fault planted here is one that only lists show.
 */
import type { Kernel, KernelState, TopList, RunFacts, TopRequest } from "../../../wasm/kernel.ts";
import { BLOCK_BODY_BYTES_MAX } from "../../../wire/limits.ts";
import {
  reserve,
  writeBytes,
  writeI64,
  writer,
  writeString,
  writeU16,
  writeU32,
  written,
} from "../../../wire/cursor.ts";
import { TOP_BYTES_MAX, topTail } from "../../../wire/top.ts";
import { runRows } from "./places.ts";
import type { RunRow } from "./places.ts";

export interface KnownRun extends RunFacts {
  readonly ads: readonly RunRow[];
}

export interface ListParts {
  /** The runs that the list is over. */
  readonly runs: (runs: readonly KnownRun[], state: KernelState, last: number) => KnownRun[];
  readonly order: (a: RunRow, b: RunRow) => number;
  readonly cut: (ads: readonly RunRow[], count: number) => readonly RunRow[];
  readonly rank: (index: number) => number;
  readonly untrackedClicks: (runs: readonly KnownRun[]) => number;
}

/** Nothing is broken. */
export const RIGHT_PARTS: ListParts = {
  runs: (runs, state, last) => runsWithin(runs, state, last),
  order: (a, b) => b.clicks - a.clicks || Buffer.compare(a.adId, b.adId),
  cut: (ads, count) => ads.slice(0, count),
  rank: (index) => index + 1,
  untrackedClicks: (runs) => runs.reduce((sum, run) => sum + run.untrackedClicks, 0),
};

/** Runs of closed windows, of the last `reach` of them; by the interface reach is the list's own number. */
export function runsWithin(
  runs: readonly KnownRun[],
  { closedThroughSeconds, windowSeconds }: KernelState,
  reach: number,
): KnownRun[] {
  return runs.filter(
    ({ windowStartSeconds: start }) =>
      start + windowSeconds <= closedThroughSeconds &&
      start >= closedThroughSeconds - reach * windowSeconds,
  );
}

/** The kernel with lists made of these parts. */
export function withLists(good: Kernel, over: Partial<ListParts>): Kernel {
  const parts = { ...RIGHT_PARTS, ...over };
  return { ...good, top: (request) => plainList(good, request, parts) };
}

/** All of a kernel's runs with their rows. */
export function knownRuns(kernel: Kernel): KnownRun[] {
  return kernel.state().runs.map((run) => ({
    ...run,
    ads: kernel.dumpRun(run.number, BLOCK_BODY_BYTES_MAX).flatMap(({ body }) => runRows(body)),
  }));
}

/** A list as `top` gives it; with the right parts it is the one that `top` gives. */
export function plainList(kernel: Kernel, request: TopRequest, parts = RIGHT_PARTS): TopList {
  const state = kernel.state();
  const runs = parts.runs(knownRuns(kernel), state, request.windows);
  const listed = parts.cut(sums(runs).toSorted(parts.order), request.count);
  const untrackedClicks = parts.untrackedClicks(runs);
  const tail = topTail(request.unit);
  const c = writer();
  for (const [index, { adId, clicks }] of listed.entries()) {
    reserve(c, TOP_BYTES_MAX);
    writeU32(c, state.closedThroughSeconds);
    writeU16(c, request.windows);
    writeU16(c, parts.rank(index));
    writeString(c, adId);
    writeI64(c, clicks);
    writeI64(c, untrackedClicks);
    writeBytes(c, tail);
  }
  const clicks = listed.reduce((sum, ad) => sum + ad.clicks, 0);
  return { rows: listed.length, clicks, body: written(c).slice(), untrackedClicks };
}

function sums(runs: readonly KnownRun[]): RunRow[] {
  const byName = new Map<string, RunRow>();
  for (const { adId, clicks } of runs.flatMap((run) => run.ads)) {
    const name = Buffer.from(adId).toString("latin1");
    byName.set(name, { adId, clicks: clicks + (byName.get(name)?.clicks ?? 0) });
  }
  return [...byName.values()];
}
