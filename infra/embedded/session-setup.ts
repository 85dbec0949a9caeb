/** The statements that make a fresh session the request's own. */
import { VALUES_ARE_LITERALS } from "./confinement.ts";
import {
  BUFFERED_RESULT_BYTES_MAX,
  ENGINE_QUERY_BYTES_MAX,
  READ_SECONDS_MAX_DEFAULT,
} from "./limits.ts";
import { quote, quoteName } from "./quote.ts";
import type { RequestHead } from "./request-head.ts";
import type { InsertPlan, StatementPlan } from "./statement-plan.ts";

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
  const isStatement = plan.kind === "statement";
  // By default the engine maps the file: then all of an INSERT's data is resident while it runs.
  if (!isStatement) assignments.push("storage_file_read_method = 'pread'");
  if (isStatement && plan.reads && !head.settings.has("max_execution_time")) {
    assignments.push(`max_execution_time = ${READ_SECONDS_MAX_DEFAULT}`);
  }
  for (const [name, value] of head.settings) {
    // The tag takes log_comment's place; readonly comes last, because nothing can be set after it.
    if (name !== "log_comment" && name !== "readonly")
      assignments.push(`${name} = ${quote(value)}`);
  }
  // What follows is not for the request to choose.
  if (isStatement && plan.delivery === "memory") {
    const own = Number(head.settings.get("max_result_bytes") ?? "0");
    const bytesMax = own > 0 ? Math.min(own, BUFFERED_RESULT_BYTES_MAX) : BUFFERED_RESULT_BYTES_MAX;
    assignments.push(`max_result_bytes = ${bytesMax}, result_overflow_mode = 'throw'`);
  }
  if (isStatement || !plan.isScanned) assignments.push(VALUES_ARE_LITERALS);
  const setup = [...setParameters(head.parameters), `SET ${assignments.join(", ")}`];
  if (head.database !== "default") setup.push(`USE ${quoteName(head.database)}`);
  const readonly = head.settings.get("readonly") ?? "0";
  // 2, as a server does for GET: nothing is written, and a query may still choose its settings.
  if (head.readOnly && readonly === "0") setup.push("SET readonly = 2");
  else if (readonly !== "0") setup.push(`SET readonly = ${quote(readonly)}`);
  return setup;
}

/** A server takes parameters of any length; here they are statements, which the engine limits. */
function setParameters(parameters: ReadonlyMap<string, string>): string[] {
  if (parameters.size === 0) return [];
  const text = [...parameters].map(([name, value]) => `param_${name} = ${quote(value)}`).join(", ");
  const setAll = `SET ${text}`;
  const byteCount = Buffer.byteLength(setAll);
  if (byteCount <= ENGINE_QUERY_BYTES_MAX) return [setAll];
  return [
    `SET max_query_size = ${byteCount + 1}`,
    setAll,
    `SET max_query_size = ${ENGINE_QUERY_BYTES_MAX}`,
  ];
}
