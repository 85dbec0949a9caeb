/** What the host may call and read; wasm/wasm-kernel.ts is the only one that does. */
import { setSumsCount } from "./ads";
import { LAYOUT_VERSION } from "./constants.generated";
import { initializeMemory } from "./memory";
import { addSlidingWindow, setRunLimits } from "./runs";

export { adCount } from "./ads";
export {
  beginClose,
  beginDump,
  chunkClicks,
  chunkRows,
  closingClicks,
  closingRows,
  tail,
  writeChunk,
} from "./close";
export {
  addRunRows,
  beginRunDump,
  checkRunRows,
  runChunkClicks,
  runChunkRows,
  runFaultOffset,
  writeRunChunk,
} from "./dump-run";
export {
  faultOffset,
  ingestBlock,
  ingestedClicks,
  ingestedRows,
  ingestSnapshot,
  lineSteps,
  rowsCounted,
  rowsHeld,
  touched,
} from "./ingest";
export { bytesTaken, transfer } from "./memory";
export {
  boundary,
  findRun,
  memoryIsOut,
  restoreBoundary,
  restoreRun,
  runAfter,
  runBytes,
  runClicks,
  runCount,
  runNumber,
  runRows,
  runRowsOf,
  runsMade,
  runStart,
  runUntracked,
  untrackedForMemory,
  windowSeconds,
} from "./runs";
export { topClicks, topRows, topTail, topUntracked, writeTop } from "./top";
export { promiseRows, tableEntries, windowCount, windowRows, windowStart } from "./windows";

export function layoutVersion(): u32 {
  return LAYOUT_VERSION;
}

/** Once, before anything else but `slidingWindow`; false when the static areas do not fit `memoryPagesMax`. */
export function initialize(memoryPagesMax: u32, adsMax: u32, runRowsMax: u32): bool {
  setRunLimits(adsMax, runRowsMax);
  return initializeMemory(memoryPagesMax);
}

/** Once for each sliding window, ascending, before anything else. */
export function slidingWindow(index: u32, windows: u32): void {
  addSlidingWindow(windows);
  setSumsCount(index + 1);
}
