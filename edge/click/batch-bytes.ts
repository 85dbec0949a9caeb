/**
 * What the Worker and a shard say to each other, as bytes: a call with objects and views in it costs a third of what
 * a single click costs in all (bench:edge). Both ends are one deployment, but for the minutes in which it changes:
 * hence the version, and a batch of another one is an error, which the Worker takes for a shard that is away.
 * Short batches go as text with a character for each byte: buffers are made, copied and collected apart from the
 * heap, at both ends, which is a tenth of what a single click costs. For long ones the text costs more.
 * The answer is text because of every answer that is an object the platform makes one that can be disposed of.
 *
 *     batch   0 u8 version                      answer   digits, as text: the version,
 *             1 u16 shards                               1 when rejected clicks are taken,
 *             3 u16 shard                                a fate for each click
 *             5 string: JSON of what was counted
 *               u32 rejected rows, their ends u32 each, the last one's rows
 *               u32 bytes of the clicks, and those, packed (wire/packed-clicks.ts)
 */
import {
  need,
  readBytes,
  reader,
  readString,
  readU16,
  readU32,
  readU8,
  textOf,
  utf8,
  writeBytes,
  writer,
  writeString,
  writeU16,
  writeU32,
  writeU8,
  written,
} from "../../wire/cursor.ts";
import type { CountedRejections } from "../../wire/rejected-click.ts";
import type { ShardAnswer } from "../shard/fate.ts";
import type { ShardBatch } from "./batches.ts";

const VERSION = 3;

/** Up to here a batch goes as text: some thirty clicks of an installation. A hundred go faster as bytes. */
export const TEXT_BYTES_MAX = 2_048;

/** All but what was counted (whose length takes up to 5 bytes), ends, rows and clicks. */
const HEAD_BYTES_MAX = 5 + 5 + 2 * 4;

const NOTHING = new Uint8Array(0);

/** Written anew for each batch that goes as text. */
const short = writer(TEXT_BYTES_MAX);

export function encodeBatch(batch: ShardBatch): Uint8Array | string {
  const counted = batch.counted.length === 0 ? NOTHING : utf8(JSON.stringify(batch.counted));
  const byteCountMax =
    HEAD_BYTES_MAX +
    counted.length +
    4 * batch.rejectedEnds.length +
    batch.rejectedRows.length +
    batch.clicks.length;
  const isShort = byteCountMax <= TEXT_BYTES_MAX;
  const c = isShort ? short : writer(byteCountMax);
  c.at = 0;
  writeU8(c, VERSION);
  writeU16(c, batch.shards);
  writeU16(c, batch.shard);
  writeString(c, counted);
  writeU32(c, batch.rejectedEnds.length);
  for (const end of batch.rejectedEnds) writeU32(c, end);
  writeBytes(c, batch.rejectedRows);
  writeU32(c, batch.clicks.length);
  writeBytes(c, batch.clicks);
  return isShort ? charactersOf(written(c)) : written(c);
}

/** @throws Error for another version, CursorError for bytes that are cut off */
export function decodeBatch(message: Uint8Array | string): ShardBatch {
  const c = reader(typeof message === "string" ? bytesOf(message) : message);
  requireVersion(readU8(c));
  const shards = readU16(c);
  const shard = readU16(c);
  const counted = readString(c);
  const rejectedCount = readU32(c);
  need(c, 4 * rejectedCount);
  const rejectedEnds = Array.from({ length: rejectedCount }, () => readU32(c));
  const rejectedRows = readBytes(c, rejectedEnds.at(-1) ?? 0);
  const clicks = readBytes(c, readU32(c));
  return {
    shard,
    shards,
    counted: counted.length === 0 ? [] : (JSON.parse(textOf(counted)) as CountedRejections[]),
    rejectedEnds,
    rejectedRows,
    clicks,
  };
}

export function encodeAnswer({ fates, rejectedTaken }: ShardAnswer): string {
  return `${VERSION}${rejectedTaken ? 1 : 0}${charactersOf(fates.map((fate) => ZERO + fate))}`;
}

/** @throws Error for another version */
export function decodeAnswer(text: string): ShardAnswer {
  requireVersion(Number(text[0]));
  if (text.length < 2) throw new Error("a shard's answer is cut off");
  const fates = new Uint8Array(text.length - 2);
  for (let i = 0; i < fates.length; i++) fates[i] = text.charCodeAt(i + 2) - ZERO;
  return { rejectedTaken: text[1] === "1", fates };
}

const ZERO = "0".charCodeAt(0);

/** U+0000 to U+00FF. */
function charactersOf(bytes: Uint8Array): string {
  // A typed array will do where the types ask for a list.
  return String.fromCharCode.apply(null, bytes as unknown as number[]);
}

/** Short batches are read into one buffer after the other, until it is full. */
const SLAB_BYTES = 32 * TEXT_BYTES_MAX;
let slab = new Uint8Array(SLAB_BYTES);
let slabAt = 0;

/** Nothing is written over: who keeps a batch keeps its slab. */
function bytesOf(characters: string): Uint8Array {
  const byteCount = characters.length;
  if (byteCount > TEXT_BYTES_MAX) throw new Error(`a short batch has ${byteCount} characters`);
  if (slabAt + byteCount > SLAB_BYTES) {
    slab = new Uint8Array(SLAB_BYTES);
    slabAt = 0;
  }
  const start = slabAt;
  slabAt += byteCount;
  for (let i = 0; i < byteCount; i++) slab[start + i] = characters.charCodeAt(i);
  return slab.subarray(start, slabAt);
}

function requireVersion(version: number): void {
  if (version === VERSION) return;
  throw new Error(`Worker and shard speak versions ${VERSION} and ${version}: deploying?`);
}
