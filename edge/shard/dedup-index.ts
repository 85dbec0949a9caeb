/**
 * Which clicks a shard has seen: fingerprints in receipt buckets, and the acceptance limit that makes
 * forgetting safe. Pure memory; the shard keeps the same facts in its storage.
 *
 * Rule: never accept a click we could not have remembered. A bucket is dropped together with a rise
 * of the limit to the bucket's end plus RESEND_ERROR_MS_MAX: a click first received in that bucket happened
 * before its end, so every later attempt's event time is before that limit, and is `too_old`, never a second count.
 *
 * A fingerprint is 64 bits: two different ids of one shard share one with probability n / 2^64 per
 * click for n remembered ids, a false duplicate every few years at full scale.
 */
import { RESEND_ERROR_MS_MAX } from "../../wire/limits.ts";
import { DEDUP_BUCKET_MS, DEDUP_IDS_MAX } from "../limits.ts";
import { FingerprintSet } from "./fingerprint-set.ts";

/** The receipt bucket of a moment. */
export function bucketOf(receivedAtMs: number): number {
  return Math.floor(receivedAtMs / DEDUP_BUCKET_MS);
}

/** Event times before this may belong to a click of `bucket` or an older one. */
export function limitAfterDropping(bucket: number): number {
  return (bucket + 1) * DEDUP_BUCKET_MS + RESEND_ERROR_MS_MAX;
}

export class DedupIndex {
  /** Newest bucket first: duplicates come soon. */
  #buckets: { readonly bucket: number; readonly ids: FingerprintSet }[] = [];
  readonly #horizonMs: number;
  readonly #idsMax: number;

  constructor(horizonMs: number, idsMax = DEDUP_IDS_MAX) {
    this.#horizonMs = horizonMs;
    this.#idsMax = idsMax;
  }

  get size(): number {
    return this.#buckets.reduce((sum, b) => sum + b.ids.size, 0);
  }

  has(low: number, high: number): boolean {
    for (const { ids } of this.#buckets) if (ids.has(low, high)) return true;
    return false;
  }

  /** Adds a fingerprint that is not in the index. */
  add(bucket: number, low: number, high: number): void {
    let home = this.#buckets.find((b) => b.bucket === bucket);
    if (home === undefined) {
      home = { bucket, ids: new FingerprintSet() };
      this.#buckets.push(home);
      this.#buckets.sort((a, b) => b.bucket - a.bucket);
    }
    home.ids.add(low, high);
  }

  /**
   * The newest bucket that has to go: it ended before the horizon, or there is no room for
   * `idCount` more. Null when none has to, or when its limit would refuse clicks of this moment.
   */
  bucketToDrop(nowMs: number, idCount: number): number | null {
    const expired = this.#buckets.find(
      (b) => (b.bucket + 1) * DEDUP_BUCKET_MS <= nowMs - this.#horizonMs,
    );
    if (expired !== undefined) return expired.bucket;
    const oldest = this.#buckets.at(-1);
    if (oldest === undefined || this.size + idCount <= this.#idsMax) return null;
    if (limitAfterDropping(oldest.bucket) > nowMs) return null;
    return oldest.bucket;
  }

  /** Forgets `bucket` and all older ones. */
  drop(bucket: number): void {
    this.#buckets = this.#buckets.filter((b) => b.bucket > bucket);
  }
}
