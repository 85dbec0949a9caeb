/**
 * Sliding windows as runs. What leaves one window at once is one run: a list of (ad, clicks), summed per
 * ad, ascending by slot, that never changes. A run counts in a sliding window while its window is among
 * the last M closed ones: its clicks are added to the sums when it comes in and subtracted when it goes,
 * so sums are exact whatever came late, and nothing is added up twice.
 *
 *     run record (the record of the window that it came from)     chunk of entries
 *      0 u32 next run, by ascending number                         0 u32 next chunk
 *      4 u32 number                                                4 u32 log2 of its bytes
 *      8 u32 start of the window                                   8 entries, each
 *     12 u32 mask: a bit for each sliding window it counts in         varint slot − slot before − 1
 *     16 u32 rows (ads)                                               varint clicks
 *     20 u32 first chunk
 *     24 u64 clicks of these ads
 *     32 u64 untracked clicks: of ads beyond the limits
 *     40 u32 rows that are to be restored
 */
import {
  addAd,
  adCount,
  adHash,
  adLine,
  dropAd,
  dropAllAds,
  findAd,
  hasAdTable,
  marks,
  RECORD_SLOT,
  records,
  references,
  slotsUsed,
  sumsOf,
} from "./ads";
import { SLIDING_WINDOWS_MAX } from "./constants.generated";
import { give, giveFromLists, take, takeForLists } from "./memory";
import { SORTED_BATCH_ROWS, SORTED_CLICKS, SORTED_ROW_LOG2, sortedBatch } from "./sorted-rows";
import { addClicks, clicksOf, ENTRY_RECORD, entryInLine, warmLine, warmRecord } from "./table";
import { WINDOW_LOG2 } from "./windows";

const RUN_NUMBER: usize = 4;
const RUN_START: usize = 8;
const RUN_MASK: usize = 12;
const RUN_ROWS: usize = 16;
const RUN_CHUNK: usize = 20;
const RUN_CLICKS: usize = 24;
const RUN_UNTRACKED: usize = 32;
const RUN_PROMISED: usize = 40;

const CHUNK_LOG2: usize = 4;
const CHUNK_HEAD_BYTES: u32 = 8;
/** Chunks double from 64 bytes (a late click) to 64 KiB. */
const CHUNK_LOG2_MIN: u32 = 6;
const CHUNK_LOG2_MAX: u32 = 16;
/** Varints of 32 and of 64 bits. */
const ENTRY_BYTES_MAX: u32 = 5 + 10;

/** Entries that are taken out of a run at a time: slot u32, nothing, clicks u64. */
const ENTRY_BATCH: u32 = 64;
export const entries: usize = memory.data(1024);

let slidingCount: u32 = 0;
const slidingWindows: usize = memory.data(32);
let adsMax: u32 = 0;
let runRowsMax: u32 = 0;

/** Through where windows are closed, and how long a window is. */
export let boundary: u64 = 0;
export let windowSeconds: u64 = 0;
export let runsMade: u32 = 0;
export let runCount: u32 = 0;
/** Rows of all runs, the one that is being made included, and the bytes of their chunks. */
export let runRows: u32 = 0;
export let runBytes: u64 = 0;
/** Clicks that are untracked because memory was at its limit: no limit of the state's, so machines may differ in them. */
export let untrackedForMemory: u64 = 0;

/** What is no record of an ad: there are limits, or no memory. */
const NO_PLACE: usize = 0;
const NO_MEMORY: usize = 1;
/** Before the first slot. */
const NO_SLOT: u32 = u32.MAX_VALUE;

let firstRun: usize = 0;
let lastRun: usize = 0;

/** Of the run that is being made. */
let making: bool = false;
let untracked: u64 = 0;
/** Hashes of the batch's ads. */
const hashes: usize = memory.data(1024);

/** @param windows ascending: called once for each sliding window, before anything else */
export function addSlidingWindow(windows: u32): void {
  if (slidingCount == SLIDING_WINDOWS_MAX) unreachable();
  store<u32>(slidingWindows + (slidingCount << 2), windows);
  slidingCount++;
}

export function setRunLimits(ads: u32, rows: u32): void {
  adsMax = ads;
  runRowsMax = rows;
}

export function slidingWindow(index: u32): u32 {
  return load<u32>(slidingWindows + (index << 2));
}

/** Whether a window that starts at `start` is reached by the largest sliding window. */
function inReach(start: u32): bool {
  if (slidingCount == 0) return false;
  return (start as u64) + (slidingWindow(slidingCount - 1) as u64) * windowSeconds >= boundary;
}

/** Moves the boundary, and drops the runs that nothing reaches any more. */
export function advance(closedThrough: u64, seconds: u64): void {
  if (closedThrough < boundary) unreachable();
  const anew = seconds != windowSeconds;
  windowSeconds = seconds;
  boundary = closedThrough;
  let previous: usize = 0;
  let run = firstRun;
  while (run != 0) {
    const next: usize = load<u32>(run);
    if (anew || !inReach(load<u32>(run, RUN_START))) {
      if (previous == 0) firstRun = next;
      else store<u32>(previous, next as u32);
      dropRun(run);
    } else {
      previous = run;
    }
    run = next;
  }
  lastRun = previous;
  if (adCount == 0) dropAllAds();
}

/** Brings the sums up to the boundary, after all runs of a close are made. */
export function slide(): void {
  for (let run = firstRun; run != 0; run = load<u32>(run)) {
    const mask = load<u32>(run, RUN_MASK);
    const wanted = wantedMask(load<u32>(run, RUN_START));
    if (mask == wanted) continue;
    count(run, wanted & ~mask, mask & ~wanted);
    store<u32>(run, wanted, RUN_MASK);
  }
}

function wantedMask(start: u32): u32 {
  if ((start as u64) + windowSeconds > boundary) return 0;
  let mask: u32 = 0;
  for (let i: u32 = 0; i < slidingCount; i++) {
    if ((start as u64) + (slidingWindow(i) as u64) * windowSeconds >= boundary) mask |= 1 << i;
  }
  return mask;
}

/** Adds a run to the sums of some sliding windows and subtracts it from those of others. */
function count(run: usize, added: u32, subtracted: u32): void {
  beginEntries(run);
  for (let n = nextEntries(); n > 0; n = nextEntries()) countEntries(n, added, subtracted);
}

function countEntries(n: u32, added: u32, subtracted: u32): void {
  const end = entries + (n << 4);
  for (let i: u32 = 0; i < slidingCount; i++) {
    const sums = sumsOf(i);
    if ((added >> i) & 1) {
      for (let entry = entries; entry < end; entry += 16) {
        const sum = sums + (load<u32>(entry) << 3);
        store<u64>(sum, load<u64>(sum) + load<u64>(entry, 8));
      }
    } else if ((subtracted >> i) & 1) {
      for (let entry = entries; entry < end; entry += 16) {
        const sum = sums + (load<u32>(entry) << 3);
        store<u64>(sum, load<u64>(sum) - load<u64>(entry, 8));
      }
    }
  }
}

function dropRun(run: usize): void {
  const mask = load<u32>(run, RUN_MASK);
  beginEntries(run);
  for (let n = nextEntries(); n > 0; n = nextEntries()) {
    // Before ads are let go: the next one in a slot starts from sums of 0.
    countEntries(n, 0, mask);
    for (let entry = entries; entry < entries + (n << 4); entry += 16) release(load<u32>(entry));
  }
  runRows -= load<u32>(run, RUN_ROWS);
  let chunk: usize = load<u32>(run, RUN_CHUNK);
  while (chunk != 0) {
    const next: usize = load<u32>(chunk);
    const log2 = load<u32>(chunk, CHUNK_LOG2);
    runBytes -= (1 as u64) << log2;
    giveFromLists(chunk, log2);
    chunk = next;
  }
  give(run, WINDOW_LOG2);
  runCount--;
}

function release(slot: u32): void {
  const reference = references + (slot << 2);
  const left = load<u32>(reference) - 1;
  store<u32>(reference, left);
  if (left == 0) dropAd(slot);
}

/** Begins a run of a window's rows, if a sliding window reaches it. */
export function beginRun(start: u32): void {
  making = inReach(start);
  untracked = 0;
}

/**
 * Adds the rows of `sortedBatch` (whose keys begin with the ad's id) to the run that is being made: first it
 * has all lines of the table loaded, then all records, then it adds clicks.
 */
export function addBatch(rows: u32): void {
  if (!making) return;
  if (rows > SORTED_BATCH_ROWS) unreachable();
  for (let i: u32 = 0; i < rows; i++) {
    const hash = adHash(load<u32>(sortedBatch + (i << SORTED_ROW_LOG2)));
    store<u32>(hashes + (i << 2), hash);
  }
  if (hasAdTable()) {
    for (let i: u32 = 0; i < rows; i++) warmLine(adLine(load<u32>(hashes + (i << 2))));
    for (let i: u32 = 0; i < rows; i++) {
      const hash = load<u32>(hashes + (i << 2));
      const entry = entryInLine(adLine(hash), hash);
      if (entry != 0) warmRecord(load<u32>(entry, ENTRY_RECORD));
    }
  }
  for (let i: u32 = 0; i < rows; i++) {
    const row = sortedBatch + (i << SORTED_ROW_LOG2);
    const clicks = load<u64>(row, SORTED_CLICKS);
    const record = placeInRun(load<u32>(row), load<u32>(hashes + (i << 2)), false);
    if (record > NO_MEMORY) {
      addClicks(record, clicks);
    } else {
      untracked += clicks;
      if (record == NO_MEMORY) untrackedForMemory += clicks;
    }
  }
}

/** The record of an ad that has or gets a place in the run that is being made; NO_PLACE or NO_MEMORY when it gets none. */
function placeInRun(id: usize, hash: u32, unlimited: bool): usize {
  let record = findAd(id, hash);
  if (record != 0 && isMarked(load<u32>(record, RECORD_SLOT))) return record;
  if (!unlimited && runRows >= runRowsMax) return NO_PLACE;
  if (record == 0) {
    if (!unlimited && adCount >= adsMax) return NO_PLACE;
    record = addAd(id, hash);
    if (record == 0) return NO_MEMORY;
  }
  const slot = load<u32>(record, RECORD_SLOT);
  const word = marks + ((slot >> 6) << 3);
  store<u64>(word, load<u64>(word) | ((1 as u64) << (slot & 63)));
  runRows++;
  return record;
}

function isMarked(slot: u32): bool {
  return ((load<u64>(marks + ((slot >> 6) << 3)) >> (slot & 63)) & 1) != 0;
}

/** Makes the run, in the record of the window that it came from; without one, the record is given back. */
export function endRun(record: usize, start: u32): void {
  if (!making) {
    give(record, WINDOW_LOG2);
    return;
  }
  making = false;
  startRecord(record, runsMade + 1, start, untracked);
  runsMade++;
  writeEntries(record);
}

function startRecord(run: usize, number: u32, start: u32, untrackedClicks: u64): void {
  memory.fill(run, 0, 1 << WINDOW_LOG2);
  store<u32>(run, number, RUN_NUMBER);
  store<u32>(run, start, RUN_START);
  store<u64>(run, untrackedClicks, RUN_UNTRACKED);
  if (lastRun == 0) firstRun = run;
  else store<u32>(lastRun, run as u32);
  lastRun = run;
  runCount++;
}

/** Takes the marked slots into a run, ascending. */
function writeEntries(run: usize): void {
  let chunk: usize = 0;
  let at: usize = 0;
  let end: usize = 0;
  let before: u32 = NO_SLOT;
  let rows: u32 = 0;
  let clicksSum: u64 = 0;
  const words = (slotsUsed + 63) >> 6;
  for (let i: u32 = 0; i < words; i++) {
    let bits = load<u64>(marks + (i << 3));
    if (bits == 0) continue;
    store<u64>(marks + (i << 3), 0);
    for (; bits != 0; bits &= bits - 1) {
      const slot = (i << 6) + (ctz<u64>(bits) as u32);
      const record: usize = load<u32>(records + (slot << 2));
      const clicks = clicksOf(record);
      store<u64>(record, 0);
      if (at + ENTRY_BYTES_MAX > end) {
        const next = nextChunk(run, chunk);
        if (next == 0) {
          forgetForMemory(run, slot, clicks);
          continue;
        }
        chunk = next;
        at = chunk + CHUNK_HEAD_BYTES;
        end = chunk + ((1 as usize) << load<u32>(chunk, CHUNK_LOG2));
      }
      at = writeVarint(at, (slot - before - 1) as u64);
      at = writeVarint(at, clicks);
      before = slot;
      rows++;
      clicksSum += clicks;
      const reference = references + (slot << 2);
      store<u32>(reference, load<u32>(reference) + 1);
    }
  }
  store<u32>(run, rows, RUN_ROWS);
  store<u64>(run, clicksSum, RUN_CLICKS);
}

/** Appends a chunk to a run, behind `last`; 0 when memory is at its limit. */
function nextChunk(run: usize, last: usize): usize {
  const log2 = last == 0 ? CHUNK_LOG2_MIN : min(load<u32>(last, CHUNK_LOG2) + 1, CHUNK_LOG2_MAX);
  const chunk = takeForLists(log2);
  if (chunk == 0) return 0;
  store<u32>(chunk, 0);
  store<u32>(chunk, log2, CHUNK_LOG2);
  if (last == 0) store<u32>(run, chunk as u32, RUN_CHUNK);
  else store<u32>(last, chunk as u32);
  runBytes += (1 as u64) << log2;
  return chunk;
}

/** An ad's clicks find no room: they are counted, and its place in the run is free again. */
function forgetForMemory(run: usize, slot: u32, clicks: u64): void {
  store<u64>(run, load<u64>(run, RUN_UNTRACKED) + clicks, RUN_UNTRACKED);
  untrackedForMemory += clicks;
  runRows--;
  if (load<u32>(references + (slot << 2)) == 0) dropAd(slot);
}

function writeVarint(at: usize, value: u64): usize {
  while (value >= 128) {
    store<u8>(at, (value | 128) as u8);
    value >>= 7;
    at++;
  }
  store<u8>(at, value as u8);
  return at + 1;
}

/** Of the run whose entries are being read. */
let readAt: usize = 0;
let readEnd: usize = 0;
let readLeft: u32 = 0;
let readSlot: u32 = 0;
let nextOfRun: usize = 0;

/** Starts at the first entry of `run`. */
export function beginEntries(run: usize): void {
  readLeft = load<u32>(run, RUN_ROWS);
  readAt = 0;
  readEnd = 0;
  readSlot = NO_SLOT;
  nextOfRun = load<u32>(run, RUN_CHUNK);
}

/** Fills `entries`; returns how many there are, 0 at the end. */
export function nextEntries(): u32 {
  const rows = min(readLeft, ENTRY_BATCH);
  let at = readAt;
  let end = readEnd;
  let slot = readSlot;
  for (let entry = entries; entry < entries + (rows << 4); entry += 16) {
    if (at + ENTRY_BYTES_MAX > end) {
      const chunk = nextOfRun;
      nextOfRun = load<u32>(chunk);
      at = chunk + CHUNK_HEAD_BYTES;
      end = chunk + ((1 as usize) << load<u32>(chunk, CHUNK_LOG2));
    }
    let byte = load<u8>(at++) as u32;
    let gap = byte & 127;
    for (let shift: u32 = 7; byte >= 128; shift += 7) {
      byte = load<u8>(at++) as u32;
      gap |= (byte & 127) << shift;
    }
    slot += gap + 1;
    byte = load<u8>(at++) as u32;
    let clicks = (byte & 127) as u64;
    for (let shift: u64 = 7; byte >= 128; shift += 7) {
      byte = load<u8>(at++) as u32;
      clicks |= ((byte & 127) as u64) << shift;
    }
    store<u32>(entry, slot);
    store<u64>(entry, clicks, 8);
  }
  readAt = at;
  readEnd = end;
  readSlot = slot;
  readLeft -= rows;
  return rows;
}

export function runAfter(run: usize): usize {
  return run == 0 ? firstRun : load<u32>(run);
}

/** The run of that number, 0 for none. */
export function findRun(number: u32): usize {
  let run = firstRun;
  while (run != 0 && load<u32>(run, RUN_NUMBER) != number) run = load<u32>(run);
  return run;
}

export function runNumber(run: usize): u32 {
  return load<u32>(run, RUN_NUMBER);
}

export function runStart(run: usize): u32 {
  return load<u32>(run, RUN_START);
}

export function runRowsOf(run: usize): u32 {
  return load<u32>(run, RUN_ROWS);
}

export function runClicks(run: usize): u64 {
  return load<u64>(run, RUN_CLICKS);
}

export function runUntracked(run: usize): u64 {
  return load<u64>(run, RUN_UNTRACKED);
}

/** Clicks that the list over sliding window `index` may lack. */
export function untrackedIn(index: u32): u64 {
  let clicks: u64 = 0;
  for (let run = firstRun; run != 0; run = load<u32>(run)) {
    if ((load<u32>(run, RUN_MASK) >> index) & 1) clicks += load<u64>(run, RUN_UNTRACKED);
  }
  return clicks;
}

/** Takes over a snapshot's boundary and counters. */
export function restoreBoundary(closedThrough: u64, seconds: u64, made: u32): void {
  boundary = closedThrough;
  windowSeconds = seconds;
  runsMade = made;
}

/** Appends a run whose rows are to come; false when memory is at its limit. */
export function restoreRun(number: u32, start: u32, rows: u32, untrackedClicks: u64): bool {
  const run = take(WINDOW_LOG2);
  if (run == 0) return false;
  startRecord(run, number, start, untrackedClicks);
  store<u32>(run, rows, RUN_PROMISED);
  if (rows == 0) endRestoredRun(run);
  return true;
}

/** Rows that a run still lacks. */
export function rowsMissing(run: usize): u32 {
  return load<u32>(run, RUN_PROMISED);
}

/** Why `restoreRow` said false. */
export let memoryIsOut: bool = false;

/** Adds a row to the run that is being restored; false when the ad is in it already, or memory is at its limit. */
export function restoreRow(run: usize, id: usize, clicks: u64): bool {
  const before = runRows;
  const record = placeInRun(id, adHash(id), true);
  memoryIsOut = record == NO_MEMORY;
  if (record <= NO_MEMORY || runRows == before) return false;
  addClicks(record, clicks);
  store<u32>(run, load<u32>(run, RUN_PROMISED) - 1, RUN_PROMISED);
  return true;
}

/** All rows of a run are there: it is one, and counts. False when memory has no room for it. */
export function endRestoredRun(run: usize): bool {
  const lostBefore = untrackedForMemory;
  writeEntries(run);
  memoryIsOut = untrackedForMemory != lostBefore;
  if (memoryIsOut) return false;
  const wanted = wantedMask(load<u32>(run, RUN_START));
  count(run, wanted, 0);
  store<u32>(run, wanted, RUN_MASK);
  return true;
}
