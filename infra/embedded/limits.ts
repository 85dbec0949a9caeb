/** Limits of the embedded server, each with its unit and the sum that chose it. */

/** Queries that run at the same time: two for the sinks and two for readers on a machine of 2 cores. */
export const RUNNING_QUERIES_MAX = 4;

/** Requests that wait for a slot; at 25 ms an insert the last of 64 waits under half a second. */
export const WAITING_QUERIES_MAX = 64;

/** Running queries each hold a thread of libuv's pool; four more keep files and gzip moving. */
export const THREAD_POOL_SIZE = RUNNING_QUERIES_MAX + 4;

/** A statement without its data. The engine's own max_query_size is 256 KiB; one more factor for settings that raise it. */
export const STATEMENT_BYTES_MAX = 1024 * 1024;

/** How far into a body the data of an INSERT may start: our widest column list is under 1 KiB. */
export const INSERT_HEAD_BYTES_MAX = 64 * 1024;

/** Data of one INSERT. A sink's largest unit is 512 KiB; a bulk load by hand may be a thousand times that. */
export const INSERT_BYTES_MAX = 1024 * 1024 * 1024;

/** Data of all INSERTs that are on disk at once: four of the largest. */
export const SPOOL_BYTES_MAX = 4 * INSERT_BYTES_MAX;

/** A result whose format cannot be streamed is held in memory while it is sent. */
export const BUFFERED_RESULT_BYTES_MAX = 256 * 1024 * 1024;

/** A reader that takes nothing for this long loses its connection: it holds one of the few slots. */
export const STALLED_CONNECTION_MS_MAX = 60_000;

/** How long a stopping process waits for what is running, before it kills it. */
export const SHUTDOWN_MS_MAX = 10_000;

/** A killed query notices between blocks. */
export const KILL_MS_MAX = 2_000;

if (INSERT_HEAD_BYTES_MAX > STATEMENT_BYTES_MAX) {
  throw new Error("the head of an INSERT is part of a statement");
}
