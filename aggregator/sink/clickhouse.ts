/** What the sinks ask of ClickHouse: one insert that becomes one part, and plain reads. */
import type { ClickHouseClient } from "@clickhouse/client";
import { ClickHouseError } from "@clickhouse/client";
import { Readable } from "node:stream";
import { insertStatement } from "../../wire/columns.ts";
import type { TableName } from "../../wire/columns.ts";
import { INSERT_ROWS_MAX, SINK_BATCH_BYTES_MAX } from "../limits.ts";

export interface Inserter {
  /**
   * Inserts RowBinary bodies as one block.
   *
   * @param token deduplicates late copies of the same insert; empty: by the rows themselves
   */
  insert(table: TableName, bodies: readonly Uint8Array[], token: string): Promise<void>;
}

export interface Database extends Inserter {
  /** Rows as objects; parameters are bound by the server. */
  select<Row>(query: string, parameters?: Readonly<Record<string, unknown>>): Promise<Row[]>;
}

/**
 * Every insert says it all: defaults differ between versions and profiles. Block sizes are above
 * what a batch can hold, so that an insert is one block and one part, and cannot be half there.
 */
const INSERT_SETTINGS = {
  async_insert: 0,
  insert_deduplicate: 1,
  deduplicate_blocks_in_dependent_materialized_views: 1,
  max_insert_block_size: String(INSERT_ROWS_MAX),
  min_insert_block_size_rows: String(INSERT_ROWS_MAX),
  min_insert_block_size_bytes: String(16 * SINK_BATCH_BYTES_MAX),
} as const;

export function createDatabase(client: ClickHouseClient): Database {
  return {
    async insert(table, bodies, token) {
      const { stream } = await client.exec({
        query: insertStatement(table),
        values: Readable.from(
          bodies.map((body) => Buffer.from(body.buffer, body.byteOffset, body.byteLength)),
          {
            objectMode: false,
          },
        ),
        clickhouse_settings:
          token === ""
            ? INSERT_SETTINGS
            : { ...INSERT_SETTINGS, insert_deduplication_token: token },
      });
      // The insert has ended when its (empty) answer has.
      for await (const _ of stream) void _;
    },
    async select<Row>(query: string, parameters: Readonly<Record<string, unknown>> = {}) {
      const result = await client.query({
        query,
        query_params: { ...parameters },
        format: "JSONEachRow",
      });
      return result.json<Row>();
    },
  };
}

/**
 * ClickHouse errors that are no passing trouble: the statement, the schema or the bytes are wrong.
 * Names of codes are the server's.
 */
const FATAL_TYPES: ReadonlySet<string> = new Set([
  "UNKNOWN_TABLE",
  "UNKNOWN_DATABASE",
  "UNKNOWN_IDENTIFIER",
  "NO_SUCH_COLUMN_IN_TABLE",
  "SYNTAX_ERROR",
  "ILLEGAL_AGGREGATION",
  "NOT_AN_AGGREGATE",
  "UNKNOWN_FUNCTION",
  "BAD_ARGUMENTS",
  "TYPE_MISMATCH",
  "ILLEGAL_TYPE_OF_ARGUMENT",
  "UNKNOWN_SETTING",
  "AUTHENTICATION_FAILED",
  "INCORRECT_DATA",
  "CANNOT_READ_ALL_DATA",
  "UNKNOWN_ELEMENT_OF_ENUM",
]);

/** Node's codes of connections that failed, broke or took too long. */
const NETWORK_CODE = /^(ECONN|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|EHOST|ENET|ERR_STREAM|UND_ERR)/;

/** The outside failed (no connection, overload, lost answer): a later attempt may succeed. */
export function isClickHouseFailure(error: unknown): boolean {
  if (error instanceof ClickHouseError) return !FATAL_TYPES.has(error.type ?? "");
  if (!(error instanceof Error)) return false;
  const code = "code" in error ? String(error.code) : "";
  // The client's own time limit has a message and no code.
  return NETWORK_CODE.test(code) || /timeout error|socket hang up/i.test(error.message);
}
