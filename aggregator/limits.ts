/** The aggregator's limits, each with its unit and the sum that chose it. */
import { PREFIX_BYTES } from "../wire/block.ts";
import { BLOCK_BODY_BYTES_MAX, BLOCK_ORIGIN_BYTES_MAX, MESSAGE_BYTES_MAX } from "../wire/limits.ts";
import { RESULT_BYTES_MAX } from "../wire/result.ts";

/** Body of one result chunk: a full message. */
export const CHUNK_BYTES_MAX = BLOCK_BODY_BYTES_MAX;
/** A chunk holds at least one row; small chunks are for tests. */
export const CHUNK_BYTES_MIN = RESULT_BYTES_MAX;

/** Bytes that one insert takes: 32 full messages, ~100,000 raw rows, where ClickHouse is at its best. */
export const SINK_BATCH_BYTES_MAX = 16 * 1024 * 1024;

/** Messages of one insert: tiny units (an idle night) must not make an endless list of units. */
export const SINK_BATCH_UNITS_MAX = 2_000;

/**
 * Stream time that one insert spans at most. One insert a second and table is far below what makes
 * ClickHouse complain about parts, and an analyst waits no longer.
 */
export const SINK_LINGER_MS = 1_000;

/**
 * Units that are older when their turn comes are in doubt: far longer than a batch takes in good times,
 * far shorter than the 10,000 inserts for which tables remember tokens.
 */
export const SINK_DOUBT_AGE_MS = 10_000;

/**
 * Rows that ClickHouse may squash into one block, so that one insert is one part: the most rows
 * that SINK_BATCH_BYTES_MAX can hold (rejected and result rows are 40 bytes at least).
 */
export const INSERT_ROWS_MAX = Math.ceil(SINK_BATCH_BYTES_MAX / 40);

/** Waits between failed attempts against NATS or ClickHouse: doubled from the first to the last. */
export const RETRY_MS_MIN = 200;
export const RETRY_MS_MAX = 10_000;

/** Epochs of one shard that an emission names: the current and the one before, as BLOCK_ORIGIN_BYTES_MAX has room for. */
export const EPOCHS_PER_SHARD_MAX = 2;

/** One JetStream acknowledgement. */
export const PUBLISH_MS_MAX = 5_000;

/** A person waits for the command line: a broker that does not answer so long is away. */
export const CONNECT_MS_MAX = 5_000;
/** A page of set-aside messages that ends short of what was promised. */
export const LIST_EXPIRES_MS = 2_000;

/** Messages that `clickmill shards` asks for at once: of 512 KiB at most, as base64 and as bytes, 20 MB in all. */
export const SHARD_READS_AT_ONCE = 16;

/** Bytes asked for ahead of a reader: some full messages; five readers hold 40 MB. */
export const READ_AHEAD_BYTES = 8 * 1024 * 1024;

/** A pull that has waited so long is asked anew. */
export const PULL_EXPIRES_MS = 10_000;
/** Two missed heartbeats, and the client makes its consumer again: a broker that restarted is read on after some seconds (30 by default). */
export const HEARTBEAT_MS = 2_000;

/** Alarms that wait for ClickHouse; ~500 bytes each. Beyond, only the log has them. */
export const ALARMS_WAITING_MAX = 1_000;
export const ALARM_RETRY_MS = 5_000;

/** A reader that has stopped says so again this often: an operator who looks at one screen of the log sees it. */
export const READER_STOPPED_MS = 60_000;

/** Tokens in a row that are remembered without their rows: one is a crash at the worst moment, four are a fault. */
export const TOKENS_LOST_MAX = 3;

/** Subjects that nobody reads are looked for this often: a misconfiguration, not an incident of seconds. */
export const FOREIGN_PARTITIONS_MS = 60_000;

/**
 * Messages that are not a subject's own, in a row at its end, that are looked behind at a time: about ten
 * requests of less than a millisecond each, so a few seconds at the most, and less than TRIM_INTERVAL_MS.
 */
export const NEWEST_PASSED_MAX = 500;

/** What may leave a stream is looked for this often. */
export const TRIM_INTERVAL_MS = 10_000;
/** A stream this full keeps nothing for replay: room for what is not read yet comes first. */
export const STREAM_FULL_SHARE = 0.5;
/** Points at which a reader was safe that the trimmer remembers: one a second, an hour of them. */
export const SAFE_POINTS_MAX = 4_000;
export const SAFE_POINT_MS = 1_000;

/** A shutdown waits this long for the batch in hand, then leaves it to the next start. */
export const SHUTDOWN_MS_MAX = 8_000;

/** The stored streams' shares of the broker's store; together at most 80 %. */
export const STREAM_SHARE = {
  CLICKS_RAW: 0.45,
  CLICKS_PARTIAL: 0.15,
  CLICKS_REJECTED: 0.05,
  RESULTS: 0.13,
  SET_ASIDE: 0.02,
} as const;

/** Set-aside messages wait a month for somebody to look at them. */
export const SET_ASIDE_KEEP_MS = 30 * 86_400_000;

/**
 * Of a message that is set aside, so many bytes are kept: the longest block there can be (720,664), for
 * what is longer was never ours and is never sent back. The rest of what NATS takes is for the headers.
 */
export const SET_ASIDE_BYTES_MAX = PREFIX_BYTES + BLOCK_ORIGIN_BYTES_MAX + BLOCK_BODY_BYTES_MAX;
/** NATS takes 4 KiB of subject at most; with the message id it stands in the headers twice, the rest is under 1 KiB. */
const SET_ASIDE_HEADER_BYTES_MAX = 10 * 1024;

/**
 * How long SET_ASIDE knows its ids: every restart reads CLICKS_PARTIAL from its start, and must not set
 * aside again what a Friday brought when Monday comes. The broker holds the ids in memory, 290 bytes each
 * (measured, 2.9.10): one a second for three days is 75 MB. It must be no longer than the messages are kept.
 */
export const SET_ASIDE_DUPLICATE_WINDOW_MS = 3 * 86_400_000;

/** The broker's own default; messages made again later than this are told by their numbers. */
export const DUPLICATE_WINDOW_MS = 120_000;

const shares = Object.values(STREAM_SHARE).reduce((sum, share) => sum + share, 0);
if (shares > 0.8 + 1e-9) throw new Error(`streams share ${shares} of the store`);
/** The smallest of them must hold two batches, or a batch that fills it could not be ended by a later message. */
export const STREAM_STORE_BYTES_MIN = Math.ceil(
  (2 * SINK_BATCH_BYTES_MAX) / STREAM_SHARE.CLICKS_REJECTED,
);

if (SET_ASIDE_DUPLICATE_WINDOW_MS > SET_ASIDE_KEEP_MS) {
  throw new Error("NATS refuses a duplicate window beyond the age of the messages");
}
// Messages of ours have half of what NATS takes by default (wire/limits.ts).
if (SET_ASIDE_BYTES_MAX + SET_ASIDE_HEADER_BYTES_MAX > 2 * MESSAGE_BYTES_MAX) {
  throw new Error("what is set aside must fit what NATS takes");
}
if (CHUNK_BYTES_MIN > CHUNK_BYTES_MAX) throw new Error("a result row must fit a chunk");
