/** How long the local stack waits for what, and how much it shows. */

/** nats-server answers within 50 ms; its JetStream store may have to be read first. */
export const NATS_READY_MS_MAX = 20_000;
/** chDB maps a 500 MB library: 2 s warm, 15 s seen from a cold disk on a busy machine. */
export const CLICKHOUSE_READY_MS_MAX = 90_000;
/** Connects, makes streams, restores, and reads back what the sinks have: seconds; a minute on a busy machine. */
export const AGGREGATOR_READY_MS_MAX = 90_000;
/** workerd answers within 200 ms; a shard's index is rebuilt on its first request, not before. */
export const EDGE_READY_MS_MAX = 30_000;

/** wrangler bundles the edge in 3 s when its sources have changed; ten times that on a busy machine, twice over. */
export const EDGE_BUILD_MS_MAX = 60_000;
/** One statement of a migration: milliseconds, on a database that is ours alone. */
export const MIGRATION_MS_MAX = 30_000;

/** Between two looks at whether a process is ready: small beside the start of any of them. */
export const READY_POLL_MS = 50;
/** One health request; a process that needs longer is asked again. */
export const HEALTH_REQUEST_MS_MAX = 2_000;

/** From SIGTERM to SIGKILL; everything here survives SIGKILL, so waiting longer gains nothing. */
export const STOP_MS_MAX = 10_000;

/**
 * After the parent's SIGKILL its children's ports are free within milliseconds; a port that is still
 * taken after this belongs to someone else.
 */
export const PORT_FREE_MS_MAX = 2_000;

/** The parts start one after another, so this is how long a start can take and still succeed. */
export const STACK_START_MS_MAX =
  PORT_FREE_MS_MAX +
  EDGE_BUILD_MS_MAX +
  NATS_READY_MS_MAX +
  CLICKHOUSE_READY_MS_MAX +
  MIGRATION_MS_MAX +
  AGGREGATOR_READY_MS_MAX +
  EDGE_READY_MS_MAX;
/** Edge, aggregator, ClickHouse and NATS, one after another. */
export const STACK_STOP_MS_MAX = 4 * STOP_MS_MAX;

/**
 * Where children share our process group (children.ts), a Ctrl-C reaches them too, and their exits may
 * be seen before our own signal. An exit counts as unasked only when no stop has come by then.
 */
export const UNASKED_EXIT_GRACE_MS = 300;

/** npm passes on a Ctrl-C that the terminal has already delivered; only a later one is a second one. */
export const SECOND_SIGNAL_AFTER_MS = 500;

/** Enough of a log to hold a stack trace, not so much that it hides the message. */
export const LOG_TAIL_LINES = 15;
/** The tail is looked for in this many last bytes of the log. */
export const LOG_TAIL_BYTES = 16_384;
