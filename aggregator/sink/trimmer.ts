/**
 * Trims a stream behind its sink's position, on its own clock: what ClickHouse holds stays
 * STREAM_KEEP_MS for replay while there is room, and the newest message of each subject's own producer
 * stays for ever, because shards prove their journal and partitions fence their emissions by it.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { JetStreamManager } from "@nats-io/jetstream";
import type { StreamName } from "../../wire/subjects.ts";
import { SAFE_POINT_MS, SAFE_POINTS_MAX, STREAM_FULL_SHARE, TRIM_INTERVAL_MS } from "../limits.ts";
import type { Log } from "../ops/log.ts";
import { isNatsFailure } from "../source/nats-failure.ts";
import { newestMessage } from "../source/newest-message.ts";
import type { NewestMessage } from "../source/newest-message.ts";

/** Everything through `sequence` is in ClickHouse; `brokerTimeMs` is when the broker stored about that. */
export interface SafePoint {
  readonly sequence: number;
  readonly brokerTimeMs: number;
}

/**
 * Through which sequence a stream may be trimmed; null for not at all.
 *
 * @param safe points in order
 * @param fullShare bytes stored of bytes allowed
 */
export function trimBoundary(
  safe: readonly SafePoint[],
  nowMs: number,
  keepMs: number,
  fullShare: number,
): number | null {
  const kept = fullShare >= STREAM_FULL_SHARE ? 0 : keepMs;
  return safe.findLast((s) => s.brokerTimeMs <= nowMs - kept)?.sequence ?? null;
}

export interface TrimmerParts {
  readonly stream: StreamName;
  readonly manager: JetStreamManager;
  readonly keepMs: number;
  readonly log: Log;
  readonly signal: AbortSignal;
  readonly nowMs: () => number;
}

export class Trimmer {
  readonly #parts: TrimmerParts;
  #safe: SafePoint[] = [];

  constructor(parts: TrimmerParts) {
    this.#parts = parts;
  }

  /** After an attach: what was known to be safe may have been another stream's. */
  forget(): void {
    this.#safe = [];
  }

  /** Tells that everything through `sequence` is in ClickHouse. */
  safeThrough(sequence: number, brokerTimeMs: number): void {
    const last = this.#safe.at(-1);
    if (last !== undefined && sequence <= last.sequence) return;
    // A point a second is fine enough; the newest one moves on until its second is over.
    const before = this.#safe.at(-2);
    if (before !== undefined && last!.brokerTimeMs - before.brokerTimeMs < SAFE_POINT_MS)
      this.#safe.pop();
    this.#safe.push({ sequence, brokerTimeMs });
    if (this.#safe.length > SAFE_POINTS_MAX) this.#safe.splice(1, 1);
  }

  /** Runs until the signal aborts. Trimming is not in the way of counting: what fails is tried next time. */
  async run(): Promise<void> {
    const { signal, stream, log } = this.#parts;
    while (!signal.aborted) {
      await sleep(TRIM_INTERVAL_MS, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      try {
        await this.trim();
      } catch (error) {
        if (!isNatsFailure(error)) throw error;
        log.warn({ stream, error: String(error) }, "trim failed");
      }
    }
  }

  /** Once. */
  async trim(): Promise<void> {
    const { manager, stream, keepMs, nowMs, log } = this.#parts;
    if (this.#safe.length === 0) return;
    const { state, config } = await manager.streams.info(stream, { subjects_filter: ">" });
    const fullShare = config.max_bytes > 0 ? state.bytes / config.max_bytes : 0;
    const through = trimBoundary(this.#safe, nowMs(), keepMs, fullShare);
    if (through === null || through < state.first_seq) return;
    let purged = 0;
    for (const subject of Object.keys(state.subjects ?? {})) {
      const newest = await newestMessage(manager, stream, subject);
      if (newest === null) continue;
      if (newest.found === "unknown") {
        purged += await this.#removePassed(subject, newest, through);
        continue;
      }
      const kept = newest.found === "own" ? newest.own : newest.last;
      const seq = Math.min(through + 1, kept.sequence);
      purged += (await manager.streams.purge(stream, { filter: subject, seq })).purged;
    }
    this.#safe = this.#safe.filter((s) => s.sequence > through);
    if (purged > 0) log.info({ stream, through, purged, fullShare }, "stream trimmed");
  }

  /**
   * The newest that must stay is behind what was passed, nobody knows where: nothing but what was passed
   * goes, one by one. It was set aside, and the next round looks further, as does a partition that waits
   * for its fence.
   */
  async #removePassed(
    subject: string,
    { passed, last }: NewestMessage,
    through: number,
  ): Promise<number> {
    const { manager, stream, log } = this.#parts;
    const removable = passed.filter((seq) => seq <= through && seq !== last.sequence);
    for (const seq of removable) await manager.streams.deleteMessage(stream, seq, false);
    log.warn(
      { stream, subject, passed: passed.length, removed: removable.length },
      "the newest message of this subject's producer is behind too many others: not trimmed",
    );
    return removable.length;
  }
}
