/**
 * Writes the rows of windows into the transfer area, in canonical order, chunk by chunk: result rows
 * (wire/result.ts) of windows that leave, or snapshot rows (wire/snapshot.ts) of windows that stay. It
 * takes no memory, so it cannot fail; what the runs of sliding windows take (runs.ts), they can do without.
 */
import { ORIGIN_LATE, ORIGIN_ON_TIME, RESULT_TAIL_BYTES_MAX } from "./constants.generated";
import { releaseRows } from "./ingest";
import { copyBytes } from "./keys";
import { transfer } from "./memory";
import { addBatch, advance, beginRun, endRun, slide } from "./runs";
import {
  beginRows,
  nextRows,
  SORTED_CLICKS,
  SORTED_KEY_BYTES,
  SORTED_ROW_LOG2,
  sortedBatch,
} from "./sorted-rows";
import {
  dropFirstWindows,
  giveArena,
  giveTable,
  WINDOW_CLICKS,
  WINDOW_ROWS,
  windowAt,
  windowCount,
} from "./windows";

/** What ends every row of the next chunk: origin, then the bytes that the host puts there; slack for copies by words. */
const rowEnd: usize = memory.data(128);
export const tail: usize = rowEnd + 1;

/** What `beginClose` promises, and what the last chunk holds: for the host to compare. */
export let closingRows: u64 = 0;
export let closingClicks: u64 = 0;
export let chunkRows: u32 = 0;
export let chunkClicks: u64 = 0;

/** The windows at hand are the first `closingCount` of the directory; `closingNext` is the next of them. */
let closingCount: u32 = 0;
let closingNext: u32 = 0;
let staying: bool = false;
let windowSecondsNow: u64 = 0;
let lateThroughNow: u64 = 0;

/** The window whose rows are being written, 0 for none, and its batch at hand. */
let current: usize = 0;
let batchCount: u32 = 0;
let batchNext: u32 = 0;

/** Chooses the windows to close: those that end at or before `closedThrough`, or all. */
export function beginClose(
  closedThrough: u64,
  lateThrough: u64,
  windowSeconds: u64,
  all: bool,
): void {
  advance(closedThrough, windowSeconds);
  windowSecondsNow = windowSeconds;
  lateThroughNow = lateThrough;
  let count: u32 = 0;
  while (count < windowCount) {
    if (!all && (load<u32>(windowAt(count)) as u64) + windowSeconds > closedThrough) break;
    count++;
  }
  begin(count, false);
}

/** Chooses all windows, which stay as they are. */
export function beginDump(): void {
  begin(windowCount, true);
}

function begin(count: u32, stay: bool): void {
  closingCount = count;
  closingNext = 0;
  staying = stay;
  closingRows = 0;
  closingClicks = 0;
  for (let i: u32 = 0; i < count; i++) {
    closingRows += load<u32>(windowAt(i), WINDOW_ROWS);
    closingClicks += load<u64>(windowAt(i), WINDOW_CLICKS);
  }
}

/**
 * Fills the transfer area with rows of the windows at hand while they fit `bytesMax`; rows of windows
 * that leave end with the `tailBytes` at `tail`. Returns the chunk's bytes; 0 when all is written.
 */
export function writeChunk(tailBytes: u32, bytesMax: u32): u32 {
  if (tailBytes > RESULT_TAIL_BYTES_MAX) unreachable();
  const rowEndBytes = staying ? 0 : 1 + tailBytes;
  const end = transfer + bytesMax;
  let at = transfer;
  let rows: u32 = 0;
  let clicksSum: u64 = 0;
  while (batchNext < batchCount || nextBatch()) {
    const start = load<u32>(current);
    let row = batchNext;
    for (; row < batchCount; row++) {
      const from = sortedBatch + (row << SORTED_ROW_LOG2);
      const keyBytes = load<u32>(from, SORTED_KEY_BYTES);
      if (at + 4 + keyBytes + 8 + rowEndBytes > end) break;
      const clicks = load<u64>(from, SORTED_CLICKS);
      store<u32>(at, start);
      copyBytes(at + 4, load<u32>(from), keyBytes);
      at += 4 + keyBytes;
      store<u64>(at, clicks);
      copyBytes(at + 8, rowEnd, rowEndBytes);
      at += 8 + rowEndBytes;
      rows++;
      clicksSum += clicks;
    }
    batchNext = row;
    if (row < batchCount) break;
  }
  chunkRows = rows;
  chunkClicks = clicksSum;
  return (at - transfer) as u32;
}

/** The next rows, of the window at hand or of those behind it; false when there are none. */
function nextBatch(): bool {
  batchNext = 0;
  batchCount = 0;
  while (true) {
    if (current != 0) {
      batchCount = nextRows();
      if (batchCount > 0) {
        if (!staying) addBatch(batchCount);
        return true;
      }
      if (!staying) letGo(current);
      current = 0;
    }
    if (closingNext == closingCount) {
      endClose();
      return false;
    }
    current = windowAt(closingNext++);
    const start = load<u32>(current);
    const isLate = (start as u64) + windowSecondsNow <= lateThroughNow;
    store<u8>(rowEnd, (isLate ? ORIGIN_LATE : ORIGIN_ON_TIME) as u8);
    if (!staying) beginRun(start);
    beginRows(current);
  }
}

function letGo(window: usize): void {
  releaseRows(load<u32>(window, WINDOW_ROWS));
  giveTable(window);
  giveArena(window);
  endRun(window, load<u32>(window));
}

function endClose(): void {
  if (!staying) {
    slide();
    dropFirstWindows(closingCount);
  }
  closingCount = 0;
  closingNext = 0;
}
