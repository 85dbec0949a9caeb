/**
 * One accepted click as a clicks_raw row in RowBinary.
 *
 *     0 flush u64        \
 *     8 flushed_on u16    |  the unit
 *    10 shard u16         |
 *    12 epoch 8 bytes    /
 *    20 received_at i64      milliseconds
 *    28 event_time i64       milliseconds
 *    36 time_source u8
 *    37 account, click_id    strings: together the dedup key, one contiguous slice
 *       ad_id, country, device, invalid_reason   strings: together a partial's key, one contiguous slice
 *       key_id, user_id, ip, user_agent          strings
 *       claimed_time i64, sent_at nullable i64, skew_ms nullable i64
 *
 * Rows are made by flushes alone, out of packs (packed-clicks.ts).
 */
import { TIME_SOURCE } from "./columns.ts";
import type { TimeSource } from "./columns.ts";
import {
  need,
  readI64,
  readString,
  readU8,
  skipString,
  textOf,
  writeBytes,
  writeI64,
  writeU16,
  writeU8,
} from "./cursor.ts";
import type { Cursor } from "./cursor.ts";
import {
  ACCOUNT_BYTES_MAX,
  AD_ID_BYTES_MAX,
  CLICK_ID_BYTES_MAX,
  COUNTRY_BYTES_MAX,
  DEVICE_BYTES_MAX,
  INVALID_REASON_BYTES_MAX,
  IP_BYTES_MAX,
  KEY_ID_BYTES_MAX,
  USER_AGENT_BYTES_MAX,
  USER_ID_BYTES_MAX,
} from "./limits.ts";

/** Characters of an epoch: a producer's random name, printable, fixed width. */
export const EPOCH_BYTES = 8;

/** Flush, flushed_on, shard, epoch: the start of raw and of rejected rows alike. */
export const UNIT_BYTES = 20;

/** Where the dedup key starts. */
export const DEDUP_KEY_OFFSET = 37;

/** What a request's clicks have in common, strings at their limits and with their lengths: two-byte lengths from 128 on. */
export const REQUEST_FIELDS_BYTES_MAX =
  8 +
  (1 + ACCOUNT_BYTES_MAX) +
  (1 + COUNTRY_BYTES_MAX) +
  (1 + DEVICE_BYTES_MAX) +
  (1 + INVALID_REASON_BYTES_MAX) +
  (1 + KEY_ID_BYTES_MAX) +
  (1 + IP_BYTES_MAX) +
  (2 + USER_AGENT_BYTES_MAX) +
  9 +
  9;

/** What each click has of its own: event_time, time_source, click_id, ad_id, user_id, claimed_time. */
export const CLICK_FIELDS_BYTES_MAX =
  8 + 1 + (1 + CLICK_ID_BYTES_MAX) + (1 + AD_ID_BYTES_MAX) + (2 + USER_ID_BYTES_MAX) + 8;

export const RAW_CLICK_BYTES_MAX = UNIT_BYTES + REQUEST_FIELDS_BYTES_MAX + CLICK_FIELDS_BYTES_MAX;

/** A click after stamping. ASCII fields are strings, free text is UTF-8 bytes. */
export interface RawClick {
  readonly shard: number;
  readonly receivedAtMs: number;
  readonly eventTimeMs: number;
  readonly timeSource: TimeSource;
  readonly account: string;
  readonly clickId: string;
  readonly adId: string;
  readonly country: string;
  readonly device: string;
  readonly invalidReason: string;
  readonly keyId: string;
  readonly userId: Uint8Array;
  readonly ip: string;
  readonly userAgent: Uint8Array;
  readonly claimedTimeMs: number;
  readonly sentAtMs: number | null;
  readonly skewMs: number | null;
}

/** A flag, then the value unless it is null: a RowBinary Nullable(Int64). */
export function writeNullableI64(c: Cursor, value: number | null): void {
  writeU8(c, value === null ? 1 : 0);
  if (value !== null) writeI64(c, value);
}

/** Reads one. */
export function readNullableI64(c: Cursor): number | null {
  return readU8(c) === 1 ? null : readI64(c);
}

/** The unit's bytes before it is known, in a rejected row: only the shard is set; the flush copies its own over them. */
export function writeEmptyUnit(c: Cursor, shard: number): void {
  writeI64(c, 0);
  writeU16(c, 0);
  writeU16(c, shard);
  writeI64(c, 0);
}

/** The unit of every row of a flush. */
export interface FlushUnit {
  readonly flush: number;
  /** Days since 1970. */
  readonly flushedOn: number;
  readonly shard: number;
  /** EPOCH_BYTES of printable ASCII. */
  readonly epoch: string;
}

/** The bytes that each row of a flush starts with. */
export function unitBytes(unit: FlushUnit): Uint8Array {
  const bytes = new Uint8Array(UNIT_BYTES);
  const c = { bytes, view: new DataView(bytes.buffer), at: 0 };
  writeI64(c, unit.flush);
  writeU16(c, unit.flushedOn);
  writeU16(c, unit.shard);
  const epoch = new TextEncoder().encode(unit.epoch);
  if (epoch.length !== EPOCH_BYTES) throw new Error(`an epoch has ${EPOCH_BYTES} bytes`);
  writeBytes(c, epoch);
  return bytes;
}

/**
 * Steps over one row and reports where its parts stand.
 * Throws CursorError when the bytes are cut off; leaves `c.at` behind the row.
 */
export function walkRawClick(c: Cursor, out: RawClickSpans): void {
  out.start = c.at;
  need(c, DEDUP_KEY_OFFSET);
  c.at += DEDUP_KEY_OFFSET;
  skipString(c);
  skipString(c);
  out.partialKeyStart = c.at;
  skipString(c);
  skipString(c);
  skipString(c);
  skipString(c);
  out.partialKeyEnd = c.at;
  skipString(c);
  skipString(c);
  skipString(c);
  skipString(c);
  need(c, 8);
  c.at += 8;
  skipNullableI64(c);
  skipNullableI64(c);
}

/** Steps over one. */
export function skipNullableI64(c: Cursor): void {
  if (readU8(c) === 0) {
    need(c, 8);
    c.at += 8;
  }
}

/** Offsets into the walked bytes; the dedup key is [start + DEDUP_KEY_OFFSET, partialKeyStart). */
export interface RawClickSpans {
  start: number;
  partialKeyStart: number;
  partialKeyEnd: number;
}

export function newRawClickSpans(): RawClickSpans {
  return { start: 0, partialKeyStart: 0, partialKeyEnd: 0 };
}

/** The whole row as an object, for tests and tools (not for the hot path). */
export function readRawClick(c: Cursor): RawClick & FlushUnit {
  const flush = readI64(c);
  need(c, 12);
  const flushedOn = c.view.getUint16(c.at, true);
  const shard = c.view.getUint16(c.at + 2, true);
  const epoch = textOf(c.bytes.subarray(c.at + 4, c.at + 12));
  c.at += 12;
  const receivedAtMs = readI64(c);
  const eventTimeMs = readI64(c);
  const code = readU8(c);
  const source = (Object.keys(TIME_SOURCE) as TimeSource[]).find((s) => TIME_SOURCE[s] === code);
  if (source === undefined) throw new Error(`time_source ${code}`);
  const text = () => textOf(readString(c));
  return {
    flush,
    flushedOn,
    shard,
    epoch,
    receivedAtMs,
    eventTimeMs,
    timeSource: source,
    account: text(),
    clickId: text(),
    adId: text(),
    country: text(),
    device: text(),
    invalidReason: text(),
    keyId: text(),
    userId: readString(c),
    ip: text(),
    userAgent: readString(c),
    claimedTimeMs: readI64(c),
    sentAtMs: readNullableI64(c),
    skewMs: readNullableI64(c),
  };
}
