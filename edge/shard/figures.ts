/** A shard's figures between two reports (wire/report.ts): plain counters, lost with the object. */
import { encodeReport, REPORT_SKEW_BOUNDS_MS, skewClass } from "../../wire/report.ts";
import type { ShardReport } from "../../wire/report.ts";

/** What the shard is like at the moment of the report. */
export type ShardState = Pick<
  ShardReport,
  | "journalBytes"
  | "rejectedJournalBytes"
  | "dedupIds"
  | "dedupSegments"
  | "dedupBytes"
  | "acceptFromMs"
  | "rowsWritten"
>;

/** What all accepted clicks of a request have in common. */
export interface RequestFigures {
  /** received_at − sent_at, milliseconds; null without a client clock. */
  readonly skewMs: number | null;
  /** Empty for valid clicks. */
  readonly invalidReason: string;
}

export class ShardFigures {
  #sinceMs: number;
  #counts = newCounts();

  constructor(nowMs: number) {
    this.#sinceMs = nowMs;
  }

  accepted(count: number, { skewMs, invalidReason }: RequestFigures): void {
    if (count === 0) return;
    const counts = this.#counts;
    counts.accepted += count;
    if (skewMs === null) counts.withoutClock += count;
    else counts.skew[skewClass(skewMs)]! += count;
    if (invalidReason !== "") addTo(counts.invalid, invalidReason, count);
  }

  duplicate(count: number): void {
    this.#counts.duplicate += count;
  }

  unavailable(count: number): void {
    this.#counts.unavailable += count;
  }

  rejected(code: string, count: number): void {
    addTo(this.#counts.rejected, code, count);
  }

  /** @param clockMs as the clock says; less than 0 when it was set back meanwhile */
  committed(clockMs: number): void {
    const counts = this.#counts;
    const tookMs = Math.max(0, clockMs);
    counts.commits++;
    counts.commitMsSum += tookMs;
    counts.commitMsMax = Math.max(counts.commitMsMax, tookMs);
  }

  /** @param clockMs as `committed` has it */
  published(clockMs: number): void {
    this.#counts.flushMs = Math.max(0, clockMs);
  }

  flushFailed(): void {
    this.#counts.flushFailures++;
  }

  /** The report since the one before. */
  take(nowMs: number, state: ShardState): string {
    const { commitMsSum, rejected, invalid, ...counts } = this.#counts;
    // The clock of the platform may jump back; a report never spans a negative time.
    const atMs = Math.max(nowMs, this.#sinceMs);
    const report: ShardReport = {
      sinceMs: this.#sinceMs,
      atMs,
      ...counts,
      ...state,
      rejected: Object.fromEntries(rejected),
      invalid: Object.fromEntries(invalid),
      commitMsMean: counts.commits === 0 ? 0 : commitMsSum / counts.commits,
    };
    this.#sinceMs = atMs;
    this.#counts = { ...newCounts(), flushMs: counts.flushMs };
    return encodeReport(report);
  }
}

function newCounts() {
  return {
    accepted: 0,
    duplicate: 0,
    unavailable: 0,
    // Maps: a name from outside ("__proto__") is a name like any other.
    rejected: new Map<string, number>(),
    invalid: new Map<string, number>(),
    skew: Array.from({ length: REPORT_SKEW_BOUNDS_MS.length + 1 }, () => 0),
    withoutClock: 0,
    commits: 0,
    commitMsSum: 0,
    commitMsMax: 0,
    flushMs: 0,
    flushFailures: 0,
  };
}

function addTo(counts: Map<string, number>, name: string, count: number): void {
  counts.set(name, (counts.get(name) ?? 0) + count);
}
