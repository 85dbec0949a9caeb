/** Blocks of a producer of the test's own, and what becomes of them on a bad way: messages that are not ours. */
import { encodeBlock, WIRE_VERSION } from "../../wire/block.ts";
import type { Origin } from "../../wire/block.ts";
import { dayOf } from "../../wire/columns.ts";
import {
  reserve,
  utf8,
  writer,
  writeBytes,
  writeI64,
  writeString,
  writeU32,
  written,
} from "../../wire/cursor.ts";
import { hash64 } from "../../wire/hash.ts";
import { PARTIAL_BYTES_MAX, writePartial } from "../../wire/partial.ts";
import { RAW_CLICK_BYTES_MAX, unitBytes } from "../../wire/raw-click.ts";
import { writeRawClick } from "./raw-rows.ts";
import { REJECTED_CLICK_BYTES_MAX, writeRejectedClick } from "../../wire/rejected-click.ts";
import { RESULT_BYTES_MAX, resultTail } from "../../wire/result.ts";
import { LONGEST_CLICK, LONGEST_REJECTED } from "./longest-rows.ts";

/** No shard of a test stack has this number. */
export const OWN_SHARD = 4_000;
export const OWN_EPOCH = "setaside";
/** No aggregator of a test stack has so many partitions. */
export const OWN_PARTITIONS = 9;

const FLUSH = { shard: OWN_SHARD, epoch: OWN_EPOCH, flush: 1, previous: 0 };

export interface Made {
  readonly origin: Origin;
  readonly rows: number;
  readonly body: Uint8Array;
  readonly bytes: Uint8Array;
  readonly hash: bigint;
}
function made(origin: Origin, rows: number, body: Uint8Array): Made {
  return { origin, rows, body, ...encodeBlock(origin, rows, body) };
}

/** A flush of the own producer, of two clicks. */
export function ownRaw(nowMs: number, flush = 1): Made {
  const rows = 2;
  const unit = { ...FLUSH, flush, previous: flush - 1, flushedOn: dayOf(nowMs) };
  const c = writer();
  for (let i = 0; i < rows; i++) {
    const start = c.at;
    reserve(c, RAW_CLICK_BYTES_MAX);
    writeRawClick(c, { ...LONGEST_CLICK, shard: OWN_SHARD, clickId: `own.${flush}.${i}` });
    c.bytes.set(unitBytes(unit), start);
  }
  return made({ kind: "raw", ...unit, idsHash: 5n }, rows, written(c));
}

export function ownRejected(nowMs: number): Made {
  const unit = { ...FLUSH, flushedOn: dayOf(nowMs) };
  const c = writer(REJECTED_CLICK_BYTES_MAX);
  writeRejectedClick(c, { ...LONGEST_REJECTED, shard: OWN_SHARD });
  c.bytes.set(unitBytes(unit), 0);
  return made({ kind: "rejected", ...unit }, 1, written(c));
}

/** One click for a partition of the stack, in the current window. */
export function ownPartial(
  nowMs: number,
  partitions: number,
  partition: number,
  windowSeconds: number,
): Made {
  const key = writer();
  for (const text of ["own-ad", "KR", "mobile", ""]) writeString(key, utf8(text));
  const c = writer(PARTIAL_BYTES_MAX);
  const seconds = Math.floor(nowMs / 1_000 / windowSeconds) * windowSeconds;
  writePartial(c, seconds, written(key), 1);
  const origin: Origin = {
    kind: "partial",
    ...FLUSH,
    partitions,
    partition,
    windowSeconds,
    clicks: 1,
  };
  return made(origin, 1, written(c));
}

/** A result of one click of an emission of the own partitions. */
export function ownResult(nowMs: number, emission = 1): Made {
  const place = { partitions: OWN_PARTITIONS, partition: 3, emission, emittedOn: dayOf(nowMs) };
  const c = writer(RESULT_BYTES_MAX);
  writeU32(c, 0);
  for (const text of ["own-ad", "KR", "mobile", ""]) writeString(c, utf8(text));
  writeI64(c, 1);
  c.bytes[c.at++] = 1;
  writeBytes(c, resultTail({ job: "", ...place }, 0));
  const whole = { chunk: 0, chunks: 1, emissionHash: 6n, emissionRows: 1, emissionClicks: 1 };
  const times = { watermarkMs: nowMs, closedThroughSeconds: 0 };
  return made({ kind: "result", ...place, ...whole, ...times, producers: [] }, 1, written(c));
}

/** The same block as a later version of the wire would make it. */
export function ofVersion(bytes: Uint8Array, version: number): Uint8Array {
  if (version === WIRE_VERSION) throw new Error("that is this version");
  const other = Buffer.from(bytes);
  other.writeUInt16LE(version, 0);
  other.writeBigUInt64LE(hash64(other, 12, other.length, other.readUInt32LE()), 4);
  return other;
}

function flipped(bytes: Uint8Array, bit: number): Uint8Array {
  const other = bytes.slice();
  other[bit >> 3]! ^= 1 << (bit & 7);
  return other;
}

interface StrangeHeaders {
  readonly bytes: Uint8Array;
  /** The message id that they give; null where nobody can read them. */
  readonly id: string | null;
}
const strange = (
  id: string | null,
  ...parts: readonly (string | Uint8Array)[]
): StrangeHeaders => ({
  bytes: Buffer.concat(parts.map((part) => Buffer.from(part))),
  id,
});
const NO_UTF8 = Uint8Array.of(0xff, 0xc3);
const LONG_ID = "i".repeat(60_000);

/** What the broker stores where headers stand, and no client of ours writes. */
export const STRANGE_HEADERS: Readonly<Record<string, StrangeHeaders>> = {
  "a bare line feed in a value": strange(null, "NATS/1.0\r\na: b\nc\r\n\r\n"),
  "a name that is no UTF-8": strange(null, "NATS/1.0\r\n", NO_UTF8, ": b\r\n\r\n"),
  "a zero in a name": strange(null, "NATS/1.0\r\na\0: b\r\nNats-Msg-Id: zero\r\n\r\n"),
  "no name": strange("no name", "NATS/1.0\r\n: b\r\nNats-Msg-Id: no name\r\n\r\n"),
  "an id that is no UTF-8": strange(
    "\ufffd\ufffd",
    "NATS/1.0\r\nNats-Msg-Id: ",
    NO_UTF8,
    "\r\n\r\n",
  ),
  "no version": strange("no version", "a: b\r\nNats-Msg-Id: no version\r\n\r\n"),
  "no line": strange("", "garbage"),
  "line feeds only": strange("", "NATS/1.0\na: b\nNats-Msg-Id: lost\n\n"),
  "no end": strange("no end", "NATS/1.0\r\na: b\r\nNats-Msg-Id: no end"),
  "two ids": strange("one", "NATS/1.0\r\nNats-Msg-Id: one\r\nNats-Msg-Id: two\r\n\r\n"),
  "a broker's status": strange("", "NATS/1.0 503 No Responders\r\n\r\n"),
  "a size of their own": strange(
    "size",
    "NATS/1.0\r\nNats-Msg-Id: size\r\nNats-Msg-Size: 7\r\n\r\n",
  ),
  "an id of 60 KB": strange(LONG_ID, `NATS/1.0\r\nNats-Msg-Id: ${LONG_ID}\r\n\r\n`),
  "60 KB of them": strange(
    "many",
    "NATS/1.0\r\n",
    "a: b\r\n".repeat(10_000),
    "Nats-Msg-Id: many\r\n\r\n",
  ),
  // The last: what is newest on a subject is asked for most.
  "a space in a name": strange(null, "NATS/1.0\r\nbad name: b\r\nNats-Msg-Id: space\r\n\r\n"),
};

/** What nats-server takes unless told otherwise: with headers, the same bytes are longer than that. */
const NATS_PAYLOAD_BYTES_MAX = 1_048_576;

/** What is not ours, by name. @param stranger a good block of a kind that does not belong there */
export function garbage(
  { origin, rows, body, bytes }: Made,
  stranger: Made,
): Record<string, Uint8Array> {
  // Random once, the same for ever.
  const random = Uint8Array.from({ length: 300 }, (_, i) => Math.imul(i + 7, 2_654_435_761) >>> 24);
  return {
    empty: new Uint8Array(0),
    random,
    "one bit of the version": flipped(bytes, 1),
    "one bit of the header": flipped(bytes, 12 * 8),
    "one bit of the body": flipped(bytes, bytes.length * 8 - 3),
    truncated: bytes.subarray(0, bytes.length - 7),
    "as long as NATS takes": new Uint8Array(NATS_PAYLOAD_BYTES_MAX).fill(0x61),
    "bytes added": Buffer.concat([bytes, Buffer.from("more")]),
    "another kind": stranger.bytes,
    "no rows under a right checksum": encodeBlock(origin, 3, utf8("these are no rows")).bytes,
    "rows that swallow what follows": encodeBlock(origin, rows + 1, body).bytes,
  };
}
