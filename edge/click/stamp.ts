/**
 * The time policy: which moment a click is counted in, from what the client claims and what we know.
 *
 * Skew as in Segment's and Snowplow's collectors: what the client's clock showed when it sent, against
 * our receipt. The SDK restamps `sent_at` on every attempt, so a batch that waited offline is not skewed.
 */
import type { TimeSource } from "../../wire/columns.ts";
import { SMALL_SKEW_MS_MAX } from "../../wire/limits.ts";

export interface Stamp {
  readonly eventTimeMs: number;
  readonly timeSource: TimeSource;
  /** received_at − sent_at; null without a client clock. */
  readonly skewMs: number | null;
}

/** received_at − sent_at in milliseconds: what the client's clock is behind, and the request's way; null without one. */
export function skewOf(sentAtMs: number | null, receivedAtMs: number): number | null {
  return sentAtMs === null ? null : receivedAtMs - sentAtMs;
}

/** All arguments in milliseconds since 1970. */
export function stampTime(claimedMs: number, sentAtMs: number | null, receivedAtMs: number): Stamp {
  const skewMs = skewOf(sentAtMs, receivedAtMs);
  if (skewMs === null) return { eventTimeMs: receivedAtMs, timeSource: "server", skewMs };
  const stands = Math.abs(skewMs) <= SMALL_SKEW_MS_MAX;
  const eventTimeMs = stands ? claimedMs : claimedMs + skewMs;
  // Later than we could have received it: the claim contradicts itself.
  if (eventTimeMs > receivedAtMs + SMALL_SKEW_MS_MAX) {
    return { eventTimeMs: receivedAtMs, timeSource: "server", skewMs };
  }
  return { eventTimeMs, timeSource: stands ? "client" : "skew_corrected", skewMs };
}
