/** Publishes ticks, so that broker time advances, windows close and batches end where nothing happens. */
import { setTimeout as sleep } from "node:timers/promises";
import type { JetStreamClient } from "@nats-io/jetstream";
import { encodeBlock } from "../../wire/block.ts";
import { partialSubject, SINK_TICK_SUBJECTS } from "../../wire/subjects.ts";
import { PUBLISH_MS_MAX } from "../limits.ts";
import type { Log } from "../ops/log.ts";
import { isNatsFailure } from "../source/nats-failure.ts";

export interface TickerParts {
  readonly js: JetStreamClient;
  readonly partitions: number;
  readonly intervalMs: number;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** Runs until the signal aborts. A tick that fails is not sent again: the next one says more. */
export async function runTicker({
  js,
  partitions,
  intervalMs,
  log,
  signal,
}: TickerParts): Promise<void> {
  const { bytes } = encodeBlock({ kind: "tick" }, 0, new Uint8Array(0));
  const ofPartitions = Array.from({ length: partitions }, (_, partition) =>
    partialSubject(partitions, partition),
  );
  const subjects = [...ofPartitions, ...SINK_TICK_SUBJECTS];
  while (!signal.aborted) {
    try {
      await Promise.all(
        subjects.map((subject) => js.publish(subject, bytes, { timeout: PUBLISH_MS_MAX })),
      );
    } catch (error) {
      if (!isNatsFailure(error)) throw error;
      log.warn({ error: String(error) }, "tick failed");
    }
    await sleep(intervalMs, undefined, { signal }).catch(() => undefined);
  }
}
