/**
 * A shard's memory of a day: ids as an SDK makes them go through fingerprints, index and journal as they do in
 * the shard, over any SQLite. The bench runs it over `node:sqlite`, and inside workerd.
 */
import { DEDUP_BUCKET_MS } from "../../../edge/limits.ts";
import { DedupIndex } from "../../../edge/shard/dedup-index.ts";
import { DedupStorage } from "../../../edge/shard/dedup-storage.ts";
import { Fingerprints } from "../../../edge/shard/fingerprints.ts";
import { CountedSql } from "../../../edge/shard/sql.ts";
import type { Sql } from "../../../edge/shard/sql.ts";
import { ShardStorage } from "../../../edge/shard/storage.ts";

export const BUCKETS = 24;
const HORIZON_MS = BUCKETS * DEDUP_BUCKET_MS;
/** In 2026; any hour will do. */
const FIRST_BUCKET_MS = 497_000 * DEDUP_BUCKET_MS;
/** Of one journal row: batches of ten that share a commit. */
const COMMIT_IDS = 20;
/** A click in the journal, packed with others of its request, and its row in a message; the bench looks at neither. */
const CLICK_BYTES = 100;
const ROW_BYTES = 250;

/** What the bench asks of an object inside workerd: to receive clicks, as `receive` says, and then to look some up. */
export interface Step {
  readonly bucket: number;
  readonly from: number;
  readonly to: number;
  readonly seals: boolean;
  /** Clicks whose numbers are in steps of this from 0 on are looked up, up to `to`. 0: none. */
  readonly lookUpEvery: number;
}

export interface StepAnswer {
  readonly ids: number;
  readonly indexBytes: number;
  readonly missed: number;
}

const NO_ACCOUNT = new Uint8Array(0);

export class Remembered {
  readonly #storage: ShardStorage;
  readonly #index: DedupIndex;
  readonly #fingerprints: Fingerprints;
  readonly #id = new Uint8Array(64);

  /** Opens what the SQLite holds, as a shard's constructor does. */
  constructor(sql: Sql) {
    const counted = new CountedSql(sql);
    this.#storage = new ShardStorage(counted);
    this.#index = new DedupIndex(new DedupStorage(counted), HORIZON_MS);
    for (const lanes of this.#storage.unsealedFingerprints()) {
      for (let i = 0; i < lanes.length; i += 2) {
        this.#index.add(lanes[i]!, lanes[i + 1]!, FIRST_BUCKET_MS);
      }
    }
    this.#fingerprints = new Fingerprints(this.#storage.identity(0).fingerprintKey);
  }

  get size(): number {
    return this.#index.size;
  }

  get segmentCount(): number {
    return this.#index.segmentCount;
  }

  get byteCount(): number {
    return this.#index.byteCount;
  }

  /** Whether the click of that number is known. */
  has(number: number): boolean {
    const lanes = this.#lanes(number);
    // As a shard asks for the click of a request that has no other.
    const isSealed = this.#index.sealedHave(lanes.subarray(0, 2))[0] === 1;
    return isSealed || this.#index.openHas(lanes[0]!, lanes[1]!);
  }

  /**
   * Receives clicks `from` to `to` in hour `bucket` (0 is the oldest): commits of COMMIT_IDS, each a journal row.
   * When `seals`, the hour is over.
   */
  receive(bucket: number, from: number, to: number, seals: boolean): void {
    const nowMs = FIRST_BUCKET_MS + bucket * DEDUP_BUCKET_MS;
    for (let first = from; first < to; first += COMMIT_IDS) {
      const count = Math.min(COMMIT_IDS, to - first);
      const pairs = new Uint32Array(2 * count);
      for (let i = 0; i < count; i++) {
        const lanes = this.#lanes(first + i);
        pairs.set(lanes.subarray(0, 2), 2 * i);
        this.#index.add(lanes[0]!, lanes[1]!, nowMs);
      }
      const number = this.#storage.newestJournalNumber("clicks") + 1;
      this.#storage.appendJournal("clicks", number, {
        rowCount: count,
        bytes: new Uint8Array(count * CLICK_BYTES),
        messageByteCount: count * ROW_BYTES,
        fingerprints: pairs,
      });
    }
    const newest = this.#storage.newestJournalNumber("clicks");
    if (!seals) return;
    this.#index.seal(nowMs);
    this.#storage.setSealed(newest);
    // Flushed and proven long ago: the next hour writes over its rows.
    this.#storage.setProven("clicks", { flush: bucket + 1, through: newest });
  }

  #lanes(number: number): Uint32Array {
    // `<install>.<n>`, a hundred clicks of each installation.
    const text = `i${Math.floor(number / 100).toString(36)}.${number % 100}`;
    for (let i = 0; i < text.length; i++) this.#id[i] = text.charCodeAt(i);
    return this.#fingerprints.of(NO_ACCOUNT, this.#id, 0, text.length);
  }
}

/** The first click of an hour, when `ids` are spread over BUCKETS. */
export function firstOf(bucket: number, ids: number): number {
  return Math.floor((bucket * ids) / BUCKETS);
}
