/**
 * The kernel's algorithm on typed arrays: open addressing with 16-byte entries, the key bytes in an
 * arena, rows in batches of 32 whose first loads overlap.
 *
 * What differs is what JavaScript has no fast way for: the hash is a 32-bit cousin of the kernel's
 * (MurmurHash3 x86_32: no 64-bit multiplication without BigInt), keys are compared 4 bytes at a time,
 * clicks are a double, and table and arena are one array each, which grows by copying.
 *
 *     entry, as 4 i32 and as 2 f64 of one buffer   arena, as i32
 *      0 i32 hash                                   a key begins at a whole word; what is left of
 *      4 i32 key: its word in the arena; 0: empty   its last word is zeros
 *      8 f64 clicks
 */
import {
  AD_ID_BYTES_MAX,
  BLOCK_BODY_BYTES_MAX,
  COUNTRY_BYTES_MAX,
  DEVICE_BYTES_MAX,
  INVALID_REASON_BYTES_MAX,
} from "../../wire/limits.ts";
import type { PartialBlock } from "./case-blocks.ts";
import type { GroupBy } from "./group-by.ts";

/** window_start, four empty strings, clicks. */
const ROW_BYTES_MIN = 4 + 4 + 4;
const BLOCK_ROWS_MAX = Math.floor(BLOCK_BODY_BYTES_MAX / ROW_BYTES_MIN);
const BATCH_ROWS = 32;
const ENTRIES_MIN = 64;
const ARENA_WORDS_MIN = 1_024;

interface Window {
  readonly startSeconds: number;
  entries: Int32Array;
  clicks: Float64Array;
  /** Entries − 1. */
  mask: number;
  rows: number;
  arena: Int32Array;
  /** The next key goes here; word 0 stays empty, so that no key is 0. */
  arenaAt: number;
  pendingRows: number;
  pendingWords: number;
}

export function createTypedGroupBy(): GroupBy {
  const windows = new Map<number, Window>();
  // Of the block at hand, row by row: where the key is in the body, how long it is, whose it is.
  const keys = new Int32Array(BLOCK_ROWS_MAX);
  const keyBytes = new Int32Array(BLOCK_ROWS_MAX);
  const owners: Window[] = [];
  return {
    add(block) {
      const { body, rows } = block;
      const view = new DataView(body.buffer, body.byteOffset);
      check(block, view, keys, keyBytes);
      assign(windows, rows, view, keys, keyBytes, owners);
      for (let first = 0; first < rows;) {
        // A batch is of one window: its arrays are then constants of the loops.
        const window = owners[first]!;
        let end = first + 1;
        const endMax = Math.min(first + BATCH_ROWS, rows);
        while (end < endMax && owners[end] === window) end++;
        count(window, view, keys, keyBytes, first, end);
        first = end;
      }
    },

    tell(tally) {
      for (const { startSeconds, entries, clicks, arena } of windows.values()) {
        const bytes = new Uint8Array(arena.buffer);
        for (let entry = 0; entry < clicks.length / 2; entry++) {
          const key = entries[entry * 4 + 1]!;
          if (key !== 0) tally.add(bytes, key * 4, startSeconds, clicks[entry * 2 + 1]!);
        }
      }
    },
  };
}

function check(
  { body, rows }: PartialBlock,
  view: DataView,
  keys: Int32Array,
  keyBytes: Int32Array,
): void {
  const end = body.length;
  let at = 0;
  for (let row = 0; row < rows; row++) {
    const key = at + 4;
    at = key;
    if (at >= end) throw cutOff(at);
    let length = body[at]!;
    if (length > AD_ID_BYTES_MAX) throw tooLong(at);
    at += 1 + length;
    if (at >= end) throw cutOff(at);
    length = body[at]!;
    if (length > COUNTRY_BYTES_MAX) throw tooLong(at);
    at += 1 + length;
    if (at >= end) throw cutOff(at);
    length = body[at]!;
    if (length > DEVICE_BYTES_MAX) throw tooLong(at);
    at += 1 + length;
    if (at >= end) throw cutOff(at);
    length = body[at]!;
    if (length > INVALID_REASON_BYTES_MAX) throw tooLong(at);
    at += 1 + length;
    if (at + 4 > end) throw cutOff(at);
    if (view.getUint32(at, true) === 0) throw new Error(`no clicks at byte ${at}`);
    keys[row] = key;
    keyBytes[row] = at - key;
    at += 4;
  }
  if (at !== end) throw new Error("bytes are left over");
}

function cutOff(at: number): Error {
  return new Error(`cut off at byte ${at}`);
}
function tooLong(at: number): Error {
  return new Error(`too long a string at byte ${at}`);
}

/** Finds each row's window and makes room as if every row were a new key. */
function assign(
  windows: Map<number, Window>,
  rows: number,
  view: DataView,
  keys: Int32Array,
  keyBytes: Int32Array,
  owners: Window[],
): void {
  let last: Window | undefined;
  for (let row = 0; row < rows; row++) {
    const startSeconds = view.getUint32(keys[row]! - 4, true);
    if (last === undefined || last.startSeconds !== startSeconds) {
      last = windows.get(startSeconds);
      if (last === undefined) {
        last = openWindow(startSeconds);
        windows.set(startSeconds, last);
      }
    }
    owners[row] = last;
    last.pendingRows++;
    last.pendingWords += (keyBytes[row]! + 3) >> 2;
  }
  for (const window of windows.values()) {
    if (window.pendingRows === 0) continue;
    reserveTable(window);
    reserveArena(window);
    window.pendingRows = 0;
    window.pendingWords = 0;
  }
}

function openWindow(startSeconds: number): Window {
  const buffer = new ArrayBuffer(ENTRIES_MIN * 16);
  return {
    startSeconds,
    entries: new Int32Array(buffer),
    clicks: new Float64Array(buffer),
    mask: ENTRIES_MIN - 1,
    rows: 0,
    arena: new Int32Array(ARENA_WORDS_MIN),
    arenaAt: 1,
    pendingRows: 0,
    pendingWords: 0,
  };
}

/** At most 5/8 full. */
function reserveTable(window: Window): void {
  const rows = window.rows + window.pendingRows;
  let size = window.mask + 1;
  while (rows * 8 > size * 5) size *= 2;
  if (size === window.mask + 1) return;
  const buffer = new ArrayBuffer(size * 16);
  const entries = new Int32Array(buffer);
  const clicks = new Float64Array(buffer);
  const mask = size - 1;
  const old = window.entries;
  const oldClicks = window.clicks;
  for (let from = 0; from < old.length; from += 4) {
    const key = old[from + 1]!;
    if (key === 0) continue;
    const hash = old[from]!;
    let entry = hash & mask;
    while (entries[(entry << 2) + 1] !== 0) entry = (entry + 1) & mask;
    entries[entry << 2] = hash;
    entries[(entry << 2) + 1] = key;
    clicks[(entry << 1) + 1] = oldClicks[(from >> 1) + 1]!;
  }
  window.entries = entries;
  window.clicks = clicks;
  window.mask = mask;
}

function reserveArena(window: Window): void {
  const wanted = window.arenaAt + window.pendingWords;
  let words = window.arena.length;
  if (wanted <= words) return;
  while (words < wanted) words *= 2;
  const arena = new Int32Array(words);
  arena.set(window.arena.subarray(0, window.arenaAt));
  window.arena = arena;
}

/** Of the batch at hand. */
const hashes = new Int32Array(BATCH_ROWS);
/** What the early loads come to; exported so that they are not optimized away. */
export let touched = 0;

function count(
  window: Window,
  view: DataView,
  keys: Int32Array,
  keyBytes: Int32Array,
  first: number,
  end: number,
): void {
  const { entries, clicks, mask, arena } = window;
  for (let row = first; row < end; row++) {
    hashes[row - first] = hashOf(view, keys[row]!, keyBytes[row]!);
  }
  let sum = 0;
  for (let row = first; row < end; row++) {
    const hash = hashes[row - first]!;
    const entry = (hash & mask) << 2;
    if (entries[entry] === hash) sum = (sum + arena[entries[entry + 1]!]!) | 0;
  }
  touched = sum;
  for (let row = first; row < end; row++) {
    const key = keys[row]!;
    const bytes = keyBytes[row]!;
    const added = view.getUint32(key + bytes, true);
    const hash = hashes[row - first]!;
    let entry = hash & mask;
    while (true) {
      const stored = entries[(entry << 2) + 1]!;
      if (stored === 0) {
        entries[entry << 2] = hash;
        entries[(entry << 2) + 1] = window.arenaAt;
        clicks[(entry << 1) + 1] = added;
        window.arenaAt = copyKey(arena, window.arenaAt, view, key, bytes);
        window.rows++;
        break;
      }
      if (entries[entry << 2] === hash && sameKey(arena, stored, view, key, bytes)) {
        clicks[(entry << 1) + 1]! += added;
        break;
      }
      entry = (entry + 1) & mask;
    }
  }
}

/** The key's last word without what follows the key; reads up to 3 bytes past it (clicks are there). */
function lastWord(view: DataView, at: number, rest: number): number {
  return view.getInt32(at, true) & ((1 << (rest << 3)) - 1);
}

/** MurmurHash3 x86_32, seed 0. */
function hashOf(view: DataView, key: number, bytes: number): number {
  let hash = 0;
  const wordsEnd = key + (bytes & ~3);
  for (; key < wordsEnd; key += 4) {
    hash ^= mixed(view.getInt32(key, true));
    hash = (hash << 13) | (hash >>> 19);
    hash = (Math.imul(hash, 5) + 0xe6546b64) | 0;
  }
  const rest = bytes & 3;
  if (rest !== 0) hash ^= mixed(lastWord(view, key, rest));
  hash ^= bytes;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

function mixed(word: number): number {
  word = Math.imul(word, 0xcc9e2d51);
  return Math.imul((word << 15) | (word >>> 17), 0x1b873593);
}

function sameKey(
  arena: Int32Array,
  stored: number,
  view: DataView,
  key: number,
  bytes: number,
): boolean {
  const wordsEnd = key + (bytes & ~3);
  for (; key < wordsEnd; key += 4, stored++) {
    if (arena[stored] !== view.getInt32(key, true)) return false;
  }
  const rest = bytes & 3;
  return rest === 0 || arena[stored] === lastWord(view, key, rest);
}

/** Returns the word after the key. */
function copyKey(
  arena: Int32Array,
  to: number,
  view: DataView,
  key: number,
  bytes: number,
): number {
  const wordsEnd = key + (bytes & ~3);
  for (; key < wordsEnd; key += 4) arena[to++] = view.getInt32(key, true);
  const rest = bytes & 3;
  if (rest !== 0) arena[to++] = lastWord(view, key, rest);
  return to;
}
