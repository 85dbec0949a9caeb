/**
 * What receivers make of the edge's streams: flushes, each once, by their numbers. Everything that a shard
 * owes them and that is not so is a fault, in words. No I/O.
 */
import { decodeBlock, isFault } from "../../wire/block.ts";
import type { Block, PartialOrigin, RawOrigin, RejectedOrigin } from "../../wire/block.ts";
import { reader, utf8 } from "../../wire/cursor.ts";
import { MESSAGE_BYTES_MAX } from "../../wire/limits.ts";
import { readPartial } from "../../wire/partial.ts";
import type { PartialRow } from "../../wire/partial.ts";
import { readRawClick } from "../../wire/raw-click.ts";
import type { FlushUnit, RawClick } from "../../wire/raw-click.ts";
import { partitionOf } from "../../wire/routing.ts";
import {
  messageId,
  partialSubject,
  rawSubject,
  rejectedSubject,
  shardProducer,
} from "../../wire/subjects.ts";
import type { Ledger } from "../traffic/ledger.ts";
import { Judge } from "../traffic/verdict.ts";
import type { Verdict } from "../traffic/verdict.ts";

/** A message as it stands in a stream. */
export interface StoredMessage {
  readonly subject: string;
  readonly id: string;
  readonly sequence: number;
  readonly brokerTimeNanos: bigint;
  readonly bytes: Uint8Array;
}

type FlushBlock = Block<RawOrigin | PartialOrigin | RejectedOrigin>;

/** One message of a flush, at its first arrival. */
export interface Arrival extends StoredMessage {
  readonly block: FlushBlock;
}

export interface ReceivedFlush {
  readonly shard: number;
  readonly epoch: string;
  readonly flush: number;
  readonly raw: Arrival;
  readonly clicks: readonly (RawClick & FlushUnit)[];
  readonly partials: readonly Arrival[];
  readonly partialRows: readonly PartialRow[];
}

export interface Received {
  /** By shard, then number. */
  readonly flushes: readonly ReceivedFlush[];
  /** Messages that receivers skip, because they have their numbers. */
  readonly repeats: readonly StoredMessage[];
  readonly faults: readonly string[];
}

/**
 * Reads one chain.
 *
 * @param streams whole, in stream order: raw and partial
 */
export function receiveFlushes(streams: readonly (readonly StoredMessage[])[]): Received {
  const faults: string[] = [];
  const repeats: StoredMessage[] = [];
  const arrivals = streams.flatMap((stream) => receiveStream(stream, repeats, faults));
  const byFlush = new Map<string, Arrival[]>();
  for (const arrival of arrivals) {
    const { shard, epoch, flush } = arrival.block.origin;
    const key = `${shardProducer(shard, epoch)} ${String(flush).padStart(8, "0")}`;
    byFlush.set(key, [...(byFlush.get(key) ?? []), arrival]);
  }
  const flushes: ReceivedFlush[] = [];
  for (const [key, of] of [...byFlush].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    const flush = assemble(of);
    if (typeof flush === "string") faults.push(`${key}: ${flush}`);
    else flushes.push(flush);
  }
  for (const [i, flush] of flushes.entries()) faults.push(...faultsOf(flush, flushes[i - 1]));
  return { flushes, repeats, faults };
}

/** A stream's messages, each number once; a producer's numbers on a subject are a chain without holes. */
export function receiveStream(
  stream: readonly StoredMessage[],
  repeats: StoredMessage[],
  faults: string[],
): Arrival[] {
  const firsts = new Map<string, Arrival>();
  const newest = new Map<string, number>();
  for (const message of stream) {
    const { subject, id, sequence, bytes } = message;
    const fault = (what: string) => faults.push(`${subject} ${sequence}: ${what}`);
    const block = decodeBlock(bytes);
    if (isFault(block)) {
      fault(block.reason);
      continue;
    }
    const { origin, hash } = block;
    if (origin.kind !== "raw" && origin.kind !== "partial" && origin.kind !== "rejected") continue;
    if (bytes.length > MESSAGE_BYTES_MAX) fault(`${bytes.length} bytes`);
    if (subject !== subjectOf(origin)) fault(`not the subject of a ${origin.kind} block`);
    const producer = shardProducer(origin.shard, origin.epoch);
    if (id !== messageId(subject, producer, origin.flush, hash)) fault(`its id is ${id}`);
    const chain = `${subject} ${producer}`;
    const first = firsts.get(`${chain} ${origin.flush}`);
    if (first !== undefined) {
      repeats.push(message);
      if (first.block.hash !== hash || !Buffer.from(first.bytes).equals(bytes)) {
        fault(`flush ${origin.flush} is not what it was at ${first.sequence}`);
      }
      continue;
    }
    const last = newest.get(chain) ?? 0;
    if (origin.previous !== last)
      fault(`flush ${origin.flush} says ${origin.previous} is before it, ${last} is`);
    if (origin.kind !== "partial" && origin.flush !== last + 1)
      fault(`flush ${origin.flush} follows ${last}`);
    newest.set(chain, Math.max(last, origin.flush));
    firsts.set(`${chain} ${origin.flush}`, { ...message, block: { ...block, origin } });
  }
  return [...firsts.values()];
}

function subjectOf(origin: RawOrigin | PartialOrigin | RejectedOrigin): string {
  switch (origin.kind) {
    case "raw":
      return rawSubject(origin.shard);
    case "partial":
      return partialSubject(origin.partitions, origin.partition);
    case "rejected":
      return rejectedSubject(origin.shard);
  }
}

function assemble(arrivals: readonly Arrival[]): ReceivedFlush | string {
  const raw = arrivals.find((a) => a.block.origin.kind === "raw");
  const partials = arrivals.filter((a) => a.block.origin.kind === "partial");
  if (raw === undefined) return "counted, but not in raw";
  if (partials.length === 0) return "in raw, but not counted";
  const { shard, epoch, flush } = raw.block.origin;
  return {
    shard,
    epoch,
    flush,
    raw,
    clicks: rowsOf(raw, readRawClick),
    partials,
    partialRows: partials.flatMap((p) => rowsOf(p, readPartial)),
  };
}

function rowsOf<Row>(
  { block }: Arrival,
  readRow: (c: ReturnType<typeof reader>) => Row,
): readonly Row[] {
  const c = reader(block.body);
  return Array.from({ length: block.rows }, () => readRow(c));
}

const countedKey = (adId: string, country: string, device: string, invalidReason: string) =>
  [adId, country, device, invalidReason].join("\n");

/** @param before the flush before it in the list; another shard's when this is a shard's first */
function faultsOf(f: ReceivedFlush, before: ReceivedFlush | undefined): string[] {
  const faults: string[] = [];
  const fault = (what: string) => faults.push(`flush ${f.flush} of shard ${f.shard}: ${what}`);
  const counted = new Map<string, number>();
  const windowSeconds = windowSecondsOf(f);
  const partitions = new Set(f.partials.map((p) => (p.block.origin as PartialOrigin).partitions));
  if (partitions.size > 1) fault(`partials of ${[...partitions].join(" and ")} partitions`);
  for (const partial of f.partials) {
    const origin = partial.block.origin as PartialOrigin;
    if (origin.windowSeconds !== windowSeconds) fault("partials of two window sizes");
    let clicks = 0;
    for (const row of rowsOf(partial, readPartial)) {
      clicks += row.clicks;
      const ad = utf8(row.adId);
      if (partitionOf(reader(ad).view, 0, ad.length, origin.partitions) !== origin.partition)
        fault(`ad ${row.adId} in partition ${origin.partition}`);
      const key = `${row.windowStartSeconds}\n${countedKey(row.adId, row.country, row.device, row.invalidReason)}`;
      if (counted.has(key)) fault(`two rows of one key: ${key}`);
      counted.set(key, row.clicks);
    }
    if (clicks !== origin.clicks) fault(`${clicks} clicks, its header says ${origin.clicks}`);
  }
  for (const click of f.clicks) {
    if (click.flush !== f.flush || click.shard !== f.shard || click.epoch !== f.epoch)
      fault(`a row of flush ${click.flush} of shard ${click.shard}`);
    const key = `${windowOf(click, windowSeconds)}\n${countedKey(click.adId, click.country, click.device, click.invalidReason)}`;
    counted.set(key, (counted.get(key) ?? 0) - 1);
  }
  for (const [key, difference] of counted) {
    if (difference !== 0) fault(`counted and raw differ by ${difference}: ${key}`);
  }
  if (before !== undefined && before.shard === f.shard && before.epoch === f.epoch) {
    const own = [f.raw, ...f.partials].map((m) => m.brokerTimeNanos);
    const others = [before.raw, ...before.partials];
    // Message n+1 leaves when all of n is acknowledged: what arrived first tells.
    if (others.some((m) => own.some((timeNanos) => m.brokerTimeNanos >= timeNanos)))
      fault(`a message of it came before one of flush ${before.flush}`);
  }
  return faults;
}

/** As the flush was made with, whatever the settings are now. */
export function windowSecondsOf(f: ReceivedFlush): number {
  return (f.partials[0]!.block.origin as PartialOrigin).windowSeconds;
}

function windowOf(click: RawClick, windowSeconds: number): number {
  return Math.floor(click.eventTimeMs / 1_000 / windowSeconds) * windowSeconds;
}

/** The senders' ledger against what was received: the verdict over tables, a step earlier. */
export function judgeReceived(ledger: Ledger, flushes: readonly ReceivedFlush[]): Verdict {
  const judge = new Judge(ledger);
  for (const f of flushes) {
    const windowSeconds = windowSecondsOf(f);
    for (const click of f.clicks) {
      judge.rawRow(click);
      const { adId, invalidReason } = click;
      const windowStartSeconds = windowOf(click, windowSeconds);
      judge.rawCount({ adId, invalidReason, windowStartSeconds, clicks: 1 });
    }
    for (const row of f.partialRows) judge.countedClicks(row);
  }
  return judge.verdict();
}
