/** What the shards' newest messages say of each shard, and of all of them together. */
import { decodeBlock, isFault } from "../../wire/block.ts";
import { REPORT_SKEW_BOUNDS_MS, parseReport } from "../../wire/report.ts";
import type { ShardReport } from "../../wire/report.ts";
import type { ShardChain, ShardMessage } from "../source/shard-messages.ts";
import { REPORT_CURRENT_MS } from "./limits.ts";

export interface ShardView {
  readonly shard: number;
  /** Of the newest message that is the shard's; null where none says it. */
  readonly epoch: string | null;
  /** The newest flush of counted clicks, and its rows. */
  readonly flush: number | null;
  readonly rows: number | null;
  /** The newest flush of rejected clicks: they have numbers of their own. */
  readonly rejectedFlush: number | null;
  /** Of the newest message, by the broker's clock. */
  readonly ageMs: number;
  readonly report: ShardReport | null;
  /** What is not as it should be. */
  readonly notes: readonly string[];
}

/** Sums over the newest report of every shard, as far as it has one. */
export interface ShardTotals extends Omit<
  ShardReport,
  "sinceMs" | "atMs" | "flushMs" | "acceptFromMs"
> {
  readonly shards: number;
  readonly shardsWithReport: number;
  /** Of those whose report is no older than REPORT_CURRENT_MS. */
  readonly acceptedPerSecond: number;
  readonly flushMsMax: number;
  /** The latest: event times from it on are accepted by every shard. Null without a report. */
  readonly acceptFromMs: number | null;
}

/** By shard. @param nowMs milliseconds since 1970 */
export function shardViews(messages: readonly ShardMessage[], nowMs: number): ShardView[] {
  const byShard = Map.groupBy(messages, (message) => message.shard);
  return [...byShard.values()]
    .map((ofShard) => viewOf(ofShard, nowMs))
    .toSorted((a, b) => a.shard - b.shard);
}

/** What a message is to the shard whose subject it stands on. */
type Reading = { readonly chain: ShardChain; readonly brokerTimeMs: number } & (
  | {
      readonly kind: "flush";
      readonly epoch: string;
      readonly flush: number;
      readonly rows: number;
      readonly report: ShardReport | null;
    }
  /** The headers are no part of the block, so the figures may be there all the same. */
  | { readonly kind: "later"; readonly reason: string; readonly report: ShardReport | null }
  | { readonly kind: "unreadable"; readonly reason: string }
);

function readingOf(message: ShardMessage): Reading {
  const { shard, chain, brokerTimeMs, data } = message;
  const report = parseReport(message.report);
  const block = decodeBlock(data);
  if (isFault(block)) {
    const { reason } = block;
    return block.fault === "version"
      ? { chain, brokerTimeMs, kind: "later", reason, report }
      : { chain, brokerTimeMs, kind: "unreadable", reason };
  }
  const { origin, rows } = block;
  if (origin.kind !== KIND_OF[chain]) {
    const reason = `a block of kind ${origin.kind}`;
    return { chain, brokerTimeMs, kind: "unreadable", reason };
  }
  if (origin.shard !== shard) {
    const reason = `a flush of shard ${origin.shard}`;
    return { chain, brokerTimeMs, kind: "unreadable", reason };
  }
  const { epoch, flush } = origin;
  return { chain, brokerTimeMs, kind: "flush", epoch, flush, rows, report };
}

const KIND_OF = { clicks: "raw", rejected: "rejected" } as const;

function viewOf(messages: readonly ShardMessage[], nowMs: number): ShardView {
  const readings = messages.map(readingOf).toSorted((a, b) => b.brokerTimeMs - a.brokerTimeMs);
  const flushes = readings.filter((r) => r.kind === "flush");
  const newestOf = (chain: ShardChain) => flushes.find((f) => f.chain === chain);
  const report = reportOf(readings);
  const notes = readings.flatMap(noteOf);
  if (report === null && notes.length === 0) notes.push("no report");
  return {
    shard: messages[0]!.shard,
    epoch: flushes[0]?.epoch ?? null,
    flush: newestOf("clicks")?.flush ?? null,
    rows: newestOf("clicks")?.rows ?? null,
    rejectedFlush: newestOf("rejected")?.flush ?? null,
    // The broker's clock may be ahead of ours.
    ageMs: Math.max(0, nowMs - readings[0]!.brokerTimeMs),
    report,
    notes,
  };
}

function noteOf(reading: Reading): string[] {
  const where = reading.chain === "clicks" ? "" : "rejected clicks: ";
  if (reading.kind === "unreadable")
    return [`${where}unreadable newest message: ${reading.reason}`];
  if (reading.kind === "later")
    return [`${where}newest message of a later version: ${reading.reason}`];
  return [];
}

/**
 * What the shard said last, on whichever of its two subjects. A shard that flushes counted and rejected clicks
 * together reports twice, a moment apart, and what it counted may stand in the first.
 *
 * @param readings the newest first
 */
function reportOf(readings: readonly Reading[]): ShardReport | null {
  const own = readings.filter((r) => r.kind !== "unreadable");
  const [newest, other] = own;
  // Where the shard's newest message has none, an older one says what it was before an update or a reset.
  if (newest === undefined || newest.report === null) return null;
  const before = other?.report ?? null;
  if (before === null || !sameEpoch(newest, other!)) return newest.report;
  const [earlier, later] =
    before.atMs <= newest.report.atMs ? [before, newest.report] : [newest.report, before];
  return earlier.atMs === later.sinceMs ? joined(earlier, later) : later;
}

function sameEpoch(a: Reading, b: Reading): boolean {
  return a.kind !== "flush" || b.kind !== "flush" || a.epoch === b.epoch;
}

/** Two reports, of which the later begins where the earlier ends, as one. */
function joined(earlier: ShardReport, later: ShardReport): ShardReport {
  return {
    ...later,
    sinceMs: earlier.sinceMs,
    accepted: earlier.accepted + later.accepted,
    duplicate: earlier.duplicate + later.duplicate,
    unavailable: earlier.unavailable + later.unavailable,
    rejected: sumByName([earlier.rejected, later.rejected]),
    invalid: sumByName([earlier.invalid, later.invalid]),
    skew: earlier.skew.map((clicks, i) => clicks + later.skew[i]!),
    withoutClock: earlier.withoutClock + later.withoutClock,
    commits: earlier.commits + later.commits,
    commitMsMean: meanCommit([earlier, later]),
    commitMsMax: Math.max(earlier.commitMsMax, later.commitMsMax),
    flushMs: Math.max(earlier.flushMs, later.flushMs),
    flushFailures: earlier.flushFailures + later.flushFailures,
    rowsWritten: earlier.rowsWritten + later.rowsWritten,
  };
}

export function totalsOf(views: readonly ShardView[]): ShardTotals {
  const reports = views.flatMap(({ report }) => (report === null ? [] : [report]));
  const sum = (value: (report: ShardReport) => number) =>
    reports.reduce((total, report) => total + value(report), 0);
  const most = (value: (report: ShardReport) => number) => Math.max(0, ...reports.map(value));
  return {
    shards: views.length,
    shardsWithReport: reports.length,
    acceptedPerSecond: views
      .filter(isCurrent)
      .reduce((total, { report }) => total + (acceptedPerSecond(report!) ?? 0), 0),
    accepted: sum((r) => r.accepted),
    duplicate: sum((r) => r.duplicate),
    unavailable: sum((r) => r.unavailable),
    rejected: sumByName(reports.map((r) => r.rejected)),
    invalid: sumByName(reports.map((r) => r.invalid)),
    skew: Array.from({ length: REPORT_SKEW_BOUNDS_MS.length + 1 }, (_, i) =>
      sum((r) => r.skew[i]!),
    ),
    withoutClock: sum((r) => r.withoutClock),
    journalBytes: sum((r) => r.journalBytes),
    rejectedJournalBytes: sum((r) => r.rejectedJournalBytes),
    commits: sum((r) => r.commits),
    commitMsMean: meanCommit(reports),
    commitMsMax: most((r) => r.commitMsMax),
    flushMsMax: most((r) => r.flushMs),
    flushFailures: sum((r) => r.flushFailures),
    dedupIds: sum((r) => r.dedupIds),
    dedupSegments: sum((r) => r.dedupSegments),
    dedupBytes: sum((r) => r.dedupBytes),
    acceptFromMs: reports.length === 0 ? null : most((r) => r.acceptFromMs),
    rowsWritten: sum((r) => r.rowsWritten),
  };
}

/** Whether its report says what happens now. */
export function isCurrent(view: ShardView): boolean {
  return view.report !== null && view.ageMs <= REPORT_CURRENT_MS;
}

/** Null for a report of no time at all. */
export function acceptedPerSecond({ accepted, sinceMs, atMs }: ShardReport): number | null {
  return atMs > sinceMs ? (accepted * 1_000) / (atMs - sinceMs) : null;
}

/** Of the clicks that were accepted or had been before; null for none. */
export function duplicateShare(of: {
  readonly accepted: number;
  readonly duplicate: number;
}): number | null {
  const seen = of.accepted + of.duplicate;
  return seen === 0 ? null : of.duplicate / seen;
}

function meanCommit(reports: readonly ShardReport[]): number {
  const commits = reports.reduce((total, r) => total + r.commits, 0);
  const ms = reports.reduce((total, r) => total + r.commits * r.commitMsMean, 0);
  return commits === 0 ? 0 : ms / commits;
}

/** Names are anybody's: never keys of an object until they are all there. */
function sumByName(
  counts: readonly Readonly<Record<string, number>>[],
): Readonly<Record<string, number>> {
  const sums = new Map<string, number>();
  for (const [name, count] of counts.flatMap((c) => Object.entries(c))) {
    sums.set(name, (sums.get(name) ?? 0) + count);
  }
  return Object.fromEntries(sums);
}
