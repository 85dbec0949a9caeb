/**
 * What to run for an HTTP request: pure functions from method, URL, headers and the first bytes of the
 * body to a plan. The protocol is ClickHouse's (https://clickhouse.com/docs/interfaces/http).
 *
 * Deliberately absent: sessions, roles, external tables, native compression (compress, decompress).
 */
import { scanTokens } from "../clickhouse/sql-scan.ts";
import { refusal } from "./engine-error.ts";
import type { QueryFailure } from "./engine-error.ts";
import { BUFFERED_RESULT_BYTES_MAX, INSERT_HEAD_BYTES_MAX } from "./limits.ts";

/** What is known before the body is read. */
export interface RequestHead {
  readonly queryId: string;
  /** The query from the URL; the body follows it. Empty when the body is the query. */
  readonly urlQuery: string;
  readonly database: string;
  readonly settings: ReadonlyMap<string, string>;
  /** Values of `{name:Type}`, escaped as in TabSeparated. */
  readonly parameters: ReadonlyMap<string, string>;
  readonly defaultFormat: string;
  readonly readOnly: boolean;
  readonly bodyIsGzip: boolean;
  readonly answerIsGzip: boolean;
}

export type HeadPlan =
  | { readonly kind: "ping" }
  | { readonly kind: "query"; readonly head: RequestHead }
  | { readonly kind: "refused"; readonly failure: QueryFailure };

type Headers = Readonly<Record<string, string | string[] | undefined>>;

/** Ours to read or to ignore; every other name in a URL is a setting, as on a ClickHouse server. */
const NO_SETTING = new Set([
  "query",
  "query_id",
  "database",
  "default_format",
  "user",
  "password",
  "quota_key",
  "wait_end_of_query",
  "buffer_size",
  "enable_http_compression",
  "stacktrace",
]);
const NOT_SUPPORTED = ["session_id", "session_timeout", "session_check", "role"];

/** @param newQueryId named by the caller, because randomness is no part of a plan */
export function planHead(
  method: string,
  url: string,
  headers: Headers,
  newQueryId: string,
): HeadPlan {
  const target = parseTarget(url);
  if (target === null) {
    return refused(36, "BAD_ARGUMENTS", 400, `The request target must be a path: / or /ping`);
  }
  const { pathname, searchParams } = target;
  if (!["GET", "HEAD", "POST", "PUT"].includes(method)) {
    return refused(344, "SUPPORT_IS_DISABLED", 405, `Method ${method} is not used`);
  }
  const isRead = method === "GET" || method === "HEAD";
  if (pathname === "/ping" || (isRead && pathname === "/" && !searchParams.has("query"))) {
    return { kind: "ping" };
  }
  if (pathname !== "/") {
    return refused(0, "NOT_FOUND", 404, `There is no handle ${pathname}; use / or /ping`);
  }
  const missing = NOT_SUPPORTED.find((name) => searchParams.has(name));
  if (missing !== undefined) {
    return refused(48, "NOT_IMPLEMENTED", 501, `The embedded server has no ${missing}`);
  }
  if (searchParams.get("compress") === "1" || searchParams.get("decompress") === "1") {
    return refused(48, "NOT_IMPLEMENTED", 501, "The embedded server compresses with gzip only");
  }
  const encoding = String(headers["content-encoding"] ?? "identity").toLowerCase();
  if (encoding !== "gzip" && encoding !== "identity") {
    return refused(48, "NOT_IMPLEMENTED", 501, `Content-Encoding ${encoding} is not supported`);
  }
  const settings = new Map<string, string>();
  const parameters = new Map<string, string>();
  for (const [name, value] of searchParams) {
    if (name.startsWith("param_")) parameters.set(name.slice("param_".length), value);
    else if (name !== "compress" && name !== "decompress" && !NO_SETTING.has(name)) {
      settings.set(name, value);
    }
  }
  for (const name of [...settings.keys(), ...parameters.keys()]) {
    // Names stand unquoted in a SET statement.
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
      return refused(115, "UNKNOWN_SETTING", 404, `Unknown setting '${name}'`);
    }
  }
  const header = (name: string) => String(headers[name] ?? "");
  return {
    kind: "query",
    head: {
      queryId: printable(searchParams.get("query_id") ?? "") || newQueryId,
      urlQuery: searchParams.get("query") ?? "",
      database: searchParams.get("database") ?? (header("x-clickhouse-database") || "default"),
      settings,
      parameters,
      defaultFormat:
        searchParams.get("default_format") ?? (header("x-clickhouse-format") || "TabSeparated"),
      readOnly: isRead,
      bodyIsGzip: encoding === "gzip",
      answerIsGzip:
        searchParams.get("enable_http_compression") === "1" &&
        /\bgzip\b/.test(header("accept-encoding")),
    },
  };
}

/**
 * A path with its query, or an absolute URL as a proxy is asked for. Put behind a host and not resolved
 * against one: in `//a/b`, `a` would be taken for a host.
 */
function parseTarget(target: string): URL | null {
  const url = URL.parse(target.startsWith("/") ? `http://localhost${target}` : target);
  return url === null || url.pathname.startsWith("//") ? null : url;
}

/** A query id goes into a header: other characters would end the answer. */
function printable(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]/g, "").slice(0, 128);
}

function refused(code: number, name: string, status: number, why: string): HeadPlan {
  return { kind: "refused", failure: refusal(code, name, status, why) };
}

/** An INSERT whose data follows it, apart at the places where the name of a file goes between. */
export interface InsertPlan {
  readonly kind: "insert";
  /** `INSERT INTO t (columns)` */
  readonly target: string;
  /** `SETTINGS …`, or empty. */
  readonly settings: string;
  readonly format: string;
  /** Where the data starts, in bytes of URL query and body together. */
  readonly dataOffset: number;
}
export interface StatementPlan {
  readonly kind: "statement";
  readonly sql: string;
  /** Of the result: the statement's own FORMAT, else the default. */
  readonly format: string;
  /** Writes nothing: nobody misses it when its client has gone. */
  readonly reads: boolean;
  /** Yields rows in a format that may be sent piece by piece. */
  readonly streams: boolean;
}
export type BodyPlan =
  | InsertPlan
  | StatementPlan
  | { readonly kind: "refused"; readonly failure: QueryFailure };

/**
 * Formats without anything before, between or after the rows: chDB formats each chunk of a stream by
 * itself, so a header, or a JSON document, would be repeated in every chunk.
 */
const STREAMED_FORMATS = new Set([
  "TabSeparated",
  "TSV",
  "TabSeparatedRaw",
  "TSVRaw",
  "CSV",
  "JSONEachRow",
  "JSONLines",
  "NDJSON",
  "JSONStringsEachRow",
  "JSONCompactEachRow",
  "JSONCompactStringsEachRow",
  "RowBinary",
  "LineAsString",
  "TSKV",
]);

/** Statements that begin with these write nothing (but for WITH … INSERT). */
const READING_WORDS = new Set(["SELECT", "WITH", "SHOW", "DESCRIBE", "DESC", "EXISTS", "EXPLAIN"]);

/**
 * Plans an INSERT with data from the first bytes of URL query and body (as latin1, one character a
 * byte), or null when there is none: then `planStatement` takes the whole text.
 *
 * @param headIsAll whether there are no bytes beyond `head`
 */
export function planInsert(head: string, headIsAll: boolean): BodyPlan | null {
  const tokens = scanTokens(head);
  const first = tokens.next();
  if (first.done || first.value.text !== "INSERT") return null;
  const start = first.value.start;
  let settingsStart: number | null = null;
  let wordBefore = "INSERT";
  for (const token of tokens) {
    if (!token.closed) break;
    if (token.kind === "semicolon") return null;
    if (token.depth > 0 || token.kind !== "word") {
      wordBefore = "";
      continue;
    }
    // A table may be called anything: the word after INTO or TABLE, and after a dot, is a name.
    const isName =
      ["INTO", "TABLE", "FUNCTION"].includes(wordBefore) || head[token.start - 1] === ".";
    if (wordBefore === "INTO" && ["TABLE", "FUNCTION"].includes(token.text)) {
      wordBefore = token.text;
      continue;
    }
    wordBefore = token.text;
    if (isName) continue;
    if (token.text === "SELECT" || token.text === "WITH") return null;
    if (token.text === "INFILE") return { kind: "refused", failure: noFiles("FROM INFILE") };
    if (token.text === "SETTINGS") settingsStart = token.start;
    const isValues = token.text === "VALUES";
    if (!isValues && token.text !== "FORMAT") continue;
    const name = isValues ? null : /^\s+([A-Za-z][A-Za-z0-9]*)/.exec(head.slice(token.end));
    const end = token.end + (name?.[0].length ?? 0);
    if (!isValues && !name) return null;
    if (end === head.length && !headIsAll) break;
    // Blanks and one line end stand between the statement and its data; RowBinary begins right after.
    const gap = /^[ \t\f]*(?:\r?\n)?/.exec(head.slice(end))!;
    const text = (from: number, to: number) =>
      Buffer.from(head.slice(from, to), "latin1").toString("utf8").trim();
    return {
      kind: "insert",
      target: text(start, settingsStart ?? token.start),
      settings: settingsStart === null ? "" : text(settingsStart, token.start),
      format: name?.[1] ?? "Values",
      dataOffset: end + gap[0].length,
    };
  }
  if (headIsAll) return null;
  const why = `An INSERT's data must start in its first ${INSERT_HEAD_BYTES_MAX} bytes`;
  return { kind: "refused", failure: refusal(62, "SYNTAX_ERROR", 400, why) };
}

/** The statement that reads an INSERT's data from a file. `COMPRESSION 'none'`: else the name decides. */
export function insertFromFile(plan: InsertPlan, path: string): string {
  return `${plan.target} FROM INFILE ${quote(path)} COMPRESSION 'none' ${plan.settings} FORMAT ${plan.format}`;
}

/** Plans any other statement from its whole text. */
export function planStatement(sql: string, defaultFormat: string): BodyPlan {
  const tokens = [...scanTokens(sql)];
  const end = tokens.findIndex((token) => token.kind === "semicolon");
  if (end !== -1 && tokens.slice(end).some((token) => token.kind !== "semicolon")) {
    // chDB would run them all; a server refuses, and so do we, before anything has run.
    const why = "Syntax error (Multi-statements are not allowed)";
    return { kind: "refused", failure: refusal(62, "SYNTAX_ERROR", 400, why) };
  }
  const own = end === -1 ? tokens : tokens.slice(0, end);
  if (own.length === 0) {
    return { kind: "refused", failure: refusal(62, "SYNTAX_ERROR", 400, "Empty query") };
  }
  let format = defaultFormat;
  for (const [index, token] of own.entries()) {
    const after = own[index + 1];
    if (token.kind !== "word" || after?.kind !== "word") continue;
    if (token.text === "INTO" && after.text === "OUTFILE") {
      return { kind: "refused", failure: noFiles("INTO OUTFILE") };
    }
    const follows = own[index + 2];
    const endsThere = follows === undefined || follows.text === "SETTINGS";
    if (token.text === "FORMAT" && token.depth === 0 && endsThere) {
      format = sql.slice(after.start, after.end);
    }
  }
  if (!/^[A-Za-z][A-Za-z0-9]*$/.test(format)) {
    const why = `Unknown format ${format}`;
    return { kind: "refused", failure: refusal(73, "UNKNOWN_FORMAT", 404, why) };
  }
  const first = own.find((token) => token.text !== "(")?.text ?? "";
  const inserts = own.some((token) => token.text === "INSERT" && token.depth === 0);
  const reads = READING_WORDS.has(first) && !inserts;
  const streams = reads && (first === "SELECT" || first === "WITH") && STREAMED_FORMATS.has(format);
  return { kind: "statement", sql, format, reads, streams };
}

function noFiles(clause: string): QueryFailure {
  return refusal(48, "NOT_IMPLEMENTED", 501, `${clause} names a file of the server`);
}

/**
 * The statements that prepare a fresh session for the request, in order.
 * @param tag by which a running query is found again
 */
export function sessionSetup(
  head: RequestHead,
  plan: InsertPlan | StatementPlan,
  tag: string,
): string[] {
  const assignments = [`log_comment = ${quote(tag)}`];
  if (plan.kind === "statement" && !plan.streams && !head.settings.has("max_result_bytes")) {
    assignments.push(`max_result_bytes = ${BUFFERED_RESULT_BYTES_MAX}`);
  }
  for (const [name, value] of head.settings) {
    // The tag takes log_comment's place; readonly comes last, because nothing can be set after it.
    if (name !== "log_comment" && name !== "readonly")
      assignments.push(`${name} = ${quote(value)}`);
  }
  for (const [name, value] of head.parameters) assignments.push(`param_${name} = ${quote(value)}`);
  const setup = [`SET ${assignments.join(", ")}`];
  if (head.database !== "default") setup.push(`USE ${quoteName(head.database)}`);
  const readonly = head.settings.get("readonly") ?? "0";
  // 2, as a server does for GET: nothing is written, and a query may still choose its settings.
  if (head.readOnly && readonly === "0") setup.push("SET readonly = 2");
  else if (readonly !== "0") setup.push(`SET readonly = ${quote(readonly)}`);
  return setup;
}

export function quote(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}

function quoteName(name: string): string {
  return `\`${name.replaceAll("\\", "\\\\").replaceAll("`", "\\`")}\``;
}

/** The media type of a result. */
export function contentType(format: string): string {
  if (/^(JSON.*EachRow|JSONLines|NDJSON)/.test(format))
    return "application/x-ndjson; charset=UTF-8";
  if (format.startsWith("JSON")) return "application/json; charset=UTF-8";
  if (/^(TabSeparated|TSV)/.test(format)) return "text/tab-separated-values; charset=UTF-8";
  if (format.startsWith("CSV")) return "text/csv; charset=UTF-8";
  if (/Binary|Native|Arrow|Parquet|ORC|Avro/.test(format)) return "application/octet-stream";
  return "text/plain; charset=UTF-8";
}
