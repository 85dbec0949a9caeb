/**
 * What a shard says about itself with every flush, for operators: a header of the flush's first message,
 * as JSON. Figures, not facts that anything is decided by: a reader that finds none goes on without.
 *
 * Counts are those since the shard's report before, or since the object's start; an object that ends takes
 * what it had not reported yet with it.
 */

export const REPORT_HEADER = "Clickmill-Report";

/**
 * Bounds of the skew histogram, ms of received_at − sent_at: a day, an hour, a minute, and the small skew up to
 * which a client's time stands, both ways. A negative skew is a clock that is ahead.
 */
export const REPORT_SKEW_BOUNDS_MS: readonly number[] = [
  -86_400_000, -3_600_000, -60_000, -10_000, 10_000, 60_000, 3_600_000, 86_400_000,
];

export interface ShardReport {
  /** Milliseconds since 1970: the counts are those from `sinceMs` to `atMs`. */
  readonly sinceMs: number;
  readonly atMs: number;
  readonly accepted: number;
  readonly duplicate: number;
  /** Clicks that found no room. */
  readonly unavailable: number;
  /** Rejected clicks by code, those that are counted only included (`too_old` too). */
  readonly rejected: Readonly<Record<string, number>>;
  /** Accepted clicks by invalid_reason; valid ones are not among them. */
  readonly invalid: Readonly<Record<string, number>>;
  /** Accepted clicks by skew, one count more than there are bounds: a bound is the first of its class. */
  readonly skew: readonly number[];
  /** Accepted clicks whose request had no sent_at. */
  readonly withoutClock: number;
  /** Bytes of rows that are not proven downstream yet. */
  readonly journalBytes: number;
  readonly rejectedJournalBytes: number;
  readonly commits: number;
  /** From a commit's first click to its durability, the wait for others included. */
  readonly commitMsMean: number;
  readonly commitMsMax: number;
  /** Of the flush before: from its record to its last acknowledgement; 0 for none. */
  readonly flushMs: number;
  /** Flush rounds that failed and were made again. */
  readonly flushFailures: number;
  /** Ids that are remembered, the sealed segments among them, and the memory of index and filters. */
  readonly dedupIds: number;
  readonly dedupSegments: number;
  readonly dedupBytes: number;
  /** Event times before it are `too_old`; milliseconds since 1970. */
  readonly acceptFromMs: number;
  /** SQLite rows written, what is billed. */
  readonly rowsWritten: number;
}

/** All of them: the type says that none is missing, the parser that none is another thing. */
const KINDS: Readonly<Record<keyof ShardReport, "count" | "counts" | "list">> = {
  sinceMs: "count",
  atMs: "count",
  accepted: "count",
  duplicate: "count",
  unavailable: "count",
  rejected: "counts",
  invalid: "counts",
  skew: "list",
  withoutClock: "count",
  journalBytes: "count",
  rejectedJournalBytes: "count",
  commits: "count",
  commitMsMean: "count",
  commitMsMax: "count",
  flushMs: "count",
  flushFailures: "count",
  dedupIds: "count",
  dedupSegments: "count",
  dedupBytes: "count",
  acceptFromMs: "count",
  rowsWritten: "count",
};

export function encodeReport(report: ShardReport): string {
  return JSON.stringify(report);
}

/** The report of a header; null for none, or for what is no report of this version. */
export function parseReport(text: string | undefined): ShardReport | null {
  if (text === undefined || text === "") return null;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof value !== "object" || value === null) return null;
  const found = value as Record<string, unknown>;
  for (const [name, kind] of Object.entries(KINDS)) {
    if (!isKind(found[name], kind)) return null;
  }
  return value as ShardReport;
}

function isKind(value: unknown, kind: "count" | "counts" | "list"): boolean {
  if (kind === "count") return isCount(value);
  if (kind === "list") {
    return (
      Array.isArray(value) &&
      value.length === REPORT_SKEW_BOUNDS_MS.length + 1 &&
      value.every(isCount)
    );
  }
  return (
    typeof value === "object" &&
    value !== null &&
    !Array.isArray(value) &&
    Object.values(value).every(isCount)
  );
}

function isCount(value: unknown): boolean {
  return typeof value === "number" && Number.isFinite(value) && value >= 0;
}

/** Which class of the histogram a skew belongs to. */
export function skewClass(skewMs: number): number {
  const place = REPORT_SKEW_BOUNDS_MS.findIndex((bound) => skewMs < bound);
  return place === -1 ? REPORT_SKEW_BOUNDS_MS.length : place;
}
