/** Which ad is clicked: few get most of the clicks, most get few (Zipf's law). */

/** Exponent of the popularity by rank; 1.0 to 1.2 fits what ad and web logs show. */
export const ZIPF_EXPONENT = 1.05;

/** Ranks 0 … count − 1, drawn with a probability of 1 / (rank + 1) ^ exponent. */
export class Zipf {
  /** Share of all draws with this rank or a lower one: 8 bytes an ad, 16 MB for 2,000,000. */
  private readonly cumulative: Float64Array;

  constructor(count: number, exponent = ZIPF_EXPONENT) {
    if (!Number.isInteger(count) || count < 1) throw new Error(`${count} ads`);
    this.cumulative = new Float64Array(count);
    let sum = 0;
    for (let rank = 0; rank < count; rank++) {
      sum += 1 / (rank + 1) ** exponent;
      this.cumulative[rank] = sum;
    }
    for (let rank = 0; rank < count; rank++) this.cumulative[rank]! /= sum;
  }

  /** @param chance [0, 1) */
  rank(chance: number): number {
    let low = 0;
    let high = this.cumulative.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.cumulative[middle]! > chance) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
