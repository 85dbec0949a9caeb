/**
 * Requests of one isolate that are for the same shard at the same time share a call to it: an object takes about 1,000
 * calls a second, each is billed, and calls of their own are a third of what single clicks cost (docs/decisions/0009).
 *
 * The platform keeps requests apart: nothing that one of them waits for can safely be settled by another. So a call is
 * made by the request that opened it, and the others look, by timers of their own, whether it has answers. What they
 * have in common is plain values only.
 */
import { writer, written } from "../wire/cursor.ts";
import type { Cursor } from "../wire/cursor.ts";
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
  /** Null when they were taken: who waits for the answers keeps the call, and must not keep its bytes. */
  #bytes: Cursor | null = writer();

  constructor(dueAtMs: number) {
    this.dueAtMs = dueAtMs;
  }

  get batchCount(): number {
    return this.#batchCount;
  }

  get isFull(): boolean {
    return this.#batchCount >= CALL_BATCHES_MAX || this.#open().at >= CALL_BYTES_MAX;
  }

  /** @returns its index */
  add(batch: ShardBatch): number {
    writeBatch(this.#open(), batch);
    return this.#batchCount++;
  }

  /** What the shard is called with, once. */
  takeMessage(): Uint8Array {
    // A view would take its whole buffer along.
    const message = written(this.#open()).slice();
    this.#bytes = null;
    return message;
  }

  #open(): Cursor {
    if (this.#bytes === null) throw new Error("a call was taken, and is wanted again");
    return this.#bytes;
  }
}

export interface Joined {
  readonly call: SharedCall;
  /** Of the batch in its call. Who has the first one makes the call, at `dueAtMs`. */
  readonly index: number;
}

/** What an isolate has under way to one shard. */
export class ShardLine {
  /** That others may join. */
  #open: SharedCall | null = null;
  #calledAtMs = -Infinity;
  /** The newest call that was answered, from when it was due. */
  #tookMs = COMMIT_LINGER_MS;

  /** Takes a batch along; its bytes are copied. */
  join(batch: ShardBatch, nowMs: number): Joined {
    const call = (this.#open = this.#joinable(nowMs));
    const index = call.add(batch);
    if (call.isFull) this.#close(call);
    return { call, index };
  }

  /** @returns the message of a call that is made now: nobody joins it any more */
  take(call: SharedCall, nowMs: number): Uint8Array {
    this.#close(call);
    this.#calledAtMs = nowMs;
    return call.takeMessage();
  }

  answered(call: SharedCall, answers: readonly (ShardAnswer | null)[], nowMs: number): void {
    this.#tookMs = nowMs - call.dueAtMs;
    call.answers = answers;
  }

  /** Nothing is known of any of its batches. */
  failed(call: SharedCall): void {
    this.#close(call);
    call.answers = NONE;
  }

  /** How long to wait before a look for its answers is worth while, if it takes as long as the one before. */
  firstLookMs({ dueAtMs }: SharedCall, nowMs: number): number {
    const expectedMs = Math.min(dueAtMs + this.#tookMs - nowMs, LOOK_FIRST_MS_MAX);
    return Math.max(expectedMs, LOOK_EVERY_MS);
  }

  #close(call: SharedCall): void {
    if (this.#open === call) this.#open = null;
  }

  #joinable(nowMs: number): SharedCall {
    if (this.#open !== null) {
      const lateMs = nowMs - this.#open.dueAtMs;
      // One that is so late has lost its request; and none is due later than in CALL_EVERY_MS, unless the clock was set
      // back. Who has joined gives up in time.
      if (lateMs >= -CALL_EVERY_MS && lateMs <= CALL_LATE_MS_MAX) return this.#open;
    }
    const sinceMs = nowMs - this.#calledAtMs;
    const waitMs = sinceMs < 0 ? CALL_EVERY_MS : Math.max(CALL_EVERY_MS - sinceMs, 0);
    return new SharedCall(nowMs + waitMs);
  }
}

const NONE: readonly (ShardAnswer | null)[] = [];

/** From one look for answers to the next: a shard that hangs must not keep the isolate busy with looks. */
export function nextLookMs(waitedMs: number): number {
  return Math.max(LOOK_EVERY_MS, Math.floor(waitedMs / 10));
}
