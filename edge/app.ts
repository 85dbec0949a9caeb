/** The edge's route table. */
import { Hono } from "hono";
import type { Context } from "hono";
import { isProblem, parseEnvelope } from "./click/parse-envelope.ts";
import type { Problem } from "./click/parse-envelope.ts";
import { readBody } from "./click/read-body.ts";
import { edgeConfig } from "./config.ts";
import type { Env } from "./config.ts";
import { ingest } from "./ingest.ts";

type EdgeContext = Context<{ Bindings: Env }>;

export const app = new Hono<{ Bindings: Env }>();

app.get("/health", (c) => {
  edgeConfig(c.env);
  return c.json({ status: "ok" });
});

app.post("/v1/clicks", async (c) => {
  const receivedAtMs = Date.now();
  const body = await readBody(c.req.raw);
  if (typeof body !== "string") return refuse(c, body);
  const envelope = parseEnvelope(body);
  if (isProblem(envelope)) return refuse(c, envelope);
  return c.json(await ingest(c.req.raw, c.env, envelope, receivedAtMs), 202);
});

app.all("/v1/clicks", (c) => {
  c.header("allow", "POST");
  return refuse(c, {
    status: 405,
    code: "wrong_method",
    detail: `${c.req.method} is not taken here: POST clicks`,
  });
});

app.notFound((c) =>
  refuse(c, {
    status: 404,
    code: "no_such_path",
    detail: `${c.req.path} is not served; clicks go to POST /v1/clicks`,
  }),
);

app.onError((error, c) => {
  console.error(JSON.stringify({ level: "error", msg: "request failed", error: String(error) }));
  c.header("retry-after", "1");
  return problem(
    c,
    503,
    "internal",
    "something failed here; sending the same request again is safe",
  );
});

function refuse(c: EdgeContext, { status, code, detail }: Problem): Response {
  return problem(c, status, code, detail);
}

/** RFC 9457, with our code. */
function problem(
  c: EdgeContext,
  status: Problem["status"] | 503,
  code: string,
  detail: string,
): Response {
  return c.json(
    { type: "about:blank", title: code.replaceAll("_", " "), status, code, detail },
    status,
    {
      "content-type": "application/problem+json",
    },
  );
}
