/** The edge's paths, and its answers. Two paths, compared as they stand: a router was 3 % of what a single click costs. */
import type { ProblemCode } from "../wire/ingest.ts";
import { isProblem, parseEnvelope, problem } from "./click/parse-envelope.ts";
import type { Problem } from "./click/parse-envelope.ts";
import { readBody } from "./click/read-body.ts";
import { edgeConfig } from "./config.ts";
import type { Env } from "./config.ts";
import { ingest } from "./ingest.ts";
import { countRefusal } from "./refusals.ts";

type Context = Pick<ExecutionContext, "waitUntil">;

export async function respond(request: Request, env: Env, context: Context): Promise<Response> {
  try {
    const path = pathOf(request.url);
    // Awaited here: what it rejects is answered here.
    if (path === "/v1/clicks") return await takeClicks(request, env, context);
    if (path === "/health" && (request.method === "GET" || request.method === "HEAD")) {
      edgeConfig(env);
      return Response.json({ status: "ok" });
    }
    return refusal(
      problem(404, "no_such_path", `${path} is not served: send clicks to POST /v1/clicks`),
    );
  } catch (error) {
    console.error(JSON.stringify({ level: "error", msg: "request failed", error: String(error) }));
    const detail = "something failed here: send the same request again, that is safe";
    return refusal({ status: 503, code: "internal", detail }, { "retry-after": "1" });
  }
}

async function takeClicks(request: Request, env: Env, context: Context): Promise<Response> {
  if (request.method !== "POST") {
    const detail = `${request.method} is not taken here: send clicks by POST`;
    return refusal(problem(405, "wrong_method", detail), { allow: "POST" });
  }
  const receivedAtMs = Date.now();
  const body = await readBody(request);
  const envelope = typeof body === "string" ? parseEnvelope(body) : body;
  if (isProblem(envelope)) {
    countRefusal(envelope.code, env, context);
    return refusal(envelope);
  }
  return Response.json(await ingest(request, env, envelope, receivedAtMs), { status: 202 });
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
