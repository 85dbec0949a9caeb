/** fasthash64 of a key in linear memory; wasm/key-hash.ts says where it comes from and is its oracle. */

const M: u64 = 0x880355f21e6d1965;
const MIX: u64 = 0x2127599bf4325c37;

function mix(h: u64): u64 {
  h ^= h >> 23;
  h *= MIX;
  return h ^ (h >> 47);
}

/** Reads up to 7 bytes past the key's end and ignores them: the caller's memory goes on that far. */
export function keyHash(key: usize, bytes: u32): u64 {
  let h: u64 = (bytes as u64) * M;
  const wordsEnd = key + (bytes & ~7);
  for (; key < wordsEnd; key += 8) h = (h ^ mix(load<u64>(key))) * M;
  const rest = bytes & 7;
  if (rest != 0) {
    const mask: u64 = ((1 as u64) << ((rest as u64) << 3)) - 1;
    h = (h ^ mix(load<u64>(key) & mask)) * M;
  }
  return mix(h);
}
