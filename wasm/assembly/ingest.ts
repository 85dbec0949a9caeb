/**
 * Adds a block of partial rows, whole or not at all, in three passes:
 *
 * 1. check every row and note where its key is (the only walk from length to length);
 * 2. find each row's window and make room as if every row were a new key;
 * 3. count, in batches: first hash all keys, then touch all table entries and stored keys, then
 *    compare and add. WebAssembly has no prefetch, but loads that do not wait for each other overlap
 *    in the processor: a batch pays for one cache miss, not for one per row.
 *
 * Only pass 3 changes counts, and it cannot fail.
 *
 *     row index entry
 *      0 u32 key       address in the transfer area; window_start stands in the 4 bytes before it
 *      4 u32 key bytes
 *      8 u32 window record
 */
import {
  AD_ID_BYTES_MAX,
  COUNTRY_BYTES_MAX,
  DEVICE_BYTES_MAX,
  FAULT_CUT_OFF,
  FAULT_LEFT_OVER,
  FAULT_LONG_AD_ID,
  FAULT_LONG_COUNTRY,
  FAULT_LONG_DEVICE,
  FAULT_LONG_INVALID_REASON,
  FAULT_LONG_LENGTH,
  FAULT_NO_CLICKS,
  FAULT_NONE,
  FAULT_OUT_OF_MEMORY,
  INVALID_REASON_BYTES_MAX,
} from "./constants.generated";
import { keyHash } from "./key-hash";
import { copyKey, sameKey } from "./keys";
import { ROW_INDEX_ENTRY_BYTES, rowIndex, transfer } from "./memory";
import {
  announce,
  arenaRoom,
  ENTRY_BYTES,
  ENTRY_CLICKS,
  ENTRY_KEY,
  reserveTouched,
  settleTouched,
  WINDOW_CLICKS,
  WINDOW_MASK,
  WINDOW_ROWS,
  WINDOW_TABLE,
  windowFor,
} from "./windows";

/** Enough to cover a cache miss with work, few enough to stay in the first-level cache. */
const BATCH_ROWS: u32 = 32;
/** Per row of a batch: low half of the hash, address of the first table entry to look at. */
const batch: usize = memory.data(256);
const BATCH_ENTRY_BYTES: u32 = 8;

/** What the last block did: for the host to compare with what it sent. */
export let faultOffset: u32 = 0;
export let ingestedRows: u32 = 0;
export let ingestedClicks: u64 = 0;

/** Rows in all open windows. */
export let rowsHeld: u64 = 0;

/** Exported and never read: it keeps the loads of `touch` from being optimized away. */
export let touched: u64 = 0;

export function releaseRows(rows: u32): void {
  rowsHeld -= rows;
}

/** Adds the rows in the transfer area. Returns a fault code, with `faultOffset`. */
export function ingestBlock(bytes: u32, rows: u32): u32 {
  ingestedRows = 0;
  ingestedClicks = 0;
  faultOffset = 0;
  const fault = check(bytes, rows);
  if (fault != FAULT_NONE) return fault;
  if (!assign(rows)) {
    settleTouched();
    return FAULT_OUT_OF_MEMORY;
  }
  for (let first: u32 = 0; first < rows; first += BATCH_ROWS) {
    const index = rowIndex + first * ROW_INDEX_ENTRY_BYTES;
    const count = min(BATCH_ROWS, rows - first);
    hash(index, count);
    touch(count);
    add(index, count);
  }
  settleTouched();
  return FAULT_NONE;
}

function fail(fault: u32, at: usize): u32 {
  faultOffset = (at - transfer) as u32;
  return fault;
}

/** Pass 1. */
function check(bytes: u32, rows: u32): u32 {
  const end = transfer + bytes;
  let at = transfer;
  let index = rowIndex;
  for (let row: u32 = 0; row < rows; row++) {
    if (at + 4 > end) return fail(FAULT_CUT_OFF, at);
    const key = at + 4;
    at = key;

    if (at >= end) return fail(FAULT_CUT_OFF, at);
    let length = load<u8>(at) as u32;
    if (length > AD_ID_BYTES_MAX) return fail(tooLong(length, FAULT_LONG_AD_ID), at);
    if (at + 1 + length > end) return fail(FAULT_CUT_OFF, at);
    at += 1 + length;

    if (at >= end) return fail(FAULT_CUT_OFF, at);
    length = load<u8>(at) as u32;
    if (length > COUNTRY_BYTES_MAX) return fail(tooLong(length, FAULT_LONG_COUNTRY), at);
    if (at + 1 + length > end) return fail(FAULT_CUT_OFF, at);
    at += 1 + length;

    if (at >= end) return fail(FAULT_CUT_OFF, at);
    length = load<u8>(at) as u32;
    if (length > DEVICE_BYTES_MAX) return fail(tooLong(length, FAULT_LONG_DEVICE), at);
    if (at + 1 + length > end) return fail(FAULT_CUT_OFF, at);
    at += 1 + length;

    if (at >= end) return fail(FAULT_CUT_OFF, at);
    length = load<u8>(at) as u32;
    if (length > INVALID_REASON_BYTES_MAX) {
      return fail(tooLong(length, FAULT_LONG_INVALID_REASON), at);
    }
    if (at + 1 + length > end) return fail(FAULT_CUT_OFF, at);
    at += 1 + length;

    if (at + 4 > end) return fail(FAULT_CUT_OFF, at);
    if (load<u32>(at) == 0) return fail(FAULT_NO_CLICKS, at);
    store<u32>(index, key as u32);
    store<u32>(index, (at - key) as u32, 4);
    at += 4;
    index += ROW_INDEX_ENTRY_BYTES;
  }
  return at == end ? FAULT_NONE : fail(FAULT_LEFT_OVER, at);
}

/** All limits are below 128: a byte from there on is the first of several of a varint. */
function tooLong(length: u32, fault: u32): u32 {
  return length < 128 ? fault : FAULT_LONG_LENGTH;
}

/** Pass 2. */
function assign(rows: u32): bool {
  const end = rowIndex + rows * ROW_INDEX_ENTRY_BYTES;
  for (let index = rowIndex; index < end; index += ROW_INDEX_ENTRY_BYTES) {
    const window = windowFor(load<u32>((load<u32>(index) as usize) - 4));
    if (window == 0) return false;
    store<u32>(index, window as u32, 8);
    announce(window, load<u32>(index, 4));
  }
  return reserveTouched();
}

/** Pass 3, first loop. */
function hash(index: usize, count: u32): void {
  const end = batch + count * BATCH_ENTRY_BYTES;
  for (let slot = batch; slot < end; slot += BATCH_ENTRY_BYTES) {
    const window: usize = load<u32>(index, 8);
    const h = keyHash(load<u32>(index), load<u32>(index, 4)) as u32;
    store<u32>(slot, h);
    store<u32>(
      slot,
      load<u32>(window, WINDOW_TABLE) + ((h << 4) & load<u32>(window, WINDOW_MASK)),
      4,
    );
    index += ROW_INDEX_ENTRY_BYTES;
  }
}

/** Pass 3, second loop: loads every row's entry and, where the hash is the same, the key's first word. */
function touch(count: u32): void {
  const end = batch + count * BATCH_ENTRY_BYTES;
  let sum: u64 = 0;
  for (let slot = batch; slot < end; slot += BATCH_ENTRY_BYTES) {
    const entry = load<u64>(load<u32>(slot, 4));
    if ((entry as u32) == load<u32>(slot)) sum += load<u64>((entry >> 32) as usize);
  }
  touched = sum;
}

/** Pass 3, third loop. */
function add(index: usize, count: u32): void {
  const end = batch + count * BATCH_ENTRY_BYTES;
  for (let slot = batch; slot < end; slot += BATCH_ENTRY_BYTES) {
    const key: usize = load<u32>(index);
    const keyBytes = load<u32>(index, 4);
    const window: usize = load<u32>(index, 8);
    const clicks = load<u32>(key + keyBytes) as u64;
    const h = load<u32>(slot);
    let entry: usize = load<u32>(slot, 4);
    while (true) {
      const stored: usize = load<u32>(entry, ENTRY_KEY);
      if (stored == 0) {
        insert(window, entry, h, key, keyBytes, clicks);
        break;
      }
      if (load<u32>(entry) == h && sameKey(key, stored, keyBytes)) {
        store<u64>(entry, load<u64>(entry, ENTRY_CLICKS) + clicks, ENTRY_CLICKS);
        break;
      }
      const table: usize = load<u32>(window, WINDOW_TABLE);
      entry = table + ((entry - table + ENTRY_BYTES) & load<u32>(window, WINDOW_MASK));
    }
    store<u64>(window, load<u64>(window, WINDOW_CLICKS) + clicks, WINDOW_CLICKS);
    ingestedClicks += clicks;
    index += ROW_INDEX_ENTRY_BYTES;
  }
  ingestedRows += count;
}

function insert(window: usize, entry: usize, h: u32, key: usize, keyBytes: u32, clicks: u64): void {
  const room = arenaRoom(window, keyBytes);
  copyKey(room, key, keyBytes);
  store<u32>(entry, h);
  store<u32>(entry, room as u32, ENTRY_KEY);
  store<u64>(entry, clicks, ENTRY_CLICKS);
  store<u32>(window, load<u32>(window, WINDOW_ROWS) + 1, WINDOW_ROWS);
  rowsHeld++;
}
