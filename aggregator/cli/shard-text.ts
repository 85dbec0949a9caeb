/** The shards in a table for a terminal, what they refused and how far clients' clocks are off, and as JSON. */
import { REPORT_SKEW_BOUNDS_MS } from "../../wire/report.ts";
import type { ShardReport } from "../../wire/report.ts";
import { printable, timeText } from "./dead-letter-text.ts";
import { NAMES_SHOWN_MAX, REPORT_CURRENT_MS } from "./limits.ts";
import { acceptedPerSecond, duplicateShare, isCurrent } from "./shard-views.ts";
import type { ShardTotals, ShardView } from "./shard-views.ts";

/** @param strangers subjects in the shards' streams that are nobody's */
export function shardsText(
  views: readonly ShardView[],
  totals: ShardTotals,
  strangers: readonly string[],
): string {
  if (views.length === 0) return [NO_SHARD, ...strangersText(strangers)].join("\n");
  const parts = [shardTable(views, totals)];
  if (totals.shardsWithReport > 0) parts.push(sumsText(views, totals), skewText(totals));
  const below = strangersText(strangers);
  if (below.length > 0) parts.push(below.join("\n"));
  return parts.join("\n\n");
}

const NO_SHARD =
  "no shard has flushed yet: a shard is made by its first click, and flushes a second later.\n→ post one (README.md has a curl); after that, `clickmill doctor` says whether edge and NATS find each other";

function strangersText(strangers: readonly string[]): string[] {
  if (strangers.length === 0) return [];
  const named = strangers.slice(0, NAMES_SHOWN_MAX).map(printable).join(", ");
  const more =
    strangers.length > NAMES_SHOWN_MAX ? ` and ${strangers.length - NAMES_SHOWN_MAX} more` : "";
  return [`subjects that are no shard's: ${named}${more}`];
}

// ---- the table

const HEADING = [
  "shard",
  "flush",
  "age",
  "over",
  "clicks/s",
  "dup %",
  "rejected",
  "journal",
  "commit ms",
  "flush ms",
  "ids",
  "segments",
  "memory",
  "rows",
];

/** One line each under a heading, the sums, and a word about what is not as it should be. */
function shardTable(views: readonly ShardView[], totals: ShardTotals): string {
  const rows = [
    HEADING,
    ...views.map((view) => [
      String(view.shard),
      view.flush === null ? "-" : count(view.flush),
      durationText(view.ageMs),
      ...(view.report === null ? [] : figures(view.report, isCurrent(view))),
    ]),
    totalCells(totals),
  ];
  const widths = HEADING.map((_, i) => Math.max(...rows.map((row) => (row[i] ?? "-").length)));
  const notes = ["", ...views.map((view) => printable(view.notes.join("; "))), ""];
  const lines = rows.map((row, r) => {
    const cells = widths.map((width, i) => (row[i] ?? "-").padStart(width));
    return `${cells.join("  ")}  ${notes[r]}`.trimEnd();
  });
  if (views.some((view) => view.report !== null && !isCurrent(view))) {
    lines.push(
      `(…): of a flush more than ${durationText(REPORT_CURRENT_MS)} ago; the total's clicks/s leave it out`,
    );
  }
  return lines.join("\n");
}

/** From "over" on. */
function figures(report: ShardReport, isCurrentReport: boolean): string[] {
  const perSecond = acceptedPerSecond(report);
  const rate = perSecond === null ? "-" : rateText(perSecond);
  return [
    durationText(report.atMs - report.sinceMs),
    isCurrentReport || perSecond === null ? rate : `(${rate})`,
    percent(duplicateShare(report)),
    count(sum(report.rejected)),
    bytes(report.journalBytes),
    commitText(report),
    milliseconds(report.flushMs),
    count(report.dedupIds),
    count(report.dedupSegments),
    bytes(report.dedupBytes),
    count(report.rowsWritten),
  ];
}

function totalCells(totals: ShardTotals): string[] {
  const label = ["total", "", "", ""];
  if (totals.shardsWithReport === 0) return label;
  return [
    ...label,
    rateText(totals.acceptedPerSecond),
    percent(duplicateShare(totals)),
    count(sum(totals.rejected)),
    bytes(totals.journalBytes),
    commitText(totals),
    milliseconds(totals.flushMsMax),
    count(totals.dedupIds),
    count(totals.dedupSegments),
    bytes(totals.dedupBytes),
    count(totals.rowsWritten),
  ];
}

/** Mean and most. */
function commitText(of: {
  readonly commits: number;
  readonly commitMsMean: number;
  readonly commitMsMax: number;
}): string {
  return of.commits === 0
    ? "-"
    : `${milliseconds(of.commitMsMean)} / ${milliseconds(of.commitMsMax)}`;
}

// ---- the sums

function sumsText(views: readonly ShardView[], totals: ShardTotals): string {
  const lines: [label: string, text: string][] = [
    ["rejected", byName(totals.rejected)],
    ["invalid", byName(totals.invalid)],
  ];
  if (totals.unavailable > 0) {
    const where = shardsWith(views, (report) => report.unavailable > 0);
    lines.push([
      "unavailable",
      `${count(totals.unavailable)} found no room (${where}): are streams full, or is NATS away from the edge?`,
    ]);
  }
  if (totals.flushFailures > 0) {
    const where = shardsWith(views, (report) => report.flushFailures > 0);
    lines.push(["flush failures", `${count(totals.flushFailures)} (${where})`]);
  }
  lines.push(
    [
      "journals",
      `${bytes(totals.journalBytes)} of clicks, ${bytes(totals.rejectedJournalBytes)} of rejected ones, not proven downstream yet`,
    ],
    [
      "accept from",
      `${timeText(Math.min(totals.acceptFromMs ?? 0, TIME_MS_MAX))} UTC; clicks with earlier event times are too_old`,
    ],
  );
  const width = Math.max(...lines.map(([label]) => label.length));
  return lines.map(([label, text]) => `${label.padEnd(width)}  ${text}`).join("\n");
}

/** The latest time that a Date holds. */
const TIME_MS_MAX = 8.64e15;

function byName(counts: Readonly<Record<string, number>>): string {
  const named = Object.entries(counts)
    .filter(([, clicks]) => clicks > 0)
    .toSorted(([a, of], [b, than]) => than - of || (a < b ? -1 : 1));
  if (named.length === 0) return "none";
  const shown = named
    .slice(0, NAMES_SHOWN_MAX)
    .map(([name, clicks]) => `${printable(name)} ${count(clicks)}`);
  const rest = named.slice(NAMES_SHOWN_MAX);
  if (rest.length > 0) shown.push(`others ${count(sum(Object.fromEntries(rest)))}`);
  return shown.join(", ");
}

function shardsWith(views: readonly ShardView[], has: (report: ShardReport) => boolean): string {
  const shards = views.filter(({ report }) => report !== null && has(report)).map((v) => v.shard);
  const shown = shards.slice(0, NAMES_SHOWN_MAX).join(", ");
  const more = shards.length > NAMES_SHOWN_MAX ? " and more" : "";
  return `shard${shards.length === 1 ? "" : "s"} ${shown}${more}`;
}

// ---- clocks

const BAR_WIDTH = 40;
/** From an eighth of a character to seven. */
const BAR_ENDS = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

function skewText(totals: ShardTotals): string {
  const known = sum(totals.skew);
  const most = Math.max(...totals.skew);
  const rows = totals.skew.map((clicks, i) => ({
    label: skewLabel(i),
    clicks,
    bar: bar(clicks, most),
  }));
  rows.push({ label: "without a client clock", clicks: totals.withoutClock, bar: "" });
  const labelWidth = Math.max(...rows.map(({ label }) => label.length));
  const countWidth = Math.max(...rows.map(({ clicks }) => count(clicks).length));
  const lines = rows.map(({ label, clicks, bar: blocks }) =>
    `  ${label.padEnd(labelWidth)}  ${count(clicks).padStart(countWidth)}  ${blocks}`.trimEnd(),
  );
  return [`clients' clocks, by ${count(known)} accepted clicks`, ...lines].join("\n");
}

/** Every click can be seen. */
function bar(clicks: number, most: number): string {
  if (clicks === 0) return "";
  const eighths = Math.max(1, Math.round((clicks / most) * BAR_WIDTH * 8));
  return "█".repeat(Math.floor(eighths / 8)) + BAR_ENDS[eighths % 8]!;
}

/** A negative skew (received_at − sent_at) is a clock that is ahead. */
export function skewLabel(index: number): string {
  const from = REPORT_SKEW_BOUNDS_MS[index - 1];
  const to = REPORT_SKEW_BOUNDS_MS[index];
  if (to === undefined) return `behind by ${boundText(from!)} and more`;
  if (from === undefined) return `ahead by more than ${boundText(-to)}`;
  if (to <= 0) return `ahead by ${boundText(-to)} to ${boundText(-from)}`;
  if (from >= 0) return `behind by ${boundText(from)} to ${boundText(to)}`;
  return `within ${boundText(to)}`;
}

function boundText(ms: number): string {
  if (ms >= 86_400_000) return `${ms / 86_400_000} d`;
  if (ms >= 3_600_000) return `${ms / 3_600_000} h`;
  return ms >= 60_000 ? `${ms / 60_000} min` : `${ms / 1_000} s`;
}

// ---- as JSON

/** The whole of it as one document. */
export function shardsJson(
  views: readonly ShardView[],
  totals: ShardTotals,
  strangers: readonly string[],
): object {
  return { shards: views, totals, strangers };
}

// ---- words

function sum(counts: readonly number[] | Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((total, value) => total + value, 0);
}

function count(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}

function rateText(perSecond: number): string {
  if (perSecond > 0 && perSecond < 0.05) return "<0.1";
  return perSecond > 0 && perSecond < 10 ? perSecond.toFixed(1) : count(perSecond);
}

function milliseconds(ms: number): string {
  return ms > 0 && ms < 10 ? ms.toFixed(1) : count(ms);
}

function percent(share: number | null): string {
  return share === null ? "-" : (share * 100).toFixed(1);
}

function bytes(value: number): string {
  if (value >= 1024 ** 3) return `${(value / 1024 ** 3).toFixed(1)} GiB`;
  if (value >= 1024 ** 2) return `${(value / 1024 ** 2).toFixed(1)} MiB`;
  return `${(value / 1024).toFixed(1)} KiB`;
}

function durationText(ms: number): string {
  const seconds = Math.max(0, ms) / 1_000;
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800
    ? `${Math.round(seconds / 3_600)} h`
    : `${Math.round(seconds / 86_400)} d`;
}
