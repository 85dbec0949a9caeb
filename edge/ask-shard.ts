/**
 * The Worker's call to a shard: shared with other requests (shared-call.ts), never repeated here, and bounded in time
 * where others wait.
 */
import { decodeAnswers } from "./click/batch-bytes.ts";
import type { ShardBatch } from "./click/batches.ts";
import type { Env } from "./config.ts";
import { SHARD_ANSWER_MS_MAX } from "./limits.ts";
import { log } from "./log.ts";
import type { Context } from "./platform.ts";
import type { ShardAnswer } from "./shard/fate.ts";
import { nextLookMs, ShardLine } from "./shared-call.ts";
import type { SharedCall } from "./shared-call.ts";
import { pause, within } from "./within.ts";

/**
 * The shard's answer, or null when it is away: nothing is known then, and sending again is safe.
 *
 * For a request that needs no other shard. Who makes a call has no limit of its own, which would be a timer for each
 * (4 % of what a single click costs): a commit that hangs ends its shard (COMMIT_MS_MAX), the platform ends calls to
 * objects that are gone, and a sender that loses patience has the same to do as one that reads `unavailable`.
 */
export async function askShard(
  env: Env,
  context: Context,
  batch: ShardBatch,
): Promise<ShardAnswer | null> {
  const known = knownShard(env, batch.shard);
  const nowMs = Date.now();
  const { call, index } = known.line.join(batch, nowMs);
  if (index === 0) {
    const made = makeCall(env, known, call, call.dueAtMs - nowMs);
    // Others wait for it, too, when this request's client has gone.
    context.waitUntil(made);
    await made;
  } else await waitForAnswers(call, known.line.firstLookMs(call, nowMs));
  return call.answers?.[index] ?? null;
}

/** As `askShard`; null also when there is no answer within SHARD_ANSWER_MS_MAX. */
export function askShardInTime(
  env: Env,
  context: Context,
  batch: ShardBatch,
): Promise<ShardAnswer | null> {
  const asked = askShard(env, context, batch).catch((error: unknown) => {
    logAway(batch.shard, error);
    return null;
  });
  return within(asked, SHARD_ANSWER_MS_MAX, "no answer").catch(() => null);
}

/** Rejects nothing: afterwards the call has its answers. */
async function makeCall(
  env: Env,
  { id, line, shard }: KnownShard,
  call: SharedCall,
  waitMs: number,
): Promise<void> {
  try {
    if (waitMs > 0) await pause(waitMs);
    const stub = env.SHARD_OBJECTS.get(id);
    // Not kept by a name while it is waited for.
    const answers = await stub.accept(line.take(call, Date.now()));
    line.answered(call, decodeAnswers(answers, call.batchCount), Date.now());
  } catch (error) {
    line.failed(call);
    logAway(shard, error);
  }
}

function logAway(shard: number, error: unknown): void {
  log("error", "shard is away", { shard, error: String(error) });
}

/** Until the call has ended, or for SHARD_ANSWER_MS_MAX: the request that makes it may be gone. */
async function waitForAnswers(call: SharedCall, firstLookMs: number): Promise<void> {
  let waitMs = firstLookMs;
  let waitedMs = 0;
  while (call.answers === null && waitedMs < SHARD_ANSWER_MS_MAX) {
    // oxlint-disable-next-line no-await-in-loop
    await pause(waitMs);
    waitedMs += waitMs;
    waitMs = Math.min(nextLookMs(waitedMs), SHARD_ANSWER_MS_MAX - waitedMs);
  }
}

/** What an isolate needs to ask a shard: plain values, which all its requests may use. */
interface KnownShard {
  readonly shard: number;
  /** A name's id is a hash: computed once. */
  readonly id: DurableObjectId;
  readonly line: ShardLine;
}

/** By shard, of which there are SHARDS_MAX at most. */
const knownShards = new WeakMap<object, Map<number, KnownShard>>();

function knownShard({ SHARD_OBJECTS }: Env, shard: number): KnownShard {
  let byShard = knownShards.get(SHARD_OBJECTS);
  if (byShard === undefined) {
    byShard = new Map();
    knownShards.set(SHARD_OBJECTS, byShard);
  }
  let known = byShard.get(shard);
  if (known === undefined) {
    known = { shard, id: SHARD_OBJECTS.idFromName(`shard-${shard}`), line: new ShardLine() };
    byShard.set(shard, known);
  }
  return known;
}
