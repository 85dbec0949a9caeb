/**
 * `npm run bench:dedup`: a shard that remembers 8,000,000 clicks of a day. The last line is JSON.
 */
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { availableParallelism, cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { Command } from "commander";
import { NodeSql } from "../helpers/node-sql.ts";
import { Random } from "../traffic/random.ts";
import { whole } from "../traffic/traffic-flags.ts";
import { rounded } from "./bench-case.ts";
import { percentile } from "./edge/arrivals.ts";
import { settle } from "./group-by.ts";
import { rememberInWorkerd } from "./dedup/in-workerd.ts";
import { BUCKETS, firstOf, Remembered } from "./dedup/remembered.ts";

const IDS = 8_000_000;
const SEED = 1;
/** Of ids that are there, one in so many is looked up. */
const CHECK_EVERY = 10;
/** At most: as many as there are ids. */
const NEW_LOOKUPS_MAX = 2_000_000;
const OLDEST_LOOKUPS = 50_000;
/** What a shard may take: several share an isolate of 128 MB. */
const HEAP_MB_MAX = 24;
const OLDEST_MS_P99_MAX = 1;

const HELP = `
The shard's own code (fingerprints, index, journal, storage) over node:sqlite, in a file; ${BUCKETS} hours, of which the
newest is open. Figures:
  heap_mb                   heap and array buffers beyond those of an empty shard, after a full collection; bar ${HEAP_MB_MAX}
  resident_mb               the process's growth meanwhile: with SQLite's own memory, and garbage
  index_mb                  what the index says of itself, as the shard reports it
  lookups_per_s             of ids that are new, as nearly all are: fingerprint, open segment, ${BUCKETS - 1} filters, and
                            storage where a filter is wrong
  duplicate_lookups_per_s   of ids of all hours at random: one read of storage each
  oldest_duplicate_ms_p50, _p99   of ids of the oldest hour; bar ${OLDEST_MS_P99_MAX} (p99)
  missed_duplicates         of checked_duplicates ids that are there (one in ${CHECK_EVERY}, at random places)
  false_duplicates          of new_lookups ids that are not
  ready_ms                  a new object over the same storage: filters read, the open hour read from the journal
  seal_ms_max               the longest pause for sealing an hour
  storage_mb                the file: ids, filters, and the journal of an hour
  workerd_resident_mb       what workerd grows by when one of its objects takes the same ids: with SQLite's memory, and
                            with garbage, which nobody can make it collect; workerd_missed_duplicates of as many lookups
An id that is missed, or that is false, is exit code 1. (A fingerprint has 64 bits: of ${NEW_LOOKUPS_MAX} new ids one
is false in 1,150,000 runs.)

Example:
  npm run bench:dedup -- --ids 800000`;

const flags = new Command("bench:dedup")
  .description("What a shard's memory of a day takes, and how fast and right it answers.")
  .option("--ids <count>", "clicks that the shard remembers", whole, IDS)
  .option("--seed <number>", "which ids are looked up follows from it", whole, SEED)
  .addHelpText("after", HELP)
  .parse()
  .opts<{ ids: number; seed: number }>();

const directory = mkdtempSync(join(tmpdir(), "clickmill-bench-"));
process.once("exit", () => rmSync(directory, { recursive: true, force: true }));
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.once(signal, () => process.exit(1));
}
await bench();

async function bench(): Promise<void> {
  const file = join(directory, "shard.sqlite");
  const sql = new NodeSql(file);
  warmUp();
  const shard = new Remembered(sql);
  const baseline = await memory();
  const seals: number[] = [];
  for (let bucket = 0; bucket < BUCKETS; bucket++) {
    const isOpen = bucket === BUCKETS - 1;
    const to = firstOf(bucket + 1, flags.ids);
    sql.transaction(() => shard.receive(bucket, firstOf(bucket, flags.ids), to, false));
    seals.push(milliseconds(() => sql.transaction(() => shard.receive(bucket, to, to, !isOpen))));
    console.log(`hour ${bucket + 1} of ${BUCKETS}: ${shard.size} ids`);
  }
  const filled = await memory();
  // A heap that has become smaller meanwhile (compilers give back what they had) is not the shard's merit.
  const heapBytes =
    Math.max(0, filled.heapUsed - baseline.heapUsed) +
    (filled.arrayBuffers - baseline.arrayBuffers);

  const random = new Random(flags.seed);
  const newLookups = Math.min(NEW_LOOKUPS_MAX, flags.ids);
  console.log(`looking up ${newLookups} new ids …`);
  let falseDuplicates = 0;
  const newMs = milliseconds(() => {
    for (let i = 0; i < newLookups; i++) if (shard.has(flags.ids + i)) falseDuplicates++;
  });
  const checked = Math.floor(flags.ids / CHECK_EVERY);
  console.log(`looking up ${checked} duplicates …`);
  let missedDuplicates = 0;
  const duplicateMs = milliseconds(() => {
    for (let i = 0; i < checked; i++) {
      if (!shard.has(i * CHECK_EVERY + random.whole(0, CHECK_EVERY - 1))) missedDuplicates++;
    }
  });
  const oldestMs = Array.from({ length: OLDEST_LOOKUPS }, () => {
    const id = random.whole(0, firstOf(1, flags.ids) - 1);
    let known = false;
    const ms = milliseconds(() => {
      known = shard.has(id);
    });
    if (!known) missedDuplicates++;
    return ms;
  });

  let again: Remembered | null = null;
  const readyMs = milliseconds(() => {
    again = new Remembered(sql);
  });
  if (again!.size !== flags.ids) throw new Error(`${again!.size} ids after a restart`);
  console.log("the same inside workerd …");
  const workerd = await rememberInWorkerd(join(directory, "workerd"), flags.ids, CHECK_EVERY);
  if (workerd.ids !== flags.ids) throw new Error(`workerd remembers ${workerd.ids} ids`);
  const heapMb = rounded(heapBytes / 1e6, 1);
  const p99 = rounded(percentile(oldestMs, 0.99), 3);
  console.error(`heap_mb ${heapMb}: the bar of ${HEAP_MB_MAX} is ${met(heapMb <= HEAP_MB_MAX)}`);
  console.error(
    `oldest_duplicate_ms_p99 ${p99}: the bar of ${OLDEST_MS_P99_MAX} is ${met(p99 <= OLDEST_MS_P99_MAX)}`,
  );
  console.log(
    JSON.stringify({
      ids: shard.size,
      heap_mb: heapMb,
      lookups_per_s: Math.round(newLookups / (newMs / 1_000)),
      oldest_duplicate_ms_p99: p99,
      missed_duplicates: missedDuplicates,
      false_duplicates: falseDuplicates,
      oldest_duplicate_ms_p50: rounded(percentile(oldestMs, 0.5), 3),
      duplicate_lookups_per_s: Math.round(checked / (duplicateMs / 1_000)),
      checked_duplicates: checked + OLDEST_LOOKUPS,
      new_lookups: newLookups,
      ready_ms: rounded(readyMs, 1),
      seal_ms_max: rounded(Math.max(...seals), 1),
      segments: shard.segmentCount,
      resident_mb: rounded((filled.rss - baseline.rss) / 1e6, 1),
      index_mb: rounded(shard.byteCount / 1e6, 1),
      storage_mb: rounded(statSync(file).size / 1e6, 1),
      workerd_resident_mb: rounded(workerd.grownBytes / 1e6, 1),
      workerd_index_mb: rounded(workerd.indexBytes / 1e6, 1),
      workerd_missed_duplicates: workerd.missedDuplicates,
      seed: flags.seed,
      machine: {
        cores: availableParallelism(),
        cpu: cpus()[0]?.model ?? "unknown",
        node: process.version,
      },
    }),
  );
  sql.close();
  if (missedDuplicates + falseDuplicates + workerd.missedDuplicates > 0) process.exitCode = 1;
}

/** All code has run before the baseline: it must not count as the shard's, nor its absence against it. */
function warmUp(): void {
  const sql = new NodeSql(join(directory, "warm-up.sqlite"));
  const shard = new Remembered(sql);
  for (const bucket of [0, 1]) {
    sql.transaction(() =>
      shard.receive(bucket, bucket * 10_000, (bucket + 1) * 10_000, bucket === 0),
    );
  }
  for (let id = 0; id < 40_000; id++) shard.has(id);
  sql.close();
}

/** After turns of the event loop: sources and compilers' leavings are given back only then. */
async function memory(): Promise<NodeJS.MemoryUsage> {
  await settle();
  await settle();
  return process.memoryUsage();
}

function milliseconds(body: () => void): number {
  const startMs = performance.now();
  body();
  return performance.now() - startMs;
}

function met(isMet: boolean): string {
  return isMet ? "met" : "missed";
}
