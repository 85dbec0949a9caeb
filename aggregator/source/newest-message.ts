/**
 * The newest message of a subject's own producer, whatever else was published behind it: shards prove
 * their journal and partitions fence their emissions by it, so the trimmer keeps what they look for.
 */
import type { JetStreamManager } from "@nats-io/jetstream";
import { decodeBlock, isFault } from "../../wire/block.ts";
import type { Origin } from "../../wire/block.ts";
import {
  AGAIN_SUBJECTS,
  partialSubject,
  rawSubject,
  rejectedSubject,
  resultSubject,
  SINK_TICK_SUBJECTS,
} from "../../wire/subjects.ts";
import { NEWEST_PASSED_MAX } from "../limits.ts";
import { storedMessage } from "./stream-reader.ts";
import type { StoredMessage } from "./stream-reader.ts";

export type NewestMessage = {
  /** Newest of the subject, the producer's own or not: what a fence must name. */
  readonly last: StoredMessage;
  /** Sequences of what is not the producer's own, from the newest back. */
  readonly passed: readonly number[];
} & (
  | { readonly found: "own"; readonly own: StoredMessage }
  /** The whole subject was looked through. */
  | { readonly found: "none" }
  /** More than NEWEST_PASSED_MAX are not its own: nobody knows what stands before them. */
  | { readonly found: "unknown" }
);

/** Null for an empty subject. */
export async function newestMessage(
  manager: JetStreamManager,
  stream: string,
  subject: string,
): Promise<NewestMessage | null> {
  const last = await storedMessage(manager, stream, { last_by_subj: subject });
  if (last === null) return null;
  const passed: number[] = [];
  for (let at: StoredMessage | null = last; at !== null;) {
    if (isOwn(subject, at.data)) return { last, passed, found: "own", own: at };
    passed.push(at.sequence);
    if (passed.length >= NEWEST_PASSED_MAX) return { last, passed, found: "unknown" };
    at = await messageBefore(manager, stream, subject, at.sequence);
  }
  return { last, passed, found: "none" };
}

/**
 * Whether a message tells how far the subject's producer has come: a block of the producer that the
 * subject names, or what a later version may have published as one. What is set aside does not.
 */
export function isOwn(subject: string, data: Uint8Array): boolean {
  const block = decodeBlock(data);
  if (isFault(block)) return block.fault === "version";
  if (SHARED_SUBJECTS.has(subject)) return true;
  return subjectOf(block.origin) === subject;
}

/** Nobody's own: nothing is proven there, and the newest block is as good as any. */
const SHARED_SUBJECTS: ReadonlySet<string> = new Set([
  ...SINK_TICK_SUBJECTS,
  ...Object.values(AGAIN_SUBJECTS),
]);

/** Where its producer publishes it first; null for what is published on many subjects. */
function subjectOf(origin: Origin): string | null {
  switch (origin.kind) {
    case "raw":
      return rawSubject(origin.shard);
    case "rejected":
      return rejectedSubject(origin.shard);
    case "partial":
      return partialSubject(origin.partitions, origin.partition);
    case "result":
      return resultSubject(origin.partitions, origin.partition);
    case "tick":
    case "settings":
      return null;
  }
}

/**
 * JetStream looks forward only, so: back in doubled strides until something of the subject stands there,
 * then by halves to the last of it.
 */
async function messageBefore(
  manager: JetStreamManager,
  stream: string,
  subject: string,
  sequence: number,
): Promise<StoredMessage | null> {
  const firstFrom = async (from: number) => {
    const found = await storedMessage(manager, stream, { seq: from, next_by_subj: subject });
    return found !== null && found.sequence < sequence ? found : null;
  };
  let found: StoredMessage | null = null;
  let empty = sequence;
  for (let stride = 1; found === null && empty > 1; stride *= 2) {
    const from = Math.max(1, sequence - stride);
    found = await firstFrom(from);
    if (found === null) empty = from;
  }
  while (found !== null && found.sequence + 1 < empty) {
    const middle = Math.floor((found.sequence + 1 + empty) / 2);
    const later: StoredMessage | null = await firstFrom(middle);
    if (later === null) empty = middle;
    else found = later;
  }
  return found;
}
