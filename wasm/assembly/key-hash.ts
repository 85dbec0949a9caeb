/** fasthash64 of a key in linear memory; wasm/key-hash.ts says where it comes from and is its oracle. */

const M: u64 = 0x880355f21e6d1965;
const MIX: u64 = 0x2127599bf4325c37;

function mix(h: u64): u64 {
  h ^= h >> 23;
  h *= MIX;
  return h ^ (h >> 47);
}

/**
 * Reads up to 7 bytes before a key that is shorter than 8, and ignores them: the caller's memory begins before it.
 * `end` is behind `key`. The last word is a whole one or not, without a branch: lengths of keys are unpredictable.
 */
export function keyHash(key: usize, end: usize): u64 {
  const bytes = (end - key) as u64;
  const last = end - 8;
  let h: u64 = bytes * M;
  for (; key < last; key += 8) h = (h ^ mix(load<u64>(key))) * M;
  // Without what stands before the last word. A shift counts modulo 64: whole words lose nothing.
  const word = load<u64>(last) >> ((0 - bytes) << 3);
  return mix((h ^ mix(word)) * M);
}
