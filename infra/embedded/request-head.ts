/**
 * What a request asks for, as far as its line and headers tell: pure functions from method, URL and
 * headers to a plan. The protocol is ClickHouse's (https://clickhouse.com/docs/interfaces/http).
 *
 * Deliberately absent: sessions, roles, external tables, native compression (compress, decompress).
 */
import { refuseForeign } from "./confinement.ts";
import { refuseUser } from "./credentials.ts";
import type { Headers, User } from "./credentials.ts";
import { refusal } from "./engine-error.ts";
import type { QueryFailure } from "./engine-error.ts";
import { formBoundary } from "./form-data.ts";

/** Of those that a server knows, the ones that Node's zlib knows too, in a server's order of preference. */
export const ENCODINGS = ["zstd", "br", "gzip", "deflate"] as const;
export type Encoding = (typeof ENCODINGS)[number] | "identity";

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
  /** Nothing is sent before the last row is there, so that an error still gets its status. */
  readonly waitsForEnd: boolean;
  /** Of a body of multipart/form-data; null for any other body. */
  readonly formBoundary: string | null;
  readonly bodyEncoding: Encoding;
  readonly answerEncoding: Encoding;
}

export type HeadPlan =
  | { readonly kind: "ok" }
  | { readonly kind: "options" }
  | { readonly kind: "query"; readonly head: RequestHead }
  | { readonly kind: "refused"; readonly failure: QueryFailure };

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
  "client_protocol_version",
  "compress",
  "decompress",
  // `?&a=b` names one that is empty.
  "",
]);
const NOT_SUPPORTED = ["session_id", "session_timeout", "session_check", "close_session", "role"];
/** Answered without a user, as on a server; a bare GET of `/` is one more. */
const HEALTH_PATHS = ["/ping", "/replicas_status"];

/** @param newQueryId named by the caller, because randomness is no part of a plan */
export function planHead(
  method: string,
  url: string,
  headers: Headers,
  newQueryId: string,
  user: User,
): HeadPlan {
  const target = parseTarget(url);
  if (target === null) {
    return refused(36, "BAD_ARGUMENTS", 400, `The request target must be a path: / or /ping`);
  }
  const { pathname, searchParams } = target;
  if (user.password === "") {
    const origin = headers["origin"];
    const foreign = refuseForeign(
      String(headers["host"] ?? ""),
      origin === undefined ? undefined : String(origin),
    );
    if (foreign !== null) return { kind: "refused", failure: foreign };
  }
  if (method === "OPTIONS") return { kind: "options" };
  if (!["GET", "HEAD", "POST", "PUT"].includes(method)) {
    return refused(344, "SUPPORT_IS_DISABLED", 405, `Method ${method} is not used`);
  }
  const isRead = method === "GET" || method === "HEAD";
  if (HEALTH_PATHS.includes(pathname) || (isRead && pathname === "/" && target.search === "")) {
    return { kind: "ok" };
  }
  if (pathname !== "/") {
    return refused(0, "NOT_FOUND", 404, `There is no handle ${pathname}; use / or /ping`);
  }
  const failure = refuseUser(headers, searchParams, user);
  if (failure !== null) return { kind: "refused", failure };
  const hasLength = "content-length" in headers || "transfer-encoding" in headers;
  if (method === "POST" && !hasLength) {
    const why =
      "The Transfer-Encoding is not chunked and there is no Content-Length header for POST request";
    return refused(381, "HTTP_LENGTH_REQUIRED", 411, why);
  }
  return planQuery(headers, searchParams, isRead, newQueryId);
}

function planQuery(
  headers: Headers,
  searchParams: URLSearchParams,
  isRead: boolean,
  newQueryId: string,
): HeadPlan {
  const header = (name: string) => String(headers[name] ?? "");
  const isOn = (name: string) => /^(1|true)$/i.test(searchParams.get(name) ?? "");
  const missing = NOT_SUPPORTED.find((name) => searchParams.has(name));
  if (missing !== undefined) {
    return refused(48, "NOT_IMPLEMENTED", 501, `The embedded server has no ${missing}`);
  }
  if (isOn("compress") || isOn("decompress")) {
    const why = `The embedded server compresses as HTTP does only: ${ENCODINGS.join(", ")}`;
    return refused(48, "NOT_IMPLEMENTED", 501, why);
  }
  const bodyEncoding = header("content-encoding").toLowerCase() || "identity";
  if (!isEncoding(bodyEncoding)) {
    const why = `Unknown compression method '${bodyEncoding}'. Only ${ENCODINGS.join(", ")} are supported`;
    return refused(48, "NOT_IMPLEMENTED", 501, why);
  }
  const settings = new Map<string, string>();
  const parameters = new Map<string, string>();
  for (const [name, value] of searchParams) {
    if (name.startsWith("param_")) parameters.set(name.slice("param_".length), value);
    else if (!NO_SETTING.has(name)) settings.set(name, value);
  }
  const unknown = [...settings.keys(), ...parameters.keys()].find((name) => !isPlainName(name));
  if (unknown !== undefined) {
    return refused(115, "UNKNOWN_SETTING", 404, `Unknown setting '${unknown}'`);
  }
  // As text, `00` would be another value than 0, and to the engine the same.
  const readonly = settings.get("readonly") ?? "0";
  if (!/^[012]$/.test(readonly)) {
    return refused(36, "BAD_ARGUMENTS", 400, `readonly is 0, 1 or 2, and not '${readonly}'`);
  }
  const wanted = header("accept-encoding");
  return {
    kind: "query",
    head: {
      queryId:
        printable(searchParams.get("query_id") ?? header("x-clickhouse-query-id")) || newQueryId,
      urlQuery: searchParams.get("query") ?? "",
      database: header("x-clickhouse-database") || searchParams.get("database") || "default",
      settings,
      parameters,
      defaultFormat:
        header("x-clickhouse-format") || searchParams.get("default_format") || "TabSeparated",
      readOnly: isRead,
      waitsForEnd: isOn("wait_end_of_query") || isOn("http_wait_end_of_query"),
      formBoundary: formBoundary(header("content-type")),
      bodyEncoding,
      answerEncoding: isOn("enable_http_compression")
        ? (ENCODINGS.find((encoding) => wanted.includes(encoding)) ?? "identity")
        : "identity",
    },
  };
}

/** Names of settings and parameters stand unquoted in a SET statement. */
export function isPlainName(name: string): boolean {
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(name);
}

function isEncoding(text: string): text is Encoding {
  return text === "identity" || (ENCODINGS as readonly string[]).includes(text);
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
