/** One numbered set of deltas, as the messages that carry it. */
import { encodeBlock } from "../../wire/block.ts";
import type { ProducerNumber } from "../../wire/block.ts";
import { reserve, writeI64, writer, writeU32, writeU64, written } from "../../wire/cursor.ts";
import { hash64 } from "../../wire/hash.ts";
import { messageId, partitionProducer, resultSubject } from "../../wire/subjects.ts";
import type { RowChunk } from "../../wasm/kernel.ts";

export interface ResultMessage {
  readonly chunk: number;
  readonly id: string;
  readonly bytes: Uint8Array;
}

export interface Emission {
  readonly partitions: number;
  readonly partition: number;
  readonly number: number;
  /** The whole emission's, equal whenever it is made again. */
  readonly hash: bigint;
  readonly rows: number;
  readonly clicks: number;
  readonly watermarkMs: number;
  readonly closedThroughSeconds: number;
  readonly messages: readonly ResultMessage[];
}

export interface EmissionFacts {
  readonly partitions: number;
  readonly partition: number;
  readonly number: number;
  readonly watermarkMs: number;
  readonly closedThroughSeconds: number;
  /** Days since 1970 of the broker time that caused it. */
  readonly emittedOn: number;
  /** In canonical order (shard, epoch). */
  readonly producers: readonly ProducerNumber[];
}

/** An emission without rows still says how far the watermark came and what it includes. */
const EMPTY: readonly RowChunk[] = [{ rows: 0, clicks: 0, body: new Uint8Array(0) }];

export function makeEmission(facts: EmissionFacts, closed: readonly RowChunk[]): Emission {
  const chunks = closed.length === 0 ? EMPTY : closed;
  const rows = chunks.reduce((sum, c) => sum + c.rows, 0);
  const clicks = chunks.reduce((sum, c) => sum + c.clicks, 0);
  const hash = emissionHash(facts, chunks);
  const subject = resultSubject(facts.partitions, facts.partition);
  const producer = partitionProducer(facts.partitions, facts.partition);
  const messages = chunks.map((chunk, index): ResultMessage => {
    const block = encodeBlock(
      {
        kind: "result",
        partitions: facts.partitions,
        partition: facts.partition,
        emission: facts.number,
        chunk: index,
        chunks: chunks.length,
        emissionHash: hash,
        emissionRows: rows,
        emissionClicks: clicks,
        watermarkMs: facts.watermarkMs,
        closedThroughSeconds: facts.closedThroughSeconds,
        emittedOn: facts.emittedOn,
        producers: index === chunks.length - 1 ? facts.producers : [],
      },
      chunk.rows,
      chunk.body,
    );
    return {
      chunk: index,
      id: messageId(subject, producer, `${facts.number}.${index}`, block.hash),
      bytes: block.bytes,
    };
  });
  return { ...facts, hash, rows, clicks, messages };
}

/**
 * Covers the emission's number, its watermark and boundary, the included producers and every chunk's rows.
 * Partitions, partition and day are in it only where rows carry them in their tails: of an emission
 * without rows they are not in it. Hashes are compared among the emissions of one partition's subject.
 */
function emissionHash(facts: EmissionFacts, chunks: readonly RowChunk[]): bigint {
  const c = writer(64 + 16 * chunks.length);
  writeI64(c, facts.number);
  writeI64(c, facts.watermarkMs);
  writeU32(c, facts.closedThroughSeconds);
  for (const { shard, epoch, flush } of facts.producers) {
    reserve(c, 24);
    writeU32(c, shard);
    for (let i = 0; i < epoch.length; i++) c.bytes[c.at++] = epoch.charCodeAt(i);
    writeI64(c, flush);
  }
  for (const chunk of chunks) {
    reserve(c, 16);
    writeU32(c, chunk.rows);
    writeU64(c, hash64(chunk.body));
  }
  return hash64(written(c));
}
