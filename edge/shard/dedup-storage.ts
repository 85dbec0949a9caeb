/**
 * Sealed ids in SQLite: for each segment a row with its filter, and pages of sorted fingerprints.
 *
 * A page is found by its place, segment × 2^32 + the high lane of its first fingerprint: the rowid itself, so
 * there is no index that would be billed.
 */
import { DEDUP_PAGE_IDS_MAX } from "../limits.ts";
import { IdFilter } from "./id-filter.ts";
import { pagesOf } from "./sealed-pages.ts";
import { blobOf } from "./sql.ts";
import type { CountedSql } from "./sql.ts";

const SCHEMA = [
  `CREATE TABLE IF NOT EXISTS dedup_segments (
    segment INTEGER PRIMARY KEY, bucket INTEGER NOT NULL, id_count INTEGER NOT NULL, filter BLOB NOT NULL)`,
  `CREATE TABLE IF NOT EXISTS dedup_pages (place INTEGER PRIMARY KEY, fingerprints BLOB NOT NULL)`,
];

const PLACES_PER_SEGMENT = 2 ** 32;

/** What is in memory of a segment. */
export interface Segment {
  /** Numbers rise, and with them buckets never fall. */
  readonly segment: number;
  readonly bucket: number;
  readonly idCount: number;
  readonly filter: IdFilter;
}

export class DedupStorage {
  readonly #sql: CountedSql;

  constructor(sql: CountedSql) {
    this.#sql = sql;
    for (const table of SCHEMA) sql.write(table);
  }

  /** All segments, newest first. */
  segments(): Segment[] {
    const found = this.#sql.rows<{
      segment: number;
      bucket: number;
      id_count: number;
      filter: ArrayBuffer;
    }>("SELECT segment, bucket, id_count, filter FROM dedup_segments ORDER BY segment DESC");
    return Array.from(found, (row) => ({
      segment: row.segment,
      bucket: row.bucket,
      idCount: row.id_count,
      filter: new IdFilter(new Uint32Array(row.filter)),
    }));
  }

  /** The page that holds a fingerprint of that high lane if its segment does; null when there is none. */
  page(segment: number, high: number): Uint32Array | null {
    const first = segment * PLACES_PER_SEGMENT;
    const row = this.#sql.first<{ fingerprints: ArrayBuffer }>(
      "SELECT fingerprints FROM dedup_pages WHERE place BETWEEN ? AND ? ORDER BY place DESC LIMIT 1",
      first,
      first + high,
    );
    return row === null ? null : new Uint32Array(row.fingerprints);
  }

  /** @param sorted fingerprints as `pagesOf` takes them, at least one */
  add(segment: number, bucket: number, sorted: Uint32Array): Segment {
    const filter = IdFilter.over(sorted);
    const idCount = sorted.length / 2;
    this.#sql.write(
      "INSERT INTO dedup_segments VALUES (?, ?, ?, ?)",
      segment,
      bucket,
      idCount,
      blobOf(filter.words),
    );
    for (const { firstHigh, fingerprints } of pagesOf(sorted, DEDUP_PAGE_IDS_MAX)) {
      this.#sql.write(
        "INSERT INTO dedup_pages VALUES (?, ?)",
        segment * PLACES_PER_SEGMENT + firstHigh,
        blobOf(fingerprints),
      );
    }
    return { segment, bucket, idCount, filter };
  }

  /** Drops segments through `segment`, whole. */
  dropThrough(segment: number): void {
    this.#sql.write("DELETE FROM dedup_segments WHERE segment <= ?", segment);
    this.#sql.write("DELETE FROM dedup_pages WHERE place < ?", (segment + 1) * PLACES_PER_SEGMENT);
  }
}
