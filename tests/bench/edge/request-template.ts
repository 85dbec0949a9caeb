/**
 * Requests of one connection: built once, then only the digits of ids, ads and times are written over. Building
 * JSON anew for each would take the CPU of what is measured.
 */
import type { Installation } from "../../traffic/installations.ts";

/** Of an installation's number; every request is from another installation, so no id comes twice. */
const INSTALL_DIGITS = 12;
/** Of an ad's number, up to 2,000,000. */
const AD_DIGITS = 8;
/** Milliseconds since 1970, until the year 2286. */
const TIME_DIGITS = 13;
/** A batch is what an SDK has gathered: a click in so many milliseconds. */
const CLICK_EVERY_MS = 40;

const INSTALL = "I".repeat(INSTALL_DIGITS);
const AD = "A".repeat(AD_DIGITS);
const TIME = "T".repeat(TIME_DIGITS);

/** Where a click's digits stand. */
interface ClickPlaces {
  readonly install: number;
  readonly ad: number;
  readonly time: number;
}

export class RequestTemplate {
  readonly clicks: number;
  readonly #bytes: Buffer;
  readonly #sentAt: number | null;
  readonly #places: readonly ClickPlaces[];

  /**
   * @param clicks 1: one click as it is; more: a batch with `sent_at`, of one installation, so of one shard
   * @param sender whose headers and user it has; its ids are not used
   */
  constructor(clicks: number, sender: Installation) {
    this.clicks = clicks;
    const texts = Array.from({ length: clicks }, (_, i) => clickText(i, sender.id));
    const body = clicks === 1 ? texts[0]! : `{"sent_at":${TIME},"clicks":[${texts.join(",")}]}`;
    const head = [
      "POST /v1/clicks HTTP/1.1",
      "host: 127.0.0.1",
      "content-type: application/json",
      `user-agent: ${sender.userAgent}`,
      `x-clickmill-country: ${sender.country}`,
      `content-length: ${body.length}`,
    ].join("\r\n");
    const text = `${head}\r\n\r\n${body}`;
    this.#bytes = Buffer.from(text, "latin1");
    let at = text.indexOf("\r\n\r\n");
    const next = (mark: string) => (at = text.indexOf(mark, at) + mark.length) - mark.length;
    this.#sentAt = clicks === 1 ? null : next(TIME);
    this.#places = texts.map(() => ({ install: next(INSTALL), ad: next(AD), time: next(TIME) }));
  }

  /**
   * The next request: the template's own bytes, so the one before must have been sent.
   *
   * @param install a number that no request had before
   * @param nextAd the number of the ad that the next click is on
   */
  fill(install: number, nowMs: number, nextAd: () => number): Uint8Array {
    const bytes = this.#bytes;
    if (this.#sentAt !== null) writeDigits(bytes, this.#sentAt, TIME_DIGITS, nowMs);
    for (let i = 0; i < this.#places.length; i++) {
      const places = this.#places[i]!;
      writeDigits(bytes, places.install, INSTALL_DIGITS, install);
      writeDigits(bytes, places.ad, AD_DIGITS, nextAd());
      writeDigits(bytes, places.time, TIME_DIGITS, nowMs - i * CLICK_EVERY_MS);
    }
    return bytes;
  }
}

function clickText(number: number, user: string): string {
  const clickId = `i${INSTALL}.${String(number).padStart(3, "0")}`;
  return `{"click_id":"${clickId}","ad_id":"ad-${AD}","timestamp":${TIME},"user_id":"${user}"}`;
}

function writeDigits(bytes: Uint8Array, at: number, count: number, value: number): void {
  let rest = value;
  for (let i = at + count - 1; i >= at; i--) {
    const tenth = Math.floor(rest / 10);
    bytes[i] = 48 + rest - tenth * 10;
    rest = tenth;
  }
  if (rest !== 0) throw new Error(`${value} has more than ${count} digits`);
}
