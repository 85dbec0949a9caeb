/**
 * MurmurHash3_x86_128 over a slice of bytes: the one hash of the wire (checksums, fingerprints,
 * shard of a click, partition of an ad). 32-bit lanes, because Workers have no fast 64-bit integers.
 *
 * Source: Austin Appleby's public-domain MurmurHash3.cpp; the test holds its published verification value.
 */
import { reader } from "./cursor.ts";

/** Four 32-bit lanes, unsigned. Lanes 0 and 1 are the 64-bit hash (lane 0 is the low word). */
export type HashLanes = Uint32Array;

const C1 = 0x239b961b;
const C2 = 0xab0e9789;
const C3 = 0x38b34ae5;
const C4 = 0xa1e38b93;

function rotl(x: number, r: number): number {
  return (x << r) | (x >>> (32 - r));
}

function fmix(h: number): number {
  h ^= h >>> 16;
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return h ^ (h >>> 16);
}

/**
 * Hashes the bytes `[start, end)` of a view into `out[0..3]`. Of a view, because it reads a word at a time: byte by
 * byte takes twice as long.
 *
 * @param seed 32 bits; the reference algorithm starts all four lanes from it
 * @param out receives the four lanes
 */
export function hash128(
  view: DataView,
  start: number,
  end: number,
  seed: number,
  out: HashLanes,
): void {
  const length = end - start;
  let h1 = seed | 0;
  let h2 = h1;
  let h3 = h1;
  let h4 = h1;
  const blocksEnd = start + (length & ~15);
  let at = start;
  for (; at < blocksEnd; at += 16) {
    h1 ^= Math.imul(rotl(Math.imul(view.getInt32(at, true), C1), 15), C2);
    h1 = (Math.imul((rotl(h1, 19) + h2) | 0, 5) + 0x561ccd1b) | 0;
    h2 ^= Math.imul(rotl(Math.imul(view.getInt32(at + 4, true), C2), 16), C3);
    h2 = (Math.imul((rotl(h2, 17) + h3) | 0, 5) + 0x0bcaa747) | 0;
    h3 ^= Math.imul(rotl(Math.imul(view.getInt32(at + 8, true), C3), 17), C4);
    h3 = (Math.imul((rotl(h3, 15) + h4) | 0, 5) + 0x96cd1c35) | 0;
    h4 ^= Math.imul(rotl(Math.imul(view.getInt32(at + 12, true), C4), 18), C1);
    h4 = (Math.imul((rotl(h4, 13) + h1) | 0, 5) + 0x32ac3b17) | 0;
  }
  const rest = end - at;
  if (rest > 12) h4 ^= Math.imul(rotl(Math.imul(tail(view, at + 12, end), C4), 18), C1);
  if (rest > 8) h3 ^= Math.imul(rotl(Math.imul(tail(view, at + 8, end), C3), 17), C4);
  if (rest > 4) h2 ^= Math.imul(rotl(Math.imul(tail(view, at + 4, end), C2), 16), C3);
  if (rest > 0) h1 ^= Math.imul(rotl(Math.imul(tail(view, at, end), C1), 15), C2);

  h1 ^= length;
  h2 ^= length;
  h3 ^= length;
  h4 ^= length;
  h1 = (h1 + h2 + h3 + h4) | 0;
  h2 = (h2 + h1) | 0;
  h3 = (h3 + h1) | 0;
  h4 = (h4 + h1) | 0;
  h1 = fmix(h1);
  h2 = fmix(h2);
  h3 = fmix(h3);
  h4 = fmix(h4);
  h1 = (h1 + h2 + h3 + h4) | 0;
  out[0] = h1;
  out[1] = h2 + h1;
  out[2] = h3 + h1;
  out[3] = h4 + h1;
}

/** Up to four bytes from `at`, little-endian, zeros beyond `end`. */
function tail(view: DataView, at: number, end: number): number {
  let value = 0;
  for (let i = Math.min(at + 4, end) - 1; i >= at; i--) value = (value << 8) | view.getUint8(i);
  return value;
}

const scratch: HashLanes = new Uint32Array(4);

/** First 32-bit lane, unsigned: for choosing a shard or a partition. */
export function hash32(view: DataView, start: number, end: number): number {
  hash128(view, start, end, 0, scratch);
  return scratch[0]!;
}

/** First 64 bits as a bigint, for numbers that are written down (not for hot paths). */
export function hash64(bytes: Uint8Array, start = 0, end = bytes.length, seed = 0): bigint {
  hash128(reader(bytes).view, start, end, seed, scratch);
  return (BigInt(scratch[1]!) << 32n) | BigInt(scratch[0]!);
}

/** A 64-bit hash in the form that message ids, records and logs carry: 16 hex digits. */
export function hashText(hash: bigint): string {
  return hash.toString(16).padStart(16, "0");
}
