/**
 * Which of the messages at hand make one insert: a function of the stream (bytes, broker times,
 * days), so that a batch made again after a crash has the same units, and the same token.
 */

export interface BatchLimits {
  readonly bytesMax: number;
  readonly unitsMax: number;
  /** Broker time that a batch spans at most. */
  readonly lingerMs: number;
  /** How long after its span a message of it may still arrive. */
  readonly slackMs: number;
}

/** What the plan looks at of each message, in stream order. */
export interface Batchable {
  readonly byteCount: number;
  readonly brokerTimeMs: number;
  /** The table's partition: one insert is one part. */
  readonly day: number;
}

export type BatchPlan =
  | { readonly kind: "insert"; readonly count: number }
  /** More may belong to it: look again after so many milliseconds, or when a message has come. */
  | { readonly kind: "wait"; readonly ms: number };

/** @param nowMs this process's clock, milliseconds since 1970 */
export function planBatch(
  messages: readonly Batchable[],
  nowMs: number,
  limits: BatchLimits,
): BatchPlan {
  const first = messages[0];
  if (first === undefined) return { kind: "wait", ms: limits.lingerMs };
  const endMs = first.brokerTimeMs + limits.lingerMs;
  let byteCount = 0;
  let count = 0;
  for (const message of messages) {
    byteCount += message.byteCount;
    const full = count > 0 && byteCount > limits.bytesMax;
    if (
      full ||
      count === limits.unitsMax ||
      message.brokerTimeMs >= endMs ||
      message.day !== first.day
    ) {
      return { kind: "insert", count };
    }
    count++;
  }
  const waitMs = endMs + limits.slackMs - nowMs;
  // A broker whose clock is ahead of ours must not make us wait longer than the span itself.
  return waitMs <= 0
    ? { kind: "insert", count }
    : { kind: "wait", ms: Math.min(waitMs, limits.lingerMs + limits.slackMs) };
}
