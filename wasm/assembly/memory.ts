/**
 * Linear memory: static areas at its start, then blocks of power-of-two sizes.
 *
 *     __heap_base  transfer      a block on its way in, a chunk on its way out, and slack
 *                  rowIndex      12 bytes per row of a block (ingest.ts)
 *                  blocks        tables, arena chunks, window records, sort area
 *
 * A block that is given back is reused for the next one of its size: memory is bounded by the sum of
 * each size's peak, however often windows open and close. Blocks are neither split nor merged; a kernel
 * without windows forgets them all, or it could hold memory in sizes that no later block wants.
 * `memory.grow` happens here only; a refusal is an ordinary answer (0), never a trap.
 */
import { BLOCK_BODY_BYTES_MAX, BLOCK_ROWS_MAX } from "./constants.generated";

/** Keys are read and copied 8 bytes at a time, so up to 7 bytes past their end. */
export const SLACK_BYTES: u32 = 8;
export const ROW_INDEX_ENTRY_BYTES: u32 = 12;

const PAGE_BYTES_LOG2: u32 = 16;
/** Grows by at least 1 MiB: each growth detaches the host's views. */
const GROWTH_PAGES_MIN: u32 = 16;
const BLOCK_LOG2_MIN: u32 = 6;
const BLOCK_LOG2_MAX: u32 = 31;

export let transfer: usize = 0;
export let rowIndex: usize = 0;

/** The first free block of each size, 0 for none; a free block holds the next one's address. */
const freeLists: usize = memory.data(128);
const FREE_LISTS_BYTES: u32 = 128;
/** Where blocks begin, behind the static areas. */
let blocks: usize = 0;
/** Bytes from here on have never been handed out. */
let untouched: usize = 0;
let pagesMax: u32 = 0;

/** Lays out the static areas; false when even they do not fit. */
export function initializeMemory(memoryPagesMax: u32): bool {
  pagesMax = memoryPagesMax;
  transfer = (__heap_base + 63) & ~63;
  rowIndex = transfer + ((BLOCK_BODY_BYTES_MAX + SLACK_BYTES + 63) & ~63);
  blocks = rowIndex + ((BLOCK_ROWS_MAX * ROW_INDEX_ENTRY_BYTES + 63) & ~63);
  untouched = blocks;
  return hasRoom(0);
}

/** Makes linear memory reach `bytes` (and slack) beyond what has been handed out. */
function hasRoom(bytes: u32): bool {
  const wanted: u64 = (untouched as u64) + bytes + SLACK_BYTES;
  const pagesWanted = ((wanted + 0xffff) >> PAGE_BYTES_LOG2) as u32;
  const pages: u32 = memory.size();
  if (pagesWanted <= pages) return true;
  if (pagesWanted > pagesMax) return false;
  const growth = pagesWanted - pages;
  const roomy = min(max(growth, GROWTH_PAGES_MIN), pagesMax - pages);
  return memory.grow(roomy) >= 0 || memory.grow(growth) >= 0;
}

/** log2 of the smallest block that holds `bytes`. */
export function blockLog2(bytes: u32): u32 {
  return max(32 - clz<u32>(bytes - 1), BLOCK_LOG2_MIN);
}

/** A block of 2^log2 bytes with whatever was in it, or 0 when memory is at its limit. */
export function take(log2: u32): usize {
  if (log2 > BLOCK_LOG2_MAX) return 0;
  const list = freeLists + (log2 << 2);
  const free: usize = load<u32>(list);
  if (free != 0) {
    store<u32>(list, load<u32>(free));
    return free;
  }
  const bytes: u32 = 1 << log2;
  if (!hasRoom(bytes)) return 0;
  const block = untouched;
  untouched += bytes;
  return block;
}

/** Gives a block of `take` back. */
export function give(block: usize, log2: u32): void {
  const list = freeLists + (log2 << 2);
  store<u32>(block, load<u32>(list));
  store<u32>(list, block as u32);
}

/** Takes every block back at once; whoever held one has let go of it. */
export function takeAllBack(): void {
  memory.fill(freeLists, 0, FREE_LISTS_BYTES);
  untouched = blocks;
}
