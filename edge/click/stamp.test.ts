/**
 * The time policy as rules, over devices whose clocks are off, drift, are set, or lie. A device's clock
 * shows the true time plus an offset; the edge sees nothing but what it claimed, sent_at and the receipt.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  CLOCK_DRIFT_MS_MAX,
  REQUEST_IN_FLIGHT_MS_MAX,
  RESEND_ERROR_MS_MAX,
  SMALL_SKEW_MS_MAX,
  TIMESTAMP_MS_MAX,
} from "../../wire/limits.ts";
import { clicksOf } from "../../tests/helpers/raw-rows.ts";
import type { RawClick } from "../../wire/raw-click.ts";
import { DEDUP_BUCKET_MS } from "../limits.ts";
import { bucketOf, limitAfterDropping } from "../shard/dedup-index.ts";
import { sortIntoBatches } from "./batches.ts";
import { classify } from "./classify.ts";
import { isProblem, parseEnvelope } from "./parse-envelope.ts";
import { stampTime } from "./stamp.ts";
import type { Stamp } from "./stamp.ts";

const NOW = 1_800_000_000_000;
const SECOND = 1_000;
const DAY = 86_400 * SECOND;
const YEAR = 365 * DAY;

/** What a device's clock shows at a true moment: whole milliseconds, as Date.now() gives them. */
type Clock = (trueMs: number) => number;

/** Runs fast by `ppm` (slow below 0) since `NOW`, when it was ahead by `aheadMs`. */
const clockOf =
  (aheadMs: number, ppm: number): Clock =>
  (trueMs) =>
    Math.floor(trueMs + aheadMs + ((trueMs - NOW) * ppm) / 1e6);

/** One click and one attempt to send it, in true time. */
interface Attempt {
  readonly clickedMs: number;
  /** From the click to the moment when sent_at is stamped. */
  readonly waitMs: number;
  /** From there to our receipt. */
  readonly flightMs: number;
}

function stampOf({ clickedMs, waitMs, flightMs }: Attempt, clock: Clock): Stamp {
  const sentMs = clickedMs + waitMs;
  return stampTime(clock(clickedMs), clock(sentMs), sentMs + flightMs);
}

/** With the moments around a limit, where rules break. */
const around = (...limits: readonly number[]) =>
  fc
    .tuple(fc.constantFrom(...limits), fc.integer({ min: -2, max: 2 }))
    .map(([limit, by]) => limit + by);

const flight = fc.oneof(
  fc.integer({ min: 0, max: 2 * SECOND }),
  fc.integer({ min: 0, max: REQUEST_IN_FLIGHT_MS_MAX }),
  fc.constantFrom(0, SMALL_SKEW_MS_MAX, REQUEST_IN_FLIGHT_MS_MAX),
);
const wait = fc.oneof(
  fc.integer({ min: 0, max: 5 * SECOND }),
  fc.integer({ min: 0, max: 7 * DAY }),
  fc.constant(0),
);
/** Seconds to half a century, either way, and the edges of what stands uncorrected. */
const offset = fc.oneof(
  fc.integer({ min: -30 * SECOND, max: 30 * SECOND }),
  fc.integer({ min: -2 * DAY, max: 2 * DAY }),
  fc.integer({ min: -50 * YEAR, max: 50 * YEAR }),
  around(
    SMALL_SKEW_MS_MAX,
    -SMALL_SKEW_MS_MAX,
    REQUEST_IN_FLIGHT_MS_MAX + SMALL_SKEW_MS_MAX,
    REQUEST_IN_FLIGHT_MS_MAX - SMALL_SKEW_MS_MAX,
  ),
);
const ppm = fc.integer({ min: -100, max: 100 });
const clicked = fc.integer({ min: NOW - 30 * DAY, max: NOW + 30 * DAY });
const attempt: fc.Arbitrary<Attempt> = fc.record({
  clickedMs: clicked,
  waitMs: wait,
  flightMs: flight,
});
/** Whatever parses as a time. */
const anyTime = fc.oneof(
  fc.integer({ min: 0, max: TIMESTAMP_MS_MAX }),
  fc.integer({ min: NOW - 60 * SECOND, max: NOW + 60 * SECOND }),
  fc.constantFrom(0, TIMESTAMP_MS_MAX),
);

describe("the event time", () => {
  test("is never later than the receipt by more than a small skew, whatever is claimed", () => {
    fc.assert(
      fc.property(anyTime, fc.option(anyTime), anyTime, (claimedMs, sentAtMs, receivedAtMs) => {
        const { eventTimeMs } = stampTime(claimedMs, sentAtMs, receivedAtMs);
        expect(eventTimeMs).toBeLessThanOrEqual(receivedAtMs + SMALL_SKEW_MS_MAX);
        expect(Number.isSafeInteger(eventTimeMs)).toBe(true);
      }),
    );
  });

  test("is what the client claims while its skew is at most 10 s, either way", () => {
    const smallSkew = fc.integer({ min: -SMALL_SKEW_MS_MAX, max: SMALL_SKEW_MS_MAX });
    const since = fc.integer({ min: 0, max: 7 * DAY });
    fc.assert(
      fc.property(clicked, smallSkew, since, (receivedAtMs, skewMs, sinceMs) => {
        const sentAtMs = receivedAtMs - skewMs;
        const claimedMs = sentAtMs - sinceMs;
        expect(stampTime(claimedMs, sentAtMs, receivedAtMs)).toEqual({
          eventTimeMs: claimedMs,
          timeSource: "client",
          skewMs,
        });
      }),
    );
    for (const sentAtMs of [NOW - SMALL_SKEW_MS_MAX - 1, NOW + SMALL_SKEW_MS_MAX + 1]) {
      expect(stampTime(sentAtMs, sentAtMs, NOW).timeSource).toBe("skew_corrected");
    }
  });

  test("is corrected by a larger skew to the true time plus the flight, exactly, by years if need be", () => {
    fc.assert(
      fc.property(attempt, offset, (sent, aheadMs) => {
        const stamp = stampOf(sent, clockOf(aheadMs, 0));
        const isSmall = Math.abs(sent.flightMs - aheadMs) <= SMALL_SKEW_MS_MAX;
        expect(stamp).toEqual({
          eventTimeMs: sent.clickedMs + (isSmall ? aheadMs : sent.flightMs),
          timeSource: isSmall ? "client" : "skew_corrected",
          skewMs: sent.flightMs - aheadMs,
        });
      }),
    );
  });

  test("of a clock that drifts is off by what it drifted between click and attempt besides, and by no more", () => {
    fc.assert(
      fc.property(attempt, offset, ppm, (sent, aheadMs, fastPpm) => {
        const stamp = stampOf(sent, clockOf(aheadMs, fastPpm));
        const driftMs = (sent.waitMs * fastPpm) / 1e6;
        const errorMs = stamp.eventTimeMs - sent.clickedMs;
        // A clock never runs so slow that its click is still to come.
        expect(stamp.timeSource).not.toBe("server");
        const uncorrectedMs = stamp.timeSource === "client" ? stamp.skewMs! : 0;
        expect(Math.abs(errorMs - (sent.flightMs - uncorrectedMs - driftMs))).toBeLessThan(2);
      }),
    );
  });

  test("is the receipt without a sent_at, and when it would still be to come, and only then", () => {
    fc.assert(
      fc.property(anyTime, fc.option(anyTime), anyTime, (claimedMs, sentAtMs, receivedAtMs) => {
        const stamp = stampTime(claimedMs, sentAtMs, receivedAtMs);
        const isSmall = sentAtMs !== null && Math.abs(receivedAtMs - sentAtMs) <= SMALL_SKEW_MS_MAX;
        // By its own clock where that is corrected, by ours where it stands.
        const aheadMs = claimedMs - (isSmall ? receivedAtMs : (sentAtMs ?? 0));
        const isServer = sentAtMs === null || aheadMs > SMALL_SKEW_MS_MAX;
        expect(stamp).toMatchObject(
          isServer
            ? { timeSource: "server", eventTimeMs: receivedAtMs }
            : { timeSource: isSmall ? "client" : "skew_corrected" },
        );
      }),
    );
  });

  test("of a good clock with a timestamp that is to come is the receipt, from 10 s on", () => {
    expect(stampTime(NOW + 10_000, NOW, NOW)).toMatchObject({
      eventTimeMs: NOW + 10_000,
      timeSource: "client",
    });
    for (const aheadMs of [10_001, 9 * 3_600 * SECOND, 60 * YEAR]) {
      expect(stampTime(NOW + aheadMs, NOW, NOW)).toEqual({
        eventTimeMs: NOW,
        timeSource: "server",
        skewMs: 0,
      });
    }
  });

  test.each([
    ["a clock that was never set", 0, 5_000, NOW - 5_000, "skew_corrected"],
    [
      "a clock at the end of time",
      TIMESTAMP_MS_MAX - 5_000,
      TIMESTAMP_MS_MAX,
      NOW - 5_000,
      "skew_corrected",
    ],
    ["a timestamp of 0 by a good clock", 0, NOW, 0, "client"],
    [
      "a timestamp of 0 by a clock at the end of time",
      0,
      TIMESTAMP_MS_MAX,
      NOW - TIMESTAMP_MS_MAX,
      "skew_corrected",
    ],
    ["a timestamp at the end of time by a good clock", TIMESTAMP_MS_MAX, NOW, NOW, "server"],
    [
      "a timestamp at the end of time by a clock that was never set",
      TIMESTAMP_MS_MAX,
      0,
      NOW,
      "server",
    ],
  ])("at the limits of what parses: %s", (_, claimedMs, sentAtMs, eventTimeMs, timeSource) => {
    expect(stampTime(claimedMs, sentAtMs, NOW)).toMatchObject({ eventTimeMs, timeSource });
  });
});

/** Through parser and encoder, as the journal and ClickHouse get it. */
function rowOf(claimedMs: number, sentAtMs: number | null, receivedAtMs: number): RawClick {
  const click = { click_id: "i.1", ad_id: "a", timestamp: claimedMs };
  const envelope = parseEnvelope(JSON.stringify({ sent_at: sentAtMs, clicks: [click] }));
  if (isProblem(envelope)) throw new Error(envelope.detail);
  const { batches } = sortIntoBatches(envelope, {
    receivedAtMs,
    sentAtMs: envelope.sentAtMs,
    sender: { country: "XX", ip: "" },
    classified: classify(null),
    shards: 4,
  });
  return clicksOf(batches[0]!.clicks)[0]!;
}

function rowsOf(attempts: readonly Attempt[], clockAt: (i: number) => Clock): RawClick[] {
  return attempts.map(({ clickedMs, waitMs, flightMs }, i) => {
    const clock = clockAt(i);
    return rowOf(clock(clickedMs), clock(clickedMs + waitMs), clickedMs + waitMs + flightMs);
  });
}

describe("a raw row", () => {
  // 0 is a time; numbers that look like seconds are rejected, and are no business of the time policy.
  const rowTime = fc.oneof(
    fc.integer({ min: 10_000_000_000, max: TIMESTAMP_MS_MAX }),
    fc.constantFrom(0, TIMESTAMP_MS_MAX),
  );

  test("keeps what was claimed, sent and received, and its event time, source and skew follow from these", () => {
    fc.assert(
      fc.property(rowTime, fc.option(rowTime), rowTime, (claimedTimeMs, sentAtMs, receivedAtMs) => {
        const row = rowOf(claimedTimeMs, sentAtMs, receivedAtMs);
        expect(row).toMatchObject({
          claimedTimeMs,
          sentAtMs,
          receivedAtMs,
          ...stampTime(claimedTimeMs, sentAtMs, receivedAtMs),
        });
        expect(row.skewMs).toBe(sentAtMs === null ? null : receivedAtMs - sentAtMs);
      }),
    );
  });

  const skewSpreadMs = (rows: readonly RawClick[]) => {
    const skews = rows.map(({ skewMs }) => skewMs!);
    return Math.max(...skews) - Math.min(...skews);
  };
  /** What flight, drift and whole milliseconds explain; whoever looks at raw rows judges by it. */
  const faultyMs = REQUEST_IN_FLIGHT_MS_MAX + CLOCK_DRIFT_MS_MAX + 1;
  /** Of one device in one week, so that no drift goes beyond CLOCK_DRIFT_MS_MAX. */
  const week = fc.array(
    fc.record({
      clickedMs: fc.integer({ min: NOW, max: NOW + 5 * DAY }),
      waitMs: fc.integer({ min: 0, max: 2 * DAY }),
      flightMs: flight,
    }),
    { minLength: 2, maxLength: 8 },
  );

  test("shows a faulty clock by a skew that is steady, whatever it is", () => {
    fc.assert(
      fc.property(week, offset, ppm, (attempts, aheadMs, fastPpm) => {
        const rows = rowsOf(attempts, () => clockOf(aheadMs, fastPpm));
        expect(skewSpreadMs(rows)).toBeLessThanOrEqual(faultyMs);
      }),
    );
  });

  test("shows a manipulated clock by a skew that jumps, also where every event time is plausible", () => {
    // Twice: once to be seen, and once because flight and drift may hide as much.
    const jump = fc
      .tuple(fc.integer({ min: 2 * faultyMs, max: YEAR }), fc.constantFrom(-1, 1))
      .map(([jumpMs, sign]) => sign * jumpMs);
    fc.assert(
      fc.property(week, offset, ppm, jump, (attempts, aheadMs, fastPpm, jumpMs) => {
        const clockAt = (i: number) => clockOf(aheadMs + (i % 2) * jumpMs, fastPpm);
        const rows = rowsOf(attempts, clockAt);
        expect(skewSpreadMs(rows)).toBeGreaterThan(faultyMs);
        // Set between clicks and not between click and attempt, it moves no event time.
        for (const [i, row] of rows.entries()) {
          const errorMs = row.eventTimeMs - attempts[i]!.clickedMs;
          expect(Math.abs(errorMs)).toBeLessThanOrEqual(RESEND_ERROR_MS_MAX);
        }
      }),
    );
  });
});

/**
 * A click that was accepted at `firstMs` and sent again when that receipt's bucket has been dropped. Nobody
 * remembers it, so it is counted a second time unless its event time is below the limit.
 */
function countsAgain(resend: Stamp, firstMs: number): boolean {
  return resend.eventTimeMs >= limitAfterDropping(bucketOf(firstMs));
}

describe("a click that is sent again after its bucket was dropped", () => {
  const END = bucketOf(NOW) * DEDUP_BUCKET_MS + DEDUP_BUCKET_MS;
  /** The last that its bucket takes, whose limit is nearest. */
  const LAST = END - 1;
  const beforeEnd = fc.oneof(
    fc.integer({ min: 0, max: DAY }),
    fc.integer({ min: 0, max: 60 * SECOND }),
    fc.constant(0),
  );

  test("is too old by every clock that nobody sets: off by anything, drifting, with any flight", () => {
    const drifting = fc.oneof(
      fc.tuple(ppm, fc.integer({ min: 0, max: 7 * DAY })),
      fc.tuple(fc.integer({ min: -20, max: 20 }), fc.integer({ min: 0, max: 30 * DAY })),
      fc.constantFrom([100, 7 * DAY] as const, [-100, 7 * DAY] as const),
    );
    fc.assert(
      fc.property(beforeEnd, drifting, offset, flight, (beforeMs, drift, aheadMs, flightMs) => {
        const clickedMs = LAST - beforeMs;
        const resend = { clickedMs, waitMs: drift[1], flightMs };
        expect(countsAgain(stampOf(resend, clockOf(aheadMs, drift[0])), LAST)).toBe(false);
      }),
      { numRuns: 1_000 },
    );
  });

  test("has an event time that is later than the truth by the whole allowance in the worst case, so none of it is too much", () => {
    // It loses the drift between click and resend, and its lead then just stands with the flight in it.
    const aheadAtResendMs = REQUEST_IN_FLIGHT_MS_MAX + SMALL_SKEW_MS_MAX;
    const waitMs = 2 * DAY;
    const worst: Clock = (trueMs) =>
      trueMs + aheadAtResendMs + (trueMs === LAST ? CLOCK_DRIFT_MS_MAX : 0);
    const resend = { clickedMs: LAST, waitMs, flightMs: REQUEST_IN_FLIGHT_MS_MAX };
    const stamp = stampOf(resend, worst);
    expect(stamp).toEqual({
      eventTimeMs: LAST + RESEND_ERROR_MS_MAX,
      timeSource: "client",
      skewMs: -SMALL_SKEW_MS_MAX,
    });
    expect(countsAgain(stamp, LAST)).toBe(false);
    const setBackMore: Clock = (trueMs) => worst(trueMs) + (trueMs === LAST ? 1 : 0);
    expect(countsAgain(stampOf(resend, setBackMore), LAST)).toBe(true);
  });

  /** How far the clock is set back between click and resend so that a second count is possible, at least. */
  const setBackMsMin = (flightMs: number) => RESEND_ERROR_MS_MAX - SMALL_SKEW_MS_MAX - flightMs + 1;
  const setBack =
    (aheadMs: number, clickedMs: number, byMs: number): Clock =>
    (trueMs) =>
      trueMs + aheadMs + (trueMs <= clickedMs ? byMs : 0);
  const later = fc.integer({ min: 1, max: 30 * DAY });

  test("is too old while its clock was set back by at most 6 minutes and 1 second less the flight, and no more", () => {
    const less = fc.integer({ min: 1, max: YEAR });
    fc.assert(
      fc.property(
        beforeEnd,
        later,
        offset,
        flight,
        less,
        (beforeMs, waitMs, aheadMs, flightMs, lessMs) => {
          const clickedMs = LAST - beforeMs;
          const clock = setBack(aheadMs, clickedMs, setBackMsMin(flightMs) - lessMs);
          expect(countsAgain(stampOf({ clickedMs, waitMs, flightMs }, clock), LAST)).toBe(false);
        },
      ),
      { numRuns: 1_000 },
    );
    // The bound is met: a clock that is ahead by what just stands with this flight in it.
    fc.assert(
      fc.property(later, flight, (waitMs, flightMs) => {
        const aheadMs = flightMs + SMALL_SKEW_MS_MAX;
        const clock = setBack(aheadMs, LAST, setBackMsMin(flightMs));
        const resend = { clickedMs: LAST, waitMs: waitMs + DAY, flightMs };
        expect(countsAgain(stampOf(resend, clock), LAST)).toBe(true);
      }),
    );
    expect(setBackMsMin(0)).toBe(361_001);
    expect(setBackMsMin(REQUEST_IN_FLIGHT_MS_MAX)).toBe(61_001);
  });

  test("is too old by a clock that is corrected while it was set back by at most 6 minutes and 11 seconds less the flight", () => {
    fc.assert(
      fc.property(later, flight, offset, (waitMs, flightMs, aheadMs) => {
        fc.pre(Math.abs(flightMs - aheadMs) > SMALL_SKEW_MS_MAX);
        const resend = { clickedMs: LAST, waitMs: waitMs + DAY, flightMs };
        const byMs = RESEND_ERROR_MS_MAX - flightMs;
        expect(countsAgain(stampOf(resend, setBack(aheadMs, LAST, byMs)), LAST)).toBe(false);
        expect(countsAgain(stampOf(resend, setBack(aheadMs, LAST, byMs + 1)), LAST)).toBe(true);
      }),
    );
  });

  test("is too old by a clock that was set forward, by any amount", () => {
    const forward = fc.integer({ min: 0, max: 20 * YEAR });
    fc.assert(
      fc.property(later, flight, offset, forward, (waitMs, flightMs, aheadMs, byMs) => {
        const clock = setBack(aheadMs, LAST, -byMs);
        expect(countsAgain(stampOf({ clickedMs: LAST, waitMs, flightMs }, clock), LAST)).toBe(
          false,
        );
      }),
    );
  });

  test("is counted again without a sent_at: it has no time but the receipt's", () => {
    fc.assert(
      fc.property(fc.integer({ min: DAY, max: 30 * DAY }), anyTime, (waitMs, claimedMs) => {
        expect(countsAgain(stampTime(claimedMs, null, LAST + waitMs), LAST)).toBe(true);
      }),
    );
  });

  test("is counted again when sent_at is that of an earlier attempt: the wait looks like skew", () => {
    fc.assert(
      fc.property(offset, fc.integer({ min: DAY, max: 30 * DAY }), (aheadMs, waitMs) => {
        const clock = clockOf(aheadMs, 0);
        fc.pre(Math.abs(waitMs - aheadMs) > SMALL_SKEW_MS_MAX);
        const stamp = stampTime(clock(LAST), clock(LAST), LAST + waitMs);
        expect(stamp.eventTimeMs).toBe(LAST + waitMs);
        expect(countsAgain(stamp, LAST)).toBe(true);
      }),
    );
  });

  test("is counted again when its timestamp is ahead of the clock of sent_at by more than the allowance", () => {
    const claimedMs = LAST + 9 * 3_600 * SECOND;
    const first = stampTime(claimedMs, LAST, LAST);
    expect(first).toMatchObject({ timeSource: "server", eventTimeMs: LAST });
    const resend = stampTime(claimedMs, LAST + 2 * DAY, LAST + 2 * DAY);
    expect(resend).toMatchObject({ timeSource: "client", eventTimeMs: claimedMs });
    expect(countsAgain(resend, LAST)).toBe(true);
  });
});
