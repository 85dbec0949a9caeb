/**
 * Ads of sliding windows: each has a record, a slot, and for each sliding window a sum. An ad is here as
 * long as a run holds it. They are found by a table like those of counts (table.ts).
 *
 *     record (at a multiple of 8)                       for each slot, in arrays of their own
 *      0 56 bits   clicks in the run that is made        records     u32   of a free slot the next free one + 1
 *      7 u8        nothing: warmRecord writes it         references  u32   runs that hold it
 *      8 u32       slot                                  marks       1 bit whether the run that is made holds it
 *     12 u8        id bytes, then the id                 sums        u64   for each sliding window
 */
import { SLIDING_WINDOWS_MAX } from "./constants.generated";
import { keyHash } from "./key-hash";
import { sameKey } from "./keys";
import { giveFromLists, SLACK_BYTES, takeForLists } from "./memory";
import {
  clearEntry,
  copyEntries,
  entriesOf,
  ENTRY_RECORD,
  entryBehind,
  entryInLine,
  LINE_BYTES,
  lineOffset,
  lineBehind,
  takeEntry,
} from "./table";

const TABLE_LOG2_MIN: u32 = 10;

export const RECORD_SLOT: usize = 8;
export const RECORD_ID: usize = 12;
/** log2 of what a chunk of records takes: 64 KiB. */
const RECORDS_LOG2: u32 = 16;
/** A record's words of 8 bytes at most: clicks, slot, length and 64 bytes are 77 bytes. */
const RECORD_WORDS_MAX: u32 = 10;

const SLOTS_LOG2_MIN: u32 = 9;

export let adCount: u32 = 0;

let table: usize = 0;
let tableLog2: u32 = 0;
/** The first free record of each number of words, which holds the next. */
const freeRecords: usize = memory.data(44);
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
export let marks: usize = 0;
let sumsCount: u32 = 0;
const sums: usize = memory.data(32);
/** The same while slots grow. */
const grownSums: usize = memory.data(32);

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
  return (keyHash(id, id + 1 + load<u8>(id)) >> 32) as u32;
}

/** Whether there is a table; without one there are no ads. */
export function hasAdTable(): bool {
  return table != 0;
}

/** The line of the table where an ad of that hash belongs. */
export function adLine(hash: u32): usize {
  return table + lineOffset(hash, (1 as u64) << tableLog2);
}

function tableMask(): u32 {
  return ((1 as u32) << tableLog2) - LINE_BYTES;
}

/** The entry of the ad whose id (with its length in front) stands at `id`, or the empty one where it belongs. */
function entryOf(id: usize, hash: u32): usize {
  const mask = tableMask();
  const bytes = 1 + (load<u8>(id) as u32);
  let line = adLine(hash);
  let entry = entryInLine(line, hash);
  while (entry == 0) {
    line = lineBehind(line, table, mask);
    entry = entryInLine(line, hash);
  }
  while (true) {
    const record: usize = load<u32>(entry, ENTRY_RECORD);
    if (record == 0) return entry;
    if (load<u32>(entry) == hash && sameKey(id, record + RECORD_ID, bytes)) return entry;
    entry = entryBehind(entry, table, mask);
  }
}

/** The record of an ad, 0 when there is none. */
export function findAd(id: usize, hash: u32): usize {
  return table == 0 ? 0 : load<u32>(entryOf(id, hash), ENTRY_RECORD);
}

/** A record for an ad that has none, with sums of 0; 0 when memory is at its limit. */
export function addAd(id: usize, hash: u32): usize {
  if (!growTable() || (freeSlot == 0 && !growSlots())) return 0;
  const bytes = 1 + (load<u8>(id) as u32);
  const record = takeRecord(recordWords(bytes));
  if (record == 0) return 0;
  let slot = slotsUsed;
  if (freeSlot != 0) {
    slot = freeSlot - 1;
    freeSlot = load<u32>(records + (slot << 2));
  } else {
    slotsUsed++;
  }
  store<u64>(record, 0);
  store<u32>(record, slot, RECORD_SLOT);
  memory.copy(record + RECORD_ID, id, bytes);
  store<u32>(records + (slot << 2), record as u32);
  store<u32>(references + (slot << 2), 0);
  for (let i: u32 = 0; i < sumsCount; i++) store<u64>(sumsOf(i) + (slot << 3), 0);
  takeEntry(entryOf(id, hash), hash, record);
  adCount++;
  return record;
}

/** Forgets the ad of a slot that no run holds. */
export function dropAd(slot: u32): void {
  const record: usize = load<u32>(records + (slot << 2));
  const id = record + RECORD_ID;
  takeOut(entryOf(id, adHash(id)));
  const list = freeRecords + (recordWords(1 + (load<u8>(id) as u32)) << 2);
  store<u32>(record, load<u32>(list));
  store<u32>(list, record as u32);
  store<u32>(records + (slot << 2), freeSlot);
  freeSlot = slot + 1;
  adCount--;
}

/** Gives everything back: there are no ads. */
export function dropAllAds(): void {
  if (table != 0) giveFromLists(table, tableLog2);
  table = 0;
  tableLog2 = 0;
  while (recordChunks != 0) {
    const next: usize = load<u32>(recordChunks);
    giveFromLists(recordChunks, RECORDS_LOG2);
    recordChunks = next;
  }
  recordsAt = 0;
  recordsEnd = 0;
  memory.fill(freeRecords, 0, (RECORD_WORDS_MAX + 1) << 2);
  if (slotsLog2 != 0) giveSlots(records, references, marks, sums, slotsLog2);
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
    const chunk = takeForLists(RECORDS_LOG2);
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

/** Makes room for one more entry: at most 3/4 of them are taken. */
function growTable(): bool {
  const entries = table == 0 ? 0 : entriesOf(tableLog2);
  if (((adCount as u64) + 1) * 4 <= entries * 3) return true;
  const log2 = table == 0 ? TABLE_LOG2_MIN : tableLog2 + 1;
  const grown = takeForLists(log2);
  if (grown == 0) return false;
  memory.fill(grown, 0, (1 as usize) << log2);
  if (table != 0) {
    copyEntries(table, (1 as u32) << tableLog2, grown, log2);
    giveFromLists(table, tableLog2);
  }
  table = grown;
  tableLog2 = log2;
  return true;
}

/** Closes the gap that an entry leaves: entries behind it that may stand there move up (Knuth, volume 3, 6.4 R). */
function takeOut(entry: usize): void {
  const mask = tableMask();
  const offsetMask = mask | (LINE_BYTES - 1);
  let gap = entry;
  let behind = entry;
  while (true) {
    behind = entryBehind(behind, table, mask);
    const record = load<u32>(behind, ENTRY_RECORD);
    if (record == 0) break;
    const hash = load<u32>(behind);
    const home = adLine(hash);
    // It may stand at or behind the start of its line: not when that comes after the gap, in circular order.
    if ((((behind - home) as u32) & offsetMask) < (((behind - gap) as u32) & offsetMask)) continue;
    store<u32>(gap, hash);
    store<u32>(gap, record, ENTRY_RECORD);
    gap = behind;
  }
  clearEntry(gap);
}

/** Makes room for one more slot. */
function growSlots(): bool {
  if (slotsLog2 != 0 && slotsUsed < (1 as u32) << slotsLog2) return true;
  const log2 = slotsLog2 == 0 ? SLOTS_LOG2_MIN : slotsLog2 + 1;
  const grownRecords = takeForLists(log2 + 2);
  const grownReferences = takeForLists(log2 + 2);
  const grownMarks = takeForLists(log2 - 3);
  let whole = grownRecords != 0 && grownReferences != 0 && grownMarks != 0;
  for (let i: u32 = 0; i < sumsCount; i++) {
    const grown = takeForLists(log2 + 3);
    store<u32>(grownSums + (i << 2), grown as u32);
    whole = whole && grown != 0;
  }
  if (!whole) {
    giveSlots(grownRecords, grownReferences, grownMarks, grownSums, log2);
    return false;
  }
  const slots = slotsUsed;
  memory.fill(grownMarks, 0, (1 as usize) << (log2 - 3));
  if (slotsLog2 != 0) {
    memory.copy(grownRecords, records, slots << 2);
    memory.copy(grownReferences, references, slots << 2);
    memory.copy(grownMarks, marks, (1 as usize) << (slotsLog2 - 3));
    for (let i: u32 = 0; i < sumsCount; i++) {
      memory.copy(load<u32>(grownSums + (i << 2)), sumsOf(i), slots << 3);
    }
    giveSlots(records, references, marks, sums, slotsLog2);
  }
  records = grownRecords;
  references = grownReferences;
  marks = grownMarks;
  memory.copy(sums, grownSums, sumsCount << 2);
  slotsLog2 = log2;
  return true;
}

function giveSlots(
  ofRecords: usize,
  ofReferences: usize,
  ofMarks: usize,
  ofSums: usize,
  log2: u32,
): void {
  giveIfTaken(ofRecords, log2 + 2);
  giveIfTaken(ofReferences, log2 + 2);
  giveIfTaken(ofMarks, log2 - 3);
  for (let i: u32 = 0; i < sumsCount; i++) giveIfTaken(load<u32>(ofSums + (i << 2)), log2 + 3);
}

function giveIfTaken(block: usize, log2: u32): void {
  if (block != 0) giveFromLists(block, log2);
}
