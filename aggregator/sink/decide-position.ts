/** Where a sink goes on reading: a position is believed only when the stream still says the same there. */

/** The newest ledger row of this very stream. */
export interface StoredPosition {
  readonly sequence: number;
  readonly messageId: string;
  readonly timeMs: number;
}

export interface StreamFacts {
  readonly firstSequence: number;
  readonly lastSequence: number;
  /** What stands at the stored sequence; null when nothing does. */
  readonly there: { readonly id: string; readonly brokerTimeMs: number } | null;
}

export interface ReadFrom {
  readonly sequence: number;
  /** Why the stored position was not believed; null when it was, or there was none. */
  readonly lost: string | null;
}

export function decidePosition(stored: StoredPosition | null, stream: StreamFacts): ReadFrom {
  if (stored === null) return { sequence: 1, lost: null };
  // Trimmed behind us, as it should be; numbers tell repeats.
  if (stored.sequence < stream.firstSequence) return { sequence: stream.firstSequence, lost: null };
  if (stored.sequence > stream.lastSequence) {
    return {
      sequence: 1,
      lost: `position ${stored.sequence} is beyond the stream's end ${stream.lastSequence}`,
    };
  }
  // Our own trimmer took it: its subject has a newer message, and an idle one keeps the stream's start low.
  if (stream.there === null) return { sequence: stored.sequence + 1, lost: null };
  if (stream.there.id !== stored.messageId || stream.there.brokerTimeMs !== stored.timeMs) {
    return {
      sequence: 1,
      lost: `at position ${stored.sequence} stands ${stream.there.id} of ${stream.there.brokerTimeMs}, the ledger says ${stored.messageId} of ${stored.timeMs}`,
    };
  }
  return { sequence: stored.sequence + 1, lost: null };
}
