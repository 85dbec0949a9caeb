/** Simulated SDK installations: who they are, and how wrong their clocks go. */
import type { Random } from "./random.ts";

export interface Installation {
  readonly id: string;
  /** Whether its click ids are `<id>.<n>`; other ids go to a shard each by themselves. */
  readonly dotted: boolean;
  readonly country: string;
  readonly userAgent: string;
  /** What its clock shows minus the true time, ms. */
  readonly clockOffsetMs: number;
  /** Old SDKs send no `sent_at`: the edge's time counts for their clicks. */
  readonly stampsSentAt: boolean;
}

const COUNTRIES = [
  "US",
  "US",
  "US",
  "IN",
  "IN",
  "BR",
  "DE",
  "GB",
  "FR",
  "JP",
  "ID",
  "MX",
  "NG",
  "SE",
];

const PEOPLE = [
  "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36",
  "Mozilla/5.0 (Linux; Android 14; SM-S921B) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36",
  "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
  "Mozilla/5.0 (iPad; CPU OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
  "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
  "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15",
  "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
];
const BOTS = [
  "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
  "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
  "curl/8.14.1",
];
const BOT_SHARE = 0.04;

/** Of all installations: within seconds (NTP), and by minutes to years (set by hand, or an empty battery). */
const SLIGHTLY_OFF_SHARE = 0.3;
export const SLIGHTLY_OFF_MS_MAX = 3_000;
const FAR_OFF_SHARE = 0.1;
/** From clearly above the edge's 10 s of tolerance, so that no clock is near the border by accident … */
export const FAR_OFF_MS_MIN = 60_000;
/** … to ten years, which still is a time that the edge can read. */
const FAR_OFF_MS_MAX = 10 * 365 * 86_400_000;

const UNSTAMPED_SHARE = 0.03;
const UNDOTTED_SHARE = 0.1;

/** A clock that the edge will let stand: its clicks may be sent by another installation too. */
export function hasGoodClock(installation: Installation): boolean {
  return installation.stampsSentAt && Math.abs(installation.clockOffsetMs) <= SLIGHTLY_OFF_MS_MAX;
}

/** @param name part of every id: two runs with one name send the same ids */
export function makeInstallations(count: number, name: string, random: Random): Installation[] {
  return Array.from({ length: count }, (_, i) => ({
    id: `i${name}_${i.toString(36)}`,
    dotted: !random.chance(UNDOTTED_SHARE),
    country: random.pick(COUNTRIES),
    userAgent: random.chance(BOT_SHARE) ? random.pick(BOTS) : random.pick(PEOPLE),
    clockOffsetMs: clockOffset(random),
    stampsSentAt: !random.chance(UNSTAMPED_SHARE),
  }));
}

function clockOffset(random: Random): number {
  const kind = random.next();
  const sign = random.chance(0.5) ? 1 : -1;
  if (kind < FAR_OFF_SHARE) {
    // As many by minutes as by hours, days, months or years.
    const spread = FAR_OFF_MS_MAX / FAR_OFF_MS_MIN;
    return sign * Math.round(FAR_OFF_MS_MIN * spread ** random.next());
  }
  if (kind < FAR_OFF_SHARE + SLIGHTLY_OFF_SHARE) {
    return sign * random.whole(0, SLIGHTLY_OFF_MS_MAX);
  }
  return 0;
}
