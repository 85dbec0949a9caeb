/**
 * A block: what every message in our streams carries.
 *
 *      0 u16 version
 *      2 u16 kind
 *      4 u64 checksum      hash of all bytes from 12 to the end, seeded with version and kind
 *     12 u32 rows
 *     16 u32 origin bytes
 *     20 u32 body bytes
 *     24 origin            who made it and which number it has (by kind, below)
 *        body              rows in RowBinary, handed on unopened
 *
 * The checksum is also the hash that records, message ids and ledgers name. Readers accept
 * `WIRE_VERSION` and its predecessor; another version stops the reader (the data is not at fault).
 * A version is believed only under a right checksum, or two random bytes would stop a reader: so these
 * 24 bytes, and what the checksum covers, stay the same in every version.
 */
import {
  CursorError,
  need,
  reader,
  readI64,
  readU16,
  readU32,
  readU64,
  reserve,
  textOf,
  utf8,
  writeBytes,
  writeI64,
  writer,
  writeU16,
  writeU32,
  writeU64,
  written,
} from "./cursor.ts";
import type { Cursor } from "./cursor.ts";
import { hash64 } from "./hash.ts";
import { BLOCK_BODY_BYTES_MAX, BLOCK_ORIGIN_BYTES_MAX, MESSAGE_BYTES_MAX } from "./limits.ts";
import { EPOCH_BYTES } from "./raw-click.ts";

export const WIRE_VERSION = 2;
/** Version 1 was never released: version 2 has no predecessor that anybody could meet. */
const VERSIONS_READ: readonly number[] = [WIRE_VERSION];

export const PREFIX_BYTES = 24;
const CHECKSUM_AT = 4;
const HASHED_FROM = 12;

export const KIND = { raw: 1, partial: 2, rejected: 3, result: 4, tick: 5, settings: 6 } as const;
export type Kind = keyof typeof KIND;

/** A shard's flush on one subject. `previous` is the number of its flush before on that subject, 0 for none. */
export interface FlushOrigin {
  readonly shard: number;
  readonly epoch: string;
  readonly flush: number;
  readonly previous: number;
}
export interface RawOrigin extends FlushOrigin {
  readonly kind: "raw";
  readonly flushedOn: number;
  /** Sum modulo 2^64 of the clicks' fingerprints: equal for equal sets of ids in any order. */
  readonly idsHash: bigint;
}
export interface RejectedOrigin extends FlushOrigin {
  readonly kind: "rejected";
  readonly flushedOn: number;
}
export interface PartialOrigin extends FlushOrigin {
  readonly kind: "partial";
  readonly partitions: number;
  readonly partition: number;
  readonly windowSeconds: number;
  /** Sum of the rows' clicks. */
  readonly clicks: number;
}
/** How far a producer's flushes are included. */
export interface ProducerNumber {
  readonly shard: number;
  readonly epoch: string;
  readonly flush: number;
}
/** One chunk of an emission; totals and hash are the whole emission's. */
export interface ResultOrigin {
  readonly kind: "result";
  readonly partitions: number;
  readonly partition: number;
  readonly emission: number;
  readonly chunk: number;
  readonly chunks: number;
  readonly emissionHash: bigint;
  readonly emissionRows: number;
  readonly emissionClicks: number;
  readonly watermarkMs: number;
  readonly closedThroughSeconds: number;
  readonly emittedOn: number;
  /** On the last chunk; empty on the others. */
  readonly producers: readonly ProducerNumber[];
}
/** Lets broker time advance in a quiet partition. */
export interface TickOrigin {
  readonly kind: "tick";
}
/** What a partition decides by; in force from its place in the stream on. */
export interface Settings {
  readonly stepVersion: number;
  readonly windowSeconds: number;
  readonly graceMs: number;
  readonly chunkBytesMax: number;
  /** Rows of each top list; 0 for none. */
  readonly topCount: number;
}
export interface SettingsOrigin extends Settings {
  readonly kind: "settings";
}
export type Origin =
  | RawOrigin
  | RejectedOrigin
  | PartialOrigin
  | ResultOrigin
  | TickOrigin
  | SettingsOrigin;

export interface Block<O extends Origin = Origin> {
  readonly rows: number;
  readonly origin: O;
  /** RowBinary rows; a view of the message. */
  readonly body: Uint8Array;
  /** The checksum. */
  readonly hash: bigint;
}

export interface EncodedBlock {
  readonly bytes: Uint8Array;
  readonly hash: bigint;
}

/** Encodes a block, with a copy of its body; asserts that it fits a message. */
export function encodeBlock(origin: Origin, rows: number, body: Uint8Array): EncodedBlock {
  const originBytes = originBytesOf(origin);
  const c = writer(PREFIX_BYTES + originBytes.length + body.length);
  c.at = PREFIX_BYTES + originBytes.length;
  writeBytes(c, body);
  return sealed(origin.kind, originBytes, rows, c);
}

/**
 * A cursor for a block's body, with room before it: what `sealBlock` makes a block of, without a copy.
 *
 * @param bodyBytes to begin with
 */
export function bodyWriter(bodyBytes?: number): Cursor {
  const c = writer(bodyBytes === undefined ? undefined : BODY_AT + bodyBytes);
  c.at = BODY_AT;
  return c;
}

/**
 * Encodes a block whose prefix and origin fit the room, as any flush's do.
 *
 * @param c a `bodyWriter` with all of the body; its bytes are the block's from now on
 */
export function sealBlock(origin: Origin, rows: number, c: Cursor): EncodedBlock {
  return sealed(origin.kind, originBytesOf(origin), rows, c, BODY_AT);
}

/** Where a body with room before it begins. */
const BODY_AT = MESSAGE_BYTES_MAX - BLOCK_BODY_BYTES_MAX;

function originBytesOf(origin: Origin): Uint8Array {
  const c = writer(256);
  writeOrigin(c, origin);
  return written(c);
}

/** @param c holds the body from `bodyAt` on, to where it is at; prefix and origin are put right before it */
function sealed(
  kind: Kind,
  originBytes: Uint8Array,
  rows: number,
  c: Cursor,
  bodyAt = PREFIX_BYTES + originBytes.length,
): EncodedBlock {
  const bodyBytes = c.at - bodyAt;
  if (bodyBytes > BLOCK_BODY_BYTES_MAX || originBytes.length > BLOCK_ORIGIN_BYTES_MAX) {
    throw new Error(`a block of ${originBytes.length} + ${bodyBytes} bytes does not fit a message`);
  }
  const start = bodyAt - PREFIX_BYTES - originBytes.length;
  if (start < 0)
    throw new Error(`an origin of ${originBytes.length} bytes has no room before its body`);
  const bytes = c.bytes.subarray(start, c.at);
  const head = reader(bytes);
  writeU16(head, WIRE_VERSION);
  writeU16(head, KIND[kind]);
  head.at = HASHED_FROM;
  writeU32(head, rows);
  writeU32(head, originBytes.length);
  writeU32(head, bodyBytes);
  writeBytes(head, originBytes);
  const hash = checksum(bytes, bytes.length);
  head.at = CHECKSUM_AT;
  writeU64(head, hash);
  return { bytes, hash };
}

/** Covers every byte but its own: version and kind as the seed, the rest as the content. */
function checksum(bytes: Uint8Array, end: number): bigint {
  const seed = bytes[0]! | (bytes[1]! << 8) | (bytes[2]! << 16) | (bytes[3]! << 24);
  return hash64(bytes, HASHED_FROM, end, seed);
}

/** Why bytes are not a block: `broken` is the data's fault, `version` is ours. */
export type BlockFault = { readonly fault: "broken" | "version"; readonly reason: string };

/** The first bytes of a message as a block has them, whether or not it is one. */
export interface BlockPrefix {
  readonly version: number;
  readonly kindCode: number;
  readonly checksum: bigint;
  readonly rows: number;
  readonly originBytes: number;
  readonly bodyBytes: number;
}

/** Null for fewer bytes than a prefix has. */
export function readPrefix(bytes: Uint8Array): BlockPrefix | null {
  if (bytes.length < PREFIX_BYTES) return null;
  const c = reader(bytes);
  return {
    version: readU16(c),
    kindCode: readU16(c),
    checksum: readU64(c),
    rows: readU32(c),
    originBytes: readU32(c),
    bodyBytes: readU32(c),
  };
}

/** The kind of a code; undefined for one that this reader does not know. */
export function kindOf(code: number): Kind | undefined {
  return (Object.keys(KIND) as Kind[]).find((kind) => KIND[kind] === code);
}

/** Decodes a message. The outside is checked here, once: lengths, checksum, version, kind, origin. */
export function decodeBlock(bytes: Uint8Array): Block | BlockFault {
  const prefix = readPrefix(bytes);
  if (prefix === null) return broken(`${bytes.length} bytes are no block`);
  const { version, kindCode, rows, originBytes, bodyBytes } = prefix;
  if (PREFIX_BYTES + originBytes + bodyBytes !== bytes.length) {
    return broken(
      `lengths say ${PREFIX_BYTES + originBytes + bodyBytes} bytes, the message has ${bytes.length}`,
    );
  }
  if (checksum(bytes, bytes.length) !== prefix.checksum) return broken("checksum differs");
  if (!VERSIONS_READ.includes(version)) {
    return {
      fault: "version",
      reason: `wire version ${version}, this reader knows ${VERSIONS_READ.join(", ")}`,
    };
  }
  const kind = kindOf(kindCode);
  // The checksum is right, so somebody meant it: a later version, though it did not say so.
  if (kind === undefined) return { fault: "version", reason: `kind ${kindCode} is unknown` };
  try {
    const originCursor = reader(bytes.subarray(PREFIX_BYTES, PREFIX_BYTES + originBytes));
    const origin = readOrigin(originCursor, kind);
    if (originCursor.at !== originBytes) return broken("origin has bytes left over");
    const fault = originFault(origin);
    if (fault !== null) return broken(`origin: ${fault}`);
    return {
      rows,
      origin,
      body: bytes.subarray(PREFIX_BYTES + originBytes),
      hash: prefix.checksum,
    };
  } catch (error) {
    if (error instanceof CursorError) return broken(`origin: ${error.message}`);
    throw error;
  }
}

/** Numbers that no producer counts to: tables could not hold them, or would find them under another key. */
function originFault(origin: Origin): string | null {
  switch (origin.kind) {
    case "raw":
    case "rejected":
    case "partial":
      if (origin.flush < 1 || origin.previous < 0 || origin.previous >= origin.flush) {
        return `flush ${origin.flush} after ${origin.previous}`;
      }
      return null;
    case "result":
      if (origin.emission < 1 || origin.chunk >= origin.chunks || origin.emissionRows < 0) {
        return `emission ${origin.emission}, chunk ${origin.chunk} of ${origin.chunks}, ${origin.emissionRows} rows`;
      }
      return null;
    case "tick":
    case "settings":
      return null;
  }
}

/** Who a broken message says made it; null where that cannot be read. Believe nothing of it. */
export function guessOrigin(bytes: Uint8Array): Origin | null {
  const prefix = readPrefix(bytes);
  const kind = prefix === null ? undefined : kindOf(prefix.kindCode);
  if (prefix === null || kind === undefined || !VERSIONS_READ.includes(prefix.version)) return null;
  try {
    return readOrigin(reader(bytes.subarray(PREFIX_BYTES)), kind);
  } catch (error) {
    if (error instanceof CursorError) return null;
    throw error;
  }
}

export function isFault(block: Block | BlockFault): block is BlockFault {
  return "fault" in block;
}

function broken(reason: string): BlockFault {
  return { fault: "broken", reason };
}

function writeOrigin(c: Cursor, o: Origin): void {
  switch (o.kind) {
    case "raw":
      writeFlushOrigin(c, o);
      writeU16(c, o.flushedOn);
      writeU64(c, o.idsHash);
      return;
    case "rejected":
      writeFlushOrigin(c, o);
      writeU16(c, o.flushedOn);
      return;
    case "partial":
      writeFlushOrigin(c, o);
      writeU16(c, o.partitions);
      writeU16(c, o.partition);
      writeU32(c, o.windowSeconds);
      writeI64(c, o.clicks);
      return;
    case "result":
      writeU16(c, o.partitions);
      writeU16(c, o.partition);
      writeI64(c, o.emission);
      writeU32(c, o.chunk);
      writeU32(c, o.chunks);
      writeU64(c, o.emissionHash);
      writeI64(c, o.emissionRows);
      writeI64(c, o.emissionClicks);
      writeI64(c, o.watermarkMs);
      writeU32(c, o.closedThroughSeconds);
      writeU16(c, o.emittedOn);
      writeU16(c, o.producers.length);
      reserve(c, o.producers.length * (2 + EPOCH_BYTES + 8));
      for (const p of o.producers) writeProducer(c, p);
      return;
    case "tick":
      return;
    case "settings":
      writeU32(c, o.stepVersion);
      writeU32(c, o.windowSeconds);
      writeU32(c, o.graceMs);
      writeU32(c, o.chunkBytesMax);
      writeU32(c, o.topCount);
      return;
  }
}

function readOrigin(c: Cursor, kind: Kind): Origin {
  switch (kind) {
    case "raw":
      return { kind, ...readFlushOrigin(c), flushedOn: readU16(c), idsHash: readU64(c) };
    case "rejected":
      return { kind, ...readFlushOrigin(c), flushedOn: readU16(c) };
    case "partial":
      return {
        kind,
        ...readFlushOrigin(c),
        partitions: readU16(c),
        partition: readU16(c),
        windowSeconds: readU32(c),
        clicks: readI64(c),
      };
    case "result": {
      const head = {
        kind,
        partitions: readU16(c),
        partition: readU16(c),
        emission: readI64(c),
        chunk: readU32(c),
        chunks: readU32(c),
        emissionHash: readU64(c),
        emissionRows: readI64(c),
        emissionClicks: readI64(c),
        watermarkMs: readI64(c),
        closedThroughSeconds: readU32(c),
        emittedOn: readU16(c),
      };
      const producers: ProducerNumber[] = [];
      for (let left = readU16(c); left > 0; left--) producers.push(readProducer(c));
      return { ...head, producers };
    }
    case "tick":
      return { kind };
    case "settings":
      return {
        kind,
        stepVersion: readU32(c),
        windowSeconds: readU32(c),
        graceMs: readU32(c),
        chunkBytesMax: readU32(c),
        topCount: readU32(c),
      };
  }
}

function writeProducer(c: Cursor, p: ProducerNumber): void {
  const epoch = utf8(p.epoch);
  if (epoch.length !== EPOCH_BYTES) throw new Error(`an epoch has ${EPOCH_BYTES} bytes`);
  writeU16(c, p.shard);
  writeBytes(c, epoch);
  writeI64(c, p.flush);
}

/** As producers make them; other bytes would not survive being text in ids, keys and headers. */
const EPOCH_TEXT = new RegExp(`^[!-~]{${EPOCH_BYTES}}$`);

function readProducer(c: Cursor): ProducerNumber {
  const shard = readU16(c);
  need(c, EPOCH_BYTES);
  const epoch = textOf(c.bytes.subarray(c.at, c.at + EPOCH_BYTES));
  if (!EPOCH_TEXT.test(epoch)) throw new CursorError("an epoch that is no printable text", c.at);
  c.at += EPOCH_BYTES;
  return { shard, epoch, flush: readI64(c) };
}

function writeFlushOrigin(c: Cursor, o: FlushOrigin): void {
  writeProducer(c, o);
  writeI64(c, o.previous);
}

function readFlushOrigin(c: Cursor): FlushOrigin {
  return { ...readProducer(c), previous: readI64(c) };
}
