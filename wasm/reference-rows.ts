/** The reference kernel's rows: read from blocks and dumped chunks, and filled into chunks. */
import {
  writeBytes,
  writeI64,
  writer,
  writeU32,
  writeU8,
  written,
  writeU16,
} from "../wire/cursor.ts";
import {
  AD_ID_BYTES_MAX,
  BLOCK_BODY_BYTES_MAX,
  COUNTRY_BYTES_MAX,
  DEVICE_BYTES_MAX,
  INVALID_REASON_BYTES_MAX,
} from "../wire/limits.ts";
import { RESULT_BYTES_MAX } from "../wire/result.ts";
import { RUN_ROW_BYTES_MAX, WINDOW_ROW_BYTES_MAX } from "../wire/snapshot.ts";
import { TOP_BYTES_MAX } from "../wire/top.ts";
import type { IngestOutcome, RowChunk } from "./kernel.ts";
import { faultReason } from "./layout.ts";
import type { Fault } from "./layout.ts";

export interface WindowRow {
  readonly windowStartSeconds: number;
  /** Four RowBinary strings. */
  readonly key: Uint8Array;
  readonly clicks: number;
}

export interface AdRow {
  readonly adId: Uint8Array;
  readonly clicks: number;
}

/** Bytes as a key of a Map: one character each. */
export function nameOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("latin1");
}

/** The bytes of ad_id, which a key begins with. */
export function adIdOf(key: Uint8Array): Uint8Array {
  return key.slice(1, 1 + key[0]!);
}

export function resultRow(row: WindowRow, origin: number, tail: Uint8Array): Uint8Array {
  const c = writer(RESULT_BYTES_MAX);
  writeU32(c, row.windowStartSeconds);
  writeBytes(c, row.key);
  writeI64(c, row.clicks);
  writeU8(c, origin);
  writeBytes(c, tail);
  return written(c);
}

export function windowRow(row: WindowRow): Uint8Array {
  const c = writer(WINDOW_ROW_BYTES_MAX);
  writeU32(c, row.windowStartSeconds);
  writeBytes(c, row.key);
  writeI64(c, row.clicks);
  return written(c);
}

export function runRow(row: AdRow): Uint8Array {
  const c = writer(RUN_ROW_BYTES_MAX);
  writeU8(c, row.adId.length);
  writeBytes(c, row.adId);
  writeI64(c, row.clicks);
  return written(c);
}

/** What all rows of a list have in common, but for the tail. */
export interface TopFacts {
  readonly windowEndSeconds: number;
  readonly windows: number;
  readonly untrackedClicks: number;
}

export function topRow(facts: TopFacts, rank: number, row: AdRow, tail: Uint8Array): Uint8Array {
  const c = writer(TOP_BYTES_MAX);
  writeU32(c, facts.windowEndSeconds);
  writeU16(c, facts.windows);
  writeU16(c, rank);
  writeU8(c, row.adId.length);
  writeBytes(c, row.adId);
  writeI64(c, row.clicks);
  writeI64(c, facts.untrackedClicks);
  writeBytes(c, tail);
  return written(c);
}

/** Rows one after the other, in bytes of their own. */
export function joined(rows: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(rows));
}

interface Counted {
  readonly clicks: number;
}

/** Fills chunks to the limit, row by row; `bytesOf` gives a row's bytes in chunk `chunk`. */
export function chunksOf<Row extends Counted>(
  rows: readonly Row[],
  chunkBytesMax: number,
  bytesOf: (row: Row, chunk: number) => Uint8Array,
): RowChunk[] {
  const chunks: RowChunk[] = [];
  let bodies: Uint8Array[] = [];
  let bytes = 0;
  let clicks = 0;
  const endChunk = () => {
    chunks.push({ rows: bodies.length, clicks, body: joined(bodies) });
    bodies = [];
    bytes = 0;
    clicks = 0;
  };
  for (const row of rows) {
    let body = bytesOf(row, chunks.length);
    if (bytes + body.length > chunkBytesMax) {
      endChunk();
      body = bytesOf(row, chunks.length);
    }
    bodies.push(body);
    bytes += body.length;
    clicks += row.clicks;
  }
  if (bodies.length > 0) endChunk();
  return chunks;
}

export type RefusedBlock = Extract<IngestOutcome, { readonly ok: false }>;

/** All rows of a partial block (wire/partial.ts), or the first fault. */
export function readPartialRows(body: Uint8Array, rows: number): WindowRow[] | RefusedBlock {
  return readRows(body, rows, (values) => ({
    windowStartSeconds: values.u32(),
    key: values.key(),
    clicks: values.clicks32(),
  }));
}

/** All rows of a chunk of open windows (wire/snapshot.ts), or the first fault. */
export function readWindowRows(body: Uint8Array, rows: number): WindowRow[] | RefusedBlock {
  return readRows(body, rows, (values) => ({
    windowStartSeconds: values.u32(),
    key: values.key(),
    clicks: values.clicks64(),
  }));
}

/** All rows of a chunk of a run (wire/snapshot.ts), or the first fault. */
export function readRunRows(body: Uint8Array, rows: number): AdRow[] | RefusedBlock {
  return readRows(body, rows, (values) => ({ adId: values.adId(), clicks: values.clicks64() }));
}

function readRows<Row>(
  body: Uint8Array,
  rows: number,
  readRow: (values: Values) => Row,
): Row[] | RefusedBlock {
  const values = new Values(body);
  try {
    if (body.length > BLOCK_BODY_BYTES_MAX) throw new Refusal("long_block", BLOCK_BODY_BYTES_MAX);
    const read: Row[] = [];
    while (read.length < rows) read.push(readRow(values));
    if (values.at < body.length) throw new Refusal("left_over", values.at);
    return read;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return { ok: false, offset: error.offset, reason: faultReason(error.fault) };
  }
}

class Refusal extends Error {
  readonly fault: Fault;
  readonly offset: number;
  constructor(fault: Fault, offset: number) {
    super(fault);
    this.fault = fault;
    this.offset = offset;
  }
}

/** The strings of a key in their order: greatest length, and the fault of a longer one. */
const STRINGS: readonly (readonly [number, Fault])[] = [
  [AD_ID_BYTES_MAX, "long_ad_id"],
  [COUNTRY_BYTES_MAX, "long_country"],
  [DEVICE_BYTES_MAX, "long_device"],
  [INVALID_REASON_BYTES_MAX, "long_invalid_reason"],
];

/** Values one after the other; a fault stands where the value begins that breaks a rule. */
class Values {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  u32(): number {
    this.#need(4);
    const value = this.#view.getUint32(this.at, true);
    this.at += 4;
    return value;
  }

  key(): Uint8Array {
    const start = this.at;
    for (const [bytesMax, tooLong] of STRINGS) this.#string(bytesMax, tooLong);
    return this.#bytes.slice(start, this.at);
  }

  adId(): Uint8Array {
    const start = this.at;
    this.#string(...STRINGS[0]!);
    return this.#bytes.slice(start + 1, this.at);
  }

  clicks32(): number {
    this.#need(4);
    const clicks = this.#view.getUint32(this.at, true);
    if (clicks === 0) throw new Refusal("no_clicks", this.at);
    this.at += 4;
    return clicks;
  }

  clicks64(): number {
    this.#need(8);
    const clicks = this.#view.getBigInt64(this.at, true);
    if (clicks < 1n) throw new Refusal("no_clicks", this.at);
    if (clicks > BigInt(Number.MAX_SAFE_INTEGER)) throw new Refusal("many_clicks", this.at);
    this.at += 8;
    return Number(clicks);
  }

  #string(bytesMax: number, tooLong: Fault): void {
    this.#need(1);
    const length = this.#bytes[this.at]!;
    if (length >= 128) throw new Refusal("long_length", this.at);
    if (length > bytesMax) throw new Refusal(tooLong, this.at);
    this.#need(1 + length);
    this.at += 1 + length;
  }

  #need(byteCount: number): void {
    if (this.at + byteCount > this.#bytes.length) throw new Refusal("cut_off", this.at);
  }
}
