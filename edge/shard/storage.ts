/**
 * A shard's durable facts in SQLite: who it is, its journal, its flush records. Synchronous calls
 * without an await between them are one transaction; the caller decides where one ends.
 *
 * Written rows are what costs most. So a commit is one row, a flush is one row, and rows that are not needed any more
 * are not deleted (a delete is billed like a write): the next one is written over the oldest of them. Which are
 * needed follows from two numbers, what is proven downstream and what is sealed.
 */
import { WIRE_VERSION } from "../../wire/block.ts";
import { EPOCH_BYTES } from "../../wire/raw-click.ts";
import { blobOf } from "./sql.ts";
import type { CountedSql, SqlRow, SqlValue } from "./sql.ts";

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
export interface JournalEntry {
  /** Rows that it gives to a message. */
  readonly rowCount: number;
  /** Packs (wire/packed-clicks.ts), one behind the other; of rejected clicks, clicks_rejected rows with empty units. */
  readonly bytes: Uint8Array;
  /** Bytes of its rows in a message. */
  readonly messageByteCount: number;
  /** Pairs of 32-bit lanes, low first, one pair a row; empty for rejected clicks, whose ids nobody looks up. */
  readonly fingerprints: Uint32Array;
}

export interface JournalRow extends JournalEntry {
  readonly number: number;
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
  /** The shard's figures as its first message carries them (wire/report.ts). */
  readonly report: string;
}

/** What is proven downstream: flushes, and the journal rows they took. */
export interface Proven {
  readonly flush: number;
  readonly through: number;
}

/** The last attempt to publish a flush late, and the newest flush that there was one for. */
export interface Late {
  readonly through: number;
  readonly atMs: number;
}

const SCHEMA = [
  "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID",
  // What is summed and what a restart reads stands before the rows, which may fill pages of their own.
  ...["journal_clicks", "journal_rejected"].map(
    (table) => `CREATE TABLE IF NOT EXISTS ${table} (
      number INTEGER PRIMARY KEY, row_count INTEGER NOT NULL, byte_count INTEGER NOT NULL,
      message_byte_count INTEGER NOT NULL, fingerprints BLOB NOT NULL, bytes BLOB NOT NULL)`,
  ),
  ...["flushes_clicks", "flushes_rejected"].map(
    (table) => `CREATE TABLE IF NOT EXISTS ${table} (
      flush INTEGER PRIMARY KEY, to_number INTEGER NOT NULL, sealed_at INTEGER NOT NULL, record TEXT NOT NULL)`,
  ),
];

/** Of these tables, and of the packs in them (wire/packed-clicks.ts); storage of another layout is refused. */
const LAYOUT_VERSION = 3;

export class ShardStorage {
  readonly #sql: CountedSql;
  readonly #proven: Record<Chain, Proven>;
  /** Numbers that the tables hold are without holes: from these to the newest. 0: none. */
  readonly #oldestJournal: Record<Chain, number>;
  readonly #oldestFlush: Record<Chain, number>;
  /** As it is stored: it is asked for several times with each message. */
  readonly #newestFlush: Record<Chain, FlushRecord | null>;
  #sealedThrough: number;

  constructor(sql: CountedSql) {
    this.#sql = sql;
    for (const table of SCHEMA) sql.write(table);
    this.#checkVersions();
    this.#sealedThrough = this.number("sealed_through") ?? 0;
    this.#proven = ofEach((chain) => ({
      flush: this.number(`proven_flush_${chain}`) ?? 0,
      through: this.number(`proven_through_${chain}`) ?? 0,
    }));
    this.#oldestJournal = ofEach((chain) => this.#end("min(number)", `journal_${chain}`));
    this.#oldestFlush = ofEach((chain) => this.#end("min(flush)", `flushes_${chain}`));
    this.#newestFlush = ofEach((chain) =>
      this.#flush(`SELECT record FROM flushes_${chain} ORDER BY flush DESC LIMIT 1`),
    );
  }

  /** The stored identity, made on the first call. */
  identity(shard: number): Identity {
    const stored = this.number("shard");
    if (stored === null) {
      this.#set("layout_version", LAYOUT_VERSION);
      this.#set("wire_version", WIRE_VERSION);
      this.#set("shard", shard);
      this.#set("epoch", randomEpoch());
      this.#set("fingerprint_key", crypto.getRandomValues(new Uint8Array(16)).buffer);
    } else if (stored !== shard) {
      throw new Error(`this storage belongs to shard ${stored}, not ${shard}`);
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

  /** Journal rows become rows of the wire, by its version; packs are of the layout's. Others must not go out under this one's numbers. */
  #checkVersions(): void {
    const shard = this.ownShard();
    if (shard === null) return;
    const wire = this.number("wire_version");
    const layout = this.number("layout_version");
    if (wire === WIRE_VERSION && layout === LAYOUT_VERSION) return;
    throw new Error(
      `shard ${shard} holds storage of layout ${layout ?? 1} with rows of wire version ${wire ?? 1}, this edge has ${LAYOUT_VERSION} and ${WIRE_VERSION}; no release wrote them: clear the state (npm run reset)`,
    );
  }

  #get(name: string): SqlValue {
    return (
      this.#sql.first<{ value: SqlValue }>("SELECT value FROM meta WHERE name = ?", name)?.value ??
      null
    );
  }

  #set(name: string, value: SqlValue): void {
    this.#sql.write(
      "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
      name,
      value,
    );
  }

  /** A least or greatest number of a table; 0 when it is empty. */
  #end(what: string, table: string): number {
    return this.#sql.first<{ end: number | null }>(`SELECT ${what} AS end FROM ${table}`)?.end ?? 0;
  }

  /** @param number the newest row's, plus 1 */
  appendJournal(chain: Chain, number: number, entry: JournalEntry): void {
    const values = [
      number,
      entry.rowCount,
      entry.bytes.length,
      entry.messageByteCount,
      blobOf(entry.fingerprints),
      blobOf(entry.bytes),
    ];
    const oldest = this.#oldestJournal[chain];
    if (oldest > 0 && oldest <= this.#freeThrough(chain)) {
      this.#sql.write(
        `UPDATE journal_${chain} SET number = ?, row_count = ?, byte_count = ?, message_byte_count = ?, fingerprints = ?, bytes = ? WHERE number = ?`,
        ...values,
        oldest,
      );
      this.#oldestJournal[chain] = oldest + 1;
    } else {
      this.#sql.write(`INSERT INTO journal_${chain} VALUES (?, ?, ?, ?, ?, ?)`, ...values);
      if (oldest === 0) this.#oldestJournal[chain] = number;
    }
  }

  /** Rows that nobody needs: proven downstream, and their ids in a sealed segment. */
  #freeThrough(chain: Chain): number {
    const { through } = this.#proven[chain];
    return chain === "clicks" ? Math.min(through, this.#sealedThrough) : through;
  }

  /** Number of the newest journal row; numbers are not used again. */
  newestJournalNumber(chain: Chain): number {
    return this.#end("max(number)", `journal_${chain}`);
  }

  journalRows(chain: Chain, from: number, to: number): JournalRow[] {
    const { through } = this.#proven[chain];
    if (from <= through) throw new Error(`journal row ${from} of ${chain} is proven and asked for`);
    const found = this.#sql.rows<{
      number: number;
      row_count: number;
      message_byte_count: number;
      fingerprints: ArrayBuffer;
      bytes: ArrayBuffer;
    }>(
      `SELECT number, row_count, message_byte_count, fingerprints, bytes FROM journal_${chain} WHERE number BETWEEN ? AND ? ORDER BY number`,
      from,
      to,
    );
    const rows = Array.from(found, (row) => ({
      number: row.number,
      rowCount: row.row_count,
      bytes: new Uint8Array(row.bytes),
      messageByteCount: row.message_byte_count,
      fingerprints: new Uint32Array(row.fingerprints),
    }));
    if (rows.length !== to - from + 1) {
      throw new Error(`journal rows ${from} to ${to} of ${chain} are ${rows.length}`);
    }
    return rows;
  }

  /** Sizes that journal rows after `after` have in a message, in order: what a flush is planned from. */
  journalSizes(
    chain: Chain,
    after: number,
    countMax: number,
  ): { number: number; byteCount: number }[] {
    const found = this.#sql.rows<{ number: number; message_byte_count: number }>(
      `SELECT number, message_byte_count FROM journal_${chain} WHERE number > ? ORDER BY number LIMIT ?`,
      after,
      countMax,
    );
    return Array.from(found, (row) => ({ number: row.number, byteCount: row.message_byte_count }));
  }

  /** Bytes of rows that are not proven downstream yet. */
  journalBytes(chain: Chain): number {
    return this.#bytes(chain, this.#proven[chain].through, Number.MAX_SAFE_INTEGER);
  }

  #bytes(chain: Chain, after: number, through: number): number {
    const sum = this.#sql.first<{ bytes: number }>(
      `SELECT coalesce(sum(byte_count), 0) AS bytes FROM journal_${chain} WHERE number > ? AND number <= ?`,
      after,
      through,
    );
    return sum?.bytes ?? 0;
  }

  /** Row by row, the ids that are in no sealed segment. */
  *unsealedFingerprints(): Generator<Uint32Array> {
    const found = this.#sql.rows<{ fingerprints: ArrayBuffer }>(
      "SELECT fingerprints FROM journal_clicks WHERE number > ? ORDER BY number",
      this.#sealedThrough,
    );
    for (const row of found) yield new Uint32Array(row.fingerprints);
  }

  /** Ids of journal rows through `number` are in sealed segments: in the transaction that seals them. */
  setSealed(number: number): void {
    this.#sealedThrough = number;
    this.#set("sealed_through", number);
  }

  get sealedThrough(): number {
    return this.#sealedThrough;
  }

  addFlush(record: FlushRecord): void {
    const { chain, flush } = record;
    const values = [flush, record.to, record.sealedAtMs, JSON.stringify(record)];
    const oldest = this.#oldestFlush[chain];
    if (oldest > 0 && oldest <= this.#proven[chain].flush) {
      this.#sql.write(
        `UPDATE flushes_${chain} SET flush = ?, to_number = ?, sealed_at = ?, record = ? WHERE flush = ?`,
        ...values,
        oldest,
      );
      this.#oldestFlush[chain] = oldest + 1;
    } else {
      this.#sql.write(`INSERT INTO flushes_${chain} VALUES (?, ?, ?, ?)`, ...values);
      if (oldest === 0) this.#oldestFlush[chain] = flush;
    }
    this.#newestFlush[chain] = record;
  }

  /** The first flush after `flush`, or null. */
  flushAfter(chain: Chain, flush: number): FlushRecord | null {
    if (flush >= (this.newestFlush(chain)?.flush ?? 0)) return null;
    return this.#flush(
      `SELECT record FROM flushes_${chain} WHERE flush > ? ORDER BY flush LIMIT 1`,
      flush,
    );
  }

  newestFlush(chain: Chain): FlushRecord | null {
    return this.#newestFlush[chain];
  }

  /** Flushes that are not proven downstream yet, oldest first. */
  unprovenFlushes(chain: Chain): { flush: number; to: number; sealedAtMs: number }[] {
    const found = this.#sql.rows<{ flush: number; to_number: number; sealed_at: number }>(
      `SELECT flush, to_number, sealed_at FROM flushes_${chain} WHERE flush > ? ORDER BY flush`,
      this.#proven[chain].flush,
    );
    return Array.from(found, (row) => ({
      flush: row.flush,
      to: row.to_number,
      sealedAtMs: row.sealed_at,
    }));
  }

  provenFlush(chain: Chain): number {
    return this.#proven[chain].flush;
  }

  /**
   * Flushes through `flush` are safe downstream, and with them journal rows through `through`.
   *
   * @returns the bytes that left the journal
   */
  setProven(chain: Chain, { flush, through }: Proven): number {
    const freed = this.#bytes(chain, this.#proven[chain].through, through);
    this.#proven[chain] = { flush, through };
    this.#set(`proven_flush_${chain}`, flush);
    this.#set(`proven_through_${chain}`, through);
    return freed;
  }

  /** Flushes that were published, or may have been, long after they were sealed. */
  late(chain: Chain): Late {
    return {
      through: this.number(`late_through_${chain}`) ?? 0,
      atMs: this.number(`late_at_ms_${chain}`) ?? 0,
    };
  }

  setLate(chain: Chain, { through, atMs }: Late): void {
    this.#set(`late_through_${chain}`, through);
    this.#set(`late_at_ms_${chain}`, atMs);
  }

  #flush(query: string, ...bindings: SqlValue[]): FlushRecord | null {
    const found = this.#sql.first<SqlRow & { record: string }>(query, ...bindings);
    return found === null ? null : (JSON.parse(found.record) as FlushRecord);
  }
}

function ofEach<Value>(of: (chain: Chain) => Value): Record<Chain, Value> {
  return { clicks: of("clicks"), rejected: of("rejected") };
}

function randomEpoch(): string {
  const letters = "abcdefghijklmnopqrstuvwxyz234567";
  return Array.from(
    crypto.getRandomValues(new Uint8Array(EPOCH_BYTES)),
    (b) => letters[b & 31],
  ).join("");
}
