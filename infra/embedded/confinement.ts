/**
 * What a statement may not say, because it would reach beyond the tables: the rest of a pair with
 * `engine.xml`, where the engine itself refuses files, programs and other hosts. Here stands what the
 * engine does not refuse, since as a library it trusts who calls it (measured with 26.7).
 */
import type { Token } from "../clickhouse/sql-scan.ts";
import { refusal } from "./engine-error.ts";
import type { QueryFailure } from "./engine-error.ts";

/** Names, in the case in which the engine knows them, and why. */
const REFUSED_NAMES: ReadonlyMap<string, string> = new Map([
  // The function has no right of its own; it may also stand without brackets: `arrayMap(file, …)`.
  ["file", "it reads a file of the machine; a column of this name needs its table's before it"],
  ["catboostEvaluate", "it loads a file of the machine"],
  // Engines without a source of their own, which the grants of tables do not cover.
  ["Executable", "it runs a program"],
  ["ExecutablePool", "it runs a program"],
  ["executable", "it runs a program"],
  ["EmbeddedRocksDB", "it takes any directory of the machine"],
]);
/** Settings, which are set by their name and an equals sign. */
const REFUSED_SETTINGS: ReadonlyMap<string, string> = new Map([
  ["log_comment", "it is the server's own: by it a query that nobody waits for is found and ended"],
  // Text that is data may hold calls then, and no scanner looks at data.
  ["input_format_values_interpret_expressions", "it is the server's own"],
  ["input_format_values_deduce_templates_of_expressions", "it is the server's own"],
]);
/** What an INSERT's values and `format(Values, …)` may not be, when nobody has looked at them. */
export const VALUES_ARE_LITERALS =
  "input_format_values_interpret_expressions = 0, input_format_values_deduce_templates_of_expressions = 0";

/** What these tokens of `sql` say that they may not, or null. */
export function refuseReach(sql: string, tokens: readonly Token[]): QueryFailure | null {
  const first = tokens[0]?.text ?? "";
  if (first === "BACKUP" || first === "RESTORE") {
    return denied(first, "it writes or reads files of the machine");
  }
  for (const [index, token] of tokens.entries()) {
    const after = tokens[index + 1];
    if (token.kind === "word" && after?.kind === "word") {
      if (token.text === "INTO" && after.text === "OUTFILE") return noFiles("INTO OUTFILE");
      const isClause = token.text === "FROM" && after.text === "INFILE";
      if (isClause && tokens[index + 2]?.kind === "string") return noFiles("FROM INFILE");
    }
    if (token.kind !== "word" && token.kind !== "name") continue;
    const name = token.kind === "name" ? token.text : sql.slice(token.start, token.end);
    const whyNot = tokens[index - 1]?.text === "." ? undefined : REFUSED_NAMES.get(name);
    if (whyNot !== undefined) return denied(name, whyNot);
    const whyNotSet = after?.text === "=" ? REFUSED_SETTINGS.get(name) : undefined;
    if (whyNotSet !== undefined) return denied(name, whyNotSet);
  }
  return null;
}

export function noFiles(clause: string): QueryFailure {
  return refusal(48, "NOT_IMPLEMENTED", 501, `${clause} names a file of the server`);
}

function denied(name: string, why: string): QueryFailure {
  return refusal(497, "ACCESS_DENIED", 403, `The embedded server has no ${name}: ${why}`);
}

/**
 * Why a request of a browser, or of who was led here by a name of their own (DNS rebinding), is refused
 * while no password protects the data; null when it comes from this machine.
 */
export function refuseForeign(host: string, origin: string | undefined): QueryFailure | null {
  if (!isLoopback(`http://${host}`)) {
    const why =
      "Without a password the server answers to names of this machine only: localhost, 127.0.0.1";
    return refusal(497, "ACCESS_DENIED", 403, why);
  }
  if (origin !== undefined && !isLoopback(origin)) {
    const why = `Without a password no web page of another host may ask: ${origin}`;
    return refusal(497, "ACCESS_DENIED", 403, why);
  }
  return null;
}

/** Whether a URL's host is this machine, by a name that no one else can give to it. */
export function isLoopback(url: string): boolean {
  const host = URL.parse(url)?.hostname ?? "";
  return /^(localhost|.+\.localhost|127(\.\d+){3}|\[::1\])$/.test(host);
}
