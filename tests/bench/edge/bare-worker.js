/**
 * The least that a Worker in front of Durable Objects does with a click: parse it, call an object, answer. What the
 * edge does beside it is compared with this. A plain module, because nothing bundles it.
 */
import { DurableObject } from "cloudflare:workers";

export class BareObject extends DurableObject {
  accept() {}
}

export default {
  async fetch(request, { OBJECTS, SHARDS }) {
    // Whoever has started it asks whether it is there.
    if (request.method === "GET") return new Response();
    const { click_id } = await request.json();
    // By chance, not by hash: objects get as many calls as shards do, and nothing is spent on choosing.
    const object = Math.floor(Math.random() * Number(SHARDS));
    await OBJECTS.get(OBJECTS.idFromName(`object-${object}`)).accept();
    const results = [{ click_id, status: "accepted" }];
    return Response.json(
      { accepted: 1, duplicate: 0, rejected: 0, unavailable: 0, results },
      { status: 202 },
    );
  },
};
