/** The Worker's call to a shard: bounded in time, and never repeated here. */
import { decodeAnswer, encodeBatch } from "./click/batch-bytes.ts";
import type { ShardBatch } from "./click/batches.ts";
import type { Env } from "./config.ts";
import { SHARD_ANSWER_MS_MAX } from "./limits.ts";
import type { ShardAnswer } from "./shard/fate.ts";

/** The shard's answer, or null when it is away: nothing is known then, and sending again is safe. */
export function askShard(env: Env, batch: ShardBatch): Promise<ShardAnswer | null> {
  const stub = env.SHARD_OBJECTS.get(idOf(env, batch.shard));
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(null), SHARD_ANSWER_MS_MAX);
    const answer = (given: ShardAnswer | null) => {
      clearTimeout(timer);
      resolve(given);
    };
    stub
      .accept(encodeBatch(batch))
      .then(decodeAnswer)
      .then(answer, (error: unknown) => {
        console.error(
          JSON.stringify({
            level: "error",
            msg: "shard is away",
            shard: batch.shard,
            error: String(error),
          }),
        );
        answer(null);
      });
  });
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
