/**
 * A flush's messages from its journal rows: pure, so that a flush made again from its record has the
 * same bytes. Row order is journal order; partial rows stand in order of first sight.
 */
import { encodeBlock, WIRE_VERSION } from "../../wire/block.ts";
import type { Origin } from "../../wire/block.ts";
import { reader, reserve, writer, written } from "../../wire/cursor.ts";
import type { Cursor } from "../../wire/cursor.ts";
import { hash128, hashText } from "../../wire/hash.ts";
import type { HashLanes } from "../../wire/hash.ts";
import { PARTIAL_BYTES_MAX, writePartial } from "../../wire/partial.ts";
import { DEDUP_KEY_OFFSET, eventTimeAt, unitBytes, walkRawClick } from "../../wire/raw-click.ts";
import { skipRejectedClick } from "../../wire/rejected-click.ts";
import { partitionOf } from "../../wire/routing.ts";
import {
  messageId,
  partialSubject,
  rawSubject,
  rejectedSubject,
  shardProducer,
} from "../../wire/subjects.ts";
import type { Chain, FlushRecord, Identity, JournalRow } from "./storage.ts";

/** A message, ready to be published. */
export interface FlushMessage {
  readonly subject: string;
  readonly id: string;
  readonly previous: number;
  readonly hash: bigint;
  readonly bytes: Uint8Array;
}

/** What decides a flush's bytes besides its journal rows. */
export interface FlushRecipe {
  readonly chain: Chain;
  readonly flush: number;
  readonly wireVersion: number;
  readonly windowSeconds: number;
  readonly partitions: number;
  readonly flushedOn: number;
  /** Number of the flush before on a subject. */
  previousOn(subject: string): number;
}

/** The recipe a stored flush was made by. */
export function recipeOf(record: FlushRecord): FlushRecipe {
  return {
    ...record,
    previousOn: (subject) => {
      const message = record.messages.find((m) => m.subject === subject);
      if (message === undefined)
        throw new Error(`flush ${record.flush} had no message on ${subject}`);
      return message.previous;
    },
  };
}

/** Fails when messages made again differ from their record: never publish other bytes under an old number. */
export function assertAsRecorded(record: FlushRecord, messages: readonly FlushMessage[]): void {
  const made = messages.map((m) => `${m.subject} ${hashText(m.hash)}`).join(", ");
  const recorded = record.messages.map((m) => `${m.subject} ${m.hash}`).join(", ");
  if (made !== recorded) {
    throw new Error(
      `flush ${record.flush} of ${record.chain} made again is ${made}, its record says ${recorded}`,
    );
  }
}

/** The raw (or rejected) message first, then one partial message for each partition concerned. */
export function makeFlush(
  recipe: FlushRecipe,
  identity: Identity,
  journal: readonly JournalRow[],
): FlushMessage[] {
  // One version is written so far; its successor will still make its predecessor's flushes again.
  if (recipe.wireVersion !== WIRE_VERSION)
    throw new Error(`wire version ${recipe.wireVersion} cannot be made`);
  const body = joined(journal);
  const rowCount = journal.reduce((sum, row) => sum + row.rowCount, 0);
  return recipe.chain === "clicks"
    ? clickMessages(recipe, identity, body, rowCount)
    : [rejectedMessage(recipe, identity, body, rowCount)];
}

function clickMessages(
  recipe: FlushRecipe,
  identity: Identity,
  body: Uint8Array,
  rowCount: number,
): FlushMessage[] {
  const unit = unitBytes({ ...recipe, ...identity });
  const fingerprints = new Fingerprints(identity.fingerprintKey);
  const partials = new Partials(body, recipe.windowSeconds, recipe.partitions);
  const c = reader(body);
  const spans = { start: 0, partialKeyStart: 0, partialKeyEnd: 0 };
  let rows = 0;
  let idsHash = 0n;
  while (c.at < body.length) {
    walkRawClick(c, spans);
    body.set(unit, spans.start);
    const lanes = fingerprints.of(body, spans.start + DEDUP_KEY_OFFSET, spans.partialKeyStart);
    idsHash += (BigInt(lanes[1]!) << 32n) | BigInt(lanes[0]!);
    partials.count(eventTimeAt(c, spans.start), spans.partialKeyStart, spans.partialKeyEnd);
    rows++;
  }
  if (rows !== rowCount)
    throw new Error(`the journal counts ${rowCount} rows, its bytes hold ${rows}`);

  const origin = { shard: identity.shard, epoch: identity.epoch, flush: recipe.flush };
  const raw = rawSubject(identity.shard);
  const messages = [
    sealed(recipe, identity, raw, rows, body, {
      kind: "raw",
      ...origin,
      previous: recipe.previousOn(raw),
      flushedOn: recipe.flushedOn,
      idsHash: BigInt.asUintN(64, idsHash),
    }),
  ];
  for (const part of partials.byPartition()) {
    const subject = partialSubject(recipe.partitions, part.partition);
    messages.push(
      sealed(recipe, identity, subject, part.rows, written(part.body), {
        kind: "partial",
        ...origin,
        previous: recipe.previousOn(subject),
        partitions: recipe.partitions,
        partition: part.partition,
        windowSeconds: recipe.windowSeconds,
        clicks: part.clicks,
      }),
    );
  }
  return messages;
}

function rejectedMessage(
  recipe: FlushRecipe,
  identity: Identity,
  body: Uint8Array,
  rowCount: number,
): FlushMessage {
  const unit = unitBytes({ ...recipe, ...identity });
  const c = reader(body);
  let rows = 0;
  while (c.at < body.length) {
    body.set(unit, c.at);
    skipRejectedClick(c);
    rows++;
  }
  if (rows !== rowCount)
    throw new Error(`the journal counts ${rowCount} rows, its bytes hold ${rows}`);
  const subject = rejectedSubject(identity.shard);
  return sealed(recipe, identity, subject, rows, body, {
    kind: "rejected",
    shard: identity.shard,
    epoch: identity.epoch,
    flush: recipe.flush,
    previous: recipe.previousOn(subject),
    flushedOn: recipe.flushedOn,
  });
}

function sealed(
  recipe: FlushRecipe,
  identity: Identity,
  subject: string,
  rows: number,
  body: Uint8Array,
  origin: Origin,
): FlushMessage {
  const { bytes, hash } = encodeBlock(origin, rows, body);
  const producer = shardProducer(identity.shard, identity.epoch);
  return {
    subject,
    previous: recipe.previousOn(subject),
    hash,
    bytes,
    id: messageId(subject, producer, recipe.flush, hash),
  };
}

function joined(journal: readonly JournalRow[]): Uint8Array {
  const bytes = new Uint8Array(journal.reduce((sum, row) => sum + row.rows.length, 0));
  let at = 0;
  for (const row of journal) {
    bytes.set(row.rows, at);
    at += row.rows.length;
  }
  return bytes;
}

/** Keyed 64-bit fingerprints of dedup keys: the storage's secret, then account and click id as the row has them. */
export class Fingerprints {
  readonly #scratch: Uint8Array;
  readonly #keyBytes: number;
  readonly #lanes: HashLanes = new Uint32Array(4);

  constructor(key: Uint8Array) {
    this.#scratch = new Uint8Array(key.length + 256);
    this.#scratch.set(key);
    this.#keyBytes = key.length;
  }

  /** Lanes 0 (low) and 1 (high) of the result, valid until the next call. */
  of(bytes: Uint8Array, start: number, end: number): HashLanes {
    const scratch = this.#scratch;
    let to = this.#keyBytes;
    for (let from = start; from < end; from++) scratch[to++] = bytes[from]!;
    hash128(scratch, 0, to, 0, this.#lanes);
    return this.#lanes;
  }
}

interface PartitionPart {
  readonly partition: number;
  readonly body: Cursor;
  rows: number;
  clicks: number;
}

/** Counts per (window, ad, country, device, invalid reason) of one flush. */
class Partials {
  readonly #bytes: Uint8Array;
  readonly #windowMs: number;
  readonly #partitions: number;
  readonly #counts = new Map<
    string,
    { readonly windowMs: number; readonly start: number; readonly end: number; clicks: number }
  >();

  constructor(bytes: Uint8Array, windowSeconds: number, partitions: number) {
    this.#bytes = bytes;
    this.#windowMs = windowSeconds * 1_000;
    this.#partitions = partitions;
  }

  count(eventTimeMs: number, keyStart: number, keyEnd: number): void {
    const windowMs = Math.floor(eventTimeMs / this.#windowMs) * this.#windowMs;
    let key = `${windowMs}`;
    // One character a byte: keys are ASCII by validation, and two keys differ where their bytes do.
    for (let i = keyStart; i < keyEnd; i++) key += String.fromCharCode(this.#bytes[i]!);
    const known = this.#counts.get(key);
    if (known === undefined)
      this.#counts.set(key, { windowMs, start: keyStart, end: keyEnd, clicks: 1 });
    else known.clicks++;
  }

  byPartition(): PartitionPart[] {
    const parts = new Map<number, PartitionPart>();
    for (const { windowMs, start, end, clicks } of this.#counts.values()) {
      // The key starts with the ad id: one byte of length (AD_ID_BYTES_MAX < 128), then its bytes.
      const adEnd = start + 1 + this.#bytes[start]!;
      const partition = partitionOf(this.#bytes, start + 1, adEnd, this.#partitions);
      let part = parts.get(partition);
      if (part === undefined) {
        part = { partition, body: writer(), rows: 0, clicks: 0 };
        parts.set(partition, part);
      }
      reserve(part.body, PARTIAL_BYTES_MAX);
      writePartial(part.body, windowMs / 1_000, this.#bytes.subarray(start, end), clicks);
      part.rows++;
      part.clicks += clicks;
    }
    return [...parts.values()].toSorted((a, b) => a.partition - b.partition);
  }
}
