/**
 * What to run: pure functions from the text of a request (URL query and body, one run of bytes) to a
 * plan, and the statements that hand the engine a file to read from or to write to.
 */
import { scanTokens } from "../clickhouse/sql-scan.ts";
import type { Token } from "../clickhouse/sql-scan.ts";
import { noFiles, refuseReach } from "./confinement.ts";
import { refusal } from "./engine-error.ts";
import type { QueryFailure } from "./engine-error.ts";
import { formatName } from "./format-names.ts";
import { INSERT_HEAD_BYTES_MAX } from "./limits.ts";
import { quote } from "./quote.ts";

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
  /** Its data holds no expression that might reach a file: they were looked at, or hold none at all. */
  readonly isScanned: boolean;
}
export interface StatementPlan {
  readonly kind: "statement";
  readonly sql: string;
  /** Of the result: the statement's own FORMAT, else the default. */
  readonly format: string;
  /** Writes nothing: nobody misses it when its client has gone. */
  readonly reads: boolean;
  /** How its result gets out of the engine; never through memory, if it may be large. */
  readonly delivery: "stream" | "file" | "memory";
  /** Where in `sql` its FORMAT starts, or would; and what follows the format's name. */
  readonly formatStart: number;
  readonly afterFormat: string;
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
  "Raw",
  "CSV",
  "JSONEachRow",
  "JSONLines",
  "JSONL",
  "NDJSON",
  "JSONStringsEachRow",
  "JSONCompactEachRow",
  "JSONCompactStringsEachRow",
  "RowBinary",
  "LineAsString",
  "TSKV",
]);

/** Settings that put something before, between or after the rows of formats that have nothing there. */
const FRAMING_SETTINGS = ["output_format_json_array_of_rows", "extremes"];
/** The same in a statement; WITH TOTALS ends it with a row of its own. */
const FRAMING_WORDS = new Set([...FRAMING_SETTINGS.map((name) => name.toUpperCase()), "TOTALS"]);

/** Whether a request's settings frame its rows: then they are delivered whole. */
export function isFramed(settings: ReadonlyMap<string, string>): boolean {
  return FRAMING_SETTINGS.some((name) => settings.has(name));
}

/** Queries for rows begin with these (but for WITH … INSERT). */
const SELECTING_WORDS = new Set(["SELECT", "WITH", "FROM"]);
/**
 * These write nothing either. Their results are small, and go through memory: EXPLAIN would take INTO
 * OUTFILE for a part of what it explains, and a SHOW into a file leaves the file without its rows.
 */
const SHOWING_WORDS = new Set(["SHOW", "DESCRIBE", "DESC", "EXISTS", "EXPLAIN"]);

/**
 * Plans an INSERT with data from the first bytes of URL query and body (as latin1, one character a
 * byte), or null when there is none: then `planStatement` takes the whole text.
 *
 * @param headIsAll whether there are no bytes beyond `head`
 */
export function planInsert(head: string, headIsAll: boolean): BodyPlan | null {
  const tokens = scanTokens(head);
  const first = tokens.next();
  if (first.done || first.value.kind !== "word" || first.value.text !== "INSERT") return null;
  const seen = [first.value];
  const start = first.value.start;
  let settingsStart: number | null = null;
  let wordBefore = "INSERT";
  for (const token of tokens) {
    if (!token.closed) break;
    seen.push(token);
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
    const format = formatName(name?.[1] ?? "Values");
    const isScanned = format !== "Values" || headIsAll;
    const dataTokens = format === "Values" && headIsAll ? scanTokens(head, end) : [];
    const failure = refuseReach(head, [...seen, ...dataTokens]);
    if (failure !== null) return { kind: "refused", failure };
    const text = (from: number, to: number) =>
      Buffer.from(head.slice(from, to), "latin1").toString("utf8").trim();
    return {
      kind: "insert",
      target: text(start, settingsStart ?? token.start),
      settings: settingsStart === null ? "" : text(settingsStart, token.start),
      format,
      dataOffset: end + gap[0].length,
      isScanned,
    };
  }
  if (headIsAll) return null;
  const why = `An INSERT's data must start in its first ${INSERT_HEAD_BYTES_MAX} bytes`;
  return { kind: "refused", failure: refusal(62, "SYNTAX_ERROR", 400, why) };
}

/** The statement that reads an INSERT's data from a file. `COMPRESSION 'none'`: else the name decides. */
export function insertFromFile(plan: InsertPlan, path: string): string {
  // On lines of their own: each part may end with a comment.
  return `${plan.target}
FROM INFILE ${quote(path)} COMPRESSION 'none'${plan.settings === "" ? "" : ` ${plan.settings}`}
FORMAT ${plan.format}`;
}

/** Plans any other statement from its whole text. */
export function planStatement(sql: string, defaultFormat: string, waitsForEnd: boolean): BodyPlan {
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
  const last = own.at(-1)!;
  if (!last.closed) {
    const why = "Syntax error: a string, a quoted name or a comment is not closed";
    return { kind: "refused", failure: refusal(62, "SYNTAX_ERROR", 400, why) };
  }
  const failure = refuseReach(sql, own);
  if (failure !== null) return { kind: "refused", failure };
  let format = defaultFormat;
  let formatStart = last.end;
  let afterFormat = "";
  for (const [index, token] of own.entries()) {
    const after = own[index + 1];
    if (token.kind !== "word" || after?.kind !== "word") continue;
    const follows = own[index + 2];
    const endsThere = follows === undefined || follows.text === "SETTINGS";
    if (token.text === "FORMAT" && token.depth === 0 && endsThere) {
      format = sql.slice(after.start, after.end);
      formatStart = token.start;
      afterFormat = sql.slice(after.end, last.end);
    }
  }
  if (!/^[A-Za-z][A-Za-z0-9]*$/.test(format)) {
    const why = `Unknown format ${format}`;
    return { kind: "refused", failure: refusal(73, "UNKNOWN_FORMAT", 404, why) };
  }
  format = formatName(format);
  const start = own.find((token) => token.text !== "(");
  const first = start?.kind === "word" ? start.text : "";
  const inserts = first === "WITH" && insertsAfterWith(own);
  const selects = SELECTING_WORDS.has(first) && !inserts;
  const reads = selects || SHOWING_WORDS.has(first);
  const framed = own.some((token) => FRAMING_WORDS.has(token.text.toUpperCase()));
  const streams = !waitsForEnd && !framed && STREAMED_FORMATS.has(format);
  const delivery = !selects ? "memory" : streams ? "stream" : "file";
  return { kind: "statement", sql, format, reads, delivery, formatStart, afterFormat };
}

/** The statement with its result in a file. `COMPRESSION 'none'`: else the name decides. */
export function resultIntoFile(plan: StatementPlan, path: string): string {
  const { sql, format, formatStart, afterFormat } = plan;
  // On a line of its own: the statement may end with a comment.
  return `${sql.slice(0, formatStart)}
INTO OUTFILE ${quote(path)} COMPRESSION 'none' FORMAT ${format}${afterFormat}`;
}

/** WITH … INSERT INTO: what comes first outside of brackets that is no alias, an INSERT INTO or a SELECT. */
function insertsAfterWith(tokens: readonly Token[]): boolean {
  for (const [index, token] of tokens.entries()) {
    if (token.depth > 0 || token.kind !== "word" || tokens[index - 1]?.text === "AS") continue;
    if (token.text === "SELECT" || token.text === "FROM") return false;
    if (token.text === "INSERT" && tokens[index + 1]?.text === "INTO") return true;
  }
  return false;
}
