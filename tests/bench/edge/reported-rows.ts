/** What shards say that they have written, for each click that they accepted in the same time. */
import { REPORT_HEADER } from "../../../wire/report.ts";
import type { ShardReport } from "../../../wire/report.ts";
import { STREAM } from "../../../wire/subjects.ts";

const MILLION = 1_000_000;

/** The edge says nothing of what it writes: dollars cannot be told. */
export class NoReportError extends Error {
  override readonly name = "NoReportError";
}

/**
 * Rows and clicks come from the same reports, so it does not matter that a report covers a little of what was before.
 *
 * @param fromMs what was reported after it counts …
 * @param toMs … and until then; milliseconds since 1970
 * @throws NoReportError when there is no such report, or none of a click
 */
export function rowsWrittenPerMillion(
  reports: readonly ShardReport[],
  fromMs: number,
  toMs: number,
): number {
  const within = reports.filter(({ atMs }) => atMs > fromMs && atMs <= toMs);
  const clicks = within.reduce((sum, { accepted }) => sum + accepted, 0);
  const rows = within.reduce((sum, { rowsWritten }) => sum + rowsWritten, 0);
  if (clicks === 0) {
    throw new NoReportError(
      `${within.length} messages of ${STREAM.raw} and ${STREAM.rejected} within ${toMs - fromMs} ms have a header ` +
        `${REPORT_HEADER} that wire/report.ts reads, with ${clicks} clicks: this edge does not say how many ` +
        "rows it writes, so there are no dollars. Leave the paced cases out (--cases), or run it on an edge that reports.",
    );
  }
  return (rows / clicks) * MILLION;
}
