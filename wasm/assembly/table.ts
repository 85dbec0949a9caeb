/**
 * Tables of counts: open addressing by lines of seven entries, as many bytes as the processor's cache loads
 * at once; and what entries point to, records with a key and its clicks.
 *
 *     line (64 bytes)                                 record (in an arena, at a multiple of 8)
 *      0 u32 × 7   high halves of the keys' hashes     0 56 bits   clicks
 *     28 u32       a bit for each taken entry,         7 u8        nothing: warmRecord writes it
 *                  from the lowest one on              8 key
 *     32 u32 × 7   records; 0: the entry is empty
 *     60 u32       nothing: warmLine writes it
 *
 * An entry is named by the address of its hash. A key belongs to the line that the highest bits of its
 * hash say, and stands in it or behind it, with no empty entry (gap) between. So a table is a sort that is
 * nearly done: entries between two gaps hold just the keys of one part of the canonical order
 * (sorted-rows.ts). The price: rows that come in canonical order would crowd at the start of a table that
 * is still small, which is why a window that is restored gets its table before its rows.
 *
 * WebAssembly has no prefetch. But a store waits outside the processor's window of instructions until its
 * line is there, where a load waits inside: so lines and records are written to before they are needed, where
 * no load of ingest.ts reads: one that reads what a waiting store writes, and more, would wait for it.
 */
const LINE_LOG2: u32 = 6;
export const LINE_BYTES: u32 = 1 << LINE_LOG2;
export const LINE_ENTRIES: u32 = 7;
const LANES: u32 = (1 << LINE_ENTRIES) - 1;
const LINE_SPARE: usize = 60;
export const ENTRY_RECORD: usize = 32;
const LINE_TAKEN: usize = 28;

const RECORD_SPARE: usize = 7;
export const RECORD_KEY: usize = 8;
const CLICKS_MASK: u64 = ((1 as u64) << 56) - 1;
/** A record of this many bytes of key is in one line of the cache, or nearly. */
export const NEAR_KEY_BYTES: u32 = 56;

/**
 * Offset of the line where a key of that hash belongs: the highest bits of the hash are the line's number.
 * A product, not a shift: V8 masks the count of a shift and keeps a register for it.
 *
 * @param tableBytes 2^log2
 */
export function lineOffset(hash: u32, tableBytes: u64): u32 {
  return ((((hash as u64) * tableBytes) >> 32) as u32) & ~(LINE_BYTES - 1);
}

/** The least hash of the keys that belong to the line at `offset` of a table of 2^log2 bytes. */
export function leastHash(offset: u32, log2: u32): u32 {
  return (offset >> LINE_LOG2) << (32 - (log2 - LINE_LOG2));
}

/** Entries of a table of 2^log2 bytes. */
export function entriesOf(log2: u32): u64 {
  return ((1 as u64) << (log2 - LINE_LOG2)) * LINE_ENTRIES;
}

export function warmLine(line: usize): void {
  store<u32>(line, 0, LINE_SPARE);
}

/** Without a record (0) it writes where nothing is. */
export function warmRecord(record: usize): void {
  store<u8>(record, 0, RECORD_SPARE);
}

/** Whether a key of that length goes far over its record's first line. */
export function isLong(keyBytes: u32): bool {
  return keyBytes > NEAR_KEY_BYTES;
}

/** A bit for each entry of a line that has the hash, and for the first empty one; 0 when there is none. */
export function placesInLine(line: usize, hash: u32): u32 {
  const hashes = v128.splat<u32>(hash);
  const low = v128.bitmask<u32>(v128.eq<u32>(v128.load(line), hashes)) as u32;
  const high = v128.bitmask<u32>(v128.eq<u32>(v128.load(line, 16), hashes)) as u32;
  // Empty entries have hash 0, as a key may; they are all behind the one that this sum is the bit of.
  return (low | (high << 4) | (load<u32>(line, LINE_TAKEN) + 1)) & LANES;
}

/** The entry of the lowest bit of `places`, of which there is one. */
export function firstPlace(line: usize, places: u32): usize {
  return line + (ctz<u32>(places) << 2);
}

/** The first entry of a line that has the hash or is empty; 0 when there is none. */
export function entryInLine(line: usize, hash: u32): usize {
  const places = placesInLine(line, hash);
  return places == 0 ? 0 : firstPlace(line, places);
}

/** How many of a line's entries are taken: the first so many. */
export function takenInLine(line: usize): u32 {
  return popcnt<u32>(load<u32>(line, LINE_TAKEN));
}

/** Writes an entry, which is the first empty one of its line. */
export function takeEntry(entry: usize, hash: u32, record: usize): void {
  const line = lineOf(entry);
  writeEntry(line, load<u32>(line, LINE_TAKEN), entry, hash, record as u32);
}

function writeEntry(line: usize, taken: u32, entry: usize, hash: u32, record: u32): void {
  store<u32>(line, (taken << 1) | 1, LINE_TAKEN);
  store<u32>(entry, hash);
  store<u32>(entry, record, ENTRY_RECORD);
}

/** Empties an entry, which is the last taken one of its line. */
export function clearEntry(entry: usize): void {
  const line = lineOf(entry);
  store<u32>(line, load<u32>(line, LINE_TAKEN) >> 1, LINE_TAKEN);
  store<u32>(entry, 0);
  store<u32>(entry, 0, ENTRY_RECORD);
}

/**
 * Stores the records of a line's first `count` entries at `to`, ascending by hash, `1 << stepLog2` bytes
 * apart; false when two hashes are the same, and what is there then makes no sense.
 */
export function rankRecords(line: usize, count: u32, to: usize, stepLog2: u32): bool {
  const lanes = ((1 as u32) << count) - 1;
  const low = v128.load(line);
  const high = v128.load(line, 16);
  let same: u32 = 0;
  for (let entry = line; entry < line + (count << 2); entry += 4) {
    const hash = v128.splat<u32>(load<u32>(entry));
    const smaller =
      (v128.bitmask<u32>(v128.lt<u32>(low, hash)) as u32) |
      ((v128.bitmask<u32>(v128.lt<u32>(high, hash)) as u32) << 4);
    const equal =
      (v128.bitmask<u32>(v128.eq<u32>(low, hash)) as u32) |
      ((v128.bitmask<u32>(v128.eq<u32>(high, hash)) as u32) << 4);
    same += popcnt<u32>(equal & lanes);
    store<u32>(to + (popcnt<u32>(smaller & lanes) << stepLog2), load<u32>(entry, ENTRY_RECORD));
  }
  return same == count;
}

/** The line that an entry is in. */
export function lineOf(entry: usize): usize {
  return entry & ~((LINE_BYTES - 1) as usize);
}

/** The line behind a line. @param mask of line offsets: the table's bytes − LINE_BYTES */
export function lineBehind(line: usize, table: usize, mask: u32): usize {
  return table + ((((line - table) as u32) + LINE_BYTES) & mask);
}

export function entryBehind(entry: usize, table: usize, mask: u32): usize {
  return table + offsetBehind((entry - table) as u32, mask);
}

/** Entries follow each other at distances of 4 bytes, and of 40 from line to line. */
export function offsetBehind(offset: u32, mask: u32): u32 {
  const next = offset + 4;
  return (next & 28) == 28 ? (next + 36) & mask : next;
}

export function offsetBefore(offset: u32, mask: u32): u32 {
  return (offset & 28) == 0 ? ((offset - LINE_BYTES) & mask) + 24 : offset - 4;
}

/** In halves: the second, with the spare byte, is hardly ever read. */
export function addClicks(record: usize, clicks: u64): void {
  const sum = (load<u32>(record) as u64) + (clicks & 0xffff_ffff);
  store<u32>(record, sum as u32);
  const more = ((sum >> 32) + (clicks >> 32)) as u32;
  if (more != 0) store<u32>(record, load<u32>(record, 4) + more, 4);
}

export function clicksOf(record: usize): u64 {
  return load<u64>(record) & CLICKS_MASK;
}

/** Copies all entries of a table into a larger one, which is empty. */
export function copyEntries(from: usize, fromBytes: u32, to: usize, log2: u32): void {
  const mask: u32 = ((1 as u32) << log2) - LINE_BYTES;
  const tableBytes: u64 = (1 as u64) << log2;
  for (let line = from; line < from + fromBytes; line += LINE_BYTES) {
    const taken = line + (takenInLine(line) << 2);
    for (let entry = line; entry < taken; entry += 4) {
      const hash = load<u32>(entry);
      const record = load<u32>(entry, ENTRY_RECORD);
      let copyTo = to + lineOffset(hash, tableBytes);
      // Read once: it has just been written, for the key before.
      let there = load<u32>(copyTo, LINE_TAKEN);
      while (there == LANES) {
        copyTo = lineBehind(copyTo, to, mask);
        there = load<u32>(copyTo, LINE_TAKEN);
      }
      writeEntry(copyTo, there, copyTo + (popcnt<u32>(there) << 2), hash, record);
    }
  }
}
