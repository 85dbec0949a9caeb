/**
 * Ads of sliding windows: each has a slot, and for each sliding window a sum. An ad is here as long as a
 * run holds it.
 *
 *     table entry (8 bytes; record 0: empty)     record (whole words of 8 bytes)
 *      0 u32 hash     high half of the id's       0 u32 slot
 *      4 u32 record                               4 u8 id bytes, then the id
 *
 *     for each slot, in arrays of their own
 *     records     u32   its record; of a free slot the next free one + 1
 *     references  u32   runs that hold it
 *     live        u64   clicks of the run that is being made
 *     marks       1 bit whether the run that is being made holds it
 *     sums        u64   for each sliding window
 */
import { SLIDING_WINDOWS_MAX } from "./constants.generated";
import { keyHash } from "./key-hash";
import { sameKey } from "./keys";
import { give, SLACK_BYTES, take } from "./memory";

const ENTRY_LOG2: u32 = 3;
const ENTRY_BYTES: u32 = 8;
const ENTRY_RECORD: usize = 4;
const TABLE_LOG2_MIN: u32 = 10;

export const RECORD_ID: usize = 4;
/** log2 of what a page of records takes: 64 KiB. */
const RECORDS_LOG2: u32 = 16;
/** A record's words of 8 bytes at most: slot, length and 64 bytes are 69 bytes. */
const RECORD_WORDS_MAX: u32 = 9;

const SLOTS_LOG2_MIN: u32 = 9;

export const NO_SLOT: u32 = u32.MAX_VALUE;

export let adCount: u32 = 0;

let table: usize = 0;
let tableLog2: u32 = 0;
/** The first free record of each number of words, which holds the next. */
const freeRecords: usize = memory.data(40);
/** Where the next record goes, and how far; chunks of records are linked by their first word. */
let recordsAt: usize = 0;
let recordsEnd: usize = 0;
let recordChunks: usize = 0;

let slotsLog2: u32 = 0;
/** Slots that have ever been used: those below. */
export let slotsUsed: u32 = 0;
/** The next free slot + 1, 0 for none. */
let freeSlot: u32 = 0;
export let records: usize = 0;
export let references: usize = 0;
export let live: usize = 0;
export let marks: usize = 0;
let sumsCount: u32 = 0;
const sums: usize = memory.data(32);

export function setSumsCount(count: u32): void {
  if (count > SLIDING_WINDOWS_MAX) unreachable();
  sumsCount = count;
}

/** The array of sums of sliding window `index`. */
export function sumsOf(index: u32): usize {
  return load<u32>(sums + (index << 2));
}

/** The hash of an id with its length in front. */
export function adHash(id: usize): u32 {
  return (keyHash(id, 1 + (load<u8>(id) as u32)) >> 32) as u32;
}

/** Where the table begins to look for a hash; the table must be there. */
export function adEntry(hash: u32): usize {
  return table + ((hash >> (32 - (tableLog2 - ENTRY_LOG2))) << ENTRY_LOG2);
}

export function hasAdTable(): bool {
  return table != 0;
}

/** The record of the first entry from `entry` on with that hash, 0 when a gap comes first; only warms the cache. */
export function likelyRecord(entry: usize, hash: u32): usize {
  const end = table + ((1 as usize) << tableLog2);
  while (entry < end) {
    const head = load<u64>(entry);
    if ((head as u32) == hash || head >> 32 == 0) return (head >> 32) as usize;
    entry += ENTRY_BYTES;
  }
  return 0;
}

/** The slot of the ad whose id stands at `id`, or NO_SLOT. */
export function findSlot(id: usize, hash: u32): u32 {
  if (table == 0) return NO_SLOT;
  const mask = ((1 as u32) << tableLog2) - ENTRY_BYTES;
  const bytes = 1 + (load<u8>(id) as u32);
  let entry = adEntry(hash);
  while (true) {
    const record: usize = load<u32>(entry, ENTRY_RECORD);
    if (record == 0) return NO_SLOT;
    if (load<u32>(entry) == hash && sameKey(id, record + RECORD_ID, bytes))
      return load<u32>(record);
    entry = table + ((((entry - table) as u32) + ENTRY_BYTES) & mask);
  }
}

/** A slot for an ad that has none, with sums of 0; NO_SLOT when memory is at its limit. */
export function addAd(id: usize, hash: u32): u32 {
  if (!growTable() || (freeSlot == 0 && !growSlots())) return NO_SLOT;
  const bytes = 1 + (load<u8>(id) as u32);
  const record = takeRecord(recordWords(bytes));
  if (record == 0) return NO_SLOT;
  let slot = slotsUsed;
  if (freeSlot != 0) {
    slot = freeSlot - 1;
    freeSlot = load<u32>(records + (slot << 2));
  } else {
    slotsUsed++;
  }
  store<u32>(record, slot);
  memory.copy(record + RECORD_ID, id, bytes);
  store<u32>(records + (slot << 2), record as u32);
  store<u32>(references + (slot << 2), 0);
  store<u64>(live + (slot << 3), 0);
  for (let i: u32 = 0; i < sumsCount; i++) store<u64>(sumsOf(i) + (slot << 3), 0);
  place(hash, record as u32);
  adCount++;
  return slot;
}

/** Forgets the ad of a slot that no run holds. */
export function dropAd(slot: u32): void {
  const record: usize = load<u32>(records + (slot << 2));
  takeOut(adHash(record + RECORD_ID), record as u32);
  const list = freeRecords + (recordWords(1 + (load<u8>(record, RECORD_ID) as u32)) << 2);
  store<u32>(record, load<u32>(list));
  store<u32>(list, record as u32);
  store<u32>(records + (slot << 2), freeSlot);
  freeSlot = slot + 1;
  adCount--;
}

/** Gives everything back: there are no ads. */
export function dropAllAds(): void {
  if (table != 0) give(table, tableLog2);
  table = 0;
  tableLog2 = 0;
  while (recordChunks != 0) {
    const next: usize = load<u32>(recordChunks);
    give(recordChunks, RECORDS_LOG2);
    recordChunks = next;
  }
  recordsAt = 0;
  recordsEnd = 0;
  memory.fill(freeRecords, 0, (RECORD_WORDS_MAX + 1) << 2);
  if (slotsLog2 != 0) giveSlots(records, references, live, marks, sums, slotsLog2);
  slotsLog2 = 0;
  slotsUsed = 0;
  freeSlot = 0;
  adCount = 0;
}

function recordWords(idBytes: u32): u32 {
  return ((RECORD_ID as u32) + idBytes + 7) >> 3;
}

function takeRecord(words: u32): usize {
  const list = freeRecords + (words << 2);
  const free: usize = load<u32>(list);
  if (free != 0) {
    store<u32>(list, load<u32>(free));
    return free;
  }
  const bytes = words << 3;
  if (recordsAt + bytes > recordsEnd) {
    const chunk = take(RECORDS_LOG2);
    if (chunk == 0) return 0;
    store<u32>(chunk, recordChunks as u32);
    recordChunks = chunk;
    recordsAt = chunk + 8;
    recordsEnd = chunk + ((1 as usize) << RECORDS_LOG2) - SLACK_BYTES;
  }
  const record = recordsAt;
  recordsAt += bytes;
  return record;
}

/** Makes room for one more entry: at most 5/8 of them are taken. */
function growTable(): bool {
  const places: u64 = table == 0 ? 0 : (1 as u64) << (tableLog2 - ENTRY_LOG2);
  if (((adCount as u64) + 1) * 8 <= places * 5) return true;
  const log2 = table == 0 ? TABLE_LOG2_MIN : tableLog2 + 1;
  const grown = take(log2);
  if (grown == 0) return false;
  memory.fill(grown, 0, (1 as usize) << log2);
  const old = table;
  const oldEnd = table + (table == 0 ? 0 : (1 as usize) << tableLog2);
  const oldLog2 = tableLog2;
  table = grown;
  tableLog2 = log2;
  for (let entry = old; entry < oldEnd; entry += ENTRY_BYTES) {
    const record = load<u32>(entry, ENTRY_RECORD);
    if (record != 0) place(load<u32>(entry), record);
  }
  if (old != 0) give(old, oldLog2);
  return true;
}

function place(hash: u32, record: u32): void {
  const mask = ((1 as u32) << tableLog2) - ENTRY_BYTES;
  let entry = adEntry(hash);
  while (load<u32>(entry, ENTRY_RECORD) != 0) {
    entry = table + ((((entry - table) as u32) + ENTRY_BYTES) & mask);
  }
  store<u32>(entry, hash);
  store<u32>(entry, record, ENTRY_RECORD);
}

/** Closes the gap that an entry leaves: what stands behind moves up as far as it belongs (Knuth, volume 3, 6.4 R). */
function takeOut(hash: u32, record: u32): void {
  const mask = ((1 as u32) << tableLog2) - ENTRY_BYTES;
  let gap = (adEntry(hash) - table) as u32;
  while (load<u32>(table + gap, ENTRY_RECORD) != record) gap = (gap + ENTRY_BYTES) & mask;
  let at = gap;
  while (true) {
    at = (at + ENTRY_BYTES) & mask;
    const moved = load<u64>(table + at);
    if (moved >> 32 == 0) break;
    const home = (adEntry(moved as u32) - table) as u32;
    // It may move unless it belongs behind the gap: in circular order, gap < home ≤ at.
    if (((at - home) & mask) < ((at - gap) & mask)) continue;
    store<u64>(table + gap, moved);
    gap = at;
  }
  store<u64>(table + gap, 0);
}

/** Makes room for one more slot. */
function growSlots(): bool {
  if (slotsLog2 != 0 && slotsUsed < (1 as u32) << slotsLog2) return true;
  const log2 = slotsLog2 == 0 ? SLOTS_LOG2_MIN : slotsLog2 + 1;
  const grownRecords = take(log2 + 2);
  const grownReferences = take(log2 + 2);
  const grownLive = take(log2 + 3);
  const grownMarks = take(log2 - 3);
  let whole = grownRecords != 0 && grownReferences != 0 && grownLive != 0 && grownMarks != 0;
  for (let i: u32 = 0; i < sumsCount; i++) {
    const grown = take(log2 + 3);
    store<u32>(grownSums + (i << 2), grown as u32);
    whole = whole && grown != 0;
  }
  if (!whole) {
    giveSlots(grownRecords, grownReferences, grownLive, grownMarks, grownSums, log2);
    return false;
  }
  const slots = slotsUsed;
  memory.fill(grownMarks, 0, (1 as usize) << (log2 - 3));
  if (slotsLog2 != 0) {
    memory.copy(grownRecords, records, slots << 2);
    memory.copy(grownReferences, references, slots << 2);
    memory.copy(grownLive, live, slots << 3);
    memory.copy(grownMarks, marks, (1 as usize) << (slotsLog2 - 3));
    for (let i: u32 = 0; i < sumsCount; i++) {
      memory.copy(load<u32>(grownSums + (i << 2)), sumsOf(i), slots << 3);
    }
    giveSlots(records, references, live, marks, sums, slotsLog2);
  }
  records = grownRecords;
  references = grownReferences;
  live = grownLive;
  marks = grownMarks;
  memory.copy(sums, grownSums, sumsCount << 2);
  slotsLog2 = log2;
  return true;
}

const grownSums: usize = memory.data(32);

function giveSlots(
  ofRecords: usize,
  ofReferences: usize,
  ofLive: usize,
  ofMarks: usize,
  ofSums: usize,
  log2: u32,
): void {
  giveIfTaken(ofRecords, log2 + 2);
  giveIfTaken(ofReferences, log2 + 2);
  giveIfTaken(ofLive, log2 + 3);
  giveIfTaken(ofMarks, log2 - 3);
  for (let i: u32 = 0; i < sumsCount; i++) giveIfTaken(load<u32>(ofSums + (i << 2)), log2 + 3);
}

function giveIfTaken(block: usize, log2: u32): void {
  if (block != 0) give(block, log2);
}
