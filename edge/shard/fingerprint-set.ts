/**
 * A set of 64-bit fingerprints in typed arrays: open addressing, linear probing, two 32-bit lanes.
 *
 * The fingerprint is a hash already, so its low lane is the bucket. The pair (0, 0) marks an empty
 * slot; a fingerprint of all zeros is stored as (0, 1), which costs one more false duplicate in 2^64.
 */

const CAPACITY_MIN = 1_024;

/** The high lane as it is stored. */
export function storedHigh(low: number, high: number): number {
  return low === 0 && high === 0 ? 1 : high;
}

export class FingerprintSet {
  #slots = new Uint32Array(CAPACITY_MIN * 2);
  #mask = CAPACITY_MIN - 1;
  #size = 0;
  /** What `warm` has read, of no meaning: if nobody could see it, the compiler would not read it. */
  seen = 0;

  /** Fingerprints held. */
  get size(): number {
    return this.#size;
  }

  get byteCount(): number {
    return this.#slots.byteLength;
  }

  has(low: number, high: number): boolean {
    const slots = this.#slots;
    const stored = storedHigh(low, high);
    for (let i = low & this.#mask; ; i = (i + 1) & this.#mask) {
      const slotLow = slots[2 * i]!;
      const slotHigh = slots[2 * i + 1]!;
      if (slotLow === low && slotHigh === stored) return true;
      if (slotLow === 0 && slotHigh === 0) return false;
    }
  }

  /**
   * Looks at the places of fingerprints that will be asked for: the processor waits for all of these places together,
   * where `has` would wait for one after the other.
   *
   * @param lanes pairs, low first
   */
  warm(lanes: Uint32Array): void {
    const slots = this.#slots;
    const mask = this.#mask;
    let seen = 0;
    for (let i = 0; i < lanes.length; i += 2) seen ^= slots[2 * (lanes[i]! & mask)]!;
    this.seen = seen;
  }

  /** Adds a fingerprint that is not in the set. */
  add(low: number, high: number): void {
    // Three quarters full at most: an unsuccessful probe looks at 8.5 slots on average (Knuth vol. 3,
    // 6.4), which lie beside each other.
    if (4 * (this.#size + 1) > 3 * (this.#mask + 1)) this.#grow();
    this.#place(low, storedHigh(low, high));
    this.#size++;
  }

  /** All of them as pairs of lanes, low first, ascending as the little-endian 64-bit numbers that they are. */
  sorted(): Uint32Array {
    const slots = this.#slots;
    const pairs = new Uint32Array(2 * this.#size);
    let to = 0;
    for (let i = 0; i < slots.length; i += 2) {
      if (slots[i] === 0 && slots[i + 1] === 0) continue;
      pairs[to++] = slots[i]!;
      pairs[to++] = slots[i + 1]!;
    }
    new BigUint64Array(pairs.buffer).sort();
    return pairs;
  }

  #place(low: number, high: number): void {
    const slots = this.#slots;
    let i = low & this.#mask;
    while (slots[2 * i] !== 0 || slots[2 * i + 1] !== 0) i = (i + 1) & this.#mask;
    slots[2 * i] = low;
    slots[2 * i + 1] = high;
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = new Uint32Array(old.length * 2);
    this.#mask = this.#slots.length / 2 - 1;
    for (let i = 0; i < old.length; i += 2) {
      const low = old[i]!;
      const high = old[i + 1]!;
      if (low !== 0 || high !== 0) this.#place(low, high);
    }
  }
}
