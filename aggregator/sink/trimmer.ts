/**
 * Trims a stream behind its sink's position: what ClickHouse holds stays STREAM_KEEP_MS for replay,
 * and the newest message of each subject stays for ever, because shards prove their journal and
 * partitions fence their emissions by it.
 */
import type { JetStreamManager } from "@nats-io/jetstream";
import type { StreamName } from "../../wire/subjects.ts";
import { TRIM_INTERVAL_MS } from "../limits.ts";
import type { Log } from "../ops/log.ts";
import { isNatsFailure } from "../source/nats-failure.ts";
import { storedMessage } from "../source/stream-reader.ts";

/** A message that is safe in ClickHouse, and when the broker stored it. */
interface Safe {
  readonly sequence: number;
  readonly brokerTimeMs: number;
}

/** The last of `safe` (in order) that is older than what is kept; null when none is. */
export function trimBoundary(safe: readonly Safe[], nowMs: number, keepMs: number): Safe | null {
  return safe.findLast((s) => s.brokerTimeMs < nowMs - keepMs) ?? null;
}

export interface TrimmerParts {
  readonly stream: StreamName;
  readonly manager: JetStreamManager;
  readonly keepMs: number;
  readonly log: Log;
  nowMs(): number;
}

export class Trimmer {
  readonly #parts: TrimmerParts;
  #safe: Safe[] = [];
  #trimmedAtMs: number;

  constructor(parts: TrimmerParts) {
    this.#parts = parts;
    this.#trimmedAtMs = parts.nowMs();
  }

  /** Tells that everything through `sequence` is in ClickHouse; trims when it is time. */
  async safeThrough(sequence: number, brokerTimeMs: number): Promise<void> {
    this.#safe.push({ sequence, brokerTimeMs });
    const { keepMs, log, stream } = this.#parts;
    const nowMs = this.#parts.nowMs();
    if (nowMs - this.#trimmedAtMs < TRIM_INTERVAL_MS) return;
    this.#trimmedAtMs = nowMs;
    const boundary = trimBoundary(this.#safe, nowMs, keepMs);
    if (boundary === null) return;
    try {
      const purged = await this.#trim(boundary.sequence);
      this.#safe = this.#safe.filter((s) => s.sequence > boundary.sequence);
      log.info({ stream, through: boundary.sequence, purged }, "stream trimmed");
    } catch (error) {
      // Trimming is not in the way of counting: the next round does it.
      if (!isNatsFailure(error)) throw error;
      log.warn({ stream, error: String(error) }, "trim failed");
    }
  }

  async #trim(through: number): Promise<number> {
    const { manager, stream } = this.#parts;
    const { state } = await manager.streams.info(stream, { subjects_filter: ">" });
    let purged = 0;
    for (const subject of Object.keys(state.subjects ?? {})) {
      const newest = await storedMessage(manager, stream, { last_by_subj: subject });
      if (newest === null) continue;
      const result = await manager.streams.purge(stream, {
        filter: subject,
        seq: Math.min(through + 1, newest.sequence),
      });
      purged += result.purged;
    }
    return purged;
  }
}
