/** Flushes and reports of shards, made by hand: what `clickmill shards` reads. */
import { encodeBlock } from "../../wire/block.ts";
import { dayOf } from "../../wire/columns.ts";
import type { ShardReport } from "../../wire/report.ts";

export const AT_MS = 1_795_420_042_721;
export const EPOCH = "epoch-01";

interface FlushOf {
  readonly shard: number;
  readonly flush: number;
  readonly epoch?: string;
  readonly rows?: number;
}

/** A block of counted clicks. Nobody who reads it here opens its rows. */
export function rawFlush({ shard, flush, epoch = EPOCH, rows = 2 }: FlushOf): Uint8Array {
  const number = { shard, epoch, flush, previous: flush - 1, flushedOn: dayOf(AT_MS) };
  return encodeBlock({ kind: "raw", ...number, idsHash: 5n }, rows, new Uint8Array(8)).bytes;
}

export function rejectedFlush({ shard, flush, epoch = EPOCH, rows = 1 }: FlushOf): Uint8Array {
  const number = { shard, epoch, flush, previous: flush - 1, flushedOn: dayOf(AT_MS) };
  return encodeBlock({ kind: "rejected", ...number }, rows, new Uint8Array(8)).bytes;
}

/** Of one busy second. */
export function shardReport(changes: Partial<ShardReport> = {}): ShardReport {
  return {
    sinceMs: AT_MS - 1_000,
    atMs: AT_MS,
    accepted: 780,
    duplicate: 20,
    unavailable: 0,
    rejected: { missing: 6, too_old: 2 },
    invalid: { bot: 31 },
    skew: [1, 0, 4, 12, 740, 10, 2, 0, 1],
    withoutClock: 10,
    journalBytes: 120 * 1024 ** 2,
    rejectedJournalBytes: 300 * 1024,
    commits: 60,
    commitMsMean: 7.25,
    commitMsMax: 31,
    flushMs: 4.5,
    flushFailures: 0,
    dedupIds: 8_012_345,
    dedupSegments: 24,
    dedupBytes: 18_000_000,
    acceptFromMs: AT_MS - 86_400_000,
    rowsWritten: 75,
    ...changes,
  };
}
