/** An envelope's clicks, parsed, stamped and packed into one batch for each shard concerned. */
import { reserve, writer, written } from "../../wire/cursor.ts";
import type { Cursor } from "../../wire/cursor.ts";
import { newPack, packClick } from "../../wire/packed-clicks.ts";
import type { RequestFields } from "../../wire/packed-clicks.ts";
import { REJECTED_CLICK_BYTES_MAX, writeRejectedClick } from "../../wire/rejected-click.ts";
import type { CountedRejections } from "../../wire/rejected-click.ts";
import { homes } from "../../wire/routing.ts";
import type { Classified } from "./classify.ts";
import { isRejection, parseClick } from "./parse-click.ts";
import type { Rejection } from "./parse-click.ts";
import type { Envelope } from "./parse-envelope.ts";
import type { Sender } from "./sender.ts";
import { skewOf, stampTime } from "./stamp.ts";

/**
 * Every click belongs to one account until write keys exist; the column and the dedup key hold it
 * already, so that nothing moves when they do.
 */
export const DEFAULT_ACCOUNT = "default";
export const DEFAULT_KEY_ID = "none";

/** What one shard gets of a request (as bytes: batch-bytes.ts). */
export interface ShardBatch {
  readonly shard: number;
  /** SHARDS as the sender knows it; the shard refuses a count that is not its own. */
  readonly shards: number;
  /** A pack (wire/packed-clicks.ts); empty when there are none. */
  readonly clicks: Uint8Array;
  /** clicks_rejected rows with empty units, and where each ends. */
  readonly rejectedRows: Uint8Array;
  readonly rejectedEnds: readonly number[];
  /** What was refused without leaving a row: requests that could not be read. */
  readonly counted: readonly CountedRejections[];
}

export interface BatchForShard extends ShardBatch {
  /** For each click of `clicks`, its place in the envelope. */
  readonly places: readonly number[];
}

export interface Sorted {
  readonly batches: readonly BatchForShard[];
  /** By place in the envelope; undefined where the click went to a shard. */
  readonly rejections: readonly (Rejection | undefined)[];
  /** By place in the envelope, of those that went to a shard. */
  readonly clickIds: readonly string[];
}

/** What is the same for all clicks of a request. */
export interface RequestFacts {
  readonly receivedAtMs: number;
  readonly sentAtMs: number | null;
  readonly sender: Sender;
  readonly classified: Classified;
  readonly shards: number;
}

/**
 * Sorts an envelope into batches. Rejected clicks travel with the request's first batch.
 *
 * @param room for the first batch's clicks, a view of which they are
 */
export function sortIntoBatches(envelope: Envelope, facts: RequestFacts, room?: Cursor): Sorted {
  const open = new Map<number, OpenBatch>();
  const rejections: (Rejection | undefined)[] = [];
  const clickIds: string[] = [];
  const home = homes(facts.shards);
  for (let place = 0; place < envelope.clicks.length; place++) {
    const click = parseClick(envelope.clicks[place]);
    if (isRejection(click)) {
      rejections[place] = click;
      continue;
    }
    const batch = openBatch(open, home(click.clickId));
    const stamp = stampTime(click.claimedTimeMs, facts.sentAtMs, facts.receivedAtMs);
    batch.clicks ??= newPack(requestFields(facts), open.size === 1 ? room : undefined);
    packClick(batch.clicks, click, stamp);
    batch.places.push(place);
    clickIds[place] = click.clickId;
  }
  rejections.forEach((rejection, place) => {
    if (rejection === undefined) return;
    const shard = open.keys().next().value ?? home(rejection.clickId ?? "?");
    addRejected(openBatch(open, shard), shard, rejection, envelope.textOf(place), facts);
  });
  return {
    batches: [...open].map(([shard, batch]) => closed(shard, facts.shards, batch)),
    rejections,
    clickIds,
  };
}

/** A batch that carries nothing but the rejection of clicks that their shard found too old. */
export function rejectedBatch(
  shard: number,
  rejected: readonly (readonly [Rejection, text: string])[],
  facts: RequestFacts,
): ShardBatch {
  const batch = newBatch();
  for (const [rejection, text] of rejected) addRejected(batch, shard, rejection, text, facts);
  return closed(shard, facts.shards, batch);
}

/** A batch that carries nothing but numbers. */
export function countedBatch(
  shard: number,
  shards: number,
  counted: readonly CountedRejections[],
): ShardBatch {
  return { ...closed(shard, shards, newBatch()), counted };
}

const NOTHING = new Uint8Array(0);

interface OpenBatch {
  /** Null before the first. */
  clicks: Cursor | null;
  /** Null before the first: most requests have none, and a cursor's buffer costs more than a click. */
  rejectedRows: Cursor | null;
  readonly rejectedEnds: number[];
  readonly places: number[];
}

function newBatch(): OpenBatch {
  return {
    clicks: null,
    rejectedRows: null,
    rejectedEnds: [],
    places: [],
  };
}

function openBatch(open: Map<number, OpenBatch>, shard: number): OpenBatch {
  let batch = open.get(shard);
  if (batch === undefined) {
    batch = newBatch();
    open.set(shard, batch);
  }
  return batch;
}

function addRejected(
  batch: OpenBatch,
  shard: number,
  rejection: Rejection,
  body: string,
  facts: RequestFacts,
): void {
  const rows = (batch.rejectedRows ??= writer());
  reserve(rows, REJECTED_CLICK_BYTES_MAX);
  writeRejectedClick(rows, {
    shard,
    receivedAtMs: facts.receivedAtMs,
    account: DEFAULT_ACCOUNT,
    keyId: DEFAULT_KEY_ID,
    code: rejection.code,
    field: rejection.field,
    message: rejection.message,
    clickId: rejection.clickId ?? "",
    ip: facts.sender.ip,
    userAgent: facts.classified.userAgent,
    country: facts.sender.country,
    body,
    sentAtMs: facts.sentAtMs,
  });
  batch.rejectedEnds.push(rows.at);
}

function requestFields({
  receivedAtMs,
  sentAtMs,
  sender,
  classified,
}: RequestFacts): RequestFields {
  return {
    receivedAtMs,
    account: DEFAULT_ACCOUNT,
    country: sender.country,
    device: classified.device,
    invalidReason: classified.invalidReason,
    keyId: DEFAULT_KEY_ID,
    ip: sender.ip,
    userAgent: classified.userAgent,
    sentAtMs,
    skewMs: skewOf(sentAtMs, receivedAtMs),
  };
}

function closed(shard: number, shards: number, batch: OpenBatch): BatchForShard {
  return {
    shard,
    shards,
    clicks: bytesOf(batch.clicks),
    rejectedRows: bytesOf(batch.rejectedRows),
    rejectedEnds: batch.rejectedEnds,
    counted: [],
    places: batch.places,
  };
}

function bytesOf(c: Cursor | null): Uint8Array {
  return c === null ? NOTHING : written(c);
}
