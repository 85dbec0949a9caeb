/**
 * Requests of one isolate that are for the same shard at the same time share a call to it: an object takes about 1,000
 * calls a second, each is billed, and calls of their own are a third of what single clicks cost (docs/decisions/0009).
 *
 * The platform keeps requests apart: nothing that one of them waits for can safely be settled by another. So a call is
 * made by the request that opened it, and the others look, by timers of their own, whether it has answers. What they
 * have in common is plain values only.
 */
import { writer, written } from "../wire/cursor.ts";
import { writeBatch } from "./click/batch-bytes.ts";
import type { ShardBatch } from "./click/batches.ts";
import {
  CALL_BATCHES_MAX,
  CALL_BYTES_MAX,
  CALL_EVERY_MS,
  CALL_LATE_MS_MAX,
  COMMIT_LINGER_MS,
  LOOK_EVERY_MS,
  LOOK_FIRST_MS_MAX,
} from "./limits.ts";
import type { ShardAnswer } from "./shard/fate.ts";

export class SharedCall {
  /** When it is to be made, milliseconds since 1970. */
  readonly dueAtMs: number;
  /** Null until it has ended; then, for each batch in the order joined, null where nothing is known of it. */
  answers: readonly (ShardAnswer | null)[] | null = null;
  #batchCount = 0;
  readonly #bytes = writer();

  constructor(dueAtMs: number) {
    this.dueAtMs = dueAtMs;
  }

  get batchCount(): number {
    return this.#batchCount;
  }

  get isFull(): boolean {
    return this.#batchCount >= CALL_BATCHES_MAX || this.#bytes.at >= CALL_BYTES_MAX;
  }

  /** @returns its place */
  add(batch: ShardBatch): number {
    writeBatch(this.#bytes, batch);
    return this.#batchCount++;
  }

  /** What the shard is called with. */
  message(): Uint8Array {
    // A view would take its whole buffer along.
    return written(this.#bytes).slice();
  }
}

export interface Seat {
  readonly call: SharedCall;
  /** Of the batch in its call. Who has the first one makes the call, at `dueAtMs`. */
  readonly place: number;
}

/** What an isolate has under way to one shard. */
export class ShardLine {
  /** That others may join. */
  #open: SharedCall | null = null;
  #calledAtMs = -Infinity;
  /** The newest call that was answered, from when it was due. */
  #tookMs = COMMIT_LINGER_MS;

  /** Takes a batch along; its bytes are copied. */
  join(batch: ShardBatch, nowMs: number): Seat {
    const call = (this.#open = this.#joinable(nowMs));
    const place = call.add(batch);
    if (call.isFull) this.#open = null;
    return { call, place };
  }

  /** @returns the message of a call that is made now: nobody joins it any more */
  take(call: SharedCall, nowMs: number): Uint8Array {
    if (this.#open === call) this.#open = null;
    this.#calledAtMs = nowMs;
    return call.message();
  }

  answered(call: SharedCall, answers: readonly (ShardAnswer | null)[], nowMs: number): void {
    this.#tookMs = nowMs - call.dueAtMs;
    call.answers = answers;
  }

  /** How long to wait before a look for its answers is worth while, if it takes as long as the one before. */
  firstLookMs({ dueAtMs }: SharedCall, nowMs: number): number {
    const expectedMs = Math.min(dueAtMs + this.#tookMs - nowMs, LOOK_FIRST_MS_MAX);
    return Math.max(expectedMs, LOOK_EVERY_MS);
  }

  #joinable(nowMs: number): SharedCall {
    // One that is so late has lost its request. Who joined it gives up in time.
    if (this.#open !== null && nowMs - this.#open.dueAtMs <= CALL_LATE_MS_MAX) return this.#open;
    const sinceMs = nowMs - this.#calledAtMs;
    // A clock that was set back makes no difference.
    const waitMs = sinceMs < 0 ? CALL_EVERY_MS : Math.max(CALL_EVERY_MS - sinceMs, 0);
    return new SharedCall(nowMs + waitMs);
  }
}
