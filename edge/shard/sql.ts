/**
 * SQLite as a shard uses it: what the platform's `SqlStorage` is, and what a bench puts `node:sqlite` behind.
 * Calls without an await between them are one transaction.
 */

export type SqlValue = ArrayBuffer | string | number | null;
export type SqlRow = Record<string, SqlValue>;

export interface Sql {
  /** Runs a statement at once; its rows may be read later, but before the next write. */
  exec<Row extends SqlRow>(query: string, ...bindings: SqlValue[]): SqlCursor<Row>;
}

export interface SqlCursor<Row> extends Iterable<Row> {
  /** Rows and index entries written: what is billed. Final when all rows are read. */
  readonly rowsWritten: number;
}

/** Reads and writes apart, and a count of what is billed. */
export class CountedSql {
  readonly #sql: Sql;
  #rowsWritten = 0;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  /** Since the call before. */
  takeRowsWritten(): number {
    const count = this.#rowsWritten;
    this.#rowsWritten = 0;
    return count;
  }

  /** A row that something else than a statement has written. */
  countRow(): void {
    this.#rowsWritten++;
  }

  write(query: string, ...bindings: SqlValue[]): void {
    const cursor = this.#sql.exec(query, ...bindings);
    for (const _ of cursor) throw new Error(`rows come from a write: ${query}`);
    this.#rowsWritten += cursor.rowsWritten;
  }

  rows<Row extends SqlRow>(query: string, ...bindings: SqlValue[]): Iterable<Row> {
    return this.#sql.exec<Row>(query, ...bindings);
  }

  /** The first row, or null. */
  // What a statement selects only its caller knows.
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters
  first<Row extends SqlRow>(query: string, ...bindings: SqlValue[]): Row | null {
    let first: Row | null = null;
    for (const row of this.#sql.exec<Row>(query, ...bindings)) first ??= row;
    return first;
  }
}

/** Blobs are bound as whole buffers: just these bytes, copied if there are others. */
export function blobOf(bytes: Uint8Array | Uint32Array): ArrayBuffer {
  const { buffer, byteLength } = bytes;
  const isWhole = buffer instanceof ArrayBuffer && buffer.byteLength === byteLength;
  return isWhole ? buffer : bytes.slice().buffer;
}
