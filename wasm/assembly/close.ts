/**
 * Closes windows: sorts one at a time into canonical order and writes its rows as result rows
 * (wire/result.ts) into the transfer area, chunk by chunk. It takes no memory, so it cannot fail.
 */
import { ORIGIN_LATE, ORIGIN_ON_TIME, RESULT_TAIL_BYTES_MAX } from "./constants.generated";
import { releaseRows } from "./ingest";
import { keyHash } from "./key-hash";
import { copyKey, keyBefore, keyLength } from "./keys";
import { transfer } from "./memory";
import {
  dropFirstWindows,
  ENTRY_BYTES,
  ENTRY_CLICKS,
  ENTRY_KEY,
  giveTable,
  giveWindow,
  sortArea,
  WINDOW_CLICKS,
  WINDOW_MASK,
  WINDOW_ROWS,
  WINDOW_TABLE,
  windowAt,
  windowCount,
} from "./windows";

/** Rows are first dealt to at most 2^16 buckets: counters of 256 KiB stay in the second-level cache. */
const BUCKET_BITS_MAX: u32 = 16;
const buckets: usize = memory.data(262144);

/** Where the host puts the bytes that end every row of the next chunk; slack for word-wise copies. */
export const tail: usize = memory.data(128);

/** What `beginClose` promises, and what the last chunk holds: for the host to compare. */
export let closingRows: u64 = 0;
export let closingClicks: u64 = 0;
export let chunkRows: u32 = 0;
export let chunkClicks: u64 = 0;

/** The windows being closed are the first `closingCount` of the directory; `closingNext` is not yet sorted. */
let closingCount: u32 = 0;
let closingNext: u32 = 0;
let windowSecondsNow: u64 = 0;
let lateThroughNow: u64 = 0;

/** The window whose rows are being written, 0 for none. */
let current: usize = 0;
let currentOrigin: u32 = 0;
/** Its rows that are still to be written. */
let sortedAt: usize = 0;
let sortedEnd: usize = 0;

/** Chooses the windows to close: those that end at or before `closedThrough`. */
export function beginClose(closedThrough: u64, lateThrough: u64, windowSeconds: u64): void {
  closingCount = 0;
  closingNext = 0;
  closingRows = 0;
  closingClicks = 0;
  windowSecondsNow = windowSeconds;
  lateThroughNow = lateThrough;
  while (closingCount < windowCount) {
    const window = windowAt(closingCount);
    if ((load<u32>(window) as u64) + windowSeconds > closedThrough) break;
    closingRows += load<u32>(window, WINDOW_ROWS);
    closingClicks += load<u64>(window, WINDOW_CLICKS);
    closingCount++;
  }
}

/**
 * Fills the transfer area with rows of the windows being closed while they fit `bytesMax`, each
 * ending with the `tailBytes` at `tail`. Returns the chunk's bytes; 0 when all is written.
 */
export function writeChunk(tailBytes: u32, bytesMax: u32): u32 {
  if (tailBytes > RESULT_TAIL_BYTES_MAX) unreachable();
  const end = transfer + bytesMax;
  let at = transfer;
  chunkRows = 0;
  chunkClicks = 0;
  while (sortedAt < sortedEnd || nextWindow()) {
    const key: usize = load<u32>(sortedAt, ENTRY_KEY);
    const keyBytes = keyLength(key);
    if (at + 4 + keyBytes + 8 + 1 + tailBytes > end) break;
    const clicks = load<u64>(sortedAt, ENTRY_CLICKS);
    store<u32>(at, load<u32>(current));
    copyKey(at + 4, key, keyBytes);
    at += 4 + keyBytes;
    store<u64>(at, clicks);
    store<u8>(at, currentOrigin as u8, 8);
    copyKey(at + 9, tail, tailBytes);
    at += 9 + tailBytes;
    chunkRows++;
    chunkClicks += clicks;
    sortedAt += ENTRY_BYTES;
  }
  return (at - transfer) as u32;
}

/** Lets go of the window that is written, and sorts the next; false when there is none. */
function nextWindow(): bool {
  if (current != 0) giveWindow(current);
  current = 0;
  if (closingNext == closingCount) {
    if (closingCount > 0) dropFirstWindows(closingCount);
    closingCount = 0;
    closingNext = 0;
    return false;
  }
  current = windowAt(closingNext++);
  const end = (load<u32>(current) as u64) + windowSecondsNow;
  currentOrigin = end <= lateThroughNow ? ORIGIN_LATE : ORIGIN_ON_TIME;
  const rows = load<u32>(current, WINDOW_ROWS);
  sort(current, rows);
  giveTable(current);
  releaseRows(rows);
  sortedAt = sortArea;
  sortedEnd = sortArea + rows * ENTRY_BYTES;
  return true;
}

/**
 * Sorts a window's entries into the sort area: by the high bits of the hash into buckets of few
 * rows, then by insertion. The entries' low half of the hash becomes the high half on the way.
 */
function sort(window: usize, rows: u32): void {
  const table: usize = load<u32>(window, WINDOW_TABLE);
  const tableEnd = table + load<u32>(window, WINDOW_MASK) + ENTRY_BYTES;
  const bits = min(max(32 - clz<u32>(rows), 1), BUCKET_BITS_MAX);
  const shift = 32 - bits;
  const bucketsEnd = buckets + ((4 as u32) << bits);
  memory.fill(buckets, 0, bucketsEnd - buckets);
  for (let entry = table; entry < tableEnd; entry += ENTRY_BYTES) {
    const key: usize = load<u32>(entry, ENTRY_KEY);
    if (key == 0) continue;
    const high = (keyHash(key, keyLength(key)) >> 32) as u32;
    store<u32>(entry, high);
    const bucket = buckets + ((high >> shift) << 2);
    store<u32>(bucket, load<u32>(bucket) + ENTRY_BYTES);
  }
  let place = sortArea as u32;
  for (let bucket = buckets; bucket < bucketsEnd; bucket += 4) {
    const bytes = load<u32>(bucket);
    store<u32>(bucket, place);
    place += bytes;
  }
  if (place != (sortArea as u32) + rows * ENTRY_BYTES) unreachable();
  for (let entry = table; entry < tableEnd; entry += ENTRY_BYTES) {
    if (load<u32>(entry, ENTRY_KEY) == 0) continue;
    const bucket = buckets + ((load<u32>(entry) >> shift) << 2);
    const to: usize = load<u32>(bucket);
    store<u32>(bucket, (to as u32) + ENTRY_BYTES);
    store<u64>(to, load<u64>(entry));
    store<u64>(to, load<u64>(entry, 8), 8);
  }
  insertionSort(sortArea, place);
}

function insertionSort(first: usize, end: usize): void {
  for (let at = first + ENTRY_BYTES; at < end; at += ENTRY_BYTES) {
    const head = load<u64>(at);
    const clicks = load<u64>(at, 8);
    let to = at;
    while (to > first && before(head, load<u64>(to - ENTRY_BYTES))) {
      store<u64>(to, load<u64>(to - ENTRY_BYTES));
      store<u64>(to, load<u64>(to - ENTRY_BYTES, 8), 8);
      to -= ENTRY_BYTES;
    }
    store<u64>(to, head);
    store<u64>(to, clicks, 8);
  }
}

/** Canonical order of two entries' first words (high half of the hash, key). */
function before(a: u64, b: u64): bool {
  const highA = a as u32;
  const highB = b as u32;
  if (highA != highB) return highA < highB;
  const keyA = (a >> 32) as usize;
  const keyB = (b >> 32) as usize;
  const lowA = keyHash(keyA, keyLength(keyA)) as u32;
  const lowB = keyHash(keyB, keyLength(keyB)) as u32;
  if (lowA != lowB) return lowA < lowB;
  return keyBefore(keyA, keyB);
}
