/**
 * Adds a block of rows, whole or not at all, in three passes:
 *
 * 1. check every row, find its window, hash its key, and note all that (the only walk from length to
 *    length; it waits for each length, and hashing fills the waiting);
 * 2. make room as if every row were a new key;
 * 3. count, in batches: first have the lines of all rows loaded (table.ts says how), then find each row's
 *    entry and have its record loaded, then compare and add, and last the rows whose key is elsewhere. Misses
 *    that do not wait for each other overlap in the processor: a batch pays for a few, not for some in each row.
 *
 * Only pass 3 changes counts, and it cannot fail. Rows carry their clicks in 4 bytes (wire/partial.ts) or
 * in 8 (wire/snapshot.ts): the type parameter T.
 *
 *     row index entry
 *      0 u32 key       address in the transfer area; window_start stands in the 4 bytes before it
 *      4 u32 key bytes
 *      8 u32 high half of the key's hash
 *     12 u32 window record
 */
import {
  AD_ID_BYTES_MAX,
  BLOCK_ROWS_MAX,
  COUNTRY_BYTES_MAX,
  DEVICE_BYTES_MAX,
  FAULT_CUT_OFF,
  FAULT_LEFT_OVER,
  FAULT_LONG_AD_ID,
  FAULT_LONG_COUNTRY,
  FAULT_LONG_DEVICE,
  FAULT_LONG_INVALID_REASON,
  FAULT_LONG_LENGTH,
  FAULT_MANY_CLICKS,
  FAULT_NO_CLICKS,
  FAULT_NONE,
  FAULT_OUT_OF_MEMORY,
  INVALID_REASON_BYTES_MAX,
} from "./constants.generated";
import { keyHash } from "./key-hash";
import { copyBytes, sameKey } from "./keys";
import { ROW_INDEX_ENTRY_BYTES, rowIndex, transfer } from "./memory";
import {
  addClicks,
  ENTRY_RECORD,
  entryBehind,
  entryInLine,
  isLong,
  LINE_LOG2,
  lineBehind,
  RECORD_KEY,
  warmLine,
  warmRecord,
} from "./table";
import {
  announce,
  newRecord,
  recordInChunk,
  recordBytesMax,
  reserveTouched,
  settleTouched,
  WINDOW_CLICKS,
  WINDOW_MASK,
  WINDOW_ROWS,
  WINDOW_SHIFT,
  WINDOW_TABLE,
  windowFor,
} from "./windows";

/** Enough to cover a cache miss with work, few enough to stay in the first-level cache. */
const BATCH_ROWS: u32 = 192;
/** Per row of a batch: address of its table entry, or of a line to look for it in, which is odd then. */
const batch: usize = memory.data(768);
const BATCH_ENTRY_BYTES: u32 = 4;
/** Of a batch, ends of keys that are in another line than their beginnings. */
const keyEnds: usize = memory.data(768);
const IS_LINE: usize = 1;
/** Per row of a batch that is left for later: the row's index entry, and what the batch has for it. */
const awayRows: usize = memory.data(1536);
const AWAY_ROW_BYTES: u32 = 8;

/** Integers beyond it are not exact in JavaScript. */
export const SAFE_MAX: u64 = (1 << 53) - 1;

/** What the last block did: for the host to compare with what it sent. */
export let faultOffset: u32 = 0;
export let ingestedRows: u32 = 0;
export let ingestedClicks: u64 = 0;

/** Rows in all open windows. */
export let rowsHeld: u64 = 0;
/** Lines that were looked at beyond the one where a key belongs. */
export let lineSteps: u64 = 0;
/** Rows that have been looked for. */
export let rowsCounted: u64 = 0;

/** Exported and never read: it keeps loads of keys' ends from being optimized away. */
export let touched: u32 = 0;

export function releaseRows(rows: u32): void {
  rowsHeld -= rows;
}

/** Adds the rows of a partial block in the transfer area. Returns a fault code, with `faultOffset`. */
export function ingestBlock(bytes: u32, rows: u32): u32 {
  return ingest<u32>(bytes, rows);
}

/** Adds rows of a snapshot's open windows. */
export function ingestSnapshot(bytes: u32, rows: u32): u32 {
  return ingest<u64>(bytes, rows);
}

function ingest<T>(bytes: u32, rows: u32): u32 {
  ingestedRows = 0;
  ingestedClicks = 0;
  faultOffset = 0;
  let fault = check<T>(bytes, rows);
  if (fault == FAULT_NONE && !reserveTouched()) fault = FAULT_OUT_OF_MEMORY;
  if (fault == FAULT_NONE) {
    for (let first: u32 = 0; first < rows; first += BATCH_ROWS) {
      const index = rowIndex + first * ROW_INDEX_ENTRY_BYTES;
      count<T>(index, min(BATCH_ROWS, rows - first));
    }
  }
  settleTouched();
  return fault;
}

/** Pass 1. */
function check<T>(bytes: u32, rows: u32): u32 {
  const end = transfer + bytes;
  // Beyond BLOCK_ROWS_MAX, the bytes come to their end first.
  const indexEnd = rowIndex + min(rows, BLOCK_ROWS_MAX + 1) * ROW_INDEX_ENTRY_BYTES;
  let at = transfer;
  let window: usize = 0;
  let start: u32 = 0;
  let pendingRows: u32 = 0;
  let pendingBytes: u32 = 0;
  let hasMemory = true;
  let fault = FAULT_NONE;
  for (let index = rowIndex; index < indexEnd; index += ROW_INDEX_ENTRY_BYTES) {
    const key = at + 4;
    // What stands behind the end is garbage, but it is ours: one check of the row's end covers it.
    const adIdBytes = load<u8>(key) as u32;
    let next = key + 1 + adIdBytes;
    const countryBytes = load<u8>(next) as u32;
    next += 1 + countryBytes;
    const deviceBytes = load<u8>(next) as u32;
    next += 1 + deviceBytes;
    const reasonBytes = load<u8>(next) as u32;
    next += 1 + reasonBytes;
    if (
      u32(next + sizeof<T>() > end) |
      u32(adIdBytes > AD_ID_BYTES_MAX) |
      u32(countryBytes > COUNTRY_BYTES_MAX) |
      u32(deviceBytes > DEVICE_BYTES_MAX) |
      u32(reasonBytes > INVALID_REASON_BYTES_MAX)
    ) {
      fault = rowFault<T>(at, end);
      break;
    }
    const clicks = load<T>(next) as u64;
    if (clicks - 1 >= SAFE_MAX) {
      fault = fail(clicksFault(clicks), next);
      break;
    }
    if (window == 0 || load<u32>(at) != start) {
      if (window != 0) announce(window, pendingRows, pendingBytes);
      pendingRows = 0;
      pendingBytes = 0;
      start = load<u32>(at);
      window = windowFor(start);
      // Not said yet: the rest of the block may have a fault of its own.
      if (window == 0) hasMemory = false;
    }
    const keyBytes = (next - key) as u32;
    pendingRows++;
    pendingBytes += recordBytesMax(keyBytes);
    store<u32>(index, key as u32);
    store<u32>(index, keyBytes, 4);
    store<u32>(index, (keyHash(key, keyBytes) >> 32) as u32, 8);
    store<u32>(index, window as u32, 12);
    at = next + sizeof<T>();
  }
  if (window != 0) announce(window, pendingRows, pendingBytes);
  if (fault != FAULT_NONE) return fault;
  if (at != end) return fail(FAULT_LEFT_OVER, at);
  return hasMemory ? FAULT_NONE : FAULT_OUT_OF_MEMORY;
}

/** What is wrong with clicks that are not 1 to SAFE_MAX, as signed numbers. */
export function clicksFault(clicks: u64): u32 {
  return (clicks as i64) > 0 ? FAULT_MANY_CLICKS : FAULT_NO_CLICKS;
}

function fail(fault: u32, at: usize): u32 {
  faultOffset = (at - transfer) as u32;
  return fault;
}

/** What is wrong with the row at `at`, of which something is: the first fault in the order of its bytes. */
function rowFault<T>(at: usize, end: usize): u32 {
  if (at + 4 > end) return fail(FAULT_CUT_OFF, at);
  at += 4;
  for (let string = 0; string < 4; string++) {
    if (at >= end) return fail(FAULT_CUT_OFF, at);
    const length = load<u8>(at) as u32;
    // All limits are below 128: a byte from there on is the first of several of a varint.
    if (length >= 128) return fail(FAULT_LONG_LENGTH, at);
    if (length > stringBytesMax(string)) return fail(stringFault(string), at);
    if (at + 1 + length > end) return fail(FAULT_CUT_OFF, at);
    at += 1 + length;
  }
  if (at + sizeof<T>() <= end) unreachable();
  return fail(FAULT_CUT_OFF, at);
}

function stringBytesMax(string: i32): u32 {
  if (string == 0) return AD_ID_BYTES_MAX;
  if (string == 1) return COUNTRY_BYTES_MAX;
  return string == 2 ? DEVICE_BYTES_MAX : INVALID_REASON_BYTES_MAX;
}

function stringFault(string: i32): u32 {
  if (string == 0) return FAULT_LONG_AD_ID;
  if (string == 1) return FAULT_LONG_COUNTRY;
  return string == 2 ? FAULT_LONG_DEVICE : FAULT_LONG_INVALID_REASON;
}

/** Pass 3, for one batch. */
function count<T>(index: usize, rows: u32): void {
  const indexEnd = index + rows * ROW_INDEX_ENTRY_BYTES;
  const batchEnd = batch + rows * BATCH_ENTRY_BYTES;
  let window: usize = 0;
  let table: usize = 0;
  let shift: u32 = 0;

  let slot = batch;
  for (let row = index; row < indexEnd; row += ROW_INDEX_ENTRY_BYTES) {
    if (load<u32>(row, 12) != (window as u32)) {
      window = load<u32>(row, 12);
      table = load<u32>(window, WINDOW_TABLE);
      shift = load<u32>(window, WINDOW_SHIFT);
    }
    store<u32>(slot, (table as u32) + ((load<u32>(row, 8) >> shift) << LINE_LOG2));
    slot += BATCH_ENTRY_BYTES;
  }
  for (slot = batch; slot < batchEnd; slot += BATCH_ENTRY_BYTES) warmLine(load<u32>(slot));

  // Each row's entry and its record; or, of a full line, the line behind.
  let warm: u32 = 0;
  let ends = keyEnds;
  slot = batch;
  for (let row = index; row < indexEnd; row += ROW_INDEX_ENTRY_BYTES) {
    const line: usize = load<u32>(slot);
    const entry = entryInLine(line, load<u32>(row, 8));
    if (entry != 0) {
      store<u32>(slot, entry as u32);
      const record: usize = load<u32>(entry, ENTRY_RECORD);
      const keyBytes = load<u32>(row, 4);
      warmRecord(record);
      if (isLong(keyBytes) && record != 0) {
        store<u32>(ends, (record + RECORD_KEY + keyBytes) as u32);
        ends += 4;
      }
    } else {
      window = load<u32>(row, 12);
      const next = lineBehind(
        line,
        load<u32>(window, WINDOW_TABLE),
        load<u32>(window, WINDOW_MASK),
      );
      warmLine(next);
      store<u32>(slot, (next | IS_LINE) as u32);
      lineSteps++;
    }
    slot += BATCH_ENTRY_BYTES;
  }
  for (let end = keyEnds; end < ends; end += 4) warm += load<u8>(load<u32>(end));
  touched = warm;

  // Rows whose key is there, or new, where it was looked for first. No call in this loop: V8 would keep all that lives
  // across it in memory, for all rows.
  window = 0;
  slot = batch;
  let away = awayRows;
  let newRows: u32 = 0;
  let clicksOfWindow: u64 = 0;
  let clicksOfBatch: u64 = 0;
  for (let row = index; row < indexEnd; row += ROW_INDEX_ENTRY_BYTES) {
    if (load<u32>(row, 12) != (window as u32)) {
      if (window != 0) addToWindow(window, clicksOfWindow);
      clicksOfWindow = 0;
      window = load<u32>(row, 12);
    }
    const key: usize = load<u32>(row);
    const keyBytes = load<u32>(row, 4);
    const hash = load<u32>(row, 8);
    const clicks = load<T>(key + keyBytes) as u64;
    const entry: usize = load<u32>(slot);
    slot += BATCH_ENTRY_BYTES;
    clicksOfWindow += clicks;
    clicksOfBatch += clicks;
    if (!(entry & IS_LINE)) {
      let record: usize = load<u32>(entry, ENTRY_RECORD);
      if (record == 0) {
        record = recordInChunk(window, keyBytes);
        if (record != 0) {
          fill(entry, record, hash, key, keyBytes, clicks);
          store<u32>(window, load<u32>(window, WINDOW_ROWS) + 1, WINDOW_ROWS);
          newRows++;
          continue;
        }
      } else if (load<u32>(entry) == hash && sameKey(key, record + RECORD_KEY, keyBytes)) {
        addClicks(record, clicks);
        continue;
      }
    }
    store<u32>(away, row as u32);
    store<u32>(away, entry as u32, 4);
    away += AWAY_ROW_BYTES;
  }
  addToWindow(window, clicksOfWindow);
  for (let at = awayRows; at < away; at += AWAY_ROW_BYTES) {
    const row: usize = load<u32>(at);
    const key: usize = load<u32>(row);
    const keyBytes = load<u32>(row, 4);
    const clicks = load<T>(key + keyBytes) as u64;
    const isNew = countAway(
      load<u32>(row, 12),
      load<u32>(at, 4),
      load<u32>(row, 8),
      key,
      keyBytes,
      clicks,
    );
    newRows += u32(isNew);
  }
  rowsHeld += newRows;
  ingestedClicks += clicksOfBatch;
  ingestedRows += rows;
  rowsCounted += rows;
}

/** Counts a row whose key is not at `entry`, but behind it, or from a line on. Whether it is new. */
function countAway(
  window: usize,
  entry: usize,
  hash: u32,
  key: usize,
  keyBytes: u32,
  clicks: u64,
): bool {
  const table: usize = load<u32>(window, WINDOW_TABLE);
  const mask = load<u32>(window, WINDOW_MASK);
  if (entry & IS_LINE) entry = placeFrom(entry & ~IS_LINE, table, mask, hash);
  while (true) {
    const record: usize = load<u32>(entry, ENTRY_RECORD);
    if (record == 0) {
      fill(entry, newRecord(window, keyBytes), hash, key, keyBytes, clicks);
      store<u32>(window, load<u32>(window, WINDOW_ROWS) + 1, WINDOW_ROWS);
      return true;
    }
    if (load<u32>(entry) == hash && sameKey(key, record + RECORD_KEY, keyBytes)) {
      addClicks(record, clicks);
      return false;
    }
    entry = entryBehind(entry, table, mask);
  }
}

/** The first entry of that hash, or the empty one behind them, from `line` on. */
function placeFrom(line: usize, table: usize, mask: u32, hash: u32): usize {
  let entry = entryInLine(line, hash);
  while (entry == 0) {
    lineSteps++;
    line = lineBehind(line, table, mask);
    entry = entryInLine(line, hash);
  }
  return entry;
}

function addToWindow(window: usize, clicks: u64): void {
  store<u64>(window, load<u64>(window, WINDOW_CLICKS) + clicks, WINDOW_CLICKS);
}

/** Writes a new key's record, and the entry that leads to it. */
function fill(
  entry: usize,
  record: usize,
  hash: u32,
  key: usize,
  keyBytes: u32,
  clicks: u64,
): void {
  store<u64>(record, clicks);
  copyBytes(record + RECORD_KEY, key, keyBytes);
  store<u32>(entry, hash);
  store<u32>(entry, record as u32, ENTRY_RECORD);
}
