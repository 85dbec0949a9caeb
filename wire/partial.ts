/**
 * One row of a partial block in RowBinary.
 *
 *     0 window_start u32                         seconds since 1970, UTC
 *     4 ad_id, country, device, invalid_reason   strings: the key, one contiguous slice
 *       clicks u32
 */
import { readString, readU32, textOf, writeRun, writeU32 } from "./cursor.ts";
import type { Cursor } from "./cursor.ts";
import {
  AD_ID_BYTES_MAX,
  COUNTRY_BYTES_MAX,
  DEVICE_BYTES_MAX,
  INVALID_REASON_BYTES_MAX,
} from "./limits.ts";

/** Bytes of a key at its limits: four strings, each with one byte of length. */
export const PARTIAL_KEY_BYTES_MAX =
  4 + AD_ID_BYTES_MAX + COUNTRY_BYTES_MAX + DEVICE_BYTES_MAX + INVALID_REASON_BYTES_MAX;
export const PARTIAL_BYTES_MAX = 4 + PARTIAL_KEY_BYTES_MAX + 4;

/** Appends a row; `key` is the slice of four RowBinary strings. The caller has reserved PARTIAL_BYTES_MAX. */
export function writePartial(
  c: Cursor,
  windowStartSeconds: number,
  key: Uint8Array,
  clickCount: number,
): void {
  writePartialFrom(c, windowStartSeconds, key, 0, key.length, clickCount);
}

/** As `writePartial`; the key is `bytes[start, end)`. */
export function writePartialFrom(
  c: Cursor,
  windowStartSeconds: number,
  bytes: Uint8Array,
  start: number,
  end: number,
  clickCount: number,
): void {
  writeU32(c, windowStartSeconds);
  writeRun(c, bytes, start, end);
  writeU32(c, clickCount);
}

export interface PartialRow {
  readonly windowStartSeconds: number;
  readonly adId: string;
  readonly country: string;
  readonly device: string;
  readonly invalidReason: string;
  readonly clicks: number;
}

/** A row as an object, for tests and tools. */
export function readPartial(c: Cursor): PartialRow {
  const windowStartSeconds = readU32(c);
  const text = () => textOf(readString(c));
  return {
    windowStartSeconds,
    adId: text(),
    country: text(),
    device: text(),
    invalidReason: text(),
    clicks: readU32(c),
  };
}
