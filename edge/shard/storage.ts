/**
 * A shard's durable facts in SQLite: who it is, its journal, its flush records. Synchronous calls
 * without an await between them are one transaction; the caller decides where one ends.
 */
import { WIRE_VERSION } from "../../wire/block.ts";
import { EPOCH_BYTES } from "../../wire/raw-click.ts";

/** The two chains of a shard: rejected clicks have numbers and a quota of their own. */
export type Chain = "clicks" | "rejected";
export const CHAINS: readonly Chain[] = ["clicks", "rejected"];

/** What never changes in the life of this storage. */
export interface Identity {
  readonly shard: number;
  /** Random name of this storage: a reset shard is a new producer. */
  readonly epoch: string;
  /** Random prefix of every hashed dedup key: nobody outside can look for collisions. */
  readonly fingerprintKey: Uint8Array;
}

/** A group of clicks that were committed together (or the part of it that one row may hold). */
export interface JournalRow {
  readonly number: number;
  readonly rows: Uint8Array;
  readonly rowCount: number;
}

export interface JournalEntry {
  readonly bucket: number;
  readonly rowCount: number;
  readonly rows: Uint8Array;
  /** Pairs of 32-bit lanes, little-endian, one pair a row; null for rejected clicks. */
  readonly fingerprints: Uint8Array | null;
}

/** One message of a flush, as far as it must not change when it is made again. */
export interface MessageRecord {
  readonly subject: string;
  /** Number of the flush before on this subject; 0 for none. */
  readonly previous: number;
  /** 16 hex digits. */
  readonly hash: string;
}

/** Everything the bytes of a flush depend on, besides its journal rows. */
export interface FlushRecord {
  readonly chain: Chain;
  readonly flush: number;
  /** Journal rows from..to, both included. */
  readonly from: number;
  readonly to: number;
  readonly wireVersion: number;
  readonly windowSeconds: number;
  readonly partitions: number;
  /** Days since 1970. */
  readonly flushedOn: number;
  readonly sealedAtMs: number;
  readonly messages: readonly MessageRecord[];
  /** Newest flush number on every subject this chain has ever used, this flush included. */
  readonly newestBySubject: Readonly<Record<string, number>>;
  readonly acknowledged: boolean;
}

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS journal_clicks (
    number INTEGER PRIMARY KEY, bucket INTEGER NOT NULL, row_count INTEGER NOT NULL,
    row_bytes INTEGER NOT NULL, rows BLOB, fingerprints BLOB);
  CREATE TABLE IF NOT EXISTS journal_rejected (
    number INTEGER PRIMARY KEY, bucket INTEGER NOT NULL, row_count INTEGER NOT NULL,
    row_bytes INTEGER NOT NULL, rows BLOB, fingerprints BLOB);
  CREATE TABLE IF NOT EXISTS flushes (
    chain TEXT NOT NULL, flush INTEGER NOT NULL, from_number INTEGER NOT NULL, to_number INTEGER NOT NULL,
    acknowledged INTEGER NOT NULL, sealed_at INTEGER NOT NULL, record TEXT NOT NULL,
    PRIMARY KEY (chain, flush)) WITHOUT ROWID;
`;

export class ShardStorage {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(SCHEMA);
  }

  /** The stored identity, made on the first call. */
  identity(shard: number): Identity {
    const stored = this.number("shard");
    if (stored === null) {
      this.#set("wire_version", WIRE_VERSION);
      this.#set("shard", shard);
      this.#set("epoch", randomEpoch());
      this.#set("fingerprint_key", crypto.getRandomValues(new Uint8Array(16)).buffer);
    } else if (stored !== shard) {
      throw new Error(`this storage belongs to shard ${stored}, not ${shard}`);
    }
    // Journal rows are rows of the wire: another version's must not go out under this one's number.
    const version = this.number("wire_version");
    if (version !== WIRE_VERSION) {
      throw new Error(
        `shard ${shard} holds rows of wire version ${version ?? 1}, this edge writes ${WIRE_VERSION}; no release wrote them: clear the state (npm run reset)`,
      );
    }
    return {
      shard,
      epoch: this.#get("epoch") as string,
      fingerprintKey: new Uint8Array(this.#get("fingerprint_key") as ArrayBuffer),
    };
  }

  /** The shard this storage belongs to; null before its first click. */
  ownShard(): number | null {
    return this.number("shard");
  }

  number(name: string): number | null {
    return this.#get(name) as number | null;
  }

  setNumber(name: "shards" | "accept_from_ms" | "accept_since_ms", value: number): void {
    this.#set(name, value);
  }

  #get(name: string): SqlStorageValue {
    const found = [
      ...this.#sql.exec<{ value: SqlStorageValue }>("SELECT value FROM meta WHERE name = ?", name),
    ];
    return found[0]?.value ?? null;
  }

  #set(name: string, value: SqlStorageValue): void {
    this.#sql.exec(
      "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
      name,
      value,
    );
  }

  appendJournal(chain: Chain, number: number, entry: JournalEntry): void {
    this.#sql.exec(
      `INSERT INTO journal_${chain} VALUES (?, ?, ?, ?, ?, ?)`,
      number,
      entry.bucket,
      entry.rowCount,
      entry.rows.byteLength,
      exact(entry.rows),
      entry.fingerprints === null ? null : exact(entry.fingerprints),
    );
  }

  /** Number of the newest journal row ever written; rows may be trimmed, numbers are not used again. */
  newestJournalNumber(chain: Chain): number {
    const { number } = this.#sql
      .exec<{ number: number | null }>(`SELECT max(number) AS number FROM journal_${chain}`)
      .one();
    const flushed = this.newestFlush(chain)?.to ?? 0;
    return Math.max(number ?? 0, flushed);
  }

  journalRows(chain: Chain, from: number, to: number): JournalRow[] {
    const found = this.#sql.exec<{ number: number; rows: ArrayBuffer | null; row_count: number }>(
      `SELECT number, rows, row_count FROM journal_${chain} WHERE number BETWEEN ? AND ? ORDER BY number`,
      from,
      to,
    );
    return [...found].map((row) => {
      if (row.rows === null)
        throw new Error(`journal row ${row.number} of ${chain} is trimmed and asked for`);
      return { number: row.number, rows: new Uint8Array(row.rows), rowCount: row.row_count };
    });
  }

  /** Sizes of journal rows after `after`, in order: what a flush is planned from. */
  journalSizes(
    chain: Chain,
    after: number,
    countMax: number,
  ): { number: number; byteCount: number }[] {
    const found = this.#sql.exec<{ number: number; row_bytes: number }>(
      `SELECT number, row_bytes FROM journal_${chain} WHERE number > ? ORDER BY number LIMIT ?`,
      after,
      countMax,
    );
    return [...found].map((row) => ({ number: row.number, byteCount: row.row_bytes }));
  }

  /** Bytes of rows that are not proven downstream yet. */
  journalBytes(chain: Chain): number {
    return this.#sql
      .exec<{ bytes: number }>(
        `SELECT coalesce(sum(row_bytes), 0) AS bytes FROM journal_${chain} WHERE rows IS NOT NULL`,
      )
      .one().bytes;
  }

  /**
   * Frees the rows after `after` and up to `through`; the ids stay as long as their bucket does.
   *
   * @returns the bytes that were freed
   */
  #trimJournal(chain: Chain, after: number, through: number): number {
    const { bytes } = this.#sql
      .exec<{ bytes: number }>(
        `SELECT coalesce(sum(row_bytes), 0) AS bytes FROM journal_${chain} WHERE number > ? AND number <= ? AND rows IS NOT NULL`,
        after,
        through,
      )
      .one();
    this.#sql.exec(
      `UPDATE journal_${chain} SET rows = NULL WHERE number > ? AND number <= ? AND fingerprints IS NOT NULL`,
      after,
      through,
    );
    this.#sql.exec(
      `DELETE FROM journal_${chain} WHERE number > ? AND number <= ? AND fingerprints IS NULL`,
      after,
      through,
    );
    return bytes;
  }

  /** Bucket by bucket, the ids that are remembered. */
  *fingerprints(): Generator<{ bucket: number; fingerprints: Uint32Array }> {
    const found = this.#sql.exec<{ bucket: number; fingerprints: ArrayBuffer }>(
      "SELECT bucket, fingerprints FROM journal_clicks WHERE fingerprints IS NOT NULL ORDER BY number",
    );
    for (const row of found)
      yield { bucket: row.bucket, fingerprints: new Uint32Array(row.fingerprints) };
  }

  /** Drops the ids of `bucket` and older ones, and raises the limit, in one transaction. */
  dropBucket(bucket: number, acceptFromMs: number): void {
    this.setNumber("accept_from_ms", acceptFromMs);
    this.#sql.exec("DELETE FROM journal_clicks WHERE bucket <= ? AND rows IS NULL", bucket);
    this.#sql.exec(
      "UPDATE journal_clicks SET fingerprints = NULL WHERE bucket <= ? AND fingerprints IS NOT NULL",
      bucket,
    );
  }

  addFlush(record: FlushRecord): void {
    this.#sql.exec(
      "INSERT INTO flushes VALUES (?, ?, ?, ?, ?, ?, ?)",
      record.chain,
      record.flush,
      record.from,
      record.to,
      Number(record.acknowledged),
      record.sealedAtMs,
      JSON.stringify(record),
    );
  }

  /** The oldest flush whose messages are not all acknowledged, or null. */
  oldestUnacknowledged(chain: Chain): FlushRecord | null {
    return this.#flush(
      "SELECT record, acknowledged FROM flushes WHERE chain = ? AND acknowledged = 0 ORDER BY flush LIMIT 1",
      chain,
    );
  }

  newestFlush(chain: Chain): FlushRecord | null {
    return this.#flush(
      "SELECT record, acknowledged FROM flushes WHERE chain = ? ORDER BY flush DESC LIMIT 1",
      chain,
    );
  }

  /** Acknowledged flushes whose journal rows are still kept, oldest first. */
  unprovenFlushes(chain: Chain): { flush: number; to: number; sealedAtMs: number }[] {
    const proven = this.number(`proven_${chain}`) ?? 0;
    const found = this.#sql.exec<{ flush: number; to_number: number; sealed_at: number }>(
      "SELECT flush, to_number, sealed_at FROM flushes WHERE chain = ? AND acknowledged = 1 AND flush > ? ORDER BY flush",
      chain,
      proven,
    );
    return [...found].map((row) => ({
      flush: row.flush,
      to: row.to_number,
      sealedAtMs: row.sealed_at,
    }));
  }

  setAcknowledged(chain: Chain, flush: number): void {
    this.#sql.exec(
      "UPDATE flushes SET acknowledged = 1 WHERE chain = ? AND flush = ?",
      chain,
      flush,
    );
  }

  /**
   * Flushes through `flush` are safe downstream: their rows leave the journal. The newest record stays,
   * for its numbers.
   *
   * @param through the last of their journal rows
   * @returns the bytes that left the journal
   */
  setProven(chain: Chain, flush: number, through: number): number {
    const freed = this.#trimJournal(chain, this.number(`trimmed_${chain}`) ?? 0, through);
    this.#set(`trimmed_${chain}`, through);
    this.#set(`proven_${chain}`, flush);
    this.#sql.exec(
      "DELETE FROM flushes WHERE chain = ?1 AND flush <= ?2 AND flush < (SELECT max(flush) FROM flushes WHERE chain = ?1)",
      chain,
      flush,
    );
    return freed;
  }

  /** Flushes from `flush` on are to be published again. */
  setUnacknowledgedFrom(chain: Chain, flush: number): void {
    this.#sql.exec(
      "UPDATE flushes SET acknowledged = 0 WHERE chain = ? AND flush >= ?",
      chain,
      flush,
    );
  }

  #flush(query: string, chain: Chain): FlushRecord | null {
    const found = [...this.#sql.exec<{ record: string; acknowledged: number }>(query, chain)][0];
    if (found === undefined) return null;
    return { ...(JSON.parse(found.record) as FlushRecord), acknowledged: found.acknowledged === 1 };
  }
}

/** SQLite binds ArrayBuffers, whole: just these bytes. */
function exact(bytes: Uint8Array): ArrayBuffer {
  return bytes.slice().buffer;
}

function randomEpoch(): string {
  const letters = "abcdefghijklmnopqrstuvwxyz234567";
  return Array.from(
    crypto.getRandomValues(new Uint8Array(EPOCH_BYTES)),
    (b) => letters[b & 31],
  ).join("");
}
