/**
 * RowBinary values on a cursor: free functions, little-endian, as ClickHouse documents the format
 * (https://clickhouse.com/docs/interfaces/formats/RowBinary).
 *
 * A writer grows; call `reserve` once per row with the row's greatest length, then write unchecked.
 * A reader is bounded: `need` throws `CursorError` before anything is read past the end.
 */

export interface Cursor {
  bytes: Uint8Array;
  view: DataView;
  /** Next byte to write or read. */
  at: number;
}

/** The bytes end, or go on, where the layout says otherwise. */
export class CursorError extends Error {
  readonly offset: number;
  constructor(message: string, offset: number) {
    super(`${message} at byte ${offset}`);
    this.name = "CursorError";
    this.offset = offset;
  }
}

export function writer(capacityBytes = 4096): Cursor {
  const bytes = new Uint8Array(capacityBytes);
  return { bytes, view: new DataView(bytes.buffer), at: 0 };
}

export function reader(bytes: Uint8Array): Cursor {
  return { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), at: 0 };
}

/** What has been written so far, as a view (valid until the writer grows or is reused). */
export function written(c: Cursor): Uint8Array {
  return c.bytes.subarray(0, c.at);
}

/** Makes room for `byteCount` more bytes. */
export function reserve(c: Cursor, byteCount: number): void {
  const wanted = c.at + byteCount;
  if (wanted <= c.bytes.length) return;
  const grown = new Uint8Array(Math.max(wanted, c.bytes.length * 2));
  grown.set(c.bytes.subarray(0, c.at));
  c.bytes = grown;
  c.view = new DataView(grown.buffer);
}

export function writeU8(c: Cursor, value: number): void {
  c.bytes[c.at++] = value;
}
export function writeU16(c: Cursor, value: number): void {
  c.view.setUint16(c.at, value, true);
  c.at += 2;
}
export function writeU32(c: Cursor, value: number): void {
  c.view.setUint32(c.at, value, true);
  c.at += 4;
}
/** Signed or unsigned 64 bits from a safe integer; negative numbers in two's complement. */
export function writeI64(c: Cursor, value: number): void {
  c.view.setUint32(c.at, value >>> 0, true);
  c.view.setInt32(c.at + 4, Math.floor(value / 0x1_0000_0000), true);
  c.at += 8;
}
export function writeU64(c: Cursor, value: bigint): void {
  c.view.setBigUint64(c.at, value, true);
  c.at += 8;
}

/** LEB128, as RowBinary writes lengths. */
export function writeVarint(c: Cursor, value: number): void {
  while (value >= 0x80) {
    c.bytes[c.at++] = (value & 0x7f) | 0x80;
    value = Math.floor(value / 128);
  }
  c.bytes[c.at++] = value;
}

export function writeBytes(c: Cursor, bytes: Uint8Array): void {
  c.bytes.set(bytes, c.at);
  c.at += bytes.length;
}

/** Writes `from[start, end)`, a short run: for some ten bytes a loop is done sooner than a view of them and a call. */
export function writeRun(c: Cursor, from: Uint8Array, start: number, end: number): void {
  const to = c.bytes;
  let at = c.at;
  for (let i = start; i < end; i++) to[at++] = from[i]!;
  c.at = at;
}

/** Byte arrays one behind the other, as one. */
export function joinBytes(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

/** Length, then the bytes as they are: a RowBinary String. */
export function writeString(c: Cursor, bytes: Uint8Array): void {
  writeVarint(c, bytes.length);
  writeBytes(c, bytes);
}

/** A RowBinary String of printable ASCII under 128 characters: no encoder, one byte of length. */
export function writeAscii(c: Cursor, text: string): void {
  const bytes = c.bytes;
  let at = c.at;
  bytes[at++] = text.length;
  for (let i = 0; i < text.length; i++) bytes[at++] = text.charCodeAt(i);
  c.at = at;
}

/** A RowBinary String of any text, as UTF-8; short ASCII goes to its place without bytes of its own. */
export function writeText(c: Cursor, text: string): void {
  if (text.length <= SHORT_TEXT_MAX && copyAscii(c.bytes, c.at + 1, text)) {
    c.bytes[c.at] = text.length;
    c.at += 1 + text.length;
  } else writeString(c, utf8(text));
}

/** Throws unless `byteCount` more bytes are there. */
export function need(c: Cursor, byteCount: number): void {
  if (c.at + byteCount > c.bytes.length) throw new CursorError("cut off", c.at);
}

export function readU8(c: Cursor): number {
  need(c, 1);
  return c.bytes[c.at++]!;
}
export function readU16(c: Cursor): number {
  need(c, 2);
  const value = c.view.getUint16(c.at, true);
  c.at += 2;
  return value;
}
export function readU32(c: Cursor): number {
  need(c, 4);
  const value = c.view.getUint32(c.at, true);
  c.at += 4;
  return value;
}
/** A signed 64-bit number that must be a safe integer. */
export function readI64(c: Cursor): number {
  need(c, 8);
  const value = c.view.getInt32(c.at + 4, true) * 0x1_0000_0000 + c.view.getUint32(c.at, true);
  if (!Number.isSafeInteger(value)) throw new CursorError("number beyond 2^53", c.at);
  c.at += 8;
  return value;
}
export function readU64(c: Cursor): bigint {
  need(c, 8);
  const value = c.view.getBigUint64(c.at, true);
  c.at += 8;
  return value;
}
export function readVarint(c: Cursor): number {
  let value = 0;
  // Numbers, not shifts: 35 bits are more than those have.
  for (let factor = 1; factor < 2 ** 35; factor *= 128) {
    const byte = readU8(c);
    value += (byte & 0x7f) * factor;
    if (byte < 0x80) return value;
  }
  throw new CursorError("length beyond 35 bits", c.at);
}
/** The next bytes, as a view. */
export function readBytes(c: Cursor, byteCount: number): Uint8Array {
  need(c, byteCount);
  const start = c.at;
  c.at += byteCount;
  return c.bytes.subarray(start, c.at);
}
/** A RowBinary String as a view of its bytes. */
export function readString(c: Cursor): Uint8Array {
  return readBytes(c, readVarint(c));
}
/** Steps over a RowBinary String. */
export function skipString(c: Cursor): void {
  const length = readVarint(c);
  need(c, length);
  c.at += length;
}

const encoder = new TextEncoder();
/** Characters up to which a loop is done sooner than a call of the encoder, which leaves V8: for a user id 0.1 us, not 0.4. */
const SHORT_TEXT_MAX = 64;
/** A byte order mark is bytes like others: left out, the text would not say what the bytes are. */
const decoder = new TextDecoder("utf-8", { ignoreBOM: true, fatal: false });

export function utf8(text: string): Uint8Array {
  return (text.length <= SHORT_TEXT_MAX ? asciiOf(text) : null) ?? encoder.encode(text);
}
/** Bytes of ASCII text; null for other text. */
function asciiOf(text: string): Uint8Array | null {
  const bytes = new Uint8Array(text.length);
  return copyAscii(bytes, 0, text) ? bytes : null;
}
/** Copies ASCII text to `bytes` from `start` on; false for other text, of which a part may have been copied. */
function copyAscii(bytes: Uint8Array, start: number, text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code >= 0x80) return false;
    bytes[start + i] = code;
  }
  return true;
}
export function textOf(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}
/** UTF-8 of `text`, cut at a character boundary to at most `byteCountMax` bytes. */
export function utf8Cut(text: string, byteCountMax: number): Uint8Array {
  const room = new Uint8Array(byteCountMax);
  const { written: byteCount } = encoder.encodeInto(text, room);
  return room.subarray(0, byteCount);
}
