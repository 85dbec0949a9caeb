/** The command line's limits, each with its unit and the sum that chose it. */
import { SINK_LINGER_MS } from "../limits.ts";

/** One question of `doctor`: what answers, answers in milliseconds, and a person waits. */
export const QUESTION_MS_MAX = 3_000;

/**
 * How long `doctor` waits for a sink to have what was newest when it asked: the linger of a batch, a
 * tick that ends it, the insert; twice over.
 */
export const SINK_WAIT_MS_MAX = 2 * (SINK_LINGER_MS + 1_000 + 1_000);
export const SINK_POLL_MS = 250;

/** Ticks come every second (TICK_INTERVAL_MS); ten that are missing are an aggregator that is not there. */
export const TICK_AGE_MS_MAX = 10_000;

/** Clocks that NTP keeps differ by milliseconds; a second is a clock that nobody keeps. */
export const CLOCK_DIFFERENCE_MS_MAX = 1_000;

/** From here on a stream is about to refuse: minutes are left, not hours. */
export const STREAM_NEARLY_FULL_SHARE = 0.9;

/** Alarms of the last day are somebody's work of today. */
export const ALARM_HOURS = 24;

/** `deadletters list`: one screen with some scrolling. */
export const LIST_DEFAULT = 50;
/** A head is under 1 KB (its headers), so a page of so many is under 1 MB, and comes within a second. */
export const LIST_MAX = 1_000;
/** `deadletters show`: prefix and origin of a flush (71 bytes) and the first rows, on 16 lines. */
export const SHOW_BYTES_DEFAULT = 256;
/** Four thousand lines of 16 bytes: more of a message belongs in a file (--out). */
export const SHOW_BYTES_MAX = 65_536;
/** Columns where standard output is no terminal: what stands before a reason takes about 80, and most reasons are under 60. */
export const WIDTH_DEFAULT = 140;

/** A shard that has clicks flushes every second; one that has not for half a minute has none, or has no NATS. */
export const REPORT_CURRENT_MS = 30_000;
/** Names on one line of `shards`: all codes and reasons of ours, and some of a later version's. */
export const NAMES_SHOWN_MAX = 12;
/** `shards --watch`: shards flush every second, and a person reads a table no faster. */
export const WATCH_SECONDS_DEFAULT = 2;
export const WATCH_SECONDS_MAX = 3_600;
