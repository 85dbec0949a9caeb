/** The HTTP shell: reads a request, runs its plan on the engine, answers as a ClickHouse server does. */
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip, createGzip } from "node:zlib";
import { DISPLAY_NAME_HEADER, EMBEDDED_DISPLAY_NAME } from "./display-name.ts";
import type { Engine, EngineFigures, EngineResult } from "./engine.ts";
import { failureOf, refusal } from "./engine-error.ts";
import { INSERT_HEAD_BYTES_MAX, STALLED_CONNECTION_MS_MAX, STATEMENT_BYTES_MAX } from "./limits.ts";
import {
  contentType,
  insertFromFile,
  planHead,
  planInsert,
  planStatement,
  sessionSetup,
} from "./request-plan.ts";
import type { InsertPlan, RequestHead, StatementPlan } from "./request-plan.ts";
import type { Spool } from "./spool.ts";

export function createClickHouseServer(engine: Engine, spool: Spool): Server {
  const server = createServer((request, response) => {
    handle(engine, spool, request, response).catch((error: unknown) => {
      // handle() answers every failure itself; what escapes is a fault of ours, of this one request.
      console.error(`${request.method} ${request.url}:`, error);
      response.destroy();
    });
  });
  // An INSERT may stream for as long as it moves; the stall below bounds it.
  server.requestTimeout = 0;
  return server;
}

async function handle(
  engine: Engine,
  spool: Spool,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const gone = new AbortController();
  response.on("close", () => {
    if (!response.writableFinished) gone.abort();
  });
  try {
    const { method, url, headers } = request;
    const plan = planHead(method ?? "GET", url ?? "/", headers, randomUUID());
    if (plan.kind === "ping") {
      request.resume();
      response.writeHead(200, { "Content-Type": "text/plain; charset=UTF-8" }).end("Ok.\n");
      return;
    }
    if (plan.kind === "refused") throw plan.failure;
    response.setHeader(DISPLAY_NAME_HEADER, EMBEDDED_DISPLAY_NAME);
    response.setHeader("X-ClickHouse-Query-Id", plan.head.queryId);
    await answer(engine, spool, plan.head, request, response, gone.signal);
  } catch (error) {
    const isCutOff = request.destroyed && !request.complete;
    if (gone.signal.aborted || isCutOff) return;
    answerFailure(error, request, response);
  }
}

async function answer(
  engine: Engine,
  spool: Spool,
  head: RequestHead,
  request: IncomingMessage,
  response: ServerResponse,
  gone: AbortSignal,
): Promise<void> {
  const slot = engine.admit();
  const tag = `q${++tagCount}`;
  try {
    request.setTimeout(STALLED_CONNECTION_MS_MAX, () => request.destroy());
    const body = bodyOf(head, request);
    const first = await readUpTo(body, INSERT_HEAD_BYTES_MAX);
    const insert = planInsert(first.bytes.toString("latin1"), first.ended);
    if (insert?.kind === "refused") throw insert.failure;
    if (insert?.kind === "insert") {
      const file = await spool.write(concat(first.bytes.subarray(insert.dataOffset), body));
      try {
        request.setTimeout(0);
        const query = insertQuery(head, insert, file.path, tag);
        await engine.run(query, gone, (result) => sendInserted(result, response));
      } finally {
        await file.remove();
      }
      return;
    }
    const rest = first.ended ? null : await readUpTo(body, STATEMENT_BYTES_MAX);
    if (rest !== null && !rest.ended) {
      const why = `A statement is limited to ${STATEMENT_BYTES_MAX} bytes`;
      throw refusal(223, "QUERY_IS_TOO_LARGE", 413, why);
    }
    request.setTimeout(0);
    const text = Buffer.concat([first.bytes, rest?.bytes ?? Buffer.alloc(0)]).toString("utf8");
    const statement = planStatement(text, head.defaultFormat);
    if (statement.kind === "refused") throw statement.failure;
    if (statement.kind === "insert") throw new Error("planStatement plans no INSERT with data");
    const query = { ...statement, tag, setup: sessionSetup(head, statement, tag) };
    await engine.run(query, gone, (result) => sendResult(head, statement, result, response));
  } finally {
    slot.release();
  }
}

let tagCount = 0;

function insertQuery(head: RequestHead, insert: InsertPlan, path: string, tag: string) {
  return {
    tag,
    setup: sessionSetup(head, insert, tag),
    sql: insertFromFile(insert, path),
    format: "Null",
    reads: false,
    streams: false,
  };
}

/** URL query, a line end, and the body, inflated: one run of bytes, as the engine's own handler sees it. */
async function* bodyOf(head: RequestHead, request: IncomingMessage): AsyncGenerator<Buffer> {
  if (head.urlQuery !== "") yield Buffer.from(`${head.urlQuery}\n`);
  if (!head.bodyIsGzip) {
    yield* request as AsyncIterable<Buffer>;
    return;
  }
  const inflated = createGunzip();
  const piped = pipeline(request, inflated);
  // The reader below sees the same error.
  piped.catch(() => {});
  try {
    yield* inflated as AsyncIterable<Buffer>;
  } catch (error) {
    throw refusal(354, "ZLIB_INFLATE_FAILED", 400, `The body is not gzip: ${String(error)}`);
  }
}

/** At least `byteCount` bytes, or all of them. */
async function readUpTo(
  source: AsyncGenerator<Buffer>,
  byteCount: number,
): Promise<{ bytes: Buffer; ended: boolean }> {
  const chunks: Buffer[] = [];
  let length = 0;
  while (length < byteCount) {
    // oxlint-disable-next-line no-await-in-loop
    const next = await source.next();
    if (next.done) return { bytes: Buffer.concat(chunks), ended: true };
    chunks.push(next.value);
    length += next.value.length;
  }
  return { bytes: Buffer.concat(chunks), ended: false };
}

async function* concat(first: Uint8Array, rest: AsyncIterable<Uint8Array>) {
  if (first.length > 0) yield first;
  yield* rest;
}

async function sendInserted(result: EngineResult, response: ServerResponse): Promise<void> {
  if (result.kind !== "whole") throw new Error("an INSERT has no stream of results");
  // The engine counts the rows it was given, also those that a token has dropped.
  const { rows, bytes, elapsedNs } = result.figures;
  const summary = { written_rows: rows, written_bytes: bytes, elapsed_ns: elapsedNs };
  response.writeHead(200, { "X-ClickHouse-Summary": summaryText(summary) }).end();
}

async function sendResult(
  head: RequestHead,
  plan: StatementPlan,
  result: EngineResult,
  response: ServerResponse,
): Promise<void> {
  response.setHeader("X-ClickHouse-Format", plan.format);
  response.setHeader("Content-Type", contentType(plan.format));
  if (result.kind === "whole") {
    const summary = summaryText(resultSummary(result.figures));
    response.setHeader("X-ClickHouse-Summary", summary);
    await send(head, response, [result.bytes]);
    return;
  }
  // The first chunk comes before the status: most errors are known by then.
  const chunks = result.chunks[Symbol.asyncIterator]();
  const first = await chunks.next();
  await send(
    head,
    response,
    first.done ? [] : concat(first.value, { [Symbol.asyncIterator]: () => chunks }),
  );
}

function resultSummary({ rows, bytes, elapsedNs }: EngineFigures) {
  return { result_rows: rows, result_bytes: bytes, elapsed_ns: elapsedNs };
}

/** Only figures that the engine gives; as strings, because a server sends them so. */
function summaryText(figures: Readonly<Record<string, number>>): string {
  return JSON.stringify(
    Object.fromEntries(Object.entries(figures).map(([k, v]) => [k, String(v)])),
  );
}

async function send(
  head: RequestHead,
  response: ServerResponse,
  chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<void> {
  // A reader that takes nothing is cut off, and its query with it.
  response.setTimeout(STALLED_CONNECTION_MS_MAX, () => response.destroy());
  const source = Readable.from(chunks, { objectMode: false });
  if (!head.answerIsGzip) return pipeline(source, response);
  response.setHeader("Content-Encoding", "gzip");
  return pipeline(source, createGzip(), response);
}

function answerFailure(error: unknown, request: IncomingMessage, response: ServerResponse): void {
  const failure = failureOf(error);
  if (failure === null)
    console.error(`query ${String(response.getHeader("X-ClickHouse-Query-Id"))}:`, error);
  if (response.headersSent) {
    // Rows have been sent with status 200: only a broken connection tells the reader that more are missing.
    response.destroy();
    return;
  }
  const { code, status, message } = failure ?? {
    code: 1001,
    status: 500,
    message: `Code: 1001. DB::Exception: ${String(error)}. (STD_EXCEPTION)`,
  };
  response.removeHeader("X-ClickHouse-Format");
  response.removeHeader("Content-Encoding");
  response.writeHead(status, {
    "Content-Type": "text/plain; charset=UTF-8",
    "X-ClickHouse-Exception-Code": String(code),
    ...(status === 503 ? { "Retry-After": "1" } : {}),
    // What is left of an unread body would be taken for the next request.
    ...(request.complete ? {} : { Connection: "close" }),
  });
  response.end(`${message}\n`);
  request.resume();
}
