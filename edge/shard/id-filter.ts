/**
 * A Bloom filter over a sealed segment's fingerprints: says of nearly all ids that are not there that they
 * are not, and never so of one that is there.
 *
 * 14 bits an id and 10 probes: 1.2 of 1,000 ids that are not there are looked up in storage for nothing (Bloom 1970;
 * the probes are low + i × high, as Kirsch and Mitzenmacher 2006 show to be as good as ten hashes). A day has
 * 24 to 100 segments, so about one click in 20 costs a read of some 20 µs: less than a microsecond a click.
 */

export const FILTER_BITS_PER_ID = 14;
const PROBES = 10;
const LANE_RANGE = 2 ** 32;

export class IdFilter {
  readonly words: Uint32Array;
  readonly #scale: number;

  /** @param words as they were stored */
  constructor(words: Uint32Array) {
    this.words = words;
    this.#scale = (words.length * 32) / LANE_RANGE;
  }

  /** @param fingerprints pairs of lanes, low first; at least one */
  static over(fingerprints: Uint32Array): IdFilter {
    const idCount = fingerprints.length / 2;
    const filter = new IdFilter(new Uint32Array(Math.ceil((idCount * FILTER_BITS_PER_ID) / 32)));
    for (let i = 0; i < fingerprints.length; i += 2) {
      filter.#add(fingerprints[i]!, fingerprints[i + 1]!);
    }
    return filter;
  }

  mayHave(low: number, high: number): boolean {
    const { words } = this;
    const scale = this.#scale;
    const bit0 = bitOf(low, scale);
    const bit1 = bitOf(low + high, scale);
    const bit2 = bitOf(low + 2 * high, scale);
    const bit3 = bitOf(low + 3 * high, scale);
    // Four at once: after each one alone, half of all ids that are not there are told, which is a branch that nobody can guess.
    const first =
      (words[bit0 >>> 5]! >>> bit0) &
      (words[bit1 >>> 5]! >>> bit1) &
      (words[bit2 >>> 5]! >>> bit2) &
      (words[bit3 >>> 5]! >>> bit3);
    if ((first & 1) === 0) return false;
    for (let probe = 4; probe < PROBES; probe++) {
      const bit = bitOf(low + probe * high, scale);
      if (((words[bit >>> 5]! >>> bit) & 1) === 0) return false;
    }
    return true;
  }

  #add(low: number, high: number): void {
    for (let probe = 0; probe < PROBES; probe++) {
      const bit = bitOf(low + probe * high, this.#scale);
      this.words[bit >>> 5]! |= 1 << (bit & 31);
    }
  }
}

/** Of the low 32 bits of `hash`. The product is exact: 32 bits, and a number of bits that is a multiple of 32 and below 2^21 words. */
function bitOf(hash: number, scale: number): number {
  return ((hash >>> 0) * scale) | 0;
}
