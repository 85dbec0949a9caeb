/**
 * Which clicks a shard has seen, log-structured: the open segment is a set of fingerprints in memory (and in
 * the journal, where a restart finds them); a sealed one is sorted pages in storage and a small filter in
 * memory. A filter's hit is checked in storage, so the answer is exact.
 *
 * Rule: never accept a click we could not have remembered. Segments belong to receipt buckets. A bucket is
 * dropped together with a rise of the acceptance limit to the bucket's end plus RESEND_ERROR_MS_MAX: a click
 * first received in that bucket happened before its end, so every later attempt's event time is before that limit,
 * and is `too_old`, never a second count.
 *
 * A fingerprint is 64 bits, keyed: two different ids of one shard share one with probability n / 2^64 per click
 * for n remembered ids. docs/decisions/0008 has the arithmetic, and what is left over.
 */
import { RESEND_ERROR_MS_MAX } from "../../wire/limits.ts";
import { DEDUP_BUCKET_MS, DEDUP_IDS_MAX, DEDUP_SEGMENT_IDS } from "../limits.ts";
import type { DedupStorage, Segment } from "./dedup-storage.ts";
import { FingerprintSet, storedHigh } from "./fingerprint-set.ts";
import { pageHas } from "./sealed-pages.ts";

/** The receipt bucket of a moment. */
export function bucketOf(receivedAtMs: number): number {
  return Math.floor(receivedAtMs / DEDUP_BUCKET_MS);
}

/** Event times before this may belong to a click of `bucket` or an older one. */
export function limitAfterDropping(bucket: number): number {
  return (bucket + 1) * DEDUP_BUCKET_MS + RESEND_ERROR_MS_MAX;
}

export class DedupIndex {
  readonly #storage: DedupStorage;
  readonly #horizonMs: number;
  readonly #idsMax: number;
  #open = new FingerprintSet();
  /** Of the open segment's first id. */
  #openBucket = 0;
  /** Newest first: duplicates come soon. */
  #segments: Segment[];
  #sealedIds: number;

  constructor(storage: DedupStorage, horizonMs: number, idsMax = DEDUP_IDS_MAX) {
    this.#storage = storage;
    this.#horizonMs = horizonMs;
    this.#idsMax = idsMax;
    this.#segments = storage.segments();
    this.#sealedIds = this.#segments.reduce((sum, { idCount }) => sum + idCount, 0);
  }

  /** Ids that are remembered. */
  get size(): number {
    return this.#open.size + this.#sealedIds;
  }

  get segmentCount(): number {
    return this.#segments.length;
  }

  /** Memory of the open segment and of the filters. */
  get byteCount(): number {
    return this.#segments.reduce(
      (sum, { filter }) => sum + filter.words.byteLength,
      this.#open.byteCount,
    );
  }

  /** Nothing more can be remembered before a bucket may be dropped. */
  get isFull(): boolean {
    return this.size >= this.#idsMax;
  }

  /** Before many are added, pairs of lanes: there is room for them, and their places come into the processor's cache. */
  expect(lanes: Uint32Array): void {
    this.#open.reserve(lanes.length / 2);
    this.#open.warm(lanes);
  }

  /** Whether the open segment has a fingerprint. */
  openHas(low: number, high: number): boolean {
    return this.#open.has(low, high);
  }

  /**
   * Which of many fingerprints, pairs of lanes, sealed segments have: a 1 for each of those. Segment by segment, so that
   * the processor waits for a filter's words of several fingerprints together.
   */
  sealedHave(lanes: Uint32Array): Uint8Array {
    const held = new Uint8Array(lanes.length / 2);
    for (const { segment, filter } of this.#segments) {
      for (let i = 0; i < held.length; i++) {
        const low = lanes[2 * i]!;
        const stored = storedHigh(low, lanes[2 * i + 1]!);
        if (held[i] === 1 || !filter.mayHave(low, stored)) continue;
        const page = this.#storage.page(segment, stored);
        if (page !== null && pageHas(page, low, stored)) held[i] = 1;
      }
    }
    return held;
  }

  /** Adds a fingerprint that no sealed segment has, received at `nowMs`; false when the open one has it. */
  add(low: number, high: number, nowMs: number): boolean {
    if (this.#open.size === 0) this.#openBucket = bucketOf(nowMs);
    return this.#open.add(low, high);
  }

  /** Whether the open segment is large enough, or its bucket is over. */
  sealDue(nowMs: number): boolean {
    if (this.#open.size === 0) return false;
    return this.#open.size >= DEDUP_SEGMENT_IDS || bucketOf(nowMs) > this.#openBucket;
  }

  /**
   * Writes the open segment to storage. In the same transaction, and in the same turn, every id in it must
   * be in the journal: an id that is known and not kept would be a click lost.
   */
  seal(nowMs: number): void {
    if (this.#open.size === 0) return;
    // At the end of its ids' receipt at the earliest, whatever the clock did: it is never dropped too soon.
    const newest = this.#segments[0];
    const bucket = Math.max(bucketOf(nowMs), this.#openBucket, newest?.bucket ?? 0);
    const segment = this.#storage.add((newest?.segment ?? 0) + 1, bucket, this.#open.sorted());
    this.#segments.unshift(segment);
    this.#sealedIds += segment.idCount;
    this.#open = new FingerprintSet();
  }

  /**
   * The newest bucket that has to go: it ended before the horizon, or there is no room for
   * `idCount` more. Null when none has to, or when its limit would refuse clicks of this moment.
   */
  bucketToDrop(nowMs: number, idCount: number): number | null {
    const expired = this.#segments.find(
      ({ bucket }) => (bucket + 1) * DEDUP_BUCKET_MS <= nowMs - this.#horizonMs,
    );
    if (expired !== undefined) return expired.bucket;
    const oldest = this.#segments.at(-1);
    if (oldest === undefined || this.size + idCount <= this.#idsMax) return null;
    if (limitAfterDropping(oldest.bucket) > nowMs) return null;
    return oldest.bucket;
  }

  /** Forgets `bucket` and all older ones; in one transaction with the limit's rise. */
  drop(bucket: number): void {
    const dropped = this.#segments.filter((segment) => segment.bucket <= bucket);
    if (dropped.length === 0) return;
    this.#storage.dropThrough(dropped[0]!.segment);
    this.#segments = this.#segments.filter((segment) => segment.bucket > bucket);
    this.#sealedIds -= dropped.reduce((sum, { idCount }) => sum + idCount, 0);
  }
}
