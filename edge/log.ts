/** The edge's log: a line of JSON for each thing that operators should know of. */

/** @param fields behind `level` and `msg`, in their order */
export function log(
  level: "warn" | "error",
  msg: string,
  fields: Readonly<Record<string, unknown>>,
): void {
  console.error(JSON.stringify({ level, msg, ...fields }));
}
