/**
 * A window's rows in canonical order (key hash, then key), a batch at a time, in no memory but the table.
 *
 * An entry stands in the line where its hash belongs or behind, with no gap between (table.ts). So the
 * entries between two gaps belong there, before all that stand behind: each such cluster begins with a
 * line and is sorted by itself. One within a line is ranked without a branch; a longer one is sorted where it
 * stands, and the table remains a table. One cluster may go over
 * the table's end into its start: it is sorted as the one piece that it is, and what went over comes last.
 */
import { keyHash } from "./key-hash";
import { keyBefore, keyLength } from "./keys";
import {
  clicksOf,
  ENTRY_RECORD,
  LINE_BYTES,
  LINE_ENTRIES,
  leastHash,
  lineOffset,
  offsetBefore,
  offsetBehind,
  rankRecords,
  RECORD_KEY,
  takenInLine,
  warmRecord,
} from "./table";
import { tableBytes, tableLog2, WINDOW_MASK, WINDOW_ROWS, WINDOW_TABLE } from "./windows";

/** Rows that are handed out at a time: enough to cover cache misses (ingest.ts). */
export const SORTED_BATCH_ROWS: u32 = 256;
/** The batch: key u32 (its address), key bytes u32, clicks u64. A line's entries go in together. */
export const sortedBatch: usize = memory.data(4096);
export const SORTED_KEY_BYTES: usize = 4;
export const SORTED_CLICKS: usize = 8;
export const SORTED_ROW_LOG2: u32 = 4;

const NO_OFFSET: u32 = u32.MAX_VALUE;

let table: usize = 0;
let mask: u32 = 0;
let log2: u32 = 0;
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
  log2 = tableLog2(window);
  rowsLeft = load<u32>(window, WINDOW_ROWS);
  at = 0;
  sortedUntil = 0;
  overEnd = NO_OFFSET;
  const last = offsetBefore(0, mask);
  if (isGap(last) || isGap(0)) return;
  overEnd = last;
  for (let before = last; !isGap(before); before = offsetBefore(before, mask)) overEnd = before;
  sortedUntil = endOfCluster(0);
  sortCluster(overEnd, sortedUntil);
  // What belongs before the end stands at the start now, before all that belongs there.
  const bytes = tableBytes(window);
  while (at != sortedUntil && lineOffset(load<u32>(table + at), bytes) >= overEnd) {
    at = offsetBehind(at, mask);
  }
}

/** Fills `sortedBatch`; the keys are in the cache. Returns the number of rows, 0 at the end. */
export function nextRows(): u32 {
  let row = sortedBatch;
  const wanted = sortedBatch + ((SORTED_BATCH_ROWS - LINE_ENTRIES + 1) << SORTED_ROW_LOG2);
  while (row < wanted && rowsLeft > 0) {
    if (at == sortedUntil && at != overEnd && at % LINE_BYTES == 0) {
      const taken = takenInLine(table + at);
      // Most clusters are in one line.
      if (
        taken == 0 ||
        (taken < LINE_ENTRIES && rankRecords(table + at, taken, row, SORTED_ROW_LOG2))
      ) {
        at = (at + LINE_BYTES) & mask;
        sortedUntil = at;
        row += taken << SORTED_ROW_LOG2;
        rowsLeft -= taken;
        continue;
      }
    }
    if (at == sortedUntil) {
      if (isGap(at)) {
        at = offsetBehind(at, mask);
        sortedUntil = at;
        continue;
      }
      sortedUntil = endOfCluster(at);
      if (at != overEnd) sortCluster(at, sortedUntil);
    }
    store<u32>(row, load<u32>(table + at, ENTRY_RECORD));
    at = offsetBehind(at, mask);
    row += 1 << SORTED_ROW_LOG2;
    rowsLeft--;
  }
  const full = row;
  for (row = sortedBatch; row < full; row += 1 << SORTED_ROW_LOG2) warmRecord(load<u32>(row));
  for (row = sortedBatch; row < full; row += 1 << SORTED_ROW_LOG2) {
    const record: usize = load<u32>(row);
    const key = record + RECORD_KEY;
    store<u32>(row, key as u32);
    store<u32>(row, keyLength(key), SORTED_KEY_BYTES);
    store<u64>(row, clicksOf(record), SORTED_CLICKS);
  }
  return ((full - sortedBatch) >> SORTED_ROW_LOG2) as u32;
}

function isGap(offset: u32): bool {
  return load<u32>(table + offset, ENTRY_RECORD) == 0;
}

/** Offset of the first gap behind `offset`. */
function endOfCluster(offset: u32): u32 {
  do offset = offsetBehind(offset, mask);
  while (!isGap(offset));
  return offset;
}

/** By insertion: clusters are short, and nearly in order. */
function sortCluster(first: u32, end: u32): void {
  // Hashes count from where the cluster begins, for it may go over the end.
  const base = leastHash(first, log2);
  for (let from = offsetBehind(first, mask); from != end; from = offsetBehind(from, mask)) {
    const hash = load<u32>(table + from);
    const record = load<u32>(table + from, ENTRY_RECORD);
    let to = from;
    while (to != first) {
      const previous = offsetBefore(to, mask);
      if (!isBefore(hash, record, table + previous, base)) break;
      store<u32>(table + to, load<u32>(table + previous));
      store<u32>(table + to, load<u32>(table + previous, ENTRY_RECORD), ENTRY_RECORD);
      to = previous;
    }
    store<u32>(table + to, hash);
    store<u32>(table + to, record, ENTRY_RECORD);
  }
}

/** Whether a record comes before that of an entry; hashes count from `base`. */
function isBefore(hash: u32, record: u32, entry: usize, base: u32): bool {
  const other = load<u32>(entry);
  if (hash != other) return hash - base < other - base;
  return sameHashBefore(
    (record as usize) + RECORD_KEY,
    (load<u32>(entry, ENTRY_RECORD) as usize) + RECORD_KEY,
  );
}

function sameHashBefore(keyA: usize, keyB: usize): bool {
  const lowA = keyHash(keyA, keyA + keyLength(keyA)) as u32;
  const lowB = keyHash(keyB, keyB + keyLength(keyB)) as u32;
  if (lowA != lowB) return lowA < lowB;
  return keyBefore(keyA, keyB);
}
