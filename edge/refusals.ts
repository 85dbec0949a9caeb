/**
 * Refused requests are counted by reason, and not stored: gathered in the isolate, and handed to a
 * shard that writes one row for many. Figures for operators: an isolate that ends takes its last second
 * with it, and a hand-over whose answer is lost is counted again.
 */
import type { ProblemCode } from "../wire/ingest.ts";
import { askShardInTime } from "./ask-shard.ts";
import { countedBatch, DEFAULT_ACCOUNT, DEFAULT_KEY_ID } from "./click/batches.ts";
import { edgeConfig } from "./config.ts";
import type { Env } from "./config.ts";
import { REFUSALS_LINGER_MS, SHARD_ANSWER_MS_MAX } from "./limits.ts";
import type { Context } from "./platform.ts";
import { pause } from "./within.ts";

/** Shared by all requests of the isolate: plain numbers, nothing that belongs to one request. */
const gathered = new Map<ProblemCode, number>();
let handOverSinceMs: number | null = null;

/** Counts one; the request that finds no other on its way carries what is gathered, after its answer. */
export function countRefusal(code: ProblemCode, env: Env, context: Context): void {
  gather(code, 1);
  // A request's work may end with the request: then another takes over.
  const handOverMsMax = REFUSALS_LINGER_MS + SHARD_ANSWER_MS_MAX;
  if (handOverSinceMs !== null && Date.now() - handOverSinceMs < handOverMsMax) return;
  handOverSinceMs = Date.now();
  context.waitUntil(handOver(env, context));
}

function gather(code: ProblemCode, count: number): void {
  gathered.set(code, (gathered.get(code) ?? 0) + count);
}

async function handOver(env: Env, context: Context): Promise<void> {
  await pause(REFUSALS_LINGER_MS);
  const { shards } = edgeConfig(env);
  const counts = [...gathered];
  gathered.clear();
  handOverSinceMs = null;
  const account = DEFAULT_ACCOUNT;
  const keyId = DEFAULT_KEY_ID;
  const counted = counts.map(([code, count]) => ({ account, keyId, code, field: "", count }));
  // Any shard will do, so all of them take their part.
  const shard = Math.floor(Math.random() * shards);
  const answer = await askShardInTime(env, context, countedBatch(shard, shards, counted));
  if (answer === null) for (const [code, count] of counts) gather(code, count);
}
