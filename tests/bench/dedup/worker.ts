/** The shard's memory inside workerd: an object that does what bench:dedup does over node:sqlite. */
import { DurableObject } from "cloudflare:workers";
import { Remembered } from "./remembered.ts";
import type { Step, StepAnswer } from "./remembered.ts";

interface BenchEnv {
  readonly OBJECTS: DurableObjectNamespace<DedupObject>;
}

export class DedupObject extends DurableObject<BenchEnv> {
  readonly #remembered: Remembered;

  constructor(ctx: DurableObjectState, env: BenchEnv) {
    super(ctx, env);
    this.#remembered = new Remembered(ctx.storage.sql);
  }

  async take(step: Step): Promise<StepAnswer> {
    this.#remembered.receive(step.bucket, step.from, step.to, step.seals);
    await this.ctx.storage.sync();
    let missed = 0;
    if (step.lookUpEvery > 0) {
      for (let n = 0; n < step.to; n += step.lookUpEvery) if (!this.#remembered.has(n)) missed++;
    }
    return { ids: this.#remembered.size, indexBytes: this.#remembered.byteCount, missed };
  }
}

export default {
  async fetch(request: Request, env: BenchEnv): Promise<Response> {
    // Whoever has started it asks whether it is there.
    if (request.method === "GET") return new Response();
    const object = env.OBJECTS.get(env.OBJECTS.idFromName("object"));
    return Response.json(await object.take(await request.json<Step>()));
  },
};
