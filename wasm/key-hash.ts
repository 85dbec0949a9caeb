/**
 * fasthash64 of a key's bytes, seed 0: the first criterion of the canonical row order.
 *
 * The kernel has the same in assembly/key-hash.ts; this one is for the oracle and for tests, not for
 * hot paths. It is not the wire's hash (wire/hash.ts): that one is made of 32-bit lanes for Workers,
 * this one of 64-bit words, which WebAssembly multiplies in one instruction.
 *
 * Source: Zilong Tan's fasthash (MIT), https://github.com/ztanml/fast-hash
 */
const M = 0x880355f21e6d1965n;
const MIX = 0x2127599bf4325c37n;

function u64(x: bigint): bigint {
  return BigInt.asUintN(64, x);
}

function mix(h: bigint): bigint {
  h ^= h >> 23n;
  h = u64(h * MIX);
  return h ^ (h >> 47n);
}

/** Unsigned 64 bits. */
export function keyHash(key: Uint8Array): bigint {
  let h = u64(BigInt(key.length) * M);
  for (let at = 0; at < key.length; at += 8) {
    let word = 0n;
    for (let i = Math.min(at + 8, key.length) - 1; i >= at; i--) {
      word = (word << 8n) | BigInt(key[i]!);
    }
    h = u64((h ^ mix(word)) * M);
  }
  return mix(h);
}
