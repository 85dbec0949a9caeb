/**
 * What the Worker and a shard say to each other, as bytes: a call with objects and views in it costs a third of what
 * a single click costs in all (bench:edge). Both ends are one deployment, but for the minutes in which it changes:
 * hence the version, and a message of another one is an error, which the Worker takes for a shard that is away.
 * The answer is text because of every answer that is an object the platform makes one that can be disposed of.
 *
 *     call    batches, one behind the other     answer   for each batch, with spaces between them, digits: the version,
 *     batch   0 u8 version                               1 when rejected clicks are taken,
 *             1 u16 shards                               a fate for each click;
 *             3 u16 shard                                nothing for a batch that failed
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
  reserve,
  textOf,
  utf8,
  writeBytes,
  writeString,
  writeU16,
  writeU32,
  writeU8,
} from "../../wire/cursor.ts";
import type { Cursor } from "../../wire/cursor.ts";
import type { CountedRejections } from "../../wire/rejected-click.ts";
import type { ShardAnswer } from "../shard/fate.ts";
import type { ShardBatch } from "./batches.ts";

const VERSION = 4;

/** All but what was counted (whose length takes up to 5 bytes), ends, rows and clicks. */
const HEAD_BYTES_MAX = 5 + 5 + 2 * 4;

const NOTHING = new Uint8Array(0);

export function writeBatch(c: Cursor, batch: ShardBatch): void {
  const counted = batch.counted.length === 0 ? NOTHING : utf8(JSON.stringify(batch.counted));
  const { rejectedEnds, rejectedRows, clicks } = batch;
  const partBytes = counted.length + 4 * rejectedEnds.length + rejectedRows.length + clicks.length;
  reserve(c, HEAD_BYTES_MAX + partBytes);
  writeU8(c, VERSION);
  writeU16(c, batch.shards);
  writeU16(c, batch.shard);
  writeString(c, counted);
  writeU32(c, rejectedEnds.length);
  for (const end of rejectedEnds) writeU32(c, end);
  writeBytes(c, rejectedRows);
  writeU32(c, clicks.length);
  writeBytes(c, clicks);
}

/**
 * @returns at least one, each with views of the message
 * @throws Error for another version, CursorError for bytes that are cut off
 */
export function readBatches(message: Uint8Array): ShardBatch[] {
  const c = reader(message);
  const batches: ShardBatch[] = [];
  do batches.push(readBatch(c));
  while (c.at < message.length);
  return batches;
}

function readBatch(c: Cursor): ShardBatch {
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

/** @param answers one for each batch of the call; null for one that failed */
export function encodeAnswers(answers: readonly (ShardAnswer | null)[]): string {
  return answers.map((answer) => (answer === null ? "" : encodeAnswer(answer))).join(" ");
}

/** @throws Error for another version, and for another number of answers than there were batches */
export function decodeAnswers(text: string, batchCount: number): (ShardAnswer | null)[] {
  const answers = text.split(" ");
  if (answers.length !== batchCount) {
    throw new Error(`a shard gave ${answers.length} answers to ${batchCount} batches`);
  }
  return answers.map((answer) => (answer === "" ? null : decodeAnswer(answer)));
}

function encodeAnswer({ fates, rejectedTaken }: ShardAnswer): string {
  const digits = fates.map((fate) => ZERO + fate);
  // A typed array will do where the types ask for a list.
  return `${VERSION}${rejectedTaken ? 1 : 0}${String.fromCharCode.apply(null, digits as unknown as number[])}`;
}

function decodeAnswer(text: string): ShardAnswer {
  requireVersion(Number(text[0]));
  if (text.length < 2) throw new Error("a shard's answer is cut off");
  const fates = new Uint8Array(text.length - 2);
  for (let i = 0; i < fates.length; i++) fates[i] = text.charCodeAt(i + 2) - ZERO;
  return { rejectedTaken: text[1] === "1", fates };
}

const ZERO = "0".charCodeAt(0);

function requireVersion(version: number): void {
  if (version === VERSION) return;
  throw new Error(`Worker and shard speak versions ${VERSION} and ${version}: deploying?`);
}
