/**
 * A reader that meets what only a later version understands stops there: the data is not at fault, so
 * it stays where it is, and the other readers go on. The next start reads on from the same place.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { READER_STOPPED_MS } from "../limits.ts";
import type { Alarms } from "../ops/alarms.ts";

/** Where a reader has to stop, and why. Thrown through whatever it is doing; nothing is in hand half. */
export class ReaderStop extends Error {
  readonly at: { readonly subject: string; readonly sequence: number; readonly id: string };
  constructor(
    at: { readonly subject: string; readonly sequence: number; readonly id: string },
    reason: string,
  ) {
    super(reason);
    this.name = "ReaderStop";
    this.at = at;
  }
}

/** A later version's block holds clicks that were accepted: the message is not what is wrong. */
const ADVICE =
  "upgrade this aggregator (to remove the message loses the clicks it holds, unless nobody here has ever run a later version)";

export interface StoppableParts {
  readonly alarms: Alarms;
  readonly signal: AbortSignal;
}

/**
 * Runs a reader until the signal aborts. When it stops before that, the alarm is raised again and again:
 * in the log each time, on the repair list once.
 *
 * @param reader its name in alarms
 * @param againMs between two alarms
 */
export async function runStoppable(
  reader: string,
  { alarms, signal }: StoppableParts,
  run: () => Promise<void>,
  againMs = READER_STOPPED_MS,
): Promise<void> {
  try {
    return await run();
  } catch (error) {
    if (!(error instanceof ReaderStop)) throw error;
    const { subject, sequence, id } = error.at;
    const detail = `stopped before sequence ${sequence}: ${error.message}; ${ADVICE}`;
    while (!signal.aborted) {
      alarms.raise(reader, { alarm: "reader_stopped", subject, messageId: id, detail });
      await sleep(againMs, undefined, { signal }).catch(() => undefined);
    }
  }
}
