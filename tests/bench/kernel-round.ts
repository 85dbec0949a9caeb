/**
 * One round of the kernel: the passes of every contender, then what only it can do. Results are
 * compared on the way; what is wrong goes into the outcome's faults.
 */
import { SLIDING_WINDOWS, TOP_COUNT_MAX } from "../../wasm/limits.ts";
import type { Kernel, RowChunk } from "../../wasm/kernel.ts";
import type { PartialBlock } from "./case-blocks.ts";
import { CASE_END_SECONDS } from "./cases.ts";
import { expectedTop, topFaults } from "./expected-top.ts";
import { clocked, PASSES } from "./group-by.ts";
import {
  closeThrough,
  digestOf,
  dumpRun,
  dumpWindows,
  ingestAll,
  restore,
  rowsOf,
  tellChunks,
  topOf,
} from "./kernel-work.ts";
import type { CreateKernel, MeasuredKernel } from "./kernel-work.ts";
import type { KernelOutcome, RoundOutcome } from "./round.ts";
import { TallyMaker } from "./tally.ts";

const LONGEST_WINDOWS = SLIDING_WINDOWS.at(-1)!;

/**
 * The runs of every pass stay in the kernel, so now and then a pass needs memory that no one before it has
 * used (of the last case, the fifth: 33 MB, a tenth of its time). It is not what is compared: the pass is done again.
 */
export const PASSES_MAX = 2 * PASSES;
/** 1 MiB: less than a hundredth of a pass's time. */
const FRESH_PAGES_MAX = 256;

/** @param settle called between what is timed */
export async function kernelRound(
  blocks: readonly PartialBlock[],
  create: CreateKernel,
  settle: () => Promise<void>,
): Promise<RoundOutcome> {
  await settle();
  const { digest, ...outcome } = await withSlidingWindows(blocks, create, settle);
  await settle();
  const counts = await withoutSlidingWindows(blocks, create, settle);
  const faults = [...outcome.kernel.faults];
  if (counts.digest !== digest) faults.push("without sliding windows it closes to other bytes");
  const { ingestCountsSeconds, closeCountsSeconds } = counts;
  return {
    ...outcome,
    kernel: { ...outcome.kernel, ingestCountsSeconds, closeCountsSeconds, faults },
  };
}

/** A kernel with the limits it has unless given others. Chunks are held in calls that end: a case's rows are in memory several times. */
async function withSlidingWindows(
  blocks: readonly PartialBlock[],
  create: CreateKernel,
  settle: () => Promise<void>,
): Promise<
  Omit<RoundOutcome, "kernel"> & {
    readonly digest: string;
    readonly kernel: Omit<KernelOutcome, "ingestCountsSeconds" | "closeCountsSeconds">;
  }
> {
  const kernel = create();
  const first = clocked(() => ingestAll(kernel, blocks));
  // Before anything is dumped: what open windows take, the area for sorting included.
  const memoryBytes = kernel.figures().linearMemoryBytes;
  useOnce(kernel);
  for (let pass = 2; pass < PASSES; pass++) {
    ingestAll(kernel, blocks);
    closeThrough(kernel, CASE_END_SECONDS);
  }
  const last = await lastPass(kernel, blocks, settle);
  await settle();
  const restored = await dumpAndRestore(kernel, create, settle);
  await settle();
  const closing = closeAndTally(kernel, last.passes);
  await settle();
  const top = clocked(() => topOf(kernel, LONGEST_WINDOWS));
  const run = kernel.state().runsMade;
  const dumpingRun = clocked(() => dumpRun(kernel, run));
  const { runBytes, runRows } = kernel.figures();
  const faults = topFaults(top.result, {
    windows: LONGEST_WINDOWS,
    windowEndSeconds: CASE_END_SECONDS,
    ads: closing.topAds,
  });
  if (restored.digest !== closing.digest) faults.push("restored, it closes to other bytes");
  if (restored.topDigest !== digestOf([top.result])) faults.push("restored, it has another top");
  return {
    firstSeconds: first.seconds,
    seconds: last.seconds,
    tally: closing.tally,
    digest: closing.digest,
    kernel: {
      memoryBytes,
      dumpSeconds: restored.dumpSeconds,
      restoreSeconds: restored.seconds,
      restoredRows: restored.rows,
      closeSeconds: closing.seconds,
      topSeconds: top.seconds,
      dumpRunSeconds: dumpingRun.seconds,
      dumpedRunRows: rowsOf(dumpingRun.result),
      passes: last.passes,
      runBytes,
      runRows,
      faults,
    },
  };
}

/** The pass that is compared, and how many there were with it. Its windows are left open. */
async function lastPass(
  kernel: MeasuredKernel,
  blocks: readonly PartialBlock[],
  settle: () => Promise<void>,
): Promise<{ readonly seconds: number; readonly passes: number }> {
  for (let passes = PASSES; ; passes++) {
    // One after the other: each finds what the one before has left.
    // oxlint-disable-next-line no-await-in-loop
    await settle();
    const pages = pagesTouched();
    const { seconds } = clocked(() => ingestAll(kernel, blocks));
    if (pagesTouched() - pages <= FRESH_PAGES_MAX || passes === PASSES_MAX)
      return { seconds, passes };
    closeThrough(kernel, CASE_END_SECONDS);
  }
}

/** Of memory that was touched for the first time: the process's page faults that need no disk. */
function pagesTouched(): number {
  return process.resourceUsage().minorPageFault;
}

/** Off the clock: a process that runs for days has done all of it before, and its code is compiled. */
function useOnce(kernel: Kernel): void {
  dumpWindows(kernel);
  closeThrough(kernel, CASE_END_SECONDS);
  for (const windows of SLIDING_WINDOWS) topOf(kernel, windows);
  for (const { number } of kernel.state().runs) dumpRun(kernel, number);
}

/** Dumps the kernel, restores another one from it, and asks that one for what the dumped one will give. */
async function dumpAndRestore(kernel: Kernel, create: CreateKernel, settle: () => Promise<void>) {
  const state = kernel.state();
  const dumping = clocked(() => dumpWindows(kernel));
  // A run is dumped when it has been made, and never again.
  const runs = new Map(state.runs.map(({ number }) => [number, dumpRun(kernel, number)]));
  await settle();
  const restored = create();
  const { seconds } = clocked(() => restore(restored, { state, windows: dumping.result, runs }));
  return {
    dumpSeconds: dumping.seconds,
    seconds,
    rows: rowsOf(dumping.result) + [...runs.values()].reduce((sum, run) => sum + rowsOf(run), 0),
    digest: digestOf(closeThrough(restored, CASE_END_SECONDS)),
    topDigest: digestOf([topOf(restored, LONGEST_WINDOWS)]),
  };
}

function closeAndTally(kernel: Kernel, passes: number) {
  const { seconds, result } = clocked(() => closeThrough(kernel, CASE_END_SECONDS));
  const tally = new TallyMaker();
  tellChunks(result, (...row) => tally.add(...row));
  return {
    seconds,
    digest: digestOf(result),
    tally: tally.finish(),
    topAds: topAdsOf(result, passes),
  };
}

/** What the longest list must be after all passes (each brings every row again, late), from one pass's rows. */
function topAdsOf(chunks: readonly RowChunk[], passes: number) {
  const adOf = new Map<string, number>();
  const clicks: number[] = [];
  tellChunks(chunks, (body, key, _windowStartSeconds, rowClicks) => {
    const bytes = Buffer.from(body.buffer, body.byteOffset + key + 1, body[key]);
    const id = bytes.toString("latin1");
    let ad = adOf.get(id);
    if (ad === undefined) {
      ad = clicks.push(0) - 1;
      adOf.set(id, ad);
    }
    clicks[ad]! += rowClicks * passes;
  });
  const ids = [...adOf.keys()];
  return expectedTop(Float64Array.from(clicks), (ad) => ids[ad]!, TOP_COUNT_MAX);
}

/** A kernel that sorts and encodes at a close, and nothing else. */
async function withoutSlidingWindows(
  blocks: readonly PartialBlock[],
  create: CreateKernel,
  settle: () => Promise<void>,
) {
  const kernel = create({ slidingWindows: [] });
  for (let pass = 1; pass < PASSES; pass++) {
    ingestAll(kernel, blocks);
    closeThrough(kernel, CASE_END_SECONDS);
  }
  await settle();
  const ingesting = clocked(() => ingestAll(kernel, blocks));
  await settle();
  const closing = clocked(() => closeThrough(kernel, CASE_END_SECONDS));
  return {
    ingestCountsSeconds: ingesting.seconds,
    closeCountsSeconds: closing.seconds,
    digest: digestOf(closing.result),
  };
}
