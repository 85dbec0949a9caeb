/**
 * What a Worker in front of Durable Objects does with a click that is durable when it is answered, and hardly more: the
 * bare Worker, whose object keeps what it is called with, a row for a group of calls. What this costs beside the bare
 * call is the platform's and the group's. Three things it does otherwise than the edge: no two clicks share a call, it
 * looks its object up by name for each, as the bare Worker does, and a group does not wait for the commit of the one
 * before.
 */
import { DurableObject } from "cloudflare:workers";

export class GroupedObject extends DurableObject {
  #texts = [];
  /** @type {Promise<void> | null} */
  #group = null;
  #full = () => {};

  constructor(context, env) {
    super(context, env);
    context.storage.sql.exec(
      "CREATE TABLE IF NOT EXISTS kept (row INTEGER PRIMARY KEY, texts TEXT)",
    );
  }

  async accept(text) {
    const count = this.#texts.push(text);
    this.#group ??= this.#commitSoon();
    if (count >= Number(this.env.COMMIT_FULL_PIECES)) this.#full();
    await this.#group;
    return "accepted";
  }

  async #commitSoon() {
    await new Promise((resolve) => {
      this.#full = resolve;
      setTimeout(resolve, Number(this.env.COMMIT_LINGER_MS));
    });
    const texts = this.#texts.join("\n");
    this.#texts = [];
    this.#group = null;
    this.ctx.storage.sql.exec("INSERT INTO kept (texts) VALUES (?)", texts);
    await this.ctx.storage.sync();
  }
}

export default {
  async fetch(request, { OBJECTS, SHARDS }) {
    // Whoever has started it asks whether it is there.
    if (request.method === "GET") return new Response();
    const text = await request.text();
    const { click_id } = JSON.parse(text);
    // By chance, not by hash, as the bare Worker does.
    const object = Math.floor(Math.random() * Number(SHARDS));
    const status = await OBJECTS.get(OBJECTS.idFromName(`object-${object}`)).accept(text);
    return Response.json(
      { accepted: 1, duplicate: 0, rejected: 0, unavailable: 0, results: [{ click_id, status }] },
      { status: 202 },
    );
  },
};
