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
    6, 26, 27, 33, 38, 41, 43, 53, 62, 69, 70, 72, 117, 130, 131, 190, 304, 321, 349, 441, 456, 457,
  ].map((code) => [code, 400] as const),
  // Names that are not known: column, function, type, storage, table, database, setting, format, …
  ...[16, 46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 139, 336].map((code) => [code, 404] as const),
  [164, 403],
  [497, 403],
  [223, 413],
  [48, 501],
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

/** A refusal of ours, worded as the engine words its own. */
export function refusal(code: number, name: string, status: number, why: string): QueryFailure {
  return new QueryFailure(code, status, `Code: ${code}. DB::Exception: ${why}. (${name})`);
}
