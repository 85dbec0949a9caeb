/**
 * One row of a result block in RowBinary: an ad_clicks_1m row. The kernel writes it.
 *
 *     0 window_start u32                         seconds since 1970, UTC
 *     4 ad_id, country, device, invalid_reason   strings: the key, as in partial.ts
 *       clicks i64                               a signed delta
 *       origin u8
 *       tail: job string, partitions u16, partition u16, emission u64, chunk u32, emitted_on u16
 *
 * The tail is the same for every row of a chunk.
 */
import { ORIGIN } from "./columns.ts";
import type { Origin } from "./columns.ts";
import {
  reader,
  readI64,
  readString,
  readU16,
  readU32,
  readU8,
  textOf,
  writer,
  writeString,
  writeU16,
  writeU32,
  writeI64,
  written,
  utf8,
} from "./cursor.ts";
import type { Cursor } from "./cursor.ts";
import { PARTIAL_KEY_BYTES_MAX } from "./partial.ts";

/** A job's id is empty or a short name. */
export const JOB_BYTES_MAX = 64;
export const RESULT_TAIL_BYTES_MAX = 1 + JOB_BYTES_MAX + 2 + 2 + 8 + 4 + 2;
export const RESULT_BYTES_MAX = 4 + PARTIAL_KEY_BYTES_MAX + 8 + 1 + RESULT_TAIL_BYTES_MAX;

/** The unit of a result row, but for the chunk. */
export interface EmissionUnit {
  readonly job: string;
  readonly partitions: number;
  readonly partition: number;
  readonly emission: number;
  /** Days since 1970 of the broker time that caused the emission. */
  readonly emittedOn: number;
}

/** The bytes that end every row of chunk `chunk`. */
export function resultTail(unit: EmissionUnit, chunk: number): Uint8Array {
  const c = writer(RESULT_TAIL_BYTES_MAX);
  writeString(c, utf8(unit.job));
  writeU16(c, unit.partitions);
  writeU16(c, unit.partition);
  writeI64(c, unit.emission);
  writeU32(c, chunk);
  writeU16(c, unit.emittedOn);
  return written(c);
}

export interface ResultRow extends EmissionUnit {
  readonly windowStartSeconds: number;
  readonly adId: string;
  readonly country: string;
  readonly device: string;
  readonly invalidReason: string;
  readonly clicks: number;
  readonly origin: Origin;
  readonly chunk: number;
}

/** A row as an object, for tests and tools. */
export function readResult(c: Cursor): ResultRow {
  const windowStartSeconds = readU32(c);
  const text = () => textOf(readString(c));
  const adId = text();
  const country = text();
  const device = text();
  const invalidReason = text();
  const clicks = readI64(c);
  const code = readU8(c);
  const origin = (Object.keys(ORIGIN) as Origin[]).find((o) => ORIGIN[o] === code);
  if (origin === undefined) throw new Error(`origin ${code}`);
  const job = text();
  const partitions = readU16(c);
  const partition = readU16(c);
  const emission = readI64(c);
  const chunk = readU32(c);
  const emittedOn = readU16(c);
  return {
    windowStartSeconds,
    adId,
    country,
    device,
    invalidReason,
    clicks,
    origin,
    job,
    partitions,
    partition,
    emission,
    chunk,
    emittedOn,
  };
}

/** All rows of a block body. */
export function readResults(body: Uint8Array): ResultRow[] {
  const c = reader(body);
  const rows: ResultRow[] = [];
  while (c.at < body.length) rows.push(readResult(c));
  return rows;
}
