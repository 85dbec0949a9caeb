/** A small edge in this process, for tests of its clients: exactly-once in memory, and as unreliable as asked for. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { isRejection, parseClick } from "../../edge/click/parse-click.ts";
import { stampTime } from "../../edge/click/stamp.ts";
import type { Stamp } from "../../edge/click/stamp.ts";
import type { ClickResult, ClickStatus } from "../../wire/ingest.ts";

/** What happens to one request. */
export type Behaviour =
  | { readonly kind: "answer" }
  /** Clicks are taken; the answer comes late. */
  | { readonly kind: "late"; readonly ms: number }
  /** Clicks are taken; the connection breaks instead of an answer. */
  | { readonly kind: "break_after" }
  /** Nothing is taken; the connection breaks. */
  | { readonly kind: "break_before" }
  /** Clicks are taken; half of the answer arrives. */
  | { readonly kind: "cut" }
  | { readonly kind: "status"; readonly status: number; readonly headers?: Record<string, string> }
  /** Clicks at these places are answered `unavailable`. */
  | { readonly kind: "unavailable"; readonly places: (place: number) => boolean };

/** One click taken, as a clicks_raw row. */
export interface TakenClick extends Stamp {
  readonly clickId: string;
  readonly adId: string;
  readonly userId: string;
  readonly country: string;
  readonly userAgent: string;
}

export interface FakeRequest {
  readonly sentAt: unknown;
  readonly clicks: readonly unknown[];
  readonly atMs: number;
}

export interface FakeEdge {
  readonly url: string;
  readonly requests: readonly FakeRequest[];
  /** In the order of taking, each id once. */
  readonly taken: ReadonlyMap<string, TakenClick>;
  close(): Promise<void>;
}

/**
 * @param behave by the request's number, from 0; the default answers all
 * @param onOther before any request that posts no clicks is answered with 404
 */
export async function startFakeEdge(
  behave: (request: number) => Behaviour = () => ({ kind: "answer" }),
  onOther: () => void = () => {},
): Promise<FakeEdge> {
  const requests: FakeRequest[] = [];
  const taken = new Map<string, TakenClick>();

  function take(value: unknown, sentAt: unknown, headers: IncomingMessage["headers"]): ClickResult {
    const click = parseClick(value);
    if (isRejection(click)) {
      const { clickId, code, field, message } = click;
      return { click_id: clickId, status: "rejected", code, field, message };
    }
    const { clickId, adId } = click;
    if (taken.has(clickId)) return { click_id: clickId, status: "duplicate" };
    const sentAtMs = typeof sentAt === "number" ? sentAt : null;
    taken.set(clickId, {
      ...stampTime(click.claimedTimeMs, sentAtMs, Date.now()),
      clickId,
      adId,
      userId: click.userId,
      country: String(headers["x-clickmill-country"] ?? ""),
      userAgent: headers["user-agent"] ?? "",
    });
    return { click_id: clickId, status: "accepted" };
  }

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    if (request.method !== "POST" || request.url !== "/v1/clicks") {
      onOther();
      response.writeHead(404).end();
      return;
    }
    const body = JSON.parse(Buffer.concat(parts).toString()) as {
      sent_at?: unknown;
      clicks: unknown[];
    };
    const behaviour = behave(requests.length);
    requests.push({ sentAt: body.sent_at, clicks: body.clicks, atMs: performance.now() });
    if (behaviour.kind === "break_before") {
      request.socket.destroy();
      return;
    }
    if (behaviour.kind === "status") {
      response.writeHead(behaviour.status, behaviour.headers).end("not now");
      return;
    }
    const results = body.clicks.map((value, place): ClickResult => {
      const away = behaviour.kind === "unavailable" && behaviour.places(place);
      return away
        ? { click_id: null, status: "unavailable" }
        : take(value, body.sent_at, request.headers);
    });
    if (behaviour.kind === "break_after") {
      request.socket.destroy();
      return;
    }
    if (behaviour.kind === "late") await delay(behaviour.ms);
    const count = (status: ClickStatus) => results.filter((r) => r.status === status).length;
    const text = JSON.stringify({
      accepted: count("accepted"),
      duplicate: count("duplicate"),
      rejected: count("rejected"),
      unavailable: count("unavailable"),
      results,
    });
    response.writeHead(202, { "content-type": "application/json" });
    response.end(behaviour.kind === "cut" ? text.slice(0, text.length / 2) : text);
  }

  const server = createServer((request, response) => {
    // A request that the client has cut off fails while it is read; nothing was taken then.
    handle(request, response).catch(() => request.socket.destroy());
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    taken,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
