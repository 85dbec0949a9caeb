/**
 * Adds a block of rows, whole or not at all, in three passes:
 *
 * 1. check every row, find its window, hash its key, add its clicks, and note all that (the only walk from length
 *    to length; it waits for each length, and the rest fills the waiting);
 * 2. make room as if every row were a new key;
 * 3. count, in batches, in loops that each do one thing: have the lines of all rows loaded (table.ts says how); find
 *    each row's entry, and list the row as known or as new, or as wanted in the next line, for another round; write
 *    the records of new rows; have those of known rows loaded; compare and add; and last the few rows that are left.
 *    Misses that do not wait for each other overlap in the processor, as far as no branch is guessed wrong between
 *    them: so whether a row is known, which nobody can guess, decides where it is listed, and nothing else.
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
import { copyBytes, differenceOf, sameKey } from "./keys";
import { ROW_INDEX_ENTRY_BYTES, rowIndex, transfer } from "./memory";
import {
  addClicks,
  ENTRY_RECORD,
  entryBehind,
  entryInLine,
  firstPlace,
  isLong,
  lineOffset,
  lineBehind,
  lineOf,
  placesInLine,
  RECORD_KEY,
  takeEntry,
  warmLine,
  warmRecord,
} from "./table";
import {
  addedInChunk,
  announce,
  newRecord,
  recordBytes,
  reserveTouched,
  settleTouched,
  startOf,
  tableBytes,
  WINDOW_ARENA_AT,
  WINDOW_ARENA_END,
  WINDOW_MASK,
  WINDOW_TABLE,
  windowFor,
} from "./windows";

/** Enough to cover cache misses with work, few enough to stay in the first-level cache with their lines. */
const BATCH_ROWS: u32 = 384;
const LISTED_ROW_BYTES: u32 = 8;
/** Rows of a batch that are looked for: the row's index entry, and the line to look in. */
const wantedRows: usize = memory.data(3072);
/**
 * Rows of a batch with what was found for them: from the start on known ones (the index entry, the key's
 * record), from the end back new ones (the index entry, the empty table entry).
 */
const listedRows: usize = memory.data(3072);
const lastListedRow = listedRows + (BATCH_ROWS - 1) * LISTED_ROW_BYTES;
/** In so many lines all rows of a batch are looked for together: a full line's keys are in the next one, mostly. */
const ROUNDS: i32 = 3;

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
  faultOffset = 0;
  let fault = check<T>(bytes, rows);
  if (fault == FAULT_NONE && !reserveTouched()) fault = FAULT_OUT_OF_MEMORY;
  if (fault == FAULT_NONE) {
    for (let first: u32 = 0; first < rows; first += BATCH_ROWS) {
      const index = rowIndex + first * ROW_INDEX_ENTRY_BYTES;
      count<T>(index, min(BATCH_ROWS, rows - first));
    }
  }
  ingestedClicks = settleTouched(fault == FAULT_NONE);
  return fault;
}

/** Pass 1. Rows that follow each other in one window are announced together. */
function check<T>(bytes: u32, rows: u32): u32 {
  const end = transfer + bytes;
  const clicksEnd = end - sizeof<T>();
  // Beyond BLOCK_ROWS_MAX, the bytes come to their end first.
  const indexEnd = rowIndex + min(rows, BLOCK_ROWS_MAX + 1) * ROW_INDEX_ENTRY_BYTES;
  let at = transfer;
  let index = rowIndex;
  let window: usize = 0;
  // Any but that of the first row.
  let start = ~load<u32>(at);
  let hasMemory = true;
  let fault = FAULT_NONE;
  while (true) {
    const firstAt = at;
    const firstIndex = index;
    let rowStart = start;
    let clicksOfRows: u64 = 0;
    for (; index < indexEnd; index += ROW_INDEX_ENTRY_BYTES) {
      // The next row's place waits for four lengths, one after the other: nothing else stands between their loads.
      // What stands behind the end is garbage, but it is ours: one check of the row's end covers it.
      const adIdBytes = load<u8>(at, 4) as u32;
      const country = at + adIdBytes;
      const countryBytes = load<u8>(country, 5) as u32;
      const device = country + countryBytes;
      const deviceBytes = load<u8>(device, 6) as u32;
      const reason = device + deviceBytes;
      const next = reason + (8 + sizeof<T>());
      const reasonBytes = load<u8>(reason, 7) as u32;
      const clicksAt = reason + reasonBytes + 8;
      // Above 127 if a length is above its limit.
      const excess =
        (adIdBytes + (127 - AD_ID_BYTES_MAX)) |
        (countryBytes + (127 - COUNTRY_BYTES_MAX)) |
        (deviceBytes + (127 - DEVICE_BYTES_MAX)) |
        (reasonBytes + (127 - INVALID_REASON_BYTES_MAX));
      if (excess > 127 || clicksAt > clicksEnd) {
        fault = rowFault<T>(at, end);
        break;
      }
      const clicks = load<T>(clicksAt);
      if (sizeof<T>() == 4 ? clicks == 0 : (clicks as u64) - 1 >= SAFE_MAX) {
        fault = fail(clicksFault(clicks as u64), clicksAt);
        break;
      }
      rowStart = load<u32>(at);
      // It is read again when its window is known.
      if (rowStart != start) break;
      const key = at + 4;
      const keyBytes = (clicksAt - key) as u32;
      store<u32>(index, key as u32);
      store<u32>(index, keyBytes, 4);
      store<u32>(index, (keyHash(key, keyBytes) >> 32) as u32, 8);
      store<u32>(index, window as u32, 12);
      clicksOfRows += clicks as u64;
      at = next + reasonBytes;
    }
    if (window != 0) announceRows<T>(window, index - firstIndex, at - firstAt, clicksOfRows);
    if (fault != FAULT_NONE || rowStart == start) break;
    start = rowStart;
    window = windowFor(start);
    // Not said yet: the rest of the block may have a fault of its own.
    if (window == 0) hasMemory = false;
  }
  if (fault != FAULT_NONE) return fault;
  if (at != end) return fail(FAULT_LEFT_OVER, at);
  return hasMemory ? FAULT_NONE : FAULT_OUT_OF_MEMORY;
}

/** Announces rows that follow each other, from the bytes they take in the row index and in the block. */
function announceRows<T>(window: usize, indexBytes: usize, rowBytes: usize, clicks: u64): void {
  const rows = (indexBytes / ROW_INDEX_ENTRY_BYTES) as u32;
  announce(window, rows, (rowBytes as u32) - rows * (4 + (sizeof<T>() as u32)), clicks);
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
  let wanted = wantedRows;
  let next = index;
  while (next < indexEnd) {
    const window: usize = load<u32>(next, 12);
    const table: usize = load<u32>(window, WINDOW_TABLE);
    const bytes = tableBytes(window);
    do {
      wanted = list(wanted, next, table + lineOffset(load<u32>(next, 8), bytes));
      next += ROW_INDEX_ENTRY_BYTES;
    } while (next < indexEnd && load<u32>(next, 12) == (window as u32));
  }

  let known = listedRows;
  let fresh = lastListedRow;
  for (let round = 0; round < ROUNDS; round++) {
    for (let at = wantedRows; at < wanted; at += LISTED_ROW_BYTES) warmLine(load<u32>(at, 4));
    let left = wantedRows;
    for (let at = wantedRows; at < wanted; at += LISTED_ROW_BYTES) {
      const row: usize = load<u32>(at);
      const line: usize = load<u32>(at, 4);
      const places = placesInLine(line, load<u32>(row, 8));
      if (places == 0) {
        left = list(left, row, lineBehindOf(row, line));
        continue;
      }
      const entry = firstPlace(line, places);
      const record: usize = load<u32>(entry, ENTRY_RECORD);
      const isNew = record == 0;
      list(isNew ? fresh : known, row, select<usize>(entry, record, isNew));
      known = select<usize>(known, known + LISTED_ROW_BYTES, isNew);
      fresh = select<usize>(fresh - LISTED_ROW_BYTES, fresh, isNew);
    }
    wanted = left;
    lineSteps += ((left - wantedRows) / LISTED_ROW_BYTES) as u64;
  }
  // What is still wanted, and what the next loops add, is left for last.
  let away = wanted;

  // No call in the loops of new and of known rows: V8 would keep all that lives across it in memory, for all rows.
  let newRows: u32 = 0;
  let at = lastListedRow;
  while (at > fresh) {
    const window: usize = load<u32>(load<u32>(at), 12);
    const arenaEnd: usize = load<u32>(window, WINDOW_ARENA_END);
    let arenaAt: usize = load<u32>(window, WINDOW_ARENA_AT);
    let added: u32 = 0;
    do {
      const row: usize = load<u32>(at);
      if (load<u32>(row, 12) != (window as u32)) break;
      const entry: usize = load<u32>(at, 4);
      const keyBytes = load<u32>(row, 4);
      const bytes = recordBytes(keyBytes);
      const record = startOf(arenaAt);
      // Another row of this batch may have taken the entry.
      if (load<u32>(entry, ENTRY_RECORD) == 0 && record + bytes <= arenaEnd) {
        arenaAt = record + bytes;
        added++;
        fill(entry, record, load<u32>(row, 8), load<u32>(row), keyBytes, clicksOfRow<T>(row));
      } else {
        away = list(away, row, lineOf(entry));
      }
      at -= LISTED_ROW_BYTES;
    } while (at > fresh);
    addedInChunk(window, added, arenaAt);
    newRows += added;
  }

  for (let at = listedRows; at < known; at += LISTED_ROW_BYTES) warmRecord(load<u32>(at, 4));
  let ends: u32 = 0;
  for (let at = listedRows; at < known; at += LISTED_ROW_BYTES) {
    const keyBytes = load<u32>(load<u32>(at), 4);
    if (isLong(keyBytes)) ends += load<u8>((load<u32>(at, 4) as usize) + RECORD_KEY + keyBytes);
  }
  touched = ends;

  for (let at = listedRows; at < known; at += LISTED_ROW_BYTES) {
    const row: usize = load<u32>(at);
    const record: usize = load<u32>(at, 4);
    const key: usize = load<u32>(row);
    const keyBytes = load<u32>(row, 4);
    // Shorter keys are few: an ad with country and device has no shorter one, if its id has 5 bytes.
    if (keyBytes >= 16 && !v128.any_true(differenceOf(key, record + RECORD_KEY, keyBytes))) {
      addClicks(record, load<T>(key + keyBytes) as u64);
    } else {
      away = list(away, row, lineOfRow(row));
    }
  }

  for (let at = wantedRows; at < away; at += LISTED_ROW_BYTES) {
    const row: usize = load<u32>(at);
    newRows += u32(countAway(row, load<u32>(at, 4), clicksOfRow<T>(row)));
  }
  rowsHeld += newRows;
  ingestedRows += rows;
  rowsCounted += rows;
}

function clicksOfRow<T>(row: usize): u64 {
  return load<T>((load<u32>(row) as usize) + load<u32>(row, 4)) as u64;
}

/** Lists a row at `at` with an address, in one store: few may wait for memory. Returns where the next one goes. */
function list(at: usize, row: usize, address: usize): usize {
  store<u64>(at, (row as u64) | ((address as u64) << 32));
  return at + LISTED_ROW_BYTES;
}

/** The line where a row's key belongs. */
function lineOfRow(row: usize): usize {
  const window: usize = load<u32>(row, 12);
  const table: usize = load<u32>(window, WINDOW_TABLE);
  return table + lineOffset(load<u32>(row, 8), tableBytes(window));
}

function lineBehindOf(row: usize, line: usize): usize {
  const window: usize = load<u32>(row, 12);
  return lineBehind(line, load<u32>(window, WINDOW_TABLE), load<u32>(window, WINDOW_MASK));
}

/** Counts a row whose key is in `line` or behind it, or nowhere. Whether it is new. */
function countAway(row: usize, line: usize, clicks: u64): bool {
  const key: usize = load<u32>(row);
  const keyBytes = load<u32>(row, 4);
  const hash = load<u32>(row, 8);
  const window: usize = load<u32>(row, 12);
  const table: usize = load<u32>(window, WINDOW_TABLE);
  const mask = load<u32>(window, WINDOW_MASK);
  let entry = placeFrom(line, table, mask, hash);
  while (true) {
    const record: usize = load<u32>(entry, ENTRY_RECORD);
    if (record == 0) {
      const added = newRecord(window, keyBytes);
      fill(entry, added, hash, key, keyBytes, clicks);
      addedInChunk(window, 1, added + recordBytes(keyBytes));
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
  takeEntry(entry, hash, record);
}
