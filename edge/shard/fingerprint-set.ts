/**
 * A set of 64-bit fingerprints in typed arrays: open addressing, linear probing, two 32-bit lanes.
 *
 * The fingerprint is a hash already, so its low lane is the bucket. The pair (0, 0) marks an empty
 * slot; a fingerprint of all zeros is stored as (0, 1), which costs one more false duplicate in 2^64.
 */

const CAPACITY_MIN = 1_024;

/** Sorting puts four to eight ids in a bucket, on average: few enough to be sorted by looking at each other. */
const BUCKET_IDS_LOG2 = 2;
/** Beyond so many a bucket is left to the platform's sort: hashes never get there, whatever clicks are sent. */
const BUCKET_IDS_MAX = 64;

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
    return !isEmpty(this.#slots, this.#slotOf(low, storedHigh(low, high)));
  }

  /**
   * Looks at the places of fingerprints that will be asked for or added: the processor waits for all of these places
   * together, where `has` would wait for one after the other.
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

  /** Makes room for so many more: then adding them cannot fail. */
  reserve(count: number): void {
    // Three quarters full at most: an unsuccessful probe looks at 8.5 slots on average (Knuth vol. 3,
    // 6.4), which lie beside each other.
    while (4 * (this.#size + count) > 3 * (this.#mask + 1)) this.#grow();
  }

  /** Adds a fingerprint; false when the set has it already. */
  add(low: number, high: number): boolean {
    this.reserve(1);
    const stored = storedHigh(low, high);
    const slot = this.#slotOf(low, stored);
    if (!isEmpty(this.#slots, slot)) return false;
    this.#write(slot, low, stored);
    this.#size++;
    return true;
  }

  /**
   * All of them as pairs of lanes, low first, ascending as the little-endian 64-bit numbers that they are. Being hashes
   * they are spread evenly: put in order by their highest bits (a counting sort), they stand at their place or a few
   * places from it.
   */
  sorted(): Uint32Array {
    const slots = this.#slots;
    const bits = Math.max(1, Math.floor(Math.log2(this.#size + 1)) - BUCKET_IDS_LOG2);
    const shift = 32 - bits;
    // Where the next of each bucket goes, from the count of those before it on.
    const places = new Uint32Array(2 ** bits + 1);
    for (let i = 0; i < slots.length; i += 2) {
      if (!isEmpty(slots, i)) places[(slots[i + 1]! >>> shift) + 1]!++;
    }
    for (let bucket = 1; bucket < places.length; bucket++) places[bucket]! += places[bucket - 1]!;
    const pairs = new Uint32Array(2 * this.#size);
    for (let i = 0; i < slots.length; i += 2) {
      if (isEmpty(slots, i)) continue;
      const high = slots[i + 1]!;
      const to = 2 * places[high >>> shift]!++;
      pairs[to] = slots[i]!;
      pairs[to + 1] = high;
    }
    // Each bucket's place is its end now.
    for (let bucket = 0, start = 0; bucket < places.length - 1; bucket++) {
      const end = places[bucket]!;
      sortBucket(pairs, start, end);
      start = end;
    }
    return pairs;
  }

  /** Where a fingerprint stands, or the empty slot where it would. @param stored its high lane as it is stored */
  #slotOf(low: number, stored: number): number {
    const slots = this.#slots;
    const mask = this.#mask;
    for (let i = low & mask; ; i = (i + 1) & mask) {
      const slot = 2 * i;
      const isThere = slots[slot] === low && slots[slot + 1] === stored;
      if (isThere || isEmpty(slots, slot)) return slot;
    }
  }

  #write(slot: number, low: number, stored: number): void {
    this.#slots[slot] = low;
    this.#slots[slot + 1] = stored;
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = new Uint32Array(old.length * 2);
    this.#mask = this.#slots.length / 2 - 1;
    for (let i = 0; i < old.length; i += 2) {
      if (isEmpty(old, i)) continue;
      const low = old[i]!;
      const stored = old[i + 1]!;
      this.#write(this.#slotOf(low, stored), low, stored);
    }
  }
}

function isEmpty(slots: Uint32Array, slot: number): boolean {
  return slots[slot] === 0 && slots[slot + 1] === 0;
}

/** Sorts the pairs `[start, end)`, by insertion if they are few. */
function sortBucket(pairs: Uint32Array<ArrayBuffer>, start: number, end: number): void {
  if (end - start > BUCKET_IDS_MAX) {
    new BigUint64Array(pairs.buffer, 8 * start, end - start).sort();
    return;
  }
  for (let i = start + 1; i < end; i++) {
    const low = pairs[2 * i]!;
    const high = pairs[2 * i + 1]!;
    let to = i;
    for (; to > start; to--) {
      const lowBefore = pairs[2 * to - 2]!;
      const highBefore = pairs[2 * to - 1]!;
      if (highBefore < high || (highBefore === high && lowBefore < low)) break;
      pairs[2 * to] = lowBefore;
      pairs[2 * to + 1] = highBefore;
    }
    pairs[2 * to] = low;
    pairs[2 * to + 1] = high;
  }
}
