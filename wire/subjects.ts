/** Stream names, subjects and message ids: who writes where, and how a message says what it is. */
import { hashText } from "./hash.ts";

export const STREAM = {
  raw: "CLICKS_RAW",
  partial: "CLICKS_PARTIAL",
  rejected: "CLICKS_REJECTED",
  results: "RESULTS",
  setAside: "SET_ASIDE",
} as const;
export type StreamName = (typeof STREAM)[keyof typeof STREAM];

/** What each stream captures. */
export const STREAM_SUBJECTS: Readonly<Record<StreamName, readonly string[]>> = {
  CLICKS_RAW: ["clicks.raw.*"],
  CLICKS_PARTIAL: ["clicks.partial.*.*"],
  CLICKS_REJECTED: ["clicks.rejected.*"],
  RESULTS: ["results.>"],
  SET_ASIDE: ["set_aside.*"],
};

export const rawSubject = (shard: number) => `clicks.raw.${shard}`;
export const rejectedSubject = (shard: number) => `clicks.rejected.${shard}`;
/** `partitions` in all, this is `partition`. */
export const partialSubject = (partitions: number, partition: number) =>
  `clicks.partial.${partitions}.${partition}`;
export const resultSubject = (partitions: number, partition: number) =>
  `results.counts.${partitions}.${partition}`;
/** Ticks of the streams that sinks read: what ends a batch when no more clicks come. */
export const SINK_TICK_SUBJECTS = [
  "clicks.raw.tick",
  "clicks.rejected.tick",
  "results.tick",
] as const;
/**
 * Where a set-aside message goes back to: its own stream, where its sink knows it by its origin, and never
 * its own subject, whose newest message is a shard's proof or a partition's fence. There is none for
 * partial counts: a partition has moved on, and skips old numbers.
 */
export const AGAIN_SUBJECTS: Readonly<Partial<Record<StreamName, string>>> = {
  CLICKS_RAW: "clicks.raw.again",
  CLICKS_REJECTED: "clicks.rejected.again",
  RESULTS: "results.again",
};
/** Headers of a set-aside message: why, where it stood, and how long it was there (of a longer one than any of ours, the start is kept). */
export const SET_ASIDE_HEADER = {
  reason: "Clickmill-Reason",
  subject: "Clickmill-Subject",
  sequence: "Clickmill-Sequence",
  byteCount: "Clickmill-Bytes",
} as const;
export const setAsideSubject = (stream: StreamName) => `set_aside.${stream}`;
/** The stream that a set-aside message stood in; null for a subject that none of ours has. */
export function streamOfSetAside(subject: string): StreamName | null {
  return Object.values(STREAM).find((stream) => setAsideSubject(stream) === subject) ?? null;
}

/**
 * A message id: subject, producer, number, hash. The same bytes always get the same id, so
 * publishing again inside the broker's duplicate window changes nothing.
 *
 * @param number a flush (`17`) or an emission's chunk (`17.2`)
 */
export function messageId(
  subject: string,
  producer: string,
  number: number | string,
  hash: bigint,
): string {
  return `${subject}:${producer}:${number}:${hashText(hash)}`;
}

/** A shard as a producer: its storage's epoch makes a reset shard a new one. */
export const shardProducer = (shard: number, epoch: string) => `${shard}-${epoch}`;
export const partitionProducer = (partitions: number, partition: number) =>
  `${partitions}.${partition}`;
