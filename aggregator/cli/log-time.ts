/** Times as logs write them become milliseconds since 1970; and a log's times become times of a replay. */
import { TIMESTAMP_MS_MAX } from "../../wire/limits.ts";

const MOMENT =
  /^(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?\s?(Z|UTC|[+-]\d\d(?::?\d\d)?)?$/;

/** Below this a number is seconds (the year 5138), from it on milliseconds (1973). */
const SECONDS_MAX = 100_000_000_000;

/**
 * ISO 8601, `YYYY-MM-DD HH:MM:SS` (UTC where no zone is given), seconds or milliseconds since 1970.
 * Null for anything else, days that no calendar has included.
 */
export function parseLogTime(text: string): number | null {
  const trimmed = text.trim();
  if (/^\d+(\.\d+)?$/.test(trimmed)) {
    const number = Number(trimmed);
    return inRange(number < SECONDS_MAX ? Math.round(number * 1_000) : Math.floor(number));
  }
  const match = MOMENT.exec(trimmed);
  if (match === null) return null;
  const [, year, month, day, hour, minute, second = "0", fraction = "", zone = "Z"] = match;
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59) return null;
  const date = new Date(Date.UTC(Number(year), Number(month) - 1, Number(day)));
  if (date.getUTCMonth() !== Number(month) - 1 || date.getUTCDate() !== Number(day)) return null;
  return inRange(
    date.getTime() +
      Number(hour) * 3_600_000 +
      Number(minute) * 60_000 +
      Number(second) * 1_000 +
      Number(fraction.padEnd(3, "0").slice(0, 3)) -
      zoneMs(zone),
  );
}

function inRange(timeMs: number): number | null {
  return timeMs >= 0 && timeMs <= TIMESTAMP_MS_MAX ? timeMs : null;
}

function zoneMs(zone: string): number {
  if (zone === "Z" || zone === "UTC") return 0;
  const digits = zone.slice(1).replace(":", "").padEnd(4, "0");
  const ms = Number(digits.slice(0, 2)) * 3_600_000 + Number(digits.slice(2)) * 60_000;
  return zone.startsWith("-") ? -ms : ms;
}

/** A replay without `--speed` takes about a minute, whatever the log spans … */
export const REPLAY_MS = 60_000;
/** … unless that would be more clicks than the local edge takes beside its readers (clicks per second). */
export const REPLAY_RATE = 2_000;

/** The speed that replays `spanMs` of log with `clicks` clicks in about REPLAY_MS; never slower than life. */
export function chooseSpeed(spanMs: number, clicks: number): number {
  const durationMs = Math.max(REPLAY_MS, (clicks / REPLAY_RATE) * 1_000);
  return Math.max(1, Math.ceil(spanMs / durationMs));
}

/** How a log's times map to times of the replay: `firstMs` becomes `startMs` and time runs by `speed`. */
export interface Pace {
  readonly firstMs: number;
  readonly startMs: number;
  readonly speed: number;
}

export function replayTimeMs(pace: Pace, logTimeMs: number): number {
  return Math.round(pace.startMs + (logTimeMs - pace.firstMs) / pace.speed);
}
