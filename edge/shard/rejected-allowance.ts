/**
 * How many rejected clicks of each key are kept with their bytes: a token bucket per key. In memory
 * only: after an eviction a key starts with a full one, which costs some rows and no count.
 */

interface Bucket {
  tokens: number;
  asOfMs: number;
}

export interface AllowanceLimits {
  /** Tokens of a full bucket. */
  readonly atOnceMax: number;
  /** One more token in this time. */
  readonly everyMs: number;
  /** Keys remembered. */
  readonly keysMax: number;
}

export class RejectedAllowance {
  readonly #limits: AllowanceLimits;
  /** In order of last use. */
  readonly #buckets = new Map<string, Bucket>();

  constructor(limits: AllowanceLimits) {
    this.#limits = limits;
  }

  /** Whether one more of this key is kept. */
  take(key: string, nowMs: number): boolean {
    const { atOnceMax, everyMs, keysMax } = this.#limits;
    const known = this.#buckets.get(key) ?? { tokens: atOnceMax, asOfMs: nowMs };
    // A clock that was set back gives nothing, and takes nothing.
    const earned = Math.max(0, nowMs - known.asOfMs) / everyMs;
    const tokens = Math.min(atOnceMax, known.tokens + earned);
    const takes = tokens >= 1;
    this.#buckets.delete(key);
    this.#buckets.set(key, { tokens: takes ? tokens - 1 : tokens, asOfMs: nowMs });
    if (this.#buckets.size > keysMax) {
      const [longestAgo] = this.#buckets.keys();
      this.#buckets.delete(longestAgo!);
    }
    return takes;
  }
}
