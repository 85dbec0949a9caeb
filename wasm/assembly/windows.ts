/**
 * Open windows: a directory sorted by start, and for each window a table (table.ts) and an arena for its keys.
 *
 *     window record                          arena chunk
 *      0 u32 start                            0 u32 next chunk
 *      4 u32 table                            4 u32 log2 of its bytes
 *      8 u32 table bytes − 1, less the        8 records (table.ts), then slack
 *            low 6 bits: masks an offset
 *     12 u32 rows                            directory entry
 *     16 u64 clicks                           0 u32 start
 *     24 u32 arena at: next record goes here    4 u32 window record
 *     28 u32 arena end
 *     32 u32 first arena chunk
 *     36 u32 current arena chunk
 *     40 u32 bytes in chunks after it
 *     44 u32 rows the block may add
 *     48 u32 record bytes the block may add
 *     52 u32 next touched window
 *     56 u32 rows that are to be restored
 *     64 u64 clicks the block may add
 */
import { PARTIAL_KEY_BYTES_MAX } from "./constants.generated";
import { give, SLACK_BYTES, take, takeAllBack } from "./memory";
import { runCount } from "./runs";
import { copyEntries, entriesOf, LINE_BYTES, RECORD_KEY } from "./table";

export const WINDOW_TABLE: usize = 4;
export const WINDOW_MASK: usize = 8;
export const WINDOW_ROWS: usize = 12;
export const WINDOW_CLICKS: usize = 16;
export const WINDOW_ARENA_AT: usize = 24;
export const WINDOW_ARENA_END: usize = 28;
const WINDOW_CHUNK_FIRST: usize = 32;
const WINDOW_CHUNK: usize = 36;
const WINDOW_SPARE_BYTES: usize = 40;
const WINDOW_PENDING_ROWS: usize = 44;
const WINDOW_PENDING_BYTES: usize = 48;
const WINDOW_NEXT_TOUCHED: usize = 52;
const WINDOW_PROMISED: usize = 56;
const WINDOW_PENDING_CLICKS: usize = 64;
/** A run takes over the record of its window (runs.ts). */
export const WINDOW_LOG2: u32 = 7;

/** A table of 112 entries: a window with few keys (late ones) costs 2 KiB with its first arena chunk. */
const TABLE_LOG2_MIN: u32 = 10;

const CHUNK_LOG2: usize = 4;
const CHUNK_HEAD_BYTES: u32 = 8;
/** Arena chunks double from 1 KiB to 64 KiB. */
const CHUNK_LOG2_MIN: u32 = 10;
const CHUNK_LOG2_MAX: u32 = 16;

const DIRECTORY_ENTRY_BYTES: u32 = 8;
const DIRECTORY_LOG2_MIN: u32 = 10;

let directory: usize = 0;
export let windowCount: u32 = 0;
let directoryLog2: u32 = 0;
/** The window that the last row fell into, 0 for none. */
let lastWindow: usize = 0;
/** Windows that the block at hand adds rows to, linked through WINDOW_NEXT_TOUCHED. */
let firstTouched: usize = 0;

/** The window record at place `index` of the directory. */
export function windowAt(index: u32): usize {
  return load<u32>(directory + index * DIRECTORY_ENTRY_BYTES, 4);
}

/** The window that starts at `start`, opened when it is not there; 0 when memory is at its limit. */
export function windowFor(start: u32): usize {
  if (lastWindow != 0 && load<u32>(lastWindow) == start) return lastWindow;
  const place = placeOf(start);
  if (place < windowCount && load<u32>(directory + place * DIRECTORY_ENTRY_BYTES) == start) {
    lastWindow = windowAt(place);
    return lastWindow;
  }
  const opened = openWindow(start, place);
  if (opened != 0) lastWindow = opened;
  return opened;
}

/** The place of the first window that starts at or after `start`. */
function placeOf(start: u32): u32 {
  let low: u32 = 0;
  let high = windowCount;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (load<u32>(directory + middle * DIRECTORY_ENTRY_BYTES) < start) low = middle + 1;
    else high = middle;
  }
  return low;
}

function openWindow(start: u32, place: u32): usize {
  if (!growDirectory()) return 0;
  const window = take(WINDOW_LOG2);
  if (window == 0) return 0;
  memory.fill(window, 0, 1 << WINDOW_LOG2);
  store<u32>(window, start);
  const entry = directory + place * DIRECTORY_ENTRY_BYTES;
  memory.copy(entry + DIRECTORY_ENTRY_BYTES, entry, (windowCount - place) * DIRECTORY_ENTRY_BYTES);
  store<u32>(entry, start);
  store<u32>(entry, window as u32, 4);
  windowCount++;
  return window;
}

/** Makes room for one more window in the directory. */
function growDirectory(): bool {
  const bytes = windowCount * DIRECTORY_ENTRY_BYTES;
  if (directory != 0 && bytes + DIRECTORY_ENTRY_BYTES <= (1 as u32) << directoryLog2) return true;
  const log2 = directory == 0 ? DIRECTORY_LOG2_MIN : directoryLog2 + 1;
  const grown = take(log2);
  if (grown == 0) return false;
  if (directory != 0) {
    memory.copy(grown, directory, bytes);
    give(directory, directoryLog2);
  }
  directory = grown;
  directoryLog2 = log2;
  return true;
}

/** Takes the first `count` windows out of the directory; their memory is already given back. */
export function dropFirstWindows(count: u32): void {
  windowCount -= count;
  memory.copy(
    directory,
    directory + count * DIRECTORY_ENTRY_BYTES,
    windowCount * DIRECTORY_ENTRY_BYTES,
  );
  lastWindow = 0;
  startAnew();
}

/** A kernel that holds nothing forgets all memory: the next block finds that of a new one. */
function startAnew(): void {
  if (windowCount > 0 || runCount > 0) return;
  directory = 0;
  directoryLog2 = 0;
  takeAllBack();
}

/** Notes that the block at hand may add `rows` records to `window`, with keys of together `keyBytes`, and that it has these clicks. */
export function announce(window: usize, rows: u32, keyBytes: u32, clicks: u64): void {
  const bytes = keyBytes + rows * RECORD_EXTRA_BYTES_MAX;
  const before = load<u32>(window, WINDOW_PENDING_ROWS);
  if (before == 0) {
    store<u32>(window, firstTouched as u32, WINDOW_NEXT_TOUCHED);
    firstTouched = window;
  }
  store<u32>(window, before + rows, WINDOW_PENDING_ROWS);
  store<u32>(window, load<u32>(window, WINDOW_PENDING_BYTES) + bytes, WINDOW_PENDING_BYTES);
  store<u64>(window, load<u64>(window, WINDOW_PENDING_CLICKS) + clicks, WINDOW_PENDING_CLICKS);
}

/**
 * Opens a window with a table for `rows` rows that are to be restored, which come in canonical order;
 * false when memory is at its limit.
 */
export function promiseRows(start: u32, rows: u32): bool {
  const window = windowFor(start);
  if (window == 0) return false;
  store<u32>(window, rows, WINDOW_PROMISED);
  store<u32>(window, rows, WINDOW_PENDING_ROWS);
  const reserved = reserveTable(window);
  store<u32>(window, 0, WINDOW_PENDING_ROWS);
  return reserved;
}

export function windowStart(index: u32): u32 {
  return load<u32>(windowAt(index));
}

export function windowRows(index: u32): u32 {
  return load<u32>(windowAt(index), WINDOW_ROWS);
}

/** Entries, taken or not, of all open tables. */
export function tableEntries(): u64 {
  let entries: u64 = 0;
  for (let i: u32 = 0; i < windowCount; i++) {
    const window = windowAt(i);
    if (load<u32>(window, WINDOW_TABLE) != 0) entries += entriesOf(tableLog2(window));
  }
  return entries;
}

/** Makes room for all that has been announced, as if every row were a new key. Changes no count. */
export function reserveTouched(): bool {
  for (let window = firstTouched; window != 0; window = load<u32>(window, WINDOW_NEXT_TOUCHED)) {
    if (!reserveTable(window) || !reserveArena(window)) return false;
  }
  return true;
}

/**
 * Ends the announcements: of a block that was taken, windows get their clicks; of one that was refused, windows that
 * hold no rows are closed again. Returns the clicks.
 */
export function settleTouched(taken: bool): u64 {
  let clicks: u64 = 0;
  let window = firstTouched;
  while (window != 0) {
    const next: usize = load<u32>(window, WINDOW_NEXT_TOUCHED);
    if (taken) {
      const added = load<u64>(window, WINDOW_PENDING_CLICKS);
      store<u64>(window, load<u64>(window, WINDOW_CLICKS) + added, WINDOW_CLICKS);
      clicks += added;
    }
    store<u32>(window, 0, WINDOW_PENDING_ROWS);
    store<u32>(window, 0, WINDOW_PENDING_BYTES);
    store<u64>(window, 0, WINDOW_PENDING_CLICKS);
    if (load<u32>(window, WINDOW_ROWS) + load<u32>(window, WINDOW_PROMISED) == 0)
      closeEmpty(window);
    window = next;
  }
  firstTouched = 0;
  startAnew();
  return clicks;
}

function closeEmpty(window: usize): void {
  const entry = directory + placeOf(load<u32>(window)) * DIRECTORY_ENTRY_BYTES;
  const end = directory + windowCount * DIRECTORY_ENTRY_BYTES;
  const next = entry + DIRECTORY_ENTRY_BYTES;
  memory.copy(entry, next, end - next);
  windowCount--;
  lastWindow = 0;
  giveTable(window);
  giveArena(window);
  give(window, WINDOW_LOG2);
}

/** Grows the table until its rows and the announced ones fill at most 3/4 of it. */
function reserveTable(window: usize): bool {
  const rows: u64 =
    (load<u32>(window, WINDOW_ROWS) as u64) + load<u32>(window, WINDOW_PENDING_ROWS);
  const old: usize = load<u32>(window, WINDOW_TABLE);
  const oldLog2 = old == 0 ? 0 : tableLog2(window);
  let log2 = old == 0 ? TABLE_LOG2_MIN : oldLog2;
  while (log2 < 32 && rows * 4 > entriesOf(log2) * 3) log2++;
  if (log2 == oldLog2) return true;
  const table = take(log2);
  if (table == 0) return false;
  const bytes: u32 = 1 << log2;
  memory.fill(table, 0, bytes);
  if (old != 0) {
    copyEntries(old, 1 << oldLog2, table, log2);
    give(old, oldLog2);
  }
  store<u32>(window, table as u32, WINDOW_TABLE);
  store<u32>(window, bytes - LINE_BYTES, WINDOW_MASK);
  return true;
}

/** Bytes of a window's table, if there is one. */
export function tableBytes(window: usize): u64 {
  return (load<u32>(window, WINDOW_MASK) as u64) + LINE_BYTES;
}

/** log2 of them. */
export function tableLog2(window: usize): u32 {
  return 32 - clz<u32>(load<u32>(window, WINDOW_MASK));
}

/** A record leaves out so little of a line, to be in one. */
const LINE_REST_BYTES: u32 = 16;

/** What a record takes of an arena at most, beyond its key: what is left out before it, its clicks, and what fills it up to 8. */
const RECORD_EXTRA_BYTES_MAX: u32 = LINE_REST_BYTES + (RECORD_KEY as u32) + 7;

export function recordBytes(keyBytes: u32): u32 {
  return ((RECORD_KEY as u32) + keyBytes + 7) & ~7;
}

/** What a chunk surely takes: the last record that does not fit leaves up to its length unused. */
function surelyFits(room: u32): u32 {
  const lost = PARTIAL_KEY_BYTES_MAX + RECORD_EXTRA_BYTES_MAX;
  return room > lost ? room - lost : 0;
}

function chunkRoom(log2: u32): u32 {
  return ((1 as u32) << log2) - CHUNK_HEAD_BYTES - SLACK_BYTES;
}

/** Appends arena chunks until the announced keys surely fit. */
function reserveArena(window: usize): bool {
  const wanted = load<u32>(window, WINDOW_PENDING_BYTES);
  let sure =
    surelyFits(load<u32>(window, WINDOW_ARENA_END) - load<u32>(window, WINDOW_ARENA_AT)) +
    load<u32>(window, WINDOW_SPARE_BYTES);
  let last: usize = load<u32>(window, WINDOW_CHUNK);
  while (last != 0 && load<u32>(last) != 0) last = load<u32>(last);
  while (sure < wanted) {
    const log2 = last == 0 ? CHUNK_LOG2_MIN : min(load<u32>(last, CHUNK_LOG2) + 1, CHUNK_LOG2_MAX);
    const chunk = take(log2);
    if (chunk == 0) return false;
    store<u32>(chunk, 0);
    store<u32>(chunk, log2, CHUNK_LOG2);
    if (last == 0) {
      store<u32>(window, chunk as u32, WINDOW_CHUNK_FIRST);
      enterChunk(window, chunk);
    } else {
      store<u32>(last, chunk as u32);
      store<u32>(
        window,
        load<u32>(window, WINDOW_SPARE_BYTES) + surelyFits(chunkRoom(log2)),
        WINDOW_SPARE_BYTES,
      );
    }
    sure += surelyFits(chunkRoom(log2));
    last = chunk;
  }
  return true;
}

function enterChunk(window: usize, chunk: usize): void {
  const at = chunk + CHUNK_HEAD_BYTES;
  store<u32>(window, chunk as u32, WINDOW_CHUNK);
  store<u32>(window, at as u32, WINDOW_ARENA_AT);
  store<u32>(window, (at as u32) + chunkRoom(load<u32>(chunk, CHUNK_LOG2)), WINDOW_ARENA_END);
}

/** Room for a record in the arena, which has been reserved; `addedInChunk` takes it. */
export function newRecord(window: usize, keyBytes: u32): usize {
  const at = roomInChunk(window, keyBytes);
  if (at != 0) return at;
  const next: usize = load<u32>(load<u32>(window, WINDOW_CHUNK));
  if (next == 0) unreachable();
  store<u32>(
    window,
    load<u32>(window, WINDOW_SPARE_BYTES) - surelyFits(chunkRoom(load<u32>(next, CHUNK_LOG2))),
    WINDOW_SPARE_BYTES,
  );
  enterChunk(window, next);
  return roomInChunk(window, keyBytes);
}

/** Where the arena's current chunk has room for a record; 0 when it has none. */
function roomInChunk(window: usize, keyBytes: u32): usize {
  const bytes = recordBytes(keyBytes);
  const at = startOf(load<u32>(window, WINDOW_ARENA_AT));
  return at + bytes > (load<u32>(window, WINDOW_ARENA_END) as usize) ? 0 : at;
}

/** Notes that `rows` records have been added to the arena's current chunk, up to `arenaAt`. */
export function addedInChunk(window: usize, rows: u32, arenaAt: usize): void {
  store<u32>(window, load<u32>(window, WINDOW_ROWS) + rows, WINDOW_ROWS);
  store<u32>(window, arenaAt as u32, WINDOW_ARENA_AT);
}

/** Where a record begins that may begin at `at`. */
export function startOf(at: usize): usize {
  const rest = LINE_BYTES - ((at as u32) & (LINE_BYTES - 1));
  return rest <= LINE_REST_BYTES ? at + rest : at;
}

export function giveTable(window: usize): void {
  const table: usize = load<u32>(window, WINDOW_TABLE);
  if (table != 0) give(table, tableLog2(window));
  store<u32>(window, 0, WINDOW_TABLE);
}

export function giveArena(window: usize): void {
  let chunk: usize = load<u32>(window, WINDOW_CHUNK_FIRST);
  while (chunk != 0) {
    const next: usize = load<u32>(chunk);
    give(chunk, load<u32>(chunk, CHUNK_LOG2));
    chunk = next;
  }
}
