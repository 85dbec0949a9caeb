/** The edge's own limits, each with its unit and the sum that chose it. */
import { BLOCK_BODY_BYTES_MAX, BODY_BYTES_MAX } from "../wire/limits.ts";
import { RAW_CLICK_BYTES_MAX } from "../wire/raw-click.ts";
import { REJECTED_CLICK_BYTES_MAX } from "../wire/rejected-click.ts";

/**
 * One journal row, as rows of a message: a flush takes whole journal rows. Packed it is smaller (SQLite's own limit is
 * 2 MB).
 */
export const JOURNAL_ROW_BYTES_MAX = BLOCK_BODY_BYTES_MAX;

/**
 * A commit waits this long for other requests. 1,000,000,000 clicks a day in batches of 10 are 18 requests/s for each
 * of 64 shards: without it nearly each is a commit of its own. `npm run bench:edge` prints rows and dollars.
 */
export const COMMIT_LINGER_MS = 50;
/**
 * A group of so many requests, or of so many clicks, does not wait: a row for 64 clicks is $0.016 for a million of them,
 * and more would hardly save more. But each commit is a write of SQLite's log and of the disk, too: batches of a hundred
 * took 10 % longer in groups of 512 clicks than in groups of 2,000, which fill a message (250 bytes a row), and 4 % longer
 * in those than in groups of 4,000, which fill two (bench:edge).
 */
export const COMMIT_FULL_PIECES = 64;
export const COMMIT_FULL_CLICKS = 4_000;

/**
 * Journal of one chain of one shard, while NATS is away. Peak load on 64 shards is 800 clicks/s of 250 bytes each if
 * they come one by one, 200 KB/s: 2 GiB are three hours, out of the 10 GB an object may store. Batches of ten, packed,
 * take 75 bytes a click.
 */
export const JOURNAL_BYTES_MAX = 2 * 1024 ** 3;

/** Rejected clicks have a quota of their own: noise must not take the room of counted clicks. */
export const REJECTED_JOURNAL_BYTES_MAX = 64 * 1024 ** 2;
/** Beyond their quota they are counted, in rows of ~60 bytes a commit: a day of 3 commits/s. */
export const REJECTED_COUNTS_BYTES_MAX = 16 * 1024 ** 2;

/** Receipt buckets: the horizon is dropped in steps of this. 24 of them cover the default day. */
export const DEDUP_BUCKET_MS = 3_600_000;

/**
 * Ids that the open segment gathers before it is sealed: an hour's bucket of 8,000,000 a day (333,333), and
 * below three quarters of 2^19 by 33,000, what a group commit may bring. Its set takes 4 MiB, while it grows 6; sealing
 * it takes about 0.1 s and 3 MB of pages.
 */
export const DEDUP_SEGMENT_IDS = 360_000;

/**
 * Journal rows whose ids are in the open segment: a restart reads them all. 20 commits/s write 32,768 in
 * 27 minutes; reading them takes about 0.1 s.
 */
export const DEDUP_SEGMENT_ROWS_MAX = 32_768;

/** Ids of a sealed page: 16 KB. A filter's hit reads one. */
export const DEDUP_PAGE_IDS_MAX = 2_048;

/**
 * Ids that one shard remembers; beyond, its oldest bucket is dropped, and clicks are `unavailable` until
 * one may be: the bucket of the current hour must stay. Filters take 14 bits an id (id-filter.ts): 42 MB, and 6 for
 * the open segment, so two such shards fit an isolate of 128 MB. 64 shards get 15,600,000 each of 1,000,000,000
 * clicks a day.
 */
export const DEDUP_IDS_MAX = 24_000_000;

/** Of a header that an answer repeats; the longest content type that is in use has 73 characters. */
export const HEADER_SHOWN_CHARACTERS_MAX = 100;

/**
 * Rejected clicks of one key that a shard keeps with their bytes: 1,000 at once, and then one more in
 * every 10 s, 8,640 a day. A fault of an integration shows in the first ten; 64 shards keep 550,000 a
 * day of ~500 bytes, 0.3 GB, whatever a sender does. All others are counted.
 */
export const REJECTED_KEPT_AT_ONCE_MAX = 1_000;
export const REJECTED_KEPT_EVERY_MS = 10_000;

/**
 * The same for `too_old` clicks, which lack nothing and can be applied again: 100,000 at once and one a second.
 * One in a thousand of 1,000,000,000 clicks a day is 15,600 a day for each of 64 shards; ten times that may come.
 */
export const TOO_OLD_KEPT_AT_ONCE_MAX = 100_000;
export const TOO_OLD_KEPT_EVERY_MS = 1_000;

/** Keys whose allowance is remembered; beyond, the one that asked longest ago starts afresh. */
export const REJECTED_KEYS_MAX = 10_000;

/**
 * Bytes of a refused body that are read, and dropped, so that its sender hears why: eight times what is accepted. An
 * SDK whose queue grew over the limit is within it; what is longer is hardly a batch, and may lose the answer.
 */
export const REFUSED_BODY_BYTES_MAX = 8 * BODY_BYTES_MAX;

/**
 * An isolate gathers refused requests for this long before it tells a shard: a flood of them costs one
 * call to an object per second. What an isolate has gathered is lost with it.
 */
export const REFUSALS_LINGER_MS = 1_000;

/**
 * An isolate calls a shard no more often, unless calls are full: what comes in between shares the next call
 * (shared-call.ts). 200 calls a second for each isolate, of the 1,000 that an object takes; a tenth of COMMIT_LINGER_MS is
 * added to an answer at most. Of 2, 5, 10 and 20 ms none is faster than another beyond the noise (bench:edge).
 */
export const CALL_EVERY_MS = 5;
/** A call is full with as many batches as a commit; more go with a call of their own, which is due at the same time. */
export const CALL_BATCHES_MAX = COMMIT_FULL_PIECES;
/**
 * Or with so many bytes: 2,000 clicks in hundreds. The batch that reaches it may add 1.6 MB: a body's bytes, and the 600
 * that each of 1,000 rejected rows has besides (the platform's own limit is 32 MiB).
 */
export const CALL_BYTES_MAX = 128 * 1024;
/** A call that has not been made so long after it was due never will be: nobody else joins it. */
export const CALL_LATE_MS_MAX = 1_000;
/**
 * How often a request looks for the answer to a call that another one makes, at first. Each look is a timer; on average
 * half of it is added to an answer, when there are so many requests that they share calls. With 5 ms the edge was 2 %
 * slower, which is within the noise.
 */
export const LOOK_EVERY_MS = 10;
/** The first look comes when the newest call took that long; but a call that took seconds says nothing of the next. */
export const LOOK_FIRST_MS_MAX = 250;

/**
 * A shard that has not answered by then is away for a request that waits for other shards, or for another's call; a
 * phone waits no longer than some seconds for an answer.
 */
export const SHARD_ANSWER_MS_MAX = 10_000;

/**
 * A commit that is not durable by then has failed: its object ends, and all who wait hear that it is away. Commits take
 * milliseconds; less than SHARD_ANSWER_MS_MAX, so that they hear it before they give up.
 */
export const COMMIT_MS_MAX = 8_000;

/** One JetStream acknowledgement; the flush is tried again from its record afterwards. */
export const PUBLISH_MS_MAX = 5_000;
export const CONNECT_MS_MAX = 5_000;

/** Unflushed bytes that do not wait for the timer: a message is full. */
export const FLUSH_BYTES = BLOCK_BODY_BYTES_MAX;

/** Journal rows looked at for one plan: of single clicks, whose rows have ~250 bytes, 2,000 fill a message. */
export const PLAN_ROWS_MAX = 4_096;

/** Proofs (flush-plan.ts) are a minute apart at most; with a short JOURNAL_KEEP_MS, a tenth of it. */
export const PROOF_PAUSE_MS_MAX = 60_000;

/** Waits between failed flushes: doubled from the first to the last. */
export const FLUSH_RETRY_MS_MIN = 500;
export const FLUSH_RETRY_MS_MAX = 15_000;

/** An open NATS connection keeps the object awake and billed: it is closed after this much quiet. */
export const CONNECTION_IDLE_MS_MAX = 10_000;

/** The alarm that stands behind the flush timer: late enough not to compete with it. */
export const ALARM_DELAY_MS = 10_000;

/** Distinct user agents whose classification is remembered in one isolate; ~200 bytes each. */
export const USER_AGENTS_REMEMBERED_MAX = 2_000;

if (
  RAW_CLICK_BYTES_MAX > JOURNAL_ROW_BYTES_MAX ||
  REJECTED_CLICK_BYTES_MAX > JOURNAL_ROW_BYTES_MAX
) {
  throw new Error("the longest click must fit a journal row");
}
if (COMMIT_MS_MAX >= SHARD_ANSWER_MS_MAX) throw new Error("who waits hears of a failed commit");
if (CALL_EVERY_MS >= CALL_LATE_MS_MAX || CALL_LATE_MS_MAX >= SHARD_ANSWER_MS_MAX) {
  throw new Error("a late call is one that should have been made, and had time for an answer");
}
if (LOOK_EVERY_MS > LOOK_FIRST_MS_MAX) throw new Error("the first look is the longest wait");
if (ALARM_DELAY_MS <= FLUSH_RETRY_MS_MIN) throw new Error("the alarm stands behind the timer");
