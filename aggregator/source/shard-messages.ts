/** The newest message of every shard, read where the shards left it: nothing is asked of the edge. */
import { jetstreamManager } from "@nats-io/jetstream";
import type { JetStreamManager } from "@nats-io/jetstream";
import { SHARDS_MAX } from "../../wire/limits.ts";
import { REPORT_HEADER } from "../../wire/report.ts";
import {
  AGAIN_SUBJECTS,
  rawSubject,
  rejectedSubject,
  SINK_TICK_SUBJECTS,
  STREAM,
  STREAM_SUBJECTS,
} from "../../wire/subjects.ts";
import { PUBLISH_MS_MAX, SHARD_READS_AT_ONCE } from "../limits.ts";
import { answered, connectForCommand } from "./command-nats.ts";
import { headerOf } from "./message-headers.ts";

/** A shard's two chains of flushes: counted clicks, and rejected ones. */
export type ShardChain = "clicks" | "rejected";

export interface ShardMessage {
  readonly shard: number;
  readonly chain: ShardChain;
  readonly brokerTimeMs: number;
  /** Of REPORT_HEADER; undefined where there is none, or where the headers cannot be read. */
  readonly report: string | undefined;
  readonly data: Uint8Array;
}

export interface ShardMessages {
  /** The newest of each shard's subjects. */
  readonly messages: readonly ShardMessage[];
  /** Subjects in the shards' streams that no part of Clickmill publishes on. */
  readonly strangers: readonly string[];
}

const CHAINS = [
  { chain: "clicks", stream: STREAM.raw, subjectOf: rawSubject },
  { chain: "rejected", stream: STREAM.rejected, subjectOf: rejectedSubject },
] as const;

/** Nobody's newest message: ticks, and what was set aside and sent back. */
const NO_SHARD: ReadonlySet<string> = new Set([
  ...SINK_TICK_SUBJECTS,
  ...Object.values(AGAIN_SUBJECTS),
]);

/** @throws CommandNatsError for what a person can do something about */
export async function readShardMessages(natsUrl: string): Promise<ShardMessages> {
  const nc = await connectForCommand(natsUrl);
  try {
    // The check would be a request of its own; each of ours says the same when it fails.
    const manager = await jetstreamManager(nc, { timeout: PUBLISH_MS_MAX, checkAPI: false });
    const read = { messages: [] as ShardMessage[], strangers: [] as string[] };
    for (const { chain, stream, subjectOf } of CHAINS) {
      const ask = () => readChain(manager, chain, stream, subjectOf);
      const { messages, strangers } = await answered(natsUrl, stream, ask);
      read.messages.push(...messages);
      read.strangers.push(...strangers);
    }
    return read;
  } finally {
    await nc.close();
  }
}

async function readChain(
  manager: JetStreamManager,
  chain: ShardChain,
  stream: (typeof CHAINS)[number]["stream"],
  subjectOf: (shard: number) => string,
): Promise<ShardMessages> {
  // The broker lists 100,000 subjects at a time (2.9.10 as well as later ones), and the client asks on until it has all.
  const { state } = await manager.streams.info(stream, {
    subjects_filter: STREAM_SUBJECTS[stream][0]!,
  });
  const shards: number[] = [];
  const strangers: string[] = [];
  for (const subject of Object.keys(state.subjects ?? {})) {
    if (NO_SHARD.has(subject)) continue;
    const shard = shardOf(subject, subjectOf);
    if (shard === null) strangers.push(subject);
    else shards.push(shard);
  }
  const messages: ShardMessage[] = [];
  for (let at = 0; at < shards.length; at += SHARD_READS_AT_ONCE) {
    const asked = shards.slice(at, at + SHARD_READS_AT_ONCE).map(async (shard) => {
      const m = await manager.streams.getMessage(stream, { last_by_subj: subjectOf(shard) });
      // Trimmed since they were listed.
      if (m === null) return [];
      const { data } = m;
      const report = headerOf(m, REPORT_HEADER) || undefined;
      return [{ shard, chain, brokerTimeMs: m.time.getTime(), report, data }];
    });
    messages.push(...(await Promise.all(asked)).flat());
  }
  return { messages, strangers };
}

/** Null for a subject that no shard publishes on. */
function shardOf(subject: string, subjectOf: (shard: number) => string): number | null {
  const shard = Number(subject.slice(subject.lastIndexOf(".") + 1));
  return shard < SHARDS_MAX && subjectOf(shard) === subject ? shard : null;
}
