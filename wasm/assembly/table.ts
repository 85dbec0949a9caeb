/**
 * Tables of counts: open addressing by lines of four entries, as many bytes as the processor's cache loads
 * at once.
 *
 *     line (64 bytes)
 *      0 u32 × 4   hashes: high halves of the keys' hashes
 *     16 u32 × 4   keys: addresses in the arena; 0: empty
 *     32 56 bits × 4   clicks
 *     60 u32       nothing: written to have the line loaded (warmLine)
 *
 * An entry is named by the address of its hash. A key belongs to the line that the highest bits of its
 * hash say, and stands in it or behind it, with no empty entry (gap) between. So a table is a sort that is
 * nearly done: entries between two gaps hold just the keys of one part of the canonical order
 * (sorted-rows.ts). The price: rows that come in canonical order would crowd at the start of a table that
 * is still small, which is why a window that is restored gets its table before its rows.
 */
export const LINE_LOG2: u32 = 6;
export const LINE_BYTES: u32 = 1 << LINE_LOG2;
export const LINE_ENTRIES_LOG2: u32 = 2;
export const ENTRY_KEY: usize = 16;
const CLICKS: usize = 32;
const CLICKS_BYTES: usize = 7;
const CLICKS_MASK: u64 = ((1 as u64) << 56) - 1;
const SPARE: usize = 60;

/** A hash shifted by this is the number of the line it belongs to, in a table of 2^log2 bytes. */
export function tableShift(log2: u32): u32 {
  return 32 - (log2 - LINE_LOG2);
}

/**
 * Has a line loaded that is to be written soon. WebAssembly has no prefetch; but a store waits outside the
 * processor's window of instructions until its line is there, and a load waits inside.
 */
export function warmLine(line: usize): void {
  store<u32>(line, 0, SPARE);
}

/** The first entry of a line that has the hash or is empty; 0 when there is none. */
export function entryInLine(line: usize, hash: u32): usize {
  const same = v128.eq<u32>(v128.load(line), v128.splat<u32>(hash));
  const empty = v128.eq<u32>(v128.load(line, ENTRY_KEY), v128.splat<u32>(0));
  const places = v128.bitmask<u32>(v128.or(same, empty)) as u32;
  return places == 0 ? 0 : line + (ctz<u32>(places) << 2);
}

/** @param mask of line offsets: the table's bytes − LINE_BYTES */
export function entryBehind(entry: usize, table: usize, mask: u32): usize {
  return table + offsetBehind((entry - table) as u32, mask);
}

/** Entries follow each other at distances of 4, and of 52 from line to line. */
export function offsetBehind(offset: u32, mask: u32): u32 {
  const next = offset + 4;
  return (next + (next & 16) * 3) & (mask | (LINE_BYTES - 1));
}

export function offsetBefore(offset: u32, mask: u32): u32 {
  const previous = (offset - 4) & (mask | (LINE_BYTES - 1));
  return previous - (previous & 16) * 3;
}

/** Where an entry's clicks stand: 7 bytes, then others'. */
export function clicksAt(entry: usize): usize {
  return (entry & ~63) + CLICKS + ((entry & 12) >> 2) * CLICKS_BYTES;
}

export function clicksOf(entry: usize): u64 {
  return load<u64>(clicksAt(entry)) & CLICKS_MASK;
}

export function setClicks(entry: usize, clicks: u64): void {
  const at = clicksAt(entry);
  store<u64>(at, (load<u64>(at) & ~CLICKS_MASK) | clicks);
}

/** Copies all entries of a table into a larger one, which is empty. */
export function copyEntries(from: usize, fromBytes: u32, to: usize, log2: u32): void {
  const mask: u32 = ((1 as u32) << log2) - LINE_BYTES;
  const shift = tableShift(log2);
  for (let line = from; line < from + fromBytes; line += LINE_BYTES) {
    for (let entry = line; entry < line + 16; entry += 4) {
      const key = load<u32>(entry, ENTRY_KEY);
      if (key == 0) continue;
      const hash = load<u32>(entry);
      let offset = (hash >> shift) << LINE_LOG2;
      let copy = gapInLine(to + offset);
      while (copy == 0) {
        offset = (offset + LINE_BYTES) & mask;
        copy = gapInLine(to + offset);
      }
      store<u32>(copy, hash);
      store<u32>(copy, key, ENTRY_KEY);
      setClicks(copy, clicksOf(entry));
    }
  }
}

/** The first empty entry of a line, 0 when there is none. */
function gapInLine(line: usize): usize {
  const empty = v128.eq<u32>(v128.load(line, ENTRY_KEY), v128.splat<u32>(0));
  const places = v128.bitmask<u32>(empty) as u32;
  return places == 0 ? 0 : line + (ctz<u32>(places) << 2);
}
