/** The Worker's call to a shard: never repeated here, and bounded in time where others wait for it. */
import { decodeAnswer, encodeBatch } from "./click/batch-bytes.ts";
import type { ShardBatch } from "./click/batches.ts";
import type { Env } from "./config.ts";
import { SHARD_ANSWER_MS_MAX } from "./limits.ts";
import type { ShardAnswer } from "./shard/fate.ts";
import { within } from "./within.ts";

/**
 * The shard's answer, or null when it is away: nothing is known then, and sending again is safe.
 *
 * For a request that needs no other shard. It has no limit of its own, which would be a timer for each click (4 % of what a
 * single one costs): a commit that hangs ends its shard (COMMIT_MS_MAX), the platform ends calls to objects that are
 * gone, and a sender that loses patience has the same to do as one that reads `unavailable`.
 */
export async function askShard(env: Env, batch: ShardBatch): Promise<ShardAnswer | null> {
  try {
    const stub = env.SHARD_OBJECTS.get(idOf(env, batch.shard));
    return decodeAnswer(await stub.accept(encodeBatch(batch)));
  } catch (error) {
    const { shard } = batch;
    console.error(
      JSON.stringify({ level: "error", msg: "shard is away", shard, error: String(error) }),
    );
    return null;
  }
}

/** As `askShard`, which rejects nothing; null also when there is no answer within SHARD_ANSWER_MS_MAX. */
export function askShardInTime(env: Env, batch: ShardBatch): Promise<ShardAnswer | null> {
  return within(askShard(env, batch), SHARD_ANSWER_MS_MAX, "no answer").catch(() => null);
}

/** A name's id is a hash: computed once for each shard in an isolate, of which there are SHARDS_MAX at most. */
const ids = new WeakMap<object, Map<number, DurableObjectId>>();

function idOf({ SHARD_OBJECTS }: Env, shard: number): DurableObjectId {
  let known = ids.get(SHARD_OBJECTS);
  if (known === undefined) {
    known = new Map();
    ids.set(SHARD_OBJECTS, known);
  }
  let id = known.get(shard);
  if (id === undefined) {
    id = SHARD_OBJECTS.idFromName(`shard-${shard}`);
    known.set(shard, id);
  }
  return id;
}
