/**
 * Linear memory: static areas at its start, then blocks of power-of-two sizes.
 *
 *     __heap_base  transfer      a block on its way in, a chunk on its way out, and slack
 *                  rowIndex      16 bytes per row of a block (ingest.ts)
 *                  pageOrders    a byte per page of 4 KiB
 *                  blocks        tables, arena chunks, window records, runs, …
 *
 * Blocks of a page and more are buddies (Knowlton 1965): one that is given back becomes one with its
 * buddy, if that is free too, and so on, so that many small ones make room for a large one. Smaller
 * blocks are cut from pages and reused by size; their pages stay cut, and they are few: at the peak, as
 * many as that many windows and runs need. A kernel that holds nothing forgets all blocks.
 * `memory.grow` happens here only; a refusal is an ordinary answer (0), never a trap.
 */
import { BLOCK_BODY_BYTES_MAX, BLOCK_ROWS_MAX, PARTIAL_KEY_BYTES_MAX } from "./constants.generated";

/** Keys of fewer than 16 bytes are copied as 16. */
export const SLACK_BYTES: u32 = 16;
/** A longer key is compared with a stored one at its own length (keys.ts), which may be the last of all blocks. */
const READ_SLACK_BYTES: u32 = PARTIAL_KEY_BYTES_MAX;
export const ROW_INDEX_ENTRY_BYTES: u32 = 16;

const WASM_PAGE_LOG2: u32 = 16;
/** Grows by at least 1 MiB: each growth detaches the host's views. */
const GROWTH_WASM_PAGES_MIN: u32 = 16;
const PAGE_LOG2: u32 = 12;
const BLOCK_LOG2_MAX: u32 = 31;

export let transfer: usize = 0;
export let rowIndex: usize = 0;

/** The first free block of each size, 0 for none. A free block holds the next one's address, from a page on also the one's before. */
const freeLists: usize = memory.data(128);
const FREE_LISTS_BYTES: u32 = 128;
const PREVIOUS: usize = 4;
/** Of each page: log2 of the free block that begins there, or 0. */
let pageOrders: usize = 0;
/** Where blocks begin, behind the static areas, at a page's start. */
let blocks: usize = 0;
/** Bytes from here on have never been handed out; a page's start. */
let untouched: usize = 0;
let wasmPagesMax: u32 = 0;

/** Bytes of all blocks that are handed out, and of those for sliding windows. */
export let bytesTaken: u64 = 0;
let listBytesTaken: u64 = 0;
let listBytesMax: u64 = 0;

/** Lays out the static areas; false when even they do not fit. */
export function initializeMemory(pagesMax: u32): bool {
  wasmPagesMax = pagesMax;
  listBytesMax = ((pagesMax as u64) << WASM_PAGE_LOG2) / 2;
  transfer = (__heap_base + 63) & ~63;
  rowIndex = transfer + ((BLOCK_BODY_BYTES_MAX + SLACK_BYTES + 63) & ~63);
  pageOrders = rowIndex + ((BLOCK_ROWS_MAX * ROW_INDEX_ENTRY_BYTES + 63) & ~63);
  const orderBytes = pagesMax << (WASM_PAGE_LOG2 - PAGE_LOG2);
  blocks = (pageOrders + orderBytes + 0xfff) & ~0xfff;
  untouched = blocks;
  return reach(blocks);
}

/** Makes linear memory reach up to `end`, and a little further. */
function reach(end: u64): bool {
  const pagesWanted = ((end + READ_SLACK_BYTES + 0xffff) >> WASM_PAGE_LOG2) as u32;
  const pages: u32 = memory.size();
  if (pagesWanted <= pages) return true;
  if (pagesWanted > wasmPagesMax) return false;
  const growth = pagesWanted - pages;
  const roomy = min(max(growth, GROWTH_WASM_PAGES_MIN), wasmPagesMax - pages);
  return memory.grow(roomy) >= 0 || memory.grow(growth) >= 0;
}

/** A block of 2^log2 bytes with whatever was in it, or 0 when memory is at its limit. */
export function take(log2: u32): usize {
  if (log2 > BLOCK_LOG2_MAX) return 0;
  const block = log2 < PAGE_LOG2 ? takeSmall(log2) : takePages(log2);
  if (block != 0) bytesTaken += (1 as u64) << log2;
  return block;
}

/** Gives a block of `take` back. */
export function give(block: usize, log2: u32): void {
  bytesTaken -= (1 as u64) << log2;
  if (log2 >= PAGE_LOG2) return givePages(block, log2);
  const list = freeLists + (log2 << 2);
  store<u32>(block, load<u32>(list));
  store<u32>(list, block as u32);
}

/**
 * A block for sliding windows, which leave half of all memory to counts: lists of top ads can say what they
 * lack, and a count cannot.
 */
export function takeForLists(log2: u32): usize {
  if (listBytesTaken + ((1 as u64) << log2) > listBytesMax) return 0;
  const block = take(log2);
  if (block != 0) listBytesTaken += (1 as u64) << log2;
  return block;
}

export function giveFromLists(block: usize, log2: u32): void {
  listBytesTaken -= (1 as u64) << log2;
  give(block, log2);
}

/** Takes every block back at once; whoever held one has let go of it. */
export function takeAllBack(): void {
  memory.fill(freeLists, 0, FREE_LISTS_BYTES);
  memory.fill(pageOrders, 0, pageOf(untouched));
  untouched = blocks;
  bytesTaken = 0;
  listBytesTaken = 0;
}

function takeSmall(log2: u32): usize {
  const list = freeLists + (log2 << 2);
  if (load<u32>(list) == 0) {
    const page = takePages(PAGE_LOG2);
    if (page == 0) return 0;
    const bytes: usize = 1 << log2;
    for (let block = page; block < page + (1 << PAGE_LOG2); block += bytes) {
      store<u32>(block, load<u32>(list));
      store<u32>(list, block as u32);
    }
  }
  const block: usize = load<u32>(list);
  store<u32>(list, load<u32>(block));
  return block;
}

function takePages(log2: u32): usize {
  let found = log2;
  while (found <= BLOCK_LOG2_MAX && load<u32>(freeLists + (found << 2)) == 0) found++;
  if (found > BLOCK_LOG2_MAX) return takeUntouched(log2);
  const block: usize = load<u32>(freeLists + (found << 2));
  unlink(block, found);
  // The upper halves of what is too large are free.
  while (found > log2) {
    found--;
    link(block + ((1 as usize) << found), found);
  }
  return block;
}

/** A block stands at a multiple of its size from the start of all; what is skipped for that is free. */
function takeUntouched(log2: u32): usize {
  const bytes: u64 = (1 as u64) << log2;
  const offset: u64 = (((untouched - blocks) as u64) + bytes - 1) & ~(bytes - 1);
  const block: u64 = (blocks as u64) + offset;
  if (!reach(block + bytes)) return 0;
  while ((untouched as u64) < block) {
    const order = ctz<u32>((untouched - blocks) as u32);
    const skipped = untouched;
    untouched += (1 as usize) << order;
    givePages(skipped, order);
  }
  untouched = (block + bytes) as usize;
  return block as usize;
}

function givePages(block: usize, log2: u32): void {
  while (log2 < BLOCK_LOG2_MAX) {
    const buddy = blocks + ((block - blocks) ^ ((1 as usize) << log2));
    if (buddy >= untouched || load<u8>(pageOrders + pageOf(buddy)) != (log2 as u8)) break;
    unlink(buddy, log2);
    block = min(block, buddy);
    log2++;
  }
  link(block, log2);
}

function pageOf(block: usize): usize {
  return (block - blocks) >> PAGE_LOG2;
}

function link(block: usize, log2: u32): void {
  const list = freeLists + (log2 << 2);
  const next: usize = load<u32>(list);
  store<u32>(block, next as u32);
  store<u32>(block, 0, PREVIOUS);
  if (next != 0) store<u32>(next, block as u32, PREVIOUS);
  store<u32>(list, block as u32);
  store<u8>(pageOrders + pageOf(block), log2 as u8);
}

function unlink(block: usize, log2: u32): void {
  const next: usize = load<u32>(block);
  const previous: usize = load<u32>(block, PREVIOUS);
  if (next != 0) store<u32>(next, previous as u32, PREVIOUS);
  if (previous != 0) store<u32>(previous, next as u32);
  else store<u32>(freeLists + (log2 << 2), next as u32);
  store<u8>(pageOrders + pageOf(block), 0);
}
