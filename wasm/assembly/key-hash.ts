/** fasthash64 of a key in linear memory; wasm/key-hash.ts says where it comes from and is its oracle. */

const M: u64 = 0x880355f21e6d1965;
const MIX: u64 = 0x2127599bf4325c37;

function mix(h: u64): u64 {
  h ^= h >> 23;
  h *= MIX;
  return h ^ (h >> 47);
}

/**
 * Reads up to 7 bytes past the key's end and ignores them: the caller's memory goes on that far. `bytes`
 * is at least 1. The last word is a whole one or not, without a branch: lengths of keys are unpredictable.
 */
export function keyHash(key: usize, bytes: u32): u64 {
  let h: u64 = (bytes as u64) * M;
  const last = key + ((bytes - 1) & ~7);
  for (; key < last; key += 8) h = (h ^ mix(load<u64>(key))) * M;
  // A shift counts modulo 64: whole words lose nothing.
  const word = load<u64>(key) & (u64.MAX_VALUE >> ((0 - (bytes as u64)) << 3));
  return mix((h ^ mix(word)) * M);
}
