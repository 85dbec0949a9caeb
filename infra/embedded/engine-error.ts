/** What an engine's error is to an HTTP client: its code, and the status a ClickHouse server would answer. */

/** An answer that is an error, in the engine's own words or in words like them. */
export class QueryFailure extends Error {
  readonly code: number;
  readonly status: number;
  constructor(code: number, status: number, message: string) {
    super(message);
    this.name = "QueryFailure";
    this.code = code;
    this.status = status;
  }
}

/** Codes that ClickHouse's HTTP handler maps apart from 500 (src/Server/HTTP/exceptionCodeToHTTPStatus.cpp). */
const STATUS_BY_CODE: ReadonlyMap<number, number> = new Map([
  // Text or values that cannot be parsed, and types that do not fit.
  ...[
    6, 8, 15, 25, 26, 27, 36, 37, 38, 41, 44, 53, 62, 72, 117, 123, 167, 168, 223, 321, 376, 427,
    441, 675, 676,
  ].map((code) => [code, 400] as const),
  // Names that are not known: function, type, table, database, setting, format, …
  ...[46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 152, 336, 511].map((code) => [code, 404] as const),
  // Who may not: user, password, role, right.
  ...[192, 193, 497, 512, 516].map((code) => [code, 403] as const),
  [194, 401],
  [159, 408],
  [381, 411],
  [229, 413],
  [779, 415],
  [48, 501],
  ...[76, 209, 439].map((code) => [code, 503] as const),
]);

/** Reads `Code: NN. …` from an error's message; null for an error that is not the engine's. */
export function failureOf(error: unknown): QueryFailure | null {
  if (error instanceof QueryFailure) return error;
  const message = error instanceof Error ? error.message : String(error);
  // An error in an INSERT's file carries its code twice; the file's name is ours and says nothing.
  const text = message.replace(/^(Code: \d+\. DB::Exception: )(?=Code: \d+\. DB::Exception: )/, "");
  const match = /^Code: (\d+)\. /.exec(text);
  if (!match) return null;
  const code = Number(match[1]);
  return new QueryFailure(code, STATUS_BY_CODE.get(code) ?? 500, text);
}

/** The error without the name of a file of ours, which says nothing to a client and names our directories. */
export function withoutPath(error: unknown, path: string): unknown {
  const failure = failureOf(error);
  if (failure === null) return error;
  const message = failure.message.replaceAll(path, "the request's data");
  return new QueryFailure(failure.code, failure.status, message);
}

/** A refusal of ours, worded as the engine words its own. */
export function refusal(code: number, name: string, status: number, why: string): QueryFailure {
  return new QueryFailure(code, status, `Code: ${code}. DB::Exception: ${why}. (${name})`);
}
