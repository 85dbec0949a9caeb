/**
 * The columns of every table that Clickmill writes: names, ClickHouse types and the order in which
 * RowBinary carries them. The migrations hold the same truth in SQL; a test compares the two through
 * the engine's own DESCRIBE TABLE.
 *
 * `encodeRow` writes any row of them from an object: right for ledgers and other rare rows, and the
 * oracle for the hand-written codecs of the hot rows.
 */
import {
  reserve,
  utf8,
  writeBytes,
  writeI64,
  writeString,
  writeU16,
  writeU32,
  writeU64,
  writeU8,
  writeVarint,
} from "./cursor.ts";
import type { Cursor } from "./cursor.ts";

export interface Column {
  readonly name: string;
  /** ClickHouse type, as DESCRIBE TABLE prints it. */
  readonly type: string;
}

function columns(lines: Readonly<Record<string, string>>): readonly Column[] {
  return Object.entries(lines).map(([name, type]) => ({ name, type }));
}

const LC = "LowCardinality(String)";
const MS = "DateTime64(3, 'UTC')";
const SECONDS = "DateTime('UTC')";

/** Codes of `time_source`: whose clock an event time stands on. */
export const TIME_SOURCE = { client: 1, skew_corrected: 2, server: 3 } as const;
export type TimeSource = keyof typeof TIME_SOURCE;

/** Codes of `origin`: why a delta exists. */
export const ORIGIN = { on_time: 1, late: 2, recalculated: 3 } as const;
export type Origin = keyof typeof ORIGIN;

/** A producer and how far its flushes are included. */
export const PRODUCERS_TYPE = "Array(Tuple(shard UInt16, epoch FixedString(8), flush UInt64))";

/** clicks_raw: one accepted click. The first four are the unit; see raw-click.ts for the bytes. */
export const CLICKS_RAW = columns({
  flush: "UInt64",
  flushed_on: "Date",
  shard: "UInt16",
  epoch: "FixedString(8)",
  received_at: MS,
  event_time: MS,
  time_source: "Enum8('client' = 1, 'skew_corrected' = 2, 'server' = 3)",
  account: LC,
  click_id: "String",
  ad_id: "String",
  country: LC,
  device: LC,
  invalid_reason: LC,
  key_id: LC,
  user_id: "String",
  ip: "String",
  user_agent: "String",
  claimed_time: MS,
  sent_at: `Nullable(${MS})`,
  skew_ms: "Nullable(Int64)",
});

/** One row of a partial block; it goes to the kernel and into no table. */
export const PARTIAL = columns({
  window_start: SECONDS,
  ad_id: "String",
  country: LC,
  device: LC,
  invalid_reason: LC,
  clicks: "UInt32",
});

/** ad_clicks_1m: one signed delta of a count. The last six are the unit. */
export const AD_CLICKS_1M = columns({
  window_start: SECONDS,
  ad_id: "String",
  country: LC,
  device: LC,
  invalid_reason: LC,
  clicks: "Int64",
  origin: "Enum8('on_time' = 1, 'late' = 2, 'recalculated' = 3)",
  job: LC,
  partitions: "UInt16",
  partition: "UInt16",
  emission: "UInt64",
  chunk: "UInt32",
  emitted_on: "Date",
});

/** clicks_rejected: a click that was refused, with its reason, its bytes, and what it takes to apply it again. */
export const CLICKS_REJECTED = columns({
  flush: "UInt64",
  flushed_on: "Date",
  shard: "UInt16",
  epoch: "FixedString(8)",
  received_at: MS,
  account: LC,
  key_id: LC,
  code: LC,
  field: LC,
  message: "String",
  click_id: "String",
  ip: "String",
  country: LC,
  user_agent: "String",
  body: "String",
  body_bytes: "UInt32",
  sent_at: `Nullable(${MS})`,
  occurrences: "UInt32",
});

/** flushes: ledger of the raw and the rejected sink, one row per unit, written after its rows. */
export const FLUSHES = columns({
  chain: "Enum8('clicks' = 1, 'rejected' = 2)",
  shard: "UInt16",
  epoch: "FixedString(8)",
  flush: "UInt64",
  previous: "UInt64",
  clicks: "UInt64",
  ids_hash: "UInt64",
  block_hash: "UInt64",
  stream_created: "String",
  sequence: "UInt64",
  message_id: "String",
  message_time: MS,
});

/**
 * emissions: ledger of the result sink, one row per unit (an emission's chunk), written after its rows.
 * `producers` stands on the last chunk.
 */
export const EMISSIONS = columns({
  partitions: "UInt16",
  partition: "UInt16",
  emission: "UInt64",
  chunk: "UInt32",
  chunks: "UInt32",
  rows: "UInt64",
  emission_rows: "UInt64",
  emission_clicks: "Int64",
  watermark: MS,
  closed_through: SECONDS,
  emission_hash: "UInt64",
  producers: PRODUCERS_TYPE,
  stream_created: "String",
  sequence: "UInt64",
  message_id: "String",
  message_time: MS,
});

/** top_ads: the ads with the most clicks in the last `windows` closed windows, through `window_end`; see top.ts for the bytes. */
export const TOP_ADS = columns({
  window_end: SECONDS,
  windows: "UInt16",
  rank: "UInt16",
  ad_id: "String",
  clicks: "Int64",
  untracked_clicks: "Int64",
  partitions: "UInt16",
  partition: "UInt16",
  emission: "UInt64",
  emitted_on: "Date",
});

/** ads: the dimension table that star-schema filters join. */
export const ADS = columns({
  ad_id: "String",
  campaign: "String",
  advertiser: "String",
  updated_at: MS,
});

/** repairs: windows or units in doubt, named by whoever noticed. */
export const REPAIRS = columns({
  noticed_at: MS,
  noticed_by: LC,
  alarm: LC,
  subject: "String",
  message_id: "String",
  detail: "String",
});

/** reconciliation: raw against counted, per run and window. */
export const RECONCILIATION = columns({
  run: "String",
  checked_at: MS,
  window_start: SECONDS,
  raw_clicks: "Int64",
  counted_clicks: "Int64",
  duplicate_ids: "UInt64",
  verdict: "Enum8('equal' = 1, 'different' = 2, 'not_ready' = 3)",
});

/** Tables by name, and the columns that our inserts name, in RowBinary order. */
export const TABLES = {
  clicks_raw: CLICKS_RAW,
  ad_clicks_1m: AD_CLICKS_1M,
  clicks_rejected: CLICKS_REJECTED,
  flushes: FLUSHES,
  emissions: EMISSIONS,
  top_ads: TOP_ADS,
  ads: ADS,
  repairs: REPAIRS,
  reconciliation: RECONCILIATION,
} as const;
export type TableName = keyof typeof TABLES;

/** `INSERT INTO … (columns) FORMAT RowBinary` for a table of `TABLES`. */
export function insertStatement(table: TableName): string {
  return `INSERT INTO ${table} (${TABLES[table].map((c) => c.name).join(", ")}) FORMAT RowBinary`;
}

/** A value of a row object: times are milliseconds, DateTime seconds, Date days since 1970. */
export type CellValue = string | number | bigint | null | readonly (readonly CellValue[])[];

/** Appends `row` in RowBinary. Throws for a missing column or a type this file does not know. */
export function encodeRow(
  c: Cursor,
  rowColumns: readonly Column[],
  row: Readonly<Record<string, CellValue>>,
): void {
  for (const column of rowColumns) {
    const value = row[column.name];
    if (value === undefined) throw new Error(`row has no ${column.name}`);
    encodeCell(c, column.type, value);
  }
}

function encodeCell(c: Cursor, type: string, value: CellValue): void {
  reserve(c, 16);
  const nullable = /^Nullable\((.*)\)$/.exec(type);
  if (nullable) {
    writeU8(c, value === null ? 1 : 0);
    if (value !== null) encodeCell(c, nullable[1]!, value);
    return;
  }
  const tuples = /^Array\(Tuple\((.*)\)\)$/.exec(type);
  if (tuples) {
    const types = tuples[1]!.split(", ").map((part) => part.slice(part.indexOf(" ") + 1));
    const items = value as readonly (readonly CellValue[])[];
    writeVarint(c, items.length);
    for (const item of items) types.forEach((t, i) => encodeCell(c, t, item[i]!));
    return;
  }
  if (type === "String" || type === LC) {
    const bytes = utf8(String(value));
    reserve(c, bytes.length + 5);
    writeString(c, bytes);
    return;
  }
  const fixed = /^FixedString\((\d+)\)$/.exec(type);
  if (fixed) {
    const bytes = utf8(String(value));
    if (bytes.length !== Number(fixed[1])) throw new Error(`${type} got ${bytes.length} bytes`);
    writeBytes(c, bytes);
    return;
  }
  const label = type.startsWith("Enum8(")
    ? new RegExp(`'${String(value)}' = (\\d+)`).exec(type)
    : null;
  if (label) return writeU8(c, Number(label[1]));
  if (/^(UInt8|Int8)$/.test(type)) return writeU8(c, Number(value));
  if (/^(UInt16|Date)$/.test(type)) return writeU16(c, Number(value));
  if (/^(UInt32|DateTime)\b/.test(type)) return writeU32(c, Number(value));
  if (type === "UInt64") return writeU64(c, BigInt(value as number | bigint));
  if (/^(Int64|DateTime64)\b/.test(type)) return writeI64(c, Number(value));
  throw new Error(`no encoder for ${type} of ${JSON.stringify(String(value))}`);
}

/** Days since 1970 of a time in milliseconds: the RowBinary value of a Date. */
export function dayOf(timeMs: number): number {
  return Math.floor(timeMs / 86_400_000);
}
