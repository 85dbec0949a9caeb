/** The ads with the greatest sums of a sliding window, written as rows of wire/top.ts into the transfer area. */
import { RECORD_ID, records, slotsUsed, sumsOf } from "./ads";
import { TOP_COUNT_MAX } from "./constants.generated";
import { copyBytes } from "./keys";
import { transfer } from "./memory";
import { boundary, slidingWindow, untrackedIn } from "./runs";

/** A heap with the last of the list at its root: slot u32, nothing, clicks u64. */
const heap: usize = memory.data(16016);
const NODE_BYTES: usize = 16;

export const topTail: usize = memory.data(32);

export let topRows: u32 = 0;
export let topClicks: u64 = 0;
export let topUntracked: u64 = 0;

/** Writes the list of sliding window `index`, each row ending with the `tailBytes` at `topTail`; returns its bytes. */
export function writeTop(index: u32, count: u32, tailBytes: u32): u32 {
  if (count > TOP_COUNT_MAX) unreachable();
  const found = gather(sumsOf(index), count);
  // From the last to the first: the root goes behind what is left of the heap.
  for (let left = found; left > 1; left--) {
    const last = heap + ((left - 1) as usize) * NODE_BYTES;
    const node = v128.load(last);
    v128.store(last, v128.load(heap));
    sink(node, left - 1);
  }
  topUntracked = untrackedIn(index);
  const windows = slidingWindow(index);
  let at = transfer;
  topClicks = 0;
  for (let i: u32 = 0; i < found; i++) {
    const node = heap + (i as usize) * NODE_BYTES;
    const clicks = load<u64>(node, 8);
    const id = idOf(load<u32>(node));
    const idBytes = 1 + (load<u8>(id) as u32);
    store<u32>(at, boundary as u32);
    store<u16>(at, windows as u16, 4);
    store<u16>(at, (i + 1) as u16, 6);
    copyBytes(at + 8, id, idBytes);
    at += 8 + idBytes;
    store<u64>(at, clicks);
    store<u64>(at, topUntracked, 8);
    copyBytes(at + 16, topTail, tailBytes);
    at += 16 + tailBytes;
    topClicks += clicks;
  }
  topRows = found;
  return (at - transfer) as u32;
}

/** The best `count` into the heap; returns how many there are. */
function gather(sums: usize, count: u32): u32 {
  let found: u32 = 0;
  const slots = slotsUsed;
  for (let slot: u32 = 0; slot < slots; slot++) {
    const clicks = load<u64>(sums + (slot << 3));
    if (clicks == 0) continue;
    if (found < count) {
      rise(slot, clicks, found++);
    } else if (
      clicks >= load<u64>(heap, 8) &&
      isBefore(slot, clicks, load<u32>(heap), load<u64>(heap, 8))
    ) {
      sink(v128.replace_lane<u64>(v128.splat<u64>(slot as u64), 1, clicks), found);
    }
  }
  return found;
}

/** Puts a node at the end of a heap of `size` nodes, and lets it rise while it is behind its parent in the list. */
function rise(slot: u32, clicks: u64, size: u32): void {
  let index = size;
  while (index > 0) {
    const parent = heap + (((index - 1) >> 1) as usize) * NODE_BYTES;
    if (!isBefore(load<u32>(parent), load<u64>(parent, 8), slot, clicks)) break;
    v128.store(heap + (index as usize) * NODE_BYTES, v128.load(parent));
    index = (index - 1) >> 1;
  }
  const node = heap + (index as usize) * NODE_BYTES;
  store<u64>(node, slot as u64);
  store<u64>(node, clicks, 8);
}

/** Puts a node at the root of a heap of `size` nodes, and lets it sink below those that are behind it in the list. */
function sink(node: v128, size: u32): void {
  const slot = v128.extract_lane<u64>(node, 0) as u32;
  const clicks = v128.extract_lane<u64>(node, 1);
  let index: u32 = 0;
  while (true) {
    let child: u32 = 2 * index + 1;
    if (child >= size) break;
    if (child + 1 < size && isNodeBefore(child, child + 1)) child++;
    const at = heap + (child as usize) * NODE_BYTES;
    if (!isBefore(slot, clicks, load<u32>(at), load<u64>(at, 8))) break;
    v128.store(heap + (index as usize) * NODE_BYTES, v128.load(at));
    index = child;
  }
  v128.store(heap + (index as usize) * NODE_BYTES, node);
}

function isNodeBefore(a: u32, b: u32): bool {
  const atA = heap + (a as usize) * NODE_BYTES;
  const atB = heap + (b as usize) * NODE_BYTES;
  return isBefore(load<u32>(atA), load<u64>(atA, 8), load<u32>(atB), load<u64>(atB, 8));
}

/** Whether an ad stands before another in the list: more clicks, or as many and the smaller id. */
function isBefore(slotA: u32, clicksA: u64, slotB: u32, clicksB: u64): bool {
  if (clicksA != clicksB) return clicksA > clicksB;
  const a = idOf(slotA);
  const b = idOf(slotB);
  const bytesA = load<u8>(a) as usize;
  const bytesB = load<u8>(b) as usize;
  const order = memory.compare(a + 1, b + 1, min(bytesA, bytesB));
  return order == 0 ? bytesA < bytesB : order < 0;
}

function idOf(slot: u32): usize {
  return (load<u32>(records + (slot << 2)) as usize) + RECORD_ID;
}
