/**
 * What a sink inserts whole, in one shape for all three streams: a flush's block, or an emission's
 * chunk, with its identity, its place in its producer's numbers, and its row for the ledger.
 */
import type { Block, RawOrigin, RejectedOrigin, ResultOrigin } from "../../wire/block.ts";
import { EMISSIONS, encodeRow, FLUSHES } from "../../wire/columns.ts";
import type { TableName } from "../../wire/columns.ts";
import { writer, written } from "../../wire/cursor.ts";
import { hashText } from "../../wire/hash.ts";
import type { StreamName } from "../../wire/subjects.ts";
import { partitionProducer, shardProducer, STREAM } from "../../wire/subjects.ts";
import type { StreamMessage } from "../source/stream-reader.ts";

/** How far a producer has come: flush n, or emission n chunk i. */
export interface Reached {
  readonly number: number;
  readonly chunk: number;
  /** It is the last chunk of its number. */
  readonly complete: boolean;
}

export interface Unit extends Reached {
  /** As in message ids (wire/subjects.ts); the queries below build the same text. */
  readonly producer: string;
  /** Names the unit in its table: the producer and its number. */
  readonly key: string;
  /** As in message ids: a flush (`17`) or an emission's chunk (`17.2`). */
  readonly numberText: string;
  /** What it should follow; null where the producer does not say. */
  readonly previous: { readonly number: number; readonly chunk: number } | null;
  /** Days since 1970: the table's partition column. */
  readonly day: number;
  readonly rows: number;
  readonly body: Uint8Array;
  readonly hash: bigint;
  readonly message: StreamMessage;
  /** RowBinary row of the ledger: it names the unit's place in the stream too, and so is the position. */
  readonly ledgerRow: Uint8Array;
}

export type SinkOrigin = RawOrigin | RejectedOrigin | ResultOrigin;

/** Everything that differs between the sinks. */
export interface SinkKind {
  readonly name: string;
  readonly stream: StreamName;
  readonly table: TableName;
  readonly ledger: TableName;
  /** The one kind of block in this stream that is a unit. */
  readonly blockKind: SinkOrigin["kind"];
  /** @param block of `blockKind` */
  unitOf(block: Block<SinkOrigin>, message: StreamMessage, streamCreated: string): Unit;
  /** Newest ledger row of a stream: sequence, id, time. */
  readonly positionQuery: string;
  /** Newest unit per producer that the ledger knows: producer, number, chunk, complete. */
  readonly reachedQuery: string;
  /** Which units of {days}, {from}–{to} and {keys} the table holds: key, rows. */
  readonly presentQuery: string;
  /** Which units of {from}–{to} and {keys} the ledger holds: key, message_id. */
  readonly ledgerQuery: string;
}

function flushUnit(
  chain: "clicks" | "rejected",
  origin: RawOrigin | RejectedOrigin,
  block: Block,
  message: StreamMessage,
  streamCreated: string,
): Unit {
  const ledgerRow = writer();
  encodeRow(ledgerRow, FLUSHES, {
    chain,
    shard: origin.shard,
    epoch: origin.epoch,
    flush: origin.flush,
    previous: origin.previous,
    clicks: block.rows,
    ids_hash: origin.kind === "raw" ? origin.idsHash : 0n,
    block_hash: block.hash,
    stream_created: streamCreated,
    sequence: message.sequence,
    message_id: message.id,
    message_time: message.brokerTimeMs,
  });
  const producer = shardProducer(origin.shard, origin.epoch);
  return {
    producer,
    key: `${producer}:${origin.flush}`,
    numberText: String(origin.flush),
    number: origin.flush,
    chunk: 0,
    complete: true,
    previous: { number: origin.previous, chunk: 0 },
    day: origin.flushedOn,
    rows: block.rows,
    body: block.body,
    hash: block.hash,
    message,
    ledgerRow: written(ledgerRow),
  };
}

function resultUnit(
  origin: ResultOrigin,
  block: Block,
  message: StreamMessage,
  streamCreated: string,
): Unit {
  const producer = partitionProducer(origin.partitions, origin.partition);
  const ledgerRow = writer();
  encodeRow(ledgerRow, EMISSIONS, {
    partitions: origin.partitions,
    partition: origin.partition,
    emission: origin.emission,
    chunk: origin.chunk,
    chunks: origin.chunks,
    rows: block.rows,
    emission_rows: origin.emissionRows,
    emission_clicks: origin.emissionClicks,
    watermark: origin.watermarkMs,
    closed_through: origin.closedThroughSeconds,
    emission_hash: origin.emissionHash,
    producers: origin.producers.map((p) => [p.shard, p.epoch, p.flush]),
    stream_created: streamCreated,
    sequence: message.sequence,
    message_id: message.id,
    message_time: message.brokerTimeMs,
  });
  return {
    producer,
    key: `${producer}:${origin.emission}:${origin.chunk}`,
    numberText: `${origin.emission}.${origin.chunk}`,
    number: origin.emission,
    chunk: origin.chunk,
    complete: origin.chunk === origin.chunks - 1,
    // The last chunk of the emission before has an index that this message does not name.
    previous: origin.chunk > 0 ? { number: origin.emission, chunk: origin.chunk - 1 } : null,
    day: origin.emittedOn,
    rows: block.rows,
    body: block.body,
    hash: block.hash,
    message,
    ledgerRow: written(ledgerRow),
  };
}

function notAUnit(block: Block): Error {
  return new Error(`a ${block.origin.kind} block is no unit of this sink`);
}

function flushSink(
  name: string,
  chain: "clicks" | "rejected",
  stream: StreamName,
  table: TableName,
): SinkKind {
  const blockKind = chain === "clicks" ? "raw" : "rejected";
  const producerSql = "concat(toString(shard), '-', epoch)";
  const keySql = "concat(toString(shard), '-', epoch, ':', toString(flush))";
  return {
    name,
    stream,
    table,
    ledger: "flushes",
    blockKind,
    unitOf(block, message, streamCreated) {
      const { origin } = block;
      if (origin.kind !== "raw" && origin.kind !== "rejected") throw notAUnit(block);
      return flushUnit(chain, origin, block, message, streamCreated);
    },
    positionQuery: `
      SELECT sequence, message_id, toUnixTimestamp64Milli(message_time) AS time FROM flushes
      WHERE chain = '${chain}' AND stream_created = {stream_created:String} ORDER BY sequence DESC LIMIT 1`,
    reachedQuery: `
      SELECT ${producerSql} AS producer, max(flush) AS number, 0 AS chunk, 1 AS complete
      FROM flushes WHERE chain = '${chain}' GROUP BY shard, epoch`,
    presentQuery: `
      SELECT ${keySql} AS key, count() AS rows FROM ${table}
      WHERE flushed_on IN {days:Array(Date)} AND flush BETWEEN {from:UInt64} AND {to:UInt64}
        AND key IN {keys:Array(String)}
      GROUP BY key`,
    ledgerQuery: `
      SELECT ${keySql} AS key, message_id FROM flushes
      WHERE chain = '${chain}' AND flush BETWEEN {from:UInt64} AND {to:UInt64} AND key IN {keys:Array(String)}`,
  };
}

export const RAW_SINK = flushSink("raw sink", "clicks", STREAM.raw, "clicks_raw");
export const REJECTED_SINK = flushSink(
  "rejected sink",
  "rejected",
  STREAM.rejected,
  "clicks_rejected",
);

const RESULT_KEY_SQL =
  "concat(toString(partitions), '.', toString(partition), ':', toString(emission), ':', toString(chunk))";

export const RESULT_SINK: SinkKind = {
  name: "result sink",
  stream: STREAM.results,
  table: "ad_clicks_1m",
  ledger: "emissions",
  blockKind: "result",
  unitOf(block, message, streamCreated) {
    const { origin } = block;
    if (origin.kind !== "result") throw notAUnit(block);
    return resultUnit(origin, block, message, streamCreated);
  },
  positionQuery: `
    SELECT sequence, message_id, toUnixTimestamp64Milli(message_time) AS time FROM emissions
    WHERE stream_created = {stream_created:String} ORDER BY sequence DESC LIMIT 1`,
  reachedQuery: `
    SELECT concat(toString(partitions), '.', toString(partition)) AS producer,
      newest.1 AS number, newest.2 AS chunk, newest.3 AS complete
    FROM (
      SELECT partitions, partition, max((emission, chunk, chunk + 1 = chunks)) AS newest
      FROM emissions GROUP BY partitions, partition)`,
  presentQuery: `
    SELECT ${RESULT_KEY_SQL} AS key, count() AS rows FROM ad_clicks_1m
    WHERE emitted_on IN {days:Array(Date)} AND emission BETWEEN {from:UInt64} AND {to:UInt64} AND job = ''
      AND key IN {keys:Array(String)}
    GROUP BY key`,
  ledgerQuery: `
    SELECT ${RESULT_KEY_SQL} AS key, message_id FROM emissions
    WHERE emission BETWEEN {from:UInt64} AND {to:UInt64} AND key IN {keys:Array(String)}`,
};

/** Deduplication token of an insert: its units and their row counts, never where they stand in a stream. */
export function tokenText(units: readonly Unit[]): string {
  return units.map((u) => `${u.key}/${u.rows}/${hashText(u.hash)}`).join(" ");
}
