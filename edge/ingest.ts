/** The map step: an envelope goes to its shards, and every click gets its fate, in the order sent. */
import { writer } from "../wire/cursor.ts";
import type { ClickResult, IngestAnswer } from "../wire/ingest.ts";
import { askShard, askShardInTime } from "./ask-shard.ts";
import { rejectedBatch, sortIntoBatches } from "./click/batches.ts";
import type { BatchForShard, RequestFacts, Sorted } from "./click/batches.ts";
import { classify } from "./click/classify.ts";
import type { Rejection } from "./click/parse-click.ts";
import type { ClickTexts } from "./click/click-texts.ts";
import { isProblem, parseEnvelope } from "./click/parse-envelope.ts";
import type { Problem } from "./click/parse-envelope.ts";
import { edgeConfig } from "./config.ts";
import type { Env } from "./config.ts";
import { platformOf } from "./platform.ts";
import type { Context } from "./platform.ts";
import { FATE } from "./shard/fate.ts";
import type { ShardAnswer } from "./shard/fate.ts";

/**
 * For the clicks of one request after the other: a shard is asked in the turn in which they are sorted, and what it is
 * asked is bytes of its own. A buffer for each request would be made and collected apart from the heap.
 */
const ROOM_BYTES = 16_384;
let room = writer(ROOM_BYTES);

/** A request's clicks on their way: of what its body was parsed into only texts are left, while shards are waited for. */
export interface SortedRequest extends Sorted {
  readonly facts: RequestFacts;
  /** As they were sent. */
  readonly textOf: ClickTexts;
}

/** @param body decoded as UTF-8 */
export function sortRequest(
  request: Request,
  env: Env,
  body: string,
  receivedAtMs: number,
): SortedRequest | Problem {
  const envelope = parseEnvelope(body);
  if (isProblem(envelope)) return envelope;
  const config = edgeConfig(env);
  const facts: RequestFacts = {
    receivedAtMs,
    sentAtMs: envelope.sentAtMs,
    sender: platformOf(config).sender(request),
    classified: classify(request.headers.get("user-agent")),
    shards: config.shards,
  };
  const sorted = sortIntoBatches(envelope, facts, room);
  if (room.bytes.length > ROOM_BYTES) room = writer(ROOM_BYTES);
  return { ...sorted, facts, textOf: envelope.textOf };
}

/** In the turn in which they were sorted: the first batch's clicks are in the room. */
export async function ingest(
  env: Env,
  context: Context,
  sorted: SortedRequest,
): Promise<IngestAnswer> {
  const results: ClickResult[] = [];
  const settleWith = async (ask: typeof askShard, batch: BatchForShard) => {
    const answer = await ask(env, context, batch);
    settle(results, batch, answer, sorted);
    if (answer?.fates.includes(FATE.tooOld) === true)
      await keepTooOld(env, context, sorted, batch, results);
  };
  const { batches } = sorted;
  // What the other shards say must not wait for one that is away.
  if (batches.length === 1) await settleWith(askShard, batches[0]!);
  else await Promise.all(batches.map((batch) => settleWith(askShardInTime, batch)));
  return { ...tally(results), results };
}

/** Writes down what a shard's answer, or its silence, means for each click of its batch, rejected ones included. */
function settle(
  results: ClickResult[],
  { places, rejectedEnds }: BatchForShard,
  answer: ShardAnswer | null,
  { clickIds, rejections }: SortedRequest,
): void {
  places.forEach((place, i) => {
    const fate = answer === null ? FATE.unavailable : answer.fates[i]!;
    results[place] = resultOf(clickIds[place]!, fate);
  });
  if (rejectedEnds.length === 0) return;
  rejections.forEach((rejection, place) => {
    if (rejection === undefined) return;
    // What nobody has kept the sender does, and sends it again.
    const isTaken = answer?.rejectedTaken === true;
    results[place] = isTaken ? rejectedResult(rejection) : unavailableResult(rejection.clickId);
  });
}

/**
 * Only the shard knows its acceptance limit, so these are rejected after the fact: kept, to be re-applied.
 * `unavailable` when the shard could not keep them.
 */
async function keepTooOld(
  env: Env,
  context: Context,
  { clickIds, textOf, facts }: SortedRequest,
  { shard, places }: BatchForShard,
  results: ClickResult[],
): Promise<void> {
  const old = places.filter((place) => results[place]!.status === "rejected");
  const rows = old.map((place) => [tooOld(clickIds[place]!), textOf(place)] as const);
  const answer = await askShardInTime(env, context, rejectedBatch(shard, rows, facts));
  if (answer?.rejectedTaken === true) return;
  for (const place of old) results[place] = unavailableResult(clickIds[place]!);
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

function resultOf(click_id: string, fate: number): ClickResult {
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

function rejectedResult({ clickId, code, field, message }: Rejection): ClickResult {
  const result = { click_id: clickId, status: "rejected", code, message } as const;
  return field === "" ? result : { ...result, field };
}

function tally(results: readonly ClickResult[]): Omit<IngestAnswer, "results"> {
  const counts = { accepted: 0, duplicate: 0, rejected: 0, unavailable: 0 };
  for (const result of results) counts[result.status]++;
  return counts;
}
