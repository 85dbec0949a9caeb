/** Keys in linear memory: four strings, each with one byte of length. No key is the beginning of another. */

/** Bytes of the key at `key`, from its four lengths. */
export function keyLength(key: usize): u32 {
  let at = key;
  at += 1 + (load<u8>(at) as u32);
  at += 1 + (load<u8>(at) as u32);
  at += 1 + (load<u8>(at) as u32);
  at += 1 + (load<u8>(at) as u32);
  return (at - key) as u32;
}

/** Whether the key at `a`, `bytes` long, is the one at `b`. Reads `bytes` (and up to 7 more) at both, whatever the length of `b`. */
export function sameKey(a: usize, b: usize, bytes: u32): bool {
  return bytes < 16 ? sameShortKey(a, b, bytes) : !v128.any_true(differenceOf(a, b, bytes));
}

/** Zero if 16 bytes or more are the same, in words of 16: the last one overlaps the one before it. */
export function differenceOf(a: usize, b: usize, bytes: u32): v128 {
  const last = bytes - 16;
  let difference = v128.or(
    v128.xor(v128.load(a), v128.load(b)),
    v128.xor(v128.load(a + last), v128.load(b + last)),
  );
  for (let at: u32 = 16; at < last; at += 16) {
    difference = v128.or(difference, v128.xor(v128.load(a + at), v128.load(b + at)));
  }
  return difference;
}

function sameShortKey(a: usize, b: usize, bytes: u32): bool {
  const wordsEnd = a + (bytes & ~7);
  for (; a < wordsEnd; a += 8, b += 8) {
    if (load<u64>(a) != load<u64>(b)) return false;
  }
  const rest = bytes & 7;
  if (rest == 0) return true;
  return (load<u64>(a) ^ load<u64>(b)) << ((64 - (rest << 3)) as u64) == 0;
}

/** Copies `bytes` bytes; of fewer than 16, it reads and writes 16. */
export function copyBytes(to: usize, from: usize, bytes: u32): void {
  // The last 16 bytes overlap those before: what is behind the end may be far away (another line of the cache).
  const last: u32 = bytes < 16 ? 0 : bytes - 16;
  v128.store(to, v128.load(from));
  v128.store(to + last, v128.load(from + last));
  for (let at: u32 = 16; at < last; at += 16) v128.store(to + at, v128.load(from + at));
}

/** Order of two different keys by their bytes: whether `a` comes first. */
export function keyBefore(a: usize, b: usize): bool {
  while (load<u8>(a) == load<u8>(b)) {
    a++;
    b++;
  }
  return load<u8>(a) < load<u8>(b);
}
