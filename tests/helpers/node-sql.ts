/** `node:sqlite` as a shard's SQLite: the same code over another engine's face, for benches. */
import { DatabaseSync } from "node:sqlite";
import type { StatementSync } from "node:sqlite";
import type { Sql, SqlCursor, SqlRow, SqlValue } from "../../edge/shard/sql.ts";

export class NodeSql implements Sql {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  /** @param file made when it is not there; as a Durable Object's, with a write-ahead log */
  constructor(file: string) {
    this.#database = new DatabaseSync(file);
    this.#database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
  }

  exec<Row extends SqlRow>(query: string, ...bindings: SqlValue[]): SqlCursor<Row> {
    let statement = this.#statements.get(query);
    if (statement === undefined) {
      statement = this.#database.prepare(query);
      this.#statements.set(query, statement);
    }
    const bound = bindings.map((value) =>
      value instanceof ArrayBuffer ? new Uint8Array(value) : value,
    );
    if (statement.columns().length === 0) {
      const { changes } = statement.run(...bound);
      return cursor([], Number(changes));
    }
    return cursor(
      statement.all(...bound).map((row) => withBuffers(row) as Row),
      0,
    );
  }

  /** What `body` writes is one transaction, as it is in a turn of the platform. */
  transaction(body: () => void): void {
    this.#database.exec("BEGIN");
    body();
    this.#database.exec("COMMIT");
  }

  close(): void {
    this.#database.close();
  }
}

function cursor<Row>(rows: Row[], rowsWritten: number): SqlCursor<Row> {
  return { rowsWritten, [Symbol.iterator]: () => rows[Symbol.iterator]() };
}

/** Blobs come as views; the platform gives whole buffers. */
function withBuffers(row: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(row).map(([name, value]) => [
      name,
      value instanceof Uint8Array ? value.slice().buffer : value,
    ]),
  );
}
