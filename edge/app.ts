/** The edge's route table. */
import { Hono } from "hono";
import type { Context } from "hono";
import type { ProblemCode } from "../wire/ingest.ts";
import { isProblem, parseEnvelope, problem } from "./click/parse-envelope.ts";
import type { Problem } from "./click/parse-envelope.ts";
import { readBody } from "./click/read-body.ts";
import { edgeConfig } from "./config.ts";
import type { Env } from "./config.ts";
import { ingest } from "./ingest.ts";
import { countRefusal } from "./refusals.ts";

type EdgeContext = Context<{ Bindings: Env }>;

export const app = new Hono<{ Bindings: Env }>();

app.get("/health", (c) => {
  edgeConfig(c.env);
  return c.json({ status: "ok" });
});

// One route for all methods: where two match, hono makes a chain of promises for each request.
app.all("/v1/clicks", async (c) => {
  if (c.req.method !== "POST") {
    c.header("allow", "POST");
    const detail = `${c.req.method} is not taken here: send clicks by POST`;
    return refuse(c, problem(405, "wrong_method", detail));
  }
  const receivedAtMs = Date.now();
  const body = await readBody(c.req.raw);
  const envelope = typeof body === "string" ? parseEnvelope(body) : body;
  if (isProblem(envelope)) {
    countRefusal(envelope.code, c.env, c.executionCtx);
    return refuse(c, envelope);
  }
  return c.json(await ingest(c.req.raw, c.env, envelope, receivedAtMs), 202);
});

app.notFound((c) =>
  refuse(
    c,
    problem(404, "no_such_path", `${c.req.path} is not served: send clicks to POST /v1/clicks`),
  ),
);

app.onError((error, c) => {
  console.error(JSON.stringify({ level: "error", msg: "request failed", error: String(error) }));
  c.header("retry-after", "1");
  const detail = "something failed here: send the same request again, that is safe";
  return refuse(c, { status: 503, code: "internal", detail });
});

/** RFC 9457, with our code. */
function refuse(
  c: EdgeContext,
  { status, code, detail }: { status: Problem["status"] | 503; code: ProblemCode; detail: string },
): Response {
  return c.json(
    { type: "about:blank", title: code.replaceAll("_", " "), status, code, detail },
    status,
    {
      "content-type": "application/problem+json",
    },
  );
}
