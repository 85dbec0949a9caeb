/** Limits of the embedded server, each with its unit and the sum that chose it. */

/** Queries that run at the same time: two for the sinks and two for readers on a machine of 2 cores. */
export const RUNNING_QUERIES_MAX = 4;

/** Requests that wait for a slot; at 25 ms an insert the last of 64 waits under half a second. */
export const WAITING_QUERIES_MAX = 64;

/** Running queries each hold a thread of libuv's pool; four more keep files and gzip moving. */
export const THREAD_POOL_SIZE = RUNNING_QUERIES_MAX + 4;

/** A statement without its data: four of the engine's own limit, for settings that raise it. */
export const STATEMENT_BYTES_MAX = 1024 * 1024;

/** How far into a body the data of an INSERT may start: our widest column list is under 1 KiB. */
export const INSERT_HEAD_BYTES_MAX = 64 * 1024;

/** The engine's own default of max_query_size: what a statement may have, and a SET of parameters. */
export const ENGINE_QUERY_BYTES_MAX = 256 * 1024;

/** A form with long parameters: a list of 100,000 ids of 36 characters is 4 MB; four times that. */
export const FORM_BYTES_MAX = 16 * 1024 * 1024;

/** Data of one INSERT. A sink's largest unit is 512 KiB; a bulk load by hand may be a thousand times that. */
export const INSERT_BYTES_MAX = 1024 * 1024 * 1024;

/** One result on disk. The same bulk, the other way. */
export const RESULT_BYTES_MAX = INSERT_BYTES_MAX;

/** All data and results that are on disk at once: four of the largest. */
export const SPOOL_BYTES_MAX = 4 * INSERT_BYTES_MAX;

/** Between two looks at a result that grows: an engine writes 300 MB/s, so it may exceed its limit by 15 MB. */
export const RESULT_POLL_MS = 50;

/** What SHOW, DESCRIBE, EXPLAIN or CHECK answer is held in memory: rows about tables, not of them. */
export const BUFFERED_RESULT_BYTES_MAX = 16 * 1024 * 1024;

/** A read that names no max_execution_time of its own: ten times what the official client waits (30 s). */
export const READ_SECONDS_MAX_DEFAULT = 300;

/** An abort may come before the engine knows the query it is to kill: it is said again until the query has ended. */
export const KILL_AGAIN_MS = 200;

/** A server's own default (http_zlib_compression_level); Node's for brotli, 11, is for what is packed once. */
export const COMPRESSION_LEVEL = 3;

/** A server's own default; clients keep idle connections for less (2.5 s the official one). */
export const KEEP_ALIVE_MS = 10_000;

/** A reader that takes nothing for this long loses its connection: it holds one of the few slots. */
export const STALLED_CONNECTION_MS_MAX = 60_000;

/**
 * Between the frame that tells of an error after the first rows and the broken connection: a reader who
 * knows the frame hangs up by itself in milliseconds. A broken connection takes away what the reader's
 * process has received and not looked at yet.
 */
export const LATE_ERROR_LINGER_MS_MAX = 2_000;

/** How long a stopping process waits for what is running, before it kills it. */
export const SHUTDOWN_MS_MAX = 10_000;

/** A killed query notices between blocks. */
export const KILL_MS_MAX = 2_000;

if (INSERT_HEAD_BYTES_MAX > STATEMENT_BYTES_MAX) {
  throw new Error("the head of an INSERT is part of a statement");
}
if (RESULT_BYTES_MAX > SPOOL_BYTES_MAX || INSERT_BYTES_MAX > SPOOL_BYTES_MAX) {
  throw new Error("the spool must hold the largest file");
}
if (ENGINE_QUERY_BYTES_MAX > STATEMENT_BYTES_MAX) {
  throw new Error("what the engine takes must get to it");
}
