/** Limits that more than one room relies on, each with its unit and the sum that chose it. */

/** NATS takes 1 MiB by default; flushes and chunks stay at half of it: replies and re-reads are small. */
export const MESSAGE_BYTES_MAX = 512 * 1024;

/** Rows of one block: what is left of a message after prefix and origin (< 128 bytes each, but for a result's producer list). */
export const BLOCK_BODY_BYTES_MAX = MESSAGE_BYTES_MAX - 256;

/** The longest origin is a result's: 18 bytes for each of SHARDS_MAX producers and as many old epochs; body and it stay under NATS's 1 MiB. */
export const BLOCK_ORIGIN_BYTES_MAX = 192 * 1024;

export const CLICK_ID_BYTES_MAX = 64;
export const AD_ID_BYTES_MAX = 64;
/** An SDK's user id: a UUID is 36, an advertising id with prefix under 64; UTF-8 bytes. */
export const USER_ID_BYTES_MAX = 128;
/** Longer user agents are cut: 99.9 % are shorter than 256 characters. */
export const USER_AGENT_BYTES_MAX = 256;
/** IPv6 with an embedded IPv4 tail: 45 characters. */
export const IP_BYTES_MAX = 45;
export const ACCOUNT_BYTES_MAX = 64;
export const KEY_ID_BYTES_MAX = 64;
/** ISO 3166 alpha-2, or Cloudflare's two-character specials (T1, XX). */
export const COUNTRY_BYTES_MAX = 2;
export const DEVICE_BYTES_MAX = 16;
export const INVALID_REASON_BYTES_MAX = 32;

/** Bytes of a rejected click that are kept for the one who has to find out why. */
export const REJECTED_BODY_BYTES_MAX = 4096;
export const REJECTED_MESSAGE_BYTES_MAX = 256;

/** Clicks of one request: a phone's offline queue drains in a few requests, and one request stays < 1 MB. */
export const BATCH_CLICKS_MAX = 1_000;
/** Bytes of one request body, inflated. 1,000 clicks of ~300 bytes of JSON are 300 KB. */
export const BODY_BYTES_MAX = 1_000_000;

/** 2,000,000 ads are spread over this many partitions at most; u16 on the wire. */
export const PARTITIONS_MAX = 1_024;
/** u16 on the wire; 1,000 requests/s per object and 50,000 clicks/s need about 64. */
export const SHARDS_MAX = 4_096;

/**
 * Clock error up to which the client's time stands uncorrected: network latency and NTP drift
 * explain seconds, not more.
 */
export const SMALL_SKEW_MS_MAX = 10_000;

/**
 * From the moment an SDK stamps `sent_at` to our receipt. Chromium gives a connection up after 240 s, longer
 * than others; the other 60 s are for the name, TLS, the head of the request, and for what the edge's own
 * clocks differ by.
 */
export const REQUEST_IN_FLIGHT_MS_MAX = 300_000;

/**
 * How far a clock that nobody sets gets away from itself between a click and its last attempt: 100 ppm, a bad
 * crystal, are 60,480 ms in a week; 20 ppm, a usual one, are 51,840 ms in 30 days.
 */
export const CLOCK_DRIFT_MS_MAX = 61_000;

/**
 * How much later than the truth the event time of an attempt may be, unless somebody has set the clock back
 * since the click. With o = what the clock was ahead by, L = flight, d = o(attempt) − o(click):
 *
 *     skew = L − o(attempt)
 *     corrected:  event − truth = o(click) + skew = L − d
 *     as claimed: event − truth = o(click) = L − skew − d, where −skew is at most SMALL_SKEW_MS_MAX
 *
 * The worst case is real: ahead by 310 s and 300 s in flight is a skew of −10 s, and the claim stands.
 */
export const RESEND_ERROR_MS_MAX =
  SMALL_SKEW_MS_MAX + REQUEST_IN_FLIGHT_MS_MAX + CLOCK_DRIFT_MS_MAX;

/** 2100-01-01: a later timestamp is no clock that is off, but a number that is no time. */
export const TIMESTAMP_MS_MAX = 4_102_444_800_000;

/**
 * How long the edge remembers a click id: a day, in which a phone comes out of every tunnel and night.
 * A click with an older event time could be a duplicate unseen, so it is `too_old`.
 */
export const DEDUP_HORIZON_MINUTES_DEFAULT = 1_440;
/** The acceptance limit may be RESEND_ERROR_MS_MAX above what has left the horizon, and must not reach clicks of this moment. */
export const DEDUP_HORIZON_MINUTES_MIN = 10;

/** What nats-server accepts unless configured otherwise. */
const NATS_PAYLOAD_BYTES_MAX = 1_048_576;
if (BLOCK_BODY_BYTES_MAX + BLOCK_ORIGIN_BYTES_MAX + 24 > NATS_PAYLOAD_BYTES_MAX) {
  throw new Error("a block with the longest origin must fit what NATS takes");
}
if (DEDUP_HORIZON_MINUTES_MIN * 60_000 < RESEND_ERROR_MS_MAX + 2 * SMALL_SKEW_MS_MAX) {
  throw new Error(
    "a click of this moment must not be too old, also by a clock that is a little slow",
  );
}
if (BLOCK_ORIGIN_BYTES_MAX < 2 * SHARDS_MAX * 18) {
  throw new Error("an origin must have room for every shard's current and previous epoch");
}
