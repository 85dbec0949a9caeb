/**
 * A flush's messages from its journal rows: pure, so that a flush made again from its record has the
 * same bytes. Row order is journal order; partial rows stand in order of first sight.
 */
import { bodyWriter, sealBlock, WIRE_VERSION } from "../../wire/block.ts";
import type { Origin } from "../../wire/block.ts";
import type { Cursor } from "../../wire/cursor.ts";
import { reader, writeBytes } from "../../wire/cursor.ts";
import { hashText } from "../../wire/hash.ts";
import {
  eventTimeAt,
  newClickSpans,
  openPack,
  unpackClick,
  walkClick,
} from "../../wire/packed-clicks.ts";
import { newRawClickSpans, unitBytes } from "../../wire/raw-click.ts";
import { skipRejectedClick } from "../../wire/rejected-click.ts";
import {
  messageId,
  partialSubject,
  rawSubject,
  rejectedSubject,
  shardProducer,
} from "../../wire/subjects.ts";
import { sumOfFingerprints } from "./fingerprints.ts";
import { Partials } from "./partials.ts";
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
  return recipe.chain === "clicks"
    ? clickMessages(recipe, identity, journal)
    : [rejectedMessage(recipe, identity, journal)];
}

function clickMessages(
  recipe: FlushRecipe,
  identity: Identity,
  journal: readonly JournalRow[],
): FlushMessage[] {
  const unit = unitBytes({ ...recipe, ...identity });
  const seed = reader(identity.fingerprintKey).view.getInt32(0, true);
  const rows = sumOf(journal, (row) => row.rowCount);
  const out = bodyWriter(sumOf(journal, (row) => row.messageByteCount));
  const partials = new Partials(out, rows, recipe.windowSeconds, seed);
  for (const row of journal) unpack(row, unit, out, partials);

  const origin = { shard: identity.shard, epoch: identity.epoch, flush: recipe.flush };
  const raw = rawSubject(identity.shard);
  const messages = [
    sealed(recipe, identity, raw, rows, out, {
      kind: "raw",
      ...origin,
      previous: recipe.previousOn(raw),
      flushedOn: recipe.flushedOn,
      idsHash: sumOfFingerprints(journal),
    }),
  ];
  for (const part of partials.byPartition(recipe.partitions)) {
    const subject = partialSubject(recipe.partitions, part.partition);
    messages.push(
      sealed(recipe, identity, subject, part.rows, part.body, {
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
  journal: readonly JournalRow[],
): FlushMessage {
  const rowCount = sumOf(journal, (row) => row.rowCount);
  const unit = unitBytes({ ...recipe, ...identity });
  const body = bodyWriter(sumOf(journal, (row) => row.bytes.length));
  const c = reader(body.bytes);
  c.at = body.at;
  for (const { bytes } of journal) writeBytes(body, bytes);
  let rows = 0;
  while (c.at < body.at) {
    body.bytes.set(unit, c.at);
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
  body: Cursor,
  origin: Origin,
): FlushMessage {
  const { bytes, hash } = sealBlock(origin, rows, body);
  const producer = shardProducer(identity.shard, identity.epoch);
  return {
    subject,
    previous: recipe.previousOn(subject),
    hash,
    bytes,
    id: messageId(subject, producer, recipe.flush, hash),
  };
}

/** Appends the rows of a journal row's packs, and counts their clicks. */
function unpack(row: JournalRow, unit: Uint8Array, out: Cursor, partials: Partials): void {
  const { number, rowCount, messageByteCount, fingerprints } = row;
  if (fingerprints.length !== 2 * rowCount) {
    throw new Error(
      `journal row ${number} has ids of ${fingerprints.length / 2} rows of ${rowCount}`,
    );
  }
  const c = reader(row.bytes);
  const click = newClickSpans();
  const spans = newRawClickSpans();
  let heldCount = 0;
  let heldBytes = 0;
  while (c.at < row.bytes.length) {
    const pack = openPack(c);
    const end = c.at - pack.clicksStart + pack.bytes.length;
    heldCount += pack.clickCount;
    heldBytes += pack.rowsByteCount;
    // Before anything is written: there is room for what the journal counts.
    if (heldCount > rowCount || heldBytes > messageByteCount) break;
    for (let i = 0; i < pack.clickCount; i++) {
      walkClick(c, click);
      unpackClick(out, unit, pack, c, click, spans);
      partials.count(eventTimeAt(c, click.start), spans.partialKeyStart, spans.partialKeyEnd);
    }
    if (c.at !== end)
      throw new Error(`a pack of journal row ${number} ends at ${c.at}, not ${end}`);
  }
  if (heldCount !== rowCount || heldBytes !== messageByteCount) {
    throw new Error(
      `journal row ${number} counts ${rowCount} rows of ${messageByteCount} bytes, its packs hold ${heldCount} of ${heldBytes}`,
    );
  }
}

function sumOf(journal: readonly JournalRow[], size: (row: JournalRow) => number): number {
  return journal.reduce((sum, row) => sum + size(row), 0);
}
