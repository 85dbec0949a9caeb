/**
 * Which messages make one insert: a function of the stream alone (bytes, days, broker times, ticks),
 * never of when they are read. A batch made again after a crash has the same units and the same
 * deduplication token, so a late copy of its first insert changes nothing.
 */

export interface BatchLimits {
  readonly bytesMax: number;
  readonly unitsMax: number;
  /** Broker time that a batch spans at most. */
  readonly lingerMs: number;
}

/** What the plan looks at of each message, in stream order. */
export interface Batchable {
  /** Broker time, milliseconds since 1970. */
  readonly brokerTimeMs: number;
  /** Null for a tick, which only says what time it is. */
  readonly unit: {
    readonly body: { readonly length: number };
    /** The table's partition: one insert is one part. */
    readonly day: number;
  } | null;
  /** A unit that its producer had passed already is no part of a batch; it ends one, like a later message. */
  readonly repeated: boolean;
}

/**
 * How many of the messages (units and the ticks between them) make the next batch; null while a
 * message that belongs to it may still come: only a later one ends it.
 */
export function planBatch(messages: readonly Batchable[], limits: BatchLimits): number | null {
  let first: { readonly endMs: number; readonly day: number } | null = null;
  let byteCount = 0;
  let unitCount = 0;
  for (const [count, { brokerTimeMs, unit, repeated }] of messages.entries()) {
    if (first !== null && (repeated || brokerTimeMs >= first.endMs)) return count;
    if (unit === null || repeated) continue;
    byteCount += unit.body.length;
    unitCount++;
    if (first === null) first = { endMs: brokerTimeMs + limits.lingerMs, day: unit.day };
    else if (byteCount > limits.bytesMax || unitCount > limits.unitsMax || unit.day !== first.day) {
      return count;
    }
  }
  return null;
}
