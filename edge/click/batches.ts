/** An envelope's clicks, parsed, stamped and encoded into one batch for each shard concerned. */
import { reserve, writer, written } from "../../wire/cursor.ts";
import type { Cursor } from "../../wire/cursor.ts";
import { writeRawClick, RAW_CLICK_BYTES_MAX } from "../../wire/raw-click.ts";
import { REJECTED_CLICK_BYTES_MAX, writeRejectedClick } from "../../wire/rejected-click.ts";
import type { CountedRejections } from "../../wire/rejected-click.ts";
import { shardOf } from "../../wire/routing.ts";
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
  /** clicks_raw rows with empty units, and where each ends. */
  readonly rows: Uint8Array;
  readonly rowEnds: readonly number[];
  /** clicks_rejected rows with empty units, and where each ends. */
  readonly rejectedRows: Uint8Array;
  readonly rejectedEnds: readonly number[];
  /** What was refused without leaving a row: requests that could not be read. */
  readonly counted: readonly CountedRejections[];
  /** The same for all rows: the request's skew (ms; null without a client clock) and invalid_reason ("" for none). */
  readonly skewMs: number | null;
  readonly invalidReason: string;
}

export interface BatchForShard extends ShardBatch {
  /** For each row of `rows`, its place in the envelope. */
  readonly places: readonly number[];
}

export interface Sorted {
  readonly batches: readonly BatchForShard[];
  /** By place in the envelope; undefined where the click went to a shard. */
  readonly rejections: readonly (Rejection | undefined)[];
}

/** What is the same for all clicks of a request. */
export interface RequestFacts {
  readonly receivedAtMs: number;
  readonly sentAtMs: number | null;
  readonly sender: Sender;
  readonly classified: Classified;
  readonly shards: number;
}

/** Sorts an envelope into batches. Rejected clicks travel with the request's first batch. */
export function sortIntoBatches(envelope: Envelope, facts: RequestFacts): Sorted {
  const open = new Map<number, OpenBatch>();
  const rejections: (Rejection | undefined)[] = [];
  for (let place = 0; place < envelope.clicks.length; place++) {
    const click = parseClick(envelope.clicks[place]);
    if (isRejection(click)) {
      rejections[place] = click;
      continue;
    }
    const shard = shardOf(click.clickId, facts.shards);
    const batch = openBatch(open, shard);
    const stamp = stampTime(click.timestampMs, facts.sentAtMs, facts.receivedAtMs);
    reserve(batch.rows, RAW_CLICK_BYTES_MAX);
    writeRawClick(batch.rows, {
      shard,
      receivedAtMs: facts.receivedAtMs,
      eventTimeMs: stamp.eventTimeMs,
      timeSource: stamp.timeSource,
      account: DEFAULT_ACCOUNT,
      clickId: click.clickId,
      adId: click.adId,
      country: facts.sender.country,
      device: facts.classified.device,
      invalidReason: facts.classified.invalidReason,
      keyId: DEFAULT_KEY_ID,
      userId: click.userId,
      ip: facts.sender.ip,
      userAgent: facts.classified.userAgent,
      claimedTimeMs: click.timestampMs,
      sentAtMs: facts.sentAtMs,
      skewMs: stamp.skewMs,
    });
    batch.rowEnds.push(batch.rows.at);
    batch.places.push(place);
  }
  rejections.forEach((rejection, place) => {
    if (rejection === undefined) return;
    const home = open.keys().next().value ?? shardOf(rejection.clickId ?? "?", facts.shards);
    addRejected(openBatch(open, home), home, rejection, envelope.textOf(place), facts);
  });
  return {
    batches: [...open].map(([shard, batch]) => close(shard, batch, facts)),
    rejections,
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
  return close(shard, batch, facts);
}

/** A batch that carries nothing but numbers. */
export function countedBatch(
  shard: number,
  shards: number,
  counted: readonly CountedRejections[],
): ShardBatch {
  return { ...closed(shard, shards, newBatch(), { skewMs: null, invalidReason: "" }), counted };
}

const NOTHING = new Uint8Array(0);

interface OpenBatch {
  readonly rows: Cursor;
  readonly rowEnds: number[];
  /** Null before the first: most requests have none, and a cursor's buffer costs more than a click. */
  rejectedRows: Cursor | null;
  readonly rejectedEnds: number[];
  readonly places: number[];
}

function newBatch(): OpenBatch {
  return {
    rows: writer(RAW_CLICK_BYTES_MAX),
    rowEnds: [],
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

function close(shard: number, batch: OpenBatch, facts: RequestFacts): BatchForShard {
  return closed(shard, facts.shards, batch, {
    skewMs: skewOf(facts.sentAtMs, facts.receivedAtMs),
    invalidReason: facts.classified.invalidReason,
  });
}

function closed(
  shard: number,
  shards: number,
  batch: OpenBatch,
  figures: Pick<ShardBatch, "skewMs" | "invalidReason">,
): BatchForShard {
  return {
    shard,
    shards,
    ...figures,
    rows: written(batch.rows),
    rowEnds: batch.rowEnds,
    rejectedRows: batch.rejectedRows === null ? NOTHING : written(batch.rejectedRows),
    rejectedEnds: batch.rejectedEnds,
    counted: [],
    places: batch.places,
  };
}
