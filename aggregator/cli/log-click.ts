/** A row of a log becomes a click, or the reason why it is none. */
import { parseLogTime } from "./log-time.ts";
import type { LogRow } from "./log-rows.ts";

/** Which columns hold what. Several ad columns are joined with `-`. */
export interface Mapping {
  readonly ad: readonly string[];
  readonly time: string;
  readonly user: string | null;
  readonly country: string | null;
  readonly userAgent: string | null;
}

export interface LogClick {
  readonly line: number;
  readonly adId: string;
  readonly timeMs: number;
  readonly userId: string | null;
  /** Empty where not mapped. */
  readonly country: string;
  /** Empty where not mapped. */
  readonly userAgent: string;
}

export interface BadRow {
  readonly line: number;
  readonly bad: string;
}

/** The columns to ask the log for, in the order that `logClick` takes their values in. */
export function wantedColumns(mapping: Mapping): string[] {
  return [
    ...mapping.ad,
    mapping.time,
    ...[mapping.user, mapping.country, mapping.userAgent].filter((name) => name !== null),
  ];
}

/** Header values are bytes on the wire: what HTTP cannot carry is bad before it makes fetch throw. */
const HEADER_VALUE = /^[\x20-\x7e]*$/;

/** @param row values in the order of `wantedColumns(mapping)` */
export function logClick(mapping: Mapping, row: LogRow): LogClick | BadRow {
  if ("bad" in row) return row;
  const { line, values } = row;
  const bad = (reason: string): BadRow => ({ line, bad: reason });
  let at = 0;
  const parts: string[] = [];
  for (const name of mapping.ad) {
    const part = values[at++]!.trim();
    if (part === "") return bad(`${name} is empty`);
    parts.push(part);
  }
  const timeText = values[at++]!;
  const timeMs = parseLogTime(timeText);
  if (timeMs === null)
    return bad(`${mapping.time} is no time: ${JSON.stringify(timeText.slice(0, 40))}`);
  const userId = mapping.user === null ? null : values[at++]!;
  const country = mapping.country === null ? "" : values[at++]!.trim().toUpperCase();
  if (country !== "" && !/^[A-Z0-9]{2}$/.test(country)) {
    return bad(
      `${mapping.country} is no two-letter country: ${JSON.stringify(country.slice(0, 40))}`,
    );
  }
  const userAgent = mapping.userAgent === null ? "" : values[at++]!.trim();
  if (!HEADER_VALUE.test(userAgent)) return bad(`${mapping.userAgent} is not printable ASCII`);
  return {
    line,
    adId: parts.join("-"),
    timeMs,
    userId: userId === "" ? null : userId,
    country,
    userAgent,
  };
}

/** Lines that share the first part of their ids, so that a batch stays with one shard and a file uses all. */
const LINES_PER_INSTALL = 256;
/** Hex digits of the content's hash in an id: 48 bits, so that two of a million files share one with 0.2 %. */
const HASH_DIGITS = 12;

/**
 * The id of a line: the same for the same content and line, whatever the file is called, so that a
 * second replay is all duplicates.
 *
 * @param contentHash hex
 */
export function logClickId(contentHash: string, line: number): string {
  return `r${contentHash.slice(0, HASH_DIGITS)}x${Math.floor(line / LINES_PER_INSTALL)}.${line}`;
}
