/**
 * What the Worker and a shard say to each other, as bytes: a call with objects and views in it costs a third of what
 * a single click costs in all (bench:edge). Both ends are one deployment, but for the minutes in which it changes:
 * hence the version, and a batch of another one is an error, which the Worker takes for a shard that is away.
 *
 *     batch   0 u8 version                      answer   0 u8 version
 *             1 u8 bit 0: there is a skew                1 u8 1: rejected clicks are taken
 *             2 u16 shards                               2 a fate (u8) for each row
 *             4 u16 shard
 *             6 i64 skew, milliseconds
 *            14 strings: invalid_reason, and JSON of what was counted
 *               u32 rows, their ends u32 each, the last one's rows
 *               u32 rejected rows, their ends u32 each, the last one's rows
 */
import {
  need,
  reader,
  readI64,
  readString,
  readU16,
  readU32,
  readU8,
  textOf,
  utf8,
  writeAscii,
  writeBytes,
  writeI64,
  writer,
  writeString,
  writeU16,
  writeU32,
  writeU8,
  written,
} from "../../wire/cursor.ts";
import type { Cursor } from "../../wire/cursor.ts";
import type { CountedRejections } from "../../wire/rejected-click.ts";
import type { ShardAnswer } from "../shard/fate.ts";
import type { ShardBatch } from "./batches.ts";

const VERSION = 1;
/** All but rows, ends and texts, whose lengths take up to 5 bytes each. */
const HEAD_BYTES_MAX = 14 + 2 * 5 + 2 * 4;

const NOTHING = new Uint8Array(0);

export function encodeBatch(batch: ShardBatch): Uint8Array {
  const counted = batch.counted.length === 0 ? NOTHING : utf8(JSON.stringify(batch.counted));
  const c = writer(
    HEAD_BYTES_MAX +
      batch.invalidReason.length +
      counted.length +
      sizeOf(batch.rowEnds, batch.rows) +
      sizeOf(batch.rejectedEnds, batch.rejectedRows),
  );
  writeU8(c, VERSION);
  writeU8(c, batch.skewMs === null ? 0 : 1);
  writeU16(c, batch.shards);
  writeU16(c, batch.shard);
  writeI64(c, batch.skewMs ?? 0);
  writeAscii(c, batch.invalidReason);
  writeString(c, counted);
  writeRows(c, batch.rowEnds, batch.rows);
  writeRows(c, batch.rejectedEnds, batch.rejectedRows);
  return written(c);
}

/** @throws Error for another version, CursorError for bytes that are cut off */
export function decodeBatch(bytes: Uint8Array): ShardBatch {
  const c = reader(bytes);
  requireVersion(readU8(c));
  const hasSkew = readU8(c) === 1;
  const shards = readU16(c);
  const shard = readU16(c);
  const skewMs = readI64(c);
  const invalidReason = readString(c);
  const counted = readString(c);
  const [rowEnds, rows] = readRows(c);
  const [rejectedEnds, rejectedRows] = readRows(c);
  return {
    shard,
    shards,
    skewMs: hasSkew ? skewMs : null,
    invalidReason: invalidReason.length === 0 ? "" : textOf(invalidReason),
    counted: counted.length === 0 ? [] : (JSON.parse(textOf(counted)) as CountedRejections[]),
    rowEnds,
    rows,
    rejectedEnds,
    rejectedRows,
  };
}

export function encodeAnswer({ fates, rejectedTaken }: ShardAnswer): Uint8Array {
  const bytes = new Uint8Array(2 + fates.length);
  bytes[0] = VERSION;
  bytes[1] = rejectedTaken ? 1 : 0;
  bytes.set(fates, 2);
  return bytes;
}

/** @throws Error for another version, CursorError for bytes that are cut off */
export function decodeAnswer(bytes: Uint8Array): ShardAnswer {
  const c = reader(bytes);
  requireVersion(readU8(c));
  return { rejectedTaken: readU8(c) === 1, fates: bytes.subarray(c.at) };
}

function requireVersion(version: number): void {
  if (version === VERSION) return;
  throw new Error(`Worker and shard speak versions ${VERSION} and ${version}: deploying?`);
}

function sizeOf(ends: readonly number[], rows: Uint8Array): number {
  return 4 * ends.length + rows.length;
}

function writeRows(c: Cursor, ends: readonly number[], rows: Uint8Array): void {
  writeU32(c, ends.length);
  for (const end of ends) writeU32(c, end);
  writeBytes(c, rows);
}

function readRows(c: Cursor): [ends: number[], rows: Uint8Array] {
  const count = readU32(c);
  need(c, 4 * count);
  const ends = Array.from({ length: count }, () => readU32(c));
  const byteCount = ends.at(-1) ?? 0;
  need(c, byteCount);
  const rows = c.bytes.subarray(c.at, c.at + byteCount);
  c.at += byteCount;
  return [ends, rows];
}
