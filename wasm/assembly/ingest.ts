/**
 * Adds a block of rows, whole or not at all, in three passes:
 *
 * 1. check every row, find its window, hash its key, add its clicks, and note all that (the only walk from length
 *    to length: of lengths that are as expected it does not wait for any);
 * 2. make room as if every row were a new key;
 * 3. count, in batches, in loops that each do one thing: find each row's entry (and have the line of a row further on
 *    loaded; table.ts says how), and list the row as known or as new, or as left, to be looked for in the next line
 *    with the next batch; write the records of new rows; compare and add known ones (and have records further on
 *    loaded); and last the few rows that are put away.
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
  NEAR_KEY_BYTES,
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

/** Enough to cover cache misses with work, few enough for their lines to stay near. */
const BATCH_ROWS: u32 = 768;
/** So many rows at most are looked for again with the next batch: as many as it has of its own. */
const LEFT_ROWS_MAX: u32 = BATCH_ROWS;
/** So many rows a list has at most. */
const LISTED_ROWS_MAX: u32 = BATCH_ROWS + LEFT_ROWS_MAX;
const LISTED_ROW_BYTES: u32 = 8;
/**
 * A line is warmed when the row so many rows before is looked for, and a record likewise: a store that waits for
 * memory keeps its place in a queue (of 104 in Zen 5), and these loops have one store more for each row.
 */
const ROWS_AHEAD: u32 = 80;
const BYTES_AHEAD: usize = ROWS_AHEAD * LISTED_ROW_BYTES;
/** Line and record of rows that are none, behind a list's end: written to and never read. */
const nowhere: usize = memory.data(64);
/** Rows of a batch that are looked for, first those left by the one before: the index entry, and the line to look in. */
const wantedRows: usize = memory.data((LISTED_ROWS_MAX + ROWS_AHEAD) * LISTED_ROW_BYTES);
const leftRowsEnd = wantedRows + LEFT_ROWS_MAX * LISTED_ROW_BYTES;
/**
 * Rows of a batch with what was found for them: from the start on known ones (the index entry, the key's
 * record), from the end back new ones (the index entry, the empty table entry).
 */
const listedRows: usize = memory.data((LISTED_ROWS_MAX + ROWS_AHEAD) * LISTED_ROW_BYTES);
const lastListedRow = listedRows + (LISTED_ROWS_MAX - 1) * LISTED_ROW_BYTES;
/** Rows of a batch that are counted one by one: the index entry, and the line from which to look. */
const awayRows: usize = memory.data(LISTED_ROWS_MAX * LISTED_ROW_BYTES);
/** In so many lines more the rows left by a block's last batch are looked for together. */
const LAST_ROUNDS: i32 = 2;
/** No length of a string: one byte has it. */
const NO_LENGTH: u32 = 256;

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
    // From the bytes of an average row, as nobody counts long keys.
    count<T>(rows, bytes > rows * NEAR_KEY_BYTES);
  }
  ingestedClicks = settleTouched(fault == FAULT_NONE);
  return fault;
}

/**
 * Pass 1. Rows that follow each other in one window are announced together.
 *
 * A row's place follows from the lengths before it, and to load one after the other is to wait. So there are branches
 * on what lengths are mostly: no reason, a country, ids as long as that of the block's first row (if all before were).
 * The processor guesses them and goes on with what is known, not with what it loads. They must stay branches: each
 * has a limit to check on its rare way, or the compiler would select one of two sums.
 */
function check<T>(bytes: u32, rows: u32): u32 {
  const end = transfer + bytes;
  const tailEnd = end - (8 + sizeof<T>());
  // Beyond BLOCK_ROWS_MAX, the bytes come to their end first.
  const indexEnd = rowIndex + min(rows, BLOCK_ROWS_MAX + 1) * ROW_INDEX_ENTRY_BYTES;
  let at = transfer;
  let index = rowIndex;
  let window: usize = 0;
  // Any but that of the first row.
  let start = ~load<u32>(at);
  let usualBytes = load<u8>(at, 4) as u32;
  if (usualBytes > AD_ID_BYTES_MAX) usualBytes = NO_LENGTH;
  let hasMemory = true;
  let isSound = true;
  let fault = FAULT_NONE;
  while (true) {
    const firstAt = at;
    const firstIndex = index;
    let rowStart = start;
    let clicksOfRows: u64 = 0;
    for (; index < indexEnd; index += ROW_INDEX_ENTRY_BYTES) {
      // What stands behind the end is garbage, but it is ours: one check of the row's end covers it.
      const adIdBytes = load<u8>(at, 4) as u32;
      let country: usize;
      if (adIdBytes == usualBytes) {
        country = at + usualBytes;
      } else {
        isSound = adIdBytes <= AD_ID_BYTES_MAX;
        if (!isSound) break;
        usualBytes = NO_LENGTH;
        country = at + adIdBytes;
      }
      const countryBytes = load<u8>(country, 5) as u32;
      let device: usize;
      if (countryBytes == COUNTRY_BYTES_MAX) {
        device = country + COUNTRY_BYTES_MAX;
      } else {
        isSound = countryBytes <= COUNTRY_BYTES_MAX;
        if (!isSound) break;
        device = country + countryBytes;
      }
      const deviceBytes = load<u8>(device, 6) as u32;
      // Where the key's last 8 bytes begin.
      let tail = device + deviceBytes;
      const reasonBytes = load<u8>(tail, 7) as u32;
      if (reasonBytes != 0) {
        isSound = reasonBytes <= INVALID_REASON_BYTES_MAX;
        if (!isSound) break;
        tail += reasonBytes;
      }
      // Below zero if the device is too long or the row goes over the end.
      const room = ((DEVICE_BYTES_MAX - deviceBytes) as i32) | ((tailEnd - tail) as i32);
      isSound = room >= 0;
      if (!isSound) break;
      const clicks = load<T>(tail, 8);
      if (sizeof<T>() == 4 ? clicks == 0 : (clicks as u64) - 1 >= SAFE_MAX) {
        fault = fail(clicksFault(clicks as u64), tail + 8);
        break;
      }
      rowStart = load<u32>(at);
      // It is read again when its window is known.
      if (rowStart != start) break;
      clicksOfRows += clicks as u64;
      const key = at + 4;
      const keyEnd = tail + 8;
      at = tail + (8 + sizeof<T>());
      store<u32>(index, key as u32);
      store<u32>(index, (keyEnd - key) as u32, 4);
      store<u32>(index, (keyHash(key, keyEnd) >> 32) as u32, 8);
      store<u32>(index, window as u32, 12);
    }
    if (window != 0) announceRows<T>(window, index - firstIndex, at - firstAt, clicksOfRows);
    if (!isSound || fault != FAULT_NONE || rowStart == start) break;
    start = rowStart;
    window = windowFor(start);
    // Not said yet: the rest of the block may have a fault of its own.
    if (window == 0) hasMemory = false;
  }
  if (!isSound) return rowFault<T>(at, end);
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

/**
 * Pass 3.
 *
 * @param hasLong whether many keys may be long (`isLong`): then their ends are loaded before any is compared
 */
function count<T>(rows: u32, hasLong: bool): void {
  const indexEnd = rowIndex + rows * ROW_INDEX_ENTRY_BYTES;
  let next = rowIndex;
  let left = wantedRows;
  let lastRounds = LAST_ROUNDS;
  let newRows: u32 = 0;
  while (true) {
    const batchEnd = min(next + BATCH_ROWS * ROW_INDEX_ENTRY_BYTES, indexEnd);
    let wanted = left;
    while (next < batchEnd) {
      const window: usize = load<u32>(next, 12);
      const table: usize = load<u32>(window, WINDOW_TABLE);
      const bytes = tableBytes(window);
      do {
        wanted = list(wanted, next, table + lineOffset(load<u32>(next, 8), bytes));
        next += ROW_INDEX_ENTRY_BYTES;
        // Two branches for V8, where && would be three instructions more.
        if (load<u32>(next, 12) != (window as u32)) break;
      } while (next < batchEnd);
    }
    if (wanted == wantedRows) break;

    endList(wanted);
    const linesAhead = min(wanted, wantedRows + BYTES_AHEAD);
    for (let at = wantedRows; at < linesAhead; at += LISTED_ROW_BYTES) warmLine(load<u32>(at, 4));
    let known = listedRows;
    let fresh = lastListedRow;
    left = wantedRows;
    for (let at = wantedRows; at < wanted; at += LISTED_ROW_BYTES) {
      const row: usize = load<u32>(at);
      const line: usize = load<u32>(at, 4);
      warmLine(load<u32>(at, BYTES_AHEAD + 4));
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
    lineSteps += ((left - wantedRows) / LISTED_ROW_BYTES) as u64;

    // What may not be left is put away, as is what the next loops add.
    let away = awayRows;
    if (next == indexEnd) lastRounds--;
    const leftEnd = lastRounds < 0 ? wantedRows : leftRowsEnd;
    for (let at = leftEnd; at < left; at += LISTED_ROW_BYTES) {
      away = list(away, load<u32>(at), load<u32>(at, 4));
    }
    left = min(left, leftEnd);

    // No call in the loops of new and of known rows: V8 would keep all that lives across it in memory, for all rows.
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
        const record = startOf(arenaAt);
        const recordEnd = record + recordBytes(keyBytes);
        const isOver = ((arenaEnd - recordEnd) as u32) >> 31;
        // Another row of this batch may have taken the entry.
        if ((load<u32>(entry, ENTRY_RECORD) | isOver) == 0) {
          arenaAt = recordEnd;
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

    // New rows, which are listed from the other end, have been counted.
    endList(known);
    const recordsAhead = hasLong ? known : min(known, listedRows + BYTES_AHEAD);
    for (let at = listedRows; at < recordsAhead; at += LISTED_ROW_BYTES)
      warmRecord(load<u32>(at, 4));
    if (hasLong) loadEnds(known);

    for (let at = listedRows; at < known; at += LISTED_ROW_BYTES) {
      const row: usize = load<u32>(at);
      const record: usize = load<u32>(at, 4);
      warmRecord(load<u32>(at, BYTES_AHEAD + 4));
      const key: usize = load<u32>(row);
      const keyBytes = load<u32>(row, 4);
      // Shorter keys are few: an ad with country and device has no shorter one, if its id has 5 bytes.
      if (keyBytes >= 16 && !v128.any_true(differenceOf(key, record + RECORD_KEY, keyBytes))) {
        addClicks(record, load<T>(key + keyBytes) as u64);
      } else {
        away = list(away, row, lineOfRow(row));
      }
    }

    for (let at = awayRows; at < away; at += LISTED_ROW_BYTES) {
      const row: usize = load<u32>(at);
      newRows += u32(countAway(row, load<u32>(at, 4), clicksOfRow<T>(row)));
    }
    ingestedRows += ((wanted - left) / LISTED_ROW_BYTES) as u32;
  }
  rowsHeld += newRows;
  rowsCounted += rows;
}

/** Has the ends of known rows' keys loaded that are far from their beginnings. */
function loadEnds(known: usize): void {
  let ends: u32 = 0;
  for (let at = listedRows; at < known; at += LISTED_ROW_BYTES) {
    const keyBytes = load<u32>(load<u32>(at), 4);
    if (isLong(keyBytes)) ends += load<u8>((load<u32>(at, 4) as usize) + RECORD_KEY + keyBytes);
  }
  touched = ends;
}

function clicksOfRow<T>(row: usize): u64 {
  return load<T>((load<u32>(row) as usize) + load<u32>(row, 4)) as u64;
}

/** Lists a row at `at` with an address, in one store: few may wait for memory. Returns where the next one goes. */
function list(at: usize, row: usize, address: usize): usize {
  store<u64>(at, (row as u64) | ((address as u64) << 32));
  return at + LISTED_ROW_BYTES;
}

/** Lists ROWS_AHEAD rows that are none. */
function endList(end: usize): void {
  const none = v128.splat<u64>((nowhere as u64) << 32);
  for (let at = end; at < end + BYTES_AHEAD; at += 16) v128.store(at, none);
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
