/**
 * Watches for partial counts that nobody reads: an edge whose PARTITIONS is not the aggregator's
 * publishes to subjects without a partition. Right while one set of partitions drains beside another,
 * and otherwise clicks that are not counted.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { JetStreamManager } from "@nats-io/jetstream";
import { partialSubject, STREAM } from "../../wire/subjects.ts";
import { FOREIGN_PARTITIONS_MS } from "../limits.ts";
import { isNatsFailure } from "../source/nats-failure.ts";
import type { Alarms } from "./alarms.ts";
import type { Log } from "./log.ts";

export interface WatchParts {
  readonly manager: JetStreamManager;
  readonly partitions: number;
  readonly alarms: Alarms;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** Runs until the signal aborts; one alarm for each such subject. */
export async function watchForeignPartitions(parts: WatchParts): Promise<void> {
  const { manager, partitions, alarms, log, signal } = parts;
  const known = new Set(
    Array.from({ length: partitions }, (_, p) => partialSubject(partitions, p)),
  );
  while (!signal.aborted) {
    try {
      const { state } = await manager.streams.info(STREAM.partial, { subjects_filter: ">" });
      for (const subject of Object.keys(state.subjects ?? {})) {
        if (known.has(subject)) continue;
        known.add(subject);
        const detail = `this aggregator has ${partitions} partitions; another one must read this subject`;
        alarms.raise("aggregator", { alarm: "unread_partition", subject, messageId: "", detail });
      }
    } catch (error) {
      if (!isNatsFailure(error)) throw error;
      log.warn({ error: String(error) }, "subjects could not be listed");
    }
    await sleep(FOREIGN_PARTITIONS_MS, undefined, { signal }).catch(() => undefined);
  }
}
