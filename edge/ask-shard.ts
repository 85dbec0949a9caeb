/** The Worker's call to a shard: bounded in time, and never repeated here. */
import { decodeAnswer, encodeBatch } from "./click/batch-bytes.ts";
import type { ShardBatch } from "./click/batches.ts";
import type { Env } from "./config.ts";
import { SHARD_ANSWER_MS_MAX } from "./limits.ts";
import type { ShardAnswer } from "./shard/fate.ts";

/** The shard's answer, or null when it is away: nothing is known then, and sending again is safe. */
export async function askShard(env: Env, batch: ShardBatch): Promise<ShardAnswer | null> {
  const stub = env.SHARD_OBJECTS.get(env.SHARD_OBJECTS.idFromName(`shard-${batch.shard}`));
  let timer: ReturnType<typeof setTimeout> | null = null;
  const away = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), SHARD_ANSWER_MS_MAX);
  });
  const answer = stub
    .accept(encodeBatch(batch))
    .then(decodeAnswer)
    .catch((error: unknown) => {
      console.error(
        JSON.stringify({
          level: "error",
          msg: "shard is away",
          shard: batch.shard,
          error: String(error),
        }),
      );
      return null;
    });
  try {
    return await Promise.race([answer, away]);
  } finally {
    if (timer !== null) clearTimeout(timer);
  }
}
