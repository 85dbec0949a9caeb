/** The HTTP shell: reads a request, runs its plan on the engine, answers as a ClickHouse server does. */
import { randomBytes, randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout } from "node:timers/promises";
import { concat, cutOffStalled, decoded, ENCODERS, readUpTo } from "./byte-streams.ts";
import { isLoopback } from "./confinement.ts";
import type { User } from "./credentials.ts";
import type { Engine, EngineFigures } from "./engine.ts";
import { failureOf, refusal, withoutPath } from "./engine-error.ts";
import type { QueryFailure } from "./engine-error.ts";
import { parseForm } from "./form-data.ts";
import {
  BUFFERED_RESULT_BYTES_MAX,
  LATE_ERROR_LINGER_MS_MAX,
  FORM_BYTES_MAX,
  INSERT_HEAD_BYTES_MAX,
  KEEP_ALIVE_MS,
  STALLED_CONNECTION_MS_MAX,
  STATEMENT_BYTES_MAX,
} from "./limits.ts";
import { isPlainName, planHead } from "./request-head.ts";
import type { RequestHead } from "./request-head.ts";
import {
  contentType,
  CORS_HEADERS,
  EXCEPTION_TAG_LENGTH,
  exceptionFrame,
  exceptionTag,
  serverHeaders,
  summaryText,
} from "./response-plan.ts";
import { sessionSetup } from "./session-setup.ts";
import type { Spool } from "./spool.ts";
import {
  insertFromFile,
  isFramed,
  planInsert,
  planStatement,
  resultIntoFile,
} from "./statement-plan.ts";
import type { InsertPlan, StatementPlan } from "./statement-plan.ts";

export interface ServerParts {
  readonly engine: Engine;
  readonly spool: Spool;
  readonly user: User;
  /** Of queries that name none. */
  readonly timezone: string;
}

/** One request under way. */
interface Exchange extends ServerParts {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly head: RequestHead;
  /** Aborted when the client has gone. */
  readonly gone: AbortSignal;
  /** By which the engine finds the query again. */
  readonly tag: string;
}

export function createClickHouseServer(parts: ServerParts): Server {
  const server = createServer((request, response) => {
    handle(parts, request, response).catch((error: unknown) => {
      // handle() answers every failure itself; what escapes is a fault of ours, of this one request.
      console.error(`${request.method} ${pathOf(request)}:`, error);
      response.destroy();
    });
  });
  // An INSERT may stream for as long as it moves; the stall below bounds it.
  server.requestTimeout = 0;
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  return server;
}

async function handle(
  parts: ServerParts,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const gone = new AbortController();
  response.on("close", () => {
    if (!response.writableFinished) gone.abort();
  });
  const { method, url, headers } = request;
  try {
    // Without a password only pages of this machine may read what is answered.
    const mayShare = parts.user.password !== "" || isLoopback(headers.origin ?? "");
    setHeaders(response, serverHeaders(headers.origin !== undefined && mayShare));
    const plan = planHead(method ?? "GET", url ?? "/", headers, randomUUID(), parts.user);
    if (plan.kind === "refused") throw plan.failure;
    if (plan.kind === "options") {
      request.resume();
      response.writeHead(204, mayShare ? { ...CORS_HEADERS } : {}).end();
      return;
    }
    if (plan.kind === "ok") {
      request.resume();
      response.writeHead(200, { "Content-Type": "text/plain; charset=UTF-8" }).end("Ok.\n");
      return;
    }
    const { head } = plan;
    response.setHeader("X-ClickHouse-Query-Id", head.queryId);
    // Nobody can guess it: who knows a tag may kill its query.
    const tag = randomUUID();
    await answer({ ...parts, request, response, head, gone: gone.signal, tag });
  } catch (error) {
    const isCutOff = request.destroyed && !request.complete;
    if (gone.signal.aborted || isCutOff) return;
    answerFailure(error, request, response);
  }
}

/** Without its query, where a password may stand. */
function pathOf(request: IncomingMessage): string {
  return (request.url ?? "").replace(/\?.*/s, "");
}

function setHeaders(response: ServerResponse, headers: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
}

async function answer(exchange: Exchange): Promise<void> {
  const { engine, request, head } = exchange;
  const slot = engine.admit();
  try {
    request.setTimeout(STALLED_CONNECTION_MS_MAX, () => request.destroy());
    const body = decoded(request, head.bodyEncoding);
    if (head.formBoundary !== null) return await answerForm(exchange, head.formBoundary, body);
    const text = textOf(head, body);
    const first = await readUpTo(text, INSERT_HEAD_BYTES_MAX);
    const insert = planInsert(first.bytes.toString("latin1"), first.ended);
    if (insert?.kind === "refused") throw insert.failure;
    if (insert?.kind === "insert") {
      const data = concat(first.bytes.subarray(insert.dataOffset), text);
      return await answerInsert(exchange, insert, data);
    }
    const rest = first.ended ? null : await readUpTo(text, STATEMENT_BYTES_MAX);
    if (rest !== null && !rest.ended) throw tooLarge("A statement", STATEMENT_BYTES_MAX);
    const all = Buffer.concat([first.bytes, rest?.bytes ?? Buffer.alloc(0)]);
    await answerStatement(exchange, all.toString("utf8"));
  } finally {
    slot.release();
  }
}

/** Query and parameters from a form; the query has no data then, because the form has no place for it. */
async function answerForm(
  exchange: Exchange,
  boundary: string,
  body: AsyncGenerator<Buffer>,
): Promise<void> {
  const { bytes, ended } = await readUpTo(body, FORM_BYTES_MAX);
  if (!ended) throw tooLarge("A form", FORM_BYTES_MAX);
  const form = parseForm(bytes, boundary);
  if (form.kind === "refused") throw form.failure;
  const wrong = [...form.parameters.keys()].find((name) => !isPlainName(name));
  if (wrong !== undefined) {
    throw refusal(36, "BAD_ARGUMENTS", 400, `Query parameter '${wrong}' is no name`);
  }
  // What the URL names wins, as on a server.
  const parameters = new Map([...form.parameters, ...exchange.head.parameters]);
  const head = { ...exchange.head, parameters };
  const sql = [head.urlQuery, form.query].filter((text) => text !== "").join("\n");
  await answerStatement({ ...exchange, head }, sql);
}

function tooLarge(what: string, byteCount: number): QueryFailure {
  return refusal(229, "QUERY_IS_TOO_LARGE", 413, `${what} is limited to ${byteCount} bytes`);
}

async function answerInsert(
  exchange: Exchange,
  insert: InsertPlan,
  data: AsyncIterable<Uint8Array>,
): Promise<void> {
  const { engine, spool, request, response, head, gone, tag } = exchange;
  const file = await spool.write(data);
  try {
    request.setTimeout(0);
    const setup = sessionSetup(head, insert, tag);
    const sql = insertFromFile(insert, file.path);
    // The engine counts the rows it was given, also those that a token has dropped.
    const { rows, bytes, elapsedNs } = await engine.run(
      { tag, setup, sql, format: "Null", reads: false, streams: false },
      gone,
      async (result) => {
        if (result.kind !== "whole") throw new Error("an INSERT has no stream of results");
        return result.figures;
      },
    );
    const summary = { written_rows: rows, written_bytes: bytes, elapsed_ns: elapsedNs };
    setResultHeaders(exchange, null, summary);
    response.end();
  } catch (error) {
    throw withoutPath(error, file.path);
  } finally {
    await file.remove();
  }
}

async function answerStatement(exchange: Exchange, sql: string): Promise<void> {
  const { engine, request, head, gone, tag } = exchange;
  request.setTimeout(0);
  const isWhole = head.waitsForEnd || isFramed(head.settings);
  const plan = planStatement(sql, head.defaultFormat, isWhole);
  if (plan.kind === "refused") throw plan.failure;
  if (plan.kind === "insert") throw new Error("planStatement plans no INSERT with data");
  if (plan.delivery === "file") return answerFromFile(exchange, plan);
  const setup = sessionSetup(head, plan, tag);
  const { format, reads } = plan;
  const query = { tag, setup, sql: plan.sql, format, reads, streams: plan.delivery === "stream" };
  await engine.run(query, gone, async (result) => {
    if (result.kind === "whole") {
      const { bytes, figures } = result;
      // The engine's own limit counts values in memory; formatted they may be more.
      if (bytes.length > BUFFERED_RESULT_BYTES_MAX) {
        const why = `A result in memory is limited to ${BUFFERED_RESULT_BYTES_MAX} bytes`;
        throw refusal(396, "TOO_MANY_ROWS_OR_BYTES", 500, why);
      }
      setResultHeaders(exchange, bytes.length > 0 ? plan : null, resultSummary(figures));
      return send(exchange, [bytes]);
    }
    // The first chunk comes before the status: most errors are known by then.
    const chunks = result.chunks[Symbol.asyncIterator]();
    const first = await chunks.next();
    setResultHeaders(exchange, plan, null);
    await sendStream(exchange, first.done === true ? new Uint8Array() : first.value, {
      [Symbol.asyncIterator]: () => chunks,
    });
  });
}

/** The engine is free for the next query while this result is still being sent. */
async function answerFromFile(exchange: Exchange, plan: StatementPlan): Promise<void> {
  const { engine, spool, head, gone, tag } = exchange;
  const file = spool.result();
  try {
    const setup = sessionSetup(head, plan, tag);
    const sql = resultIntoFile(plan, file.path);
    const query = { tag, setup, sql, format: "Null", reads: true, streams: false };
    const figures = await engine.run(
      query,
      AbortSignal.any([gone, file.exceeded]),
      async (result) => {
        if (result.kind !== "whole") throw new Error("a result on disk is no stream");
        return result.figures;
      },
    );
    const bytes = file.read();
    file.exceeded.throwIfAborted();
    setResultHeaders(exchange, plan, resultSummary(figures));
    await send(exchange, bytes);
  } catch (error) {
    // Killed for its size, the engine only says that it was killed.
    throw file.exceeded.aborted ? file.exceeded.reason : withoutPath(error, file.path);
  } finally {
    await file.remove();
  }
}

/** URL query, a line end, and the body: one run of bytes, as the engine's own handler sees it. */
async function* textOf(head: RequestHead, body: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  if (head.urlQuery !== "") yield Buffer.from(`${head.urlQuery}\n`);
  yield* body;
}

/** @param plan null for a statement without a result */
function setResultHeaders(
  { response, head, timezone }: Exchange,
  plan: StatementPlan | null,
  summary: Readonly<Record<string, number>> | null,
): void {
  const type = plan === null ? "text/plain; charset=UTF-8" : contentType(plan.format);
  setHeaders(response, {
    "Content-Type": type,
    "X-ClickHouse-Timezone": head.settings.get("session_timezone") || timezone,
    ...(plan === null ? {} : { "X-ClickHouse-Format": plan.format }),
    ...(summary === null ? {} : { "X-ClickHouse-Summary": summaryText(summary) }),
  });
}

function resultSummary({ rows, bytes, elapsedNs }: EngineFigures) {
  return { result_rows: rows, result_bytes: bytes, elapsed_ns: elapsedNs };
}

/**
 * Sends rows as they come. An error after the first of them is written behind them, and the connection
 * is closed without an end of the answer: who does not know the frame still notices that rows are missing.
 */
async function sendStream(
  exchange: Exchange,
  first: Uint8Array,
  rest: AsyncIterable<Uint8Array>,
): Promise<void> {
  const { response, gone } = exchange;
  const tag = exceptionTag(randomBytes(EXCEPTION_TAG_LENGTH));
  response.setHeader("X-ClickHouse-Exception-Tag", tag);
  let failed = false;
  async function* rowsAndError() {
    try {
      yield* concat(first, rest);
    } catch (error) {
      gone.throwIfAborted();
      failed = true;
      yield Buffer.from(exceptionFrame(tag, describe(error)));
    }
  }
  await send(exchange, rowsAndError(), () => failed);
}

/** @param isBroken asked when everything is written: whether the answer is to be left without its end */
async function send(
  { response, head }: Exchange,
  chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  isBroken = () => false,
): Promise<void> {
  // A reader that takes nothing is cut off, and its query with it.
  cutOffStalled(response, STALLED_CONNECTION_MS_MAX);
  const source = Readable.from(chunks, { objectMode: false });
  const encoder = ENCODERS[head.answerEncoding]?.();
  if (encoder === undefined) await pipeline(source, response, { end: false });
  else {
    response.setHeader("Content-Encoding", head.answerEncoding);
    await pipeline(source, encoder, response, { end: false });
  }
  if (!isBroken()) {
    response.end();
    return;
  }
  await untilClosed(response, LATE_ERROR_LINGER_MS_MAX);
  response.socket?.destroySoon();
}

/** Waits for the reader to hang up. */
async function untilClosed(response: ServerResponse, msMax: number): Promise<void> {
  if (response.closed) return;
  await Promise.race([once(response, "close"), setTimeout(msMax, undefined, { ref: false })]);
}

function describe(error: unknown): string {
  const failure = failureOf(error);
  if (failure !== null) return failure.message;
  console.error("an error after the first rows:", error);
  return `Code: 1001. DB::Exception: ${String(error)}. (STD_EXCEPTION)`;
}

function answerFailure(error: unknown, request: IncomingMessage, response: ServerResponse): void {
  const failure = failureOf(error);
  if (failure === null)
    console.error(`query ${String(response.getHeader("X-ClickHouse-Query-Id"))}:`, error);
  if (response.headersSent) {
    // Bytes have been sent with status 200: only a broken connection tells the reader that more are missing.
    response.destroy();
    return;
  }
  const { code, status, message } = failure ?? {
    code: 1001,
    status: 500,
    message: `Code: 1001. DB::Exception: ${String(error)}. (STD_EXCEPTION)`,
  };
  for (const name of ["X-ClickHouse-Format", "X-ClickHouse-Summary", "Content-Encoding"]) {
    response.removeHeader(name);
  }
  response.writeHead(status, {
    "Content-Type": "text/plain; charset=UTF-8",
    "X-ClickHouse-Exception-Code": String(code),
    ...(status === 401 ? { "WWW-Authenticate": 'Basic realm="ClickHouse server HTTP API"' } : {}),
    ...(status === 503 ? { "Retry-After": "1" } : {}),
    // What is left of an unread body would be taken for the next request.
    ...(request.complete ? {} : { Connection: "close" }),
  });
  response.end(`${message}\n`);
  request.resume();
}
