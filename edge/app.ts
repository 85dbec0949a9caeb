/** The edge's paths, and its answers. Two paths, compared as they stand: a router was 3 % of what a single click costs. */
import type { ProblemCode } from "../wire/ingest.ts";
import { isProblem, problem } from "./click/parse-envelope.ts";
import type { Problem } from "./click/parse-envelope.ts";
import { readBody } from "./click/read-body.ts";
import { edgeConfig } from "./config.ts";
import type { Env } from "./config.ts";
import { ingest, sortRequest } from "./ingest.ts";
import { log } from "./log.ts";
import type { Context } from "./platform.ts";
import { countRefusal } from "./refusals.ts";

const CLICKS_PATH = "/v1/clicks";
const ACCEPTED: ResponseInit = { status: 202 };

/** One asynchronous function for a request's way: whatever waits with it is kept until its shard has answered. */
export async function respond(request: Request, env: Env, context: Context): Promise<Response> {
  try {
    const path = pathOf(request.url);
    if (path !== CLICKS_PATH || request.method !== "POST") return respondAside(path, request, env);
    const receivedAtMs = Date.now();
    const body = await readBody(request);
    const sorted = typeof body === "string" ? sortRequest(request, env, body, receivedAtMs) : body;
    if (isProblem(sorted)) {
      countRefusal(sorted.code, env, context);
      return refusal(sorted);
    }
    return Response.json(await ingest(env, context, sorted), ACCEPTED);
  } catch (error) {
    log("error", "request failed", { error: String(error) });
    const detail = "something failed here: send the same request again, that is safe";
    return refusal({ status: 503, code: "internal", detail }, { "retry-after": "1" });
  }
}

/** What is no clicks. */
function respondAside(path: string, { method }: Request, env: Env): Response {
  if (path === CLICKS_PATH) {
    const detail = `${method} is not taken here: send clicks by POST`;
    return refusal(problem(405, "wrong_method", detail), { allow: "POST" });
  }
  if (path === "/health" && (method === "GET" || method === "HEAD")) {
    edgeConfig(env);
    return Response.json({ status: "ok" });
  }
  const detail = `${path} is not served: send clicks to POST ${CLICKS_PATH}`;
  return refusal(problem(404, "no_such_path", detail));
}

/** Of an absolute URL, as it was sent: nothing is decoded. */
function pathOf(url: string): string {
  const start = url.indexOf("/", url.indexOf("//") + 2);
  const end = url.indexOf("?", start);
  return url.slice(start, end === -1 ? url.length : end);
}

/** RFC 9457, with our code. */
function refusal(
  { status, code, detail }: { status: Problem["status"] | 503; code: ProblemCode; detail: string },
  headers: Record<string, string> = {},
): Response {
  return Response.json(
    { type: "about:blank", title: code.replaceAll("_", " "), status, code, detail },
    { status, headers: { ...headers, "content-type": "application/problem+json" } },
  );
}
