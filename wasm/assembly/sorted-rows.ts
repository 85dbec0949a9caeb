/**
 * A window's rows in canonical order (key hash, then key), a batch at a time, in no memory but the table.
 *
 * An entry stands in the line where its hash belongs or behind, with no gap between (windows.ts). So the
 * entries between two gaps belong there, before all that stand behind: each such cluster begins with a
 * line and is sorted by itself, where it stands, and the table remains a table. One cluster may go over the table's end into its start:
 * it is sorted as the one piece that it is, and what went over comes last.
 */
import { keyHash } from "./key-hash";
import { keyBefore, keyLength } from "./keys";
import {
  ENTRY_BYTES,
  ENTRY_CLICKS,
  ENTRY_KEY,
  ENTRY_KEY_BYTES_SHIFT,
  LINE_LOG2,
  WINDOW_MASK,
  WINDOW_ROWS,
  WINDOW_SHIFT,
  WINDOW_TABLE,
} from "./windows";

/** Rows that are handed out at a time: enough to cover a cache miss (ingest.ts). */
export const SORTED_BATCH_ROWS: u32 = 32;
/** Addresses of the batch's entries. */
export const sortedBatch: usize = memory.data(128);

/** Exported and never read: it keeps loads that only warm the cache from being optimized away. */
export let warmed: u64 = 0;

const NO_OFFSET: u32 = u32.MAX_VALUE;

let table: usize = 0;
let mask: u32 = 0;
let shift: u32 = 0;
/** Offset of the next entry to look at. */
let at: u32 = 0;
let rowsLeft: u32 = 0;
/** From `at` to here, entries are sorted. */
let sortedUntil: u32 = 0;
/** Where the cluster over the table's end begins, which is sorted first. */
let overEnd: u32 = NO_OFFSET;

/** Starts at the first row of `window`. */
export function beginRows(window: usize): void {
  table = load<u32>(window, WINDOW_TABLE);
  mask = load<u32>(window, WINDOW_MASK);
  shift = load<u32>(window, WINDOW_SHIFT);
  rowsLeft = load<u32>(window, WINDOW_ROWS);
  at = 0;
  sortedUntil = 0;
  overEnd = NO_OFFSET;
  if (isGap(mask) || isGap(0)) return;
  overEnd = mask;
  while (!isGap(overEnd - ENTRY_BYTES)) overEnd -= ENTRY_BYTES;
  sortedUntil = endOfCluster(0);
  sortCluster(overEnd, sortedUntil);
  // What belongs before the end stands at the start now, before all that belongs there.
  while (at < sortedUntil && (load<u32>(table + at) >> shift) << LINE_LOG2 >= overEnd)
    at += ENTRY_BYTES;
}

/** Fills `sortedBatch`; entries, and keys at both ends, are in the cache. Returns the number of rows, 0 at the end. */
export function nextRows(): u32 {
  let count: u32 = 0;
  while (count < SORTED_BATCH_ROWS && rowsLeft > 0) {
    if (at == sortedUntil) {
      while (isGap(at)) at = (at + ENTRY_BYTES) & mask;
      sortedUntil = endOfCluster(at);
      if (at != overEnd) sortCluster(at, sortedUntil);
    }
    store<u32>(sortedBatch + (count << 2), (table + at) as u32);
    at = (at + ENTRY_BYTES) & mask;
    count++;
    rowsLeft--;
  }
  let warm: u64 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const entry: usize = load<u32>(sortedBatch + (i << 2));
    const key: usize = load<u32>(entry, ENTRY_KEY);
    const keyBytes = (load<u64>(entry, ENTRY_CLICKS) >> ENTRY_KEY_BYTES_SHIFT) as u32;
    warm += load<u8>(key) + load<u8>(key + keyBytes - 1);
  }
  warmed = warm;
  return count;
}

function isGap(offset: u32): bool {
  return load<u32>(table + offset, ENTRY_KEY) == 0;
}

/** Offset of the first gap behind `offset`. */
function endOfCluster(offset: u32): u32 {
  do offset = (offset + ENTRY_BYTES) & mask;
  while (!isGap(offset));
  return offset;
}

/** By insertion: clusters are short, and nearly in order. */
function sortCluster(first: u32, end: u32): void {
  // Hashes count from where the cluster begins, for it may go over the end.
  const base = (first >> LINE_LOG2) << shift;
  for (let from = (first + ENTRY_BYTES) & mask; from != end; from = (from + ENTRY_BYTES) & mask) {
    const head = load<u64>(table + from);
    let to = from;
    while (to != first) {
      const previous = (to - ENTRY_BYTES) & mask;
      if (!before(head, load<u64>(table + previous), base)) break;
      to = previous;
    }
    if (to == from) continue;
    const clicks = load<u64>(table + from, ENTRY_CLICKS);
    for (let moved = from; moved != to;) {
      const previous = (moved - ENTRY_BYTES) & mask;
      v128.store(table + moved, v128.load(table + previous));
      moved = previous;
    }
    store<u64>(table + to, head);
    store<u64>(table + to, clicks, ENTRY_CLICKS);
  }
}

/** Whether an entry comes before another: their first words (high half of the hash, key). */
function before(a: u64, b: u64, base: u32): bool {
  const hashA = (a as u32) - base;
  const hashB = (b as u32) - base;
  return hashA == hashB ? sameHashBefore((a >> 32) as usize, (b >> 32) as usize) : hashA < hashB;
}

function sameHashBefore(keyA: usize, keyB: usize): bool {
  const lowA = keyHash(keyA, keyLength(keyA)) as u32;
  const lowB = keyHash(keyB, keyLength(keyB)) as u32;
  if (lowA != lowB) return lowA < lowB;
  return keyBefore(keyA, keyB);
}
