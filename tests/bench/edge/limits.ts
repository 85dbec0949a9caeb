/** How long and how hard the edge's bench works, each with its reason. */

/**
 * A request without an answer for so long has none. Above what the edge itself gives a commit that hangs, so that its own
 * answer is heard first.
 */
export const ANSWER_MS_MAX = 30_000;

/** As many objects as the local stack has; a shard's load is what the pace is made for. */
export const SHARDS = 4;
/** wrangler.toml's own number: what a flush is divided into. */
export const PARTITIONS = 2;

/**
 * Requests on their way in a closed loop: 128 for each shard, twice what a commit waits for (COMMIT_FULL_PIECES), so that
 * one group forms while another is written. With 128 in all, the edge's part of the bare rate was 0.47, with 512 0.51.
 */
export const CONNECTIONS = 512;
/** Many short rounds: the machine's speed changes within a minute, and a ratio is of one round. */
export const ROUNDS = 9;
/** Five flushes of each shard, and more than a hundred thousand bare calls in nine rounds. */
export const SECONDS = 5;
/** V8 compiles what is hot within the first second; the journal's pages are in the cache then, too. */
export const WARM_UP_SECONDS = 2;
/** 25 flushes and two alarms of each shard. */
export const PACED_SECONDS = 25;

/**
 * How long a shard keeps what it has flushed. Ten minutes in production; here the keeping must end within a run,
 * or proofs and what follows them would cost nothing.
 */
export const JOURNAL_KEEP_MS = 3_000;
/** Beyond the keeping and the flush after it: from here on as many flushes are proven as are made. */
export const PACED_WARM_UP_SECONDS = 6;

/** In an open loop a slow edge meets ever more requests; this many are the answers of a second at its pace. */
export const PACED_CONNECTIONS_MAX = 1_000;
/** workerd closes a connection after 5 s without a request; one that is used in that moment would be lost. */
export const IDLE_MS_MAX = 3_000;

/** A flush comes each second, and is made again after half a second when it fails: nothing for so long is lost. */
export const ROWS_WAIT_MS_MAX = 20_000;
/**
 * Read back at once: 8 MiB of the largest. Not so many bytes: a request for bytes that the next message does not fit
 * is called off by the broker, and when nothing else is under way the client only asks again after 30 s.
 */
export const READ_AHEAD_MESSAGES = 16;

/** What the local stack's broker has for all streams; a run of 5 s leaves 200 MB, and is removed before the next. */
export const STREAMS_BYTES = 8 * 1024 ** 3;

/** Below 32,768, where Linux begins to hand out ports by itself; above those of the stacks (infra/stack/config.ts). */
export const PORT_MIN = 29_000;
export const PORT_MAX = 32_767;
