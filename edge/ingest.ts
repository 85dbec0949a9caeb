/** The map step: an envelope goes to its shards, and every click gets its fate, in the order sent. */
import { writer } from "../wire/cursor.ts";
import type { ClickResult, IngestAnswer } from "../wire/ingest.ts";
import { askShard, askShardInTime } from "./ask-shard.ts";
import { rejectedBatch, sortIntoBatches } from "./click/batches.ts";
import type { BatchForShard, RequestFacts } from "./click/batches.ts";
import { classify } from "./click/classify.ts";
import type { Rejection } from "./click/parse-click.ts";
import type { Envelope } from "./click/parse-envelope.ts";
import { edgeConfig } from "./config.ts";
import type { Env } from "./config.ts";
import { platformOf } from "./platform.ts";
import { FATE } from "./shard/fate.ts";

/**
 * For the clicks of one request after the other: a shard is asked in the turn in which they are sorted, and what it is
 * asked is bytes of its own. A buffer for each request would be made and collected apart from the heap.
 */
const ROOM_BYTES = 16_384;
let room = writer(ROOM_BYTES);

export async function ingest(
  request: Request,
  env: Env,
  envelope: Envelope,
  receivedAtMs: number,
): Promise<IngestAnswer> {
  const config = edgeConfig(env);
  const facts: RequestFacts = {
    receivedAtMs,
    sentAtMs: envelope.sentAtMs,
    sender: platformOf(config).sender(request),
    classified: classify(request.headers.get("user-agent")),
    shards: config.shards,
  };
  const { batches, rejections } = sortIntoBatches(envelope, facts, room);
  if (room.bytes.length > ROOM_BYTES) room = writer(ROOM_BYTES);
  const results: ClickResult[] = [];
  const rejectedPlaces = [...rejections.keys()].filter((place) => rejections[place] !== undefined);
  for (const place of rejectedPlaces) results[place] = rejectedResult(rejections[place]!);
  // What the other shards say must not wait for one that is away.
  const ask = batches.length === 1 ? askShard : askShardInTime;
  const settle = async (batch: BatchForShard) => {
    const answer = await ask(env, batch);
    const fates = answer?.fates ?? new Uint8Array(batch.places.length).fill(FATE.unavailable);
    batch.places.forEach((place, i) => {
      results[place] = resultOf(envelope.clicks[place], fates[i]!);
    });
    // Nobody has kept them: the sender does, and sends them again.
    if (answer?.rejectedTaken !== true && batch.rejectedEnds.length > 0) {
      for (const place of rejectedPlaces)
        results[place] = unavailableResult(rejections[place]!.clickId);
    }
    if (!fates.includes(FATE.tooOld) || (await keepTooOld(env, envelope, batch, fates, facts)))
      return;
    batch.places.forEach((place, i) => {
      if (fates[i] === FATE.tooOld)
        results[place] = unavailableResult(clickIdOf(envelope.clicks[place]));
    });
  };
  await (batches.length === 1 ? settle(batches[0]!) : Promise.all(batches.map(settle)));
  return { ...tally(results), results };
}

/**
 * Only the shard knows its acceptance limit, so these are rejected after the fact: kept, to be
 * re-applied. False when the shard could not keep them.
 */
async function keepTooOld(
  env: Env,
  envelope: Envelope,
  batch: BatchForShard,
  fates: Uint8Array,
  facts: RequestFacts,
): Promise<boolean> {
  const old = batch.places
    .filter((_, i) => fates[i] === FATE.tooOld)
    .map((place) => [tooOld(clickIdOf(envelope.clicks[place])), envelope.textOf(place)] as const);
  const answer = await askShardInTime(env, rejectedBatch(batch.shard, old, facts));
  return answer?.rejectedTaken === true;
}

function tooOld(clickId: string): Rejection {
  return {
    code: "too_old",
    field: "timestamp",
    message:
      "the click is older than what this service remembers: do not send it again; it is kept, and may be applied later",
    clickId,
  };
}

function resultOf(click: unknown, fate: number): ClickResult {
  const click_id = clickIdOf(click);
  switch (fate) {
    case FATE.accepted:
      return { click_id, status: "accepted" };
    case FATE.duplicate:
      return { click_id, status: "duplicate" };
    case FATE.tooOld:
      return rejectedResult(tooOld(click_id));
    case FATE.unavailable:
      return unavailableResult(click_id);
    default:
      throw new Error(`a shard answered fate ${fate}`);
  }
}

function unavailableResult(click_id: string | null): ClickResult {
  return { click_id, status: "unavailable" };
}

/** Only for elements that parsed as clicks. */
function clickIdOf(click: unknown): string {
  return (click as { readonly click_id: string }).click_id;
}

function rejectedResult({ clickId, code, field, message }: Rejection): ClickResult {
  const result = { click_id: clickId, status: "rejected", code, message } as const;
  return field === "" ? result : { ...result, field };
}

function tally(results: readonly ClickResult[]): Omit<IngestAnswer, "results"> {
  const counts = { accepted: 0, duplicate: 0, rejected: 0, unavailable: 0 };
  for (const result of results) counts[result.status]++;
  return counts;
}
