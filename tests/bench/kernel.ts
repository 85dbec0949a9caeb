/**
 * `npm run bench:kernel`: the kernel and four others group the same partial rows, then the kernel does what
 * only it can: closes, lists of top ads, dumps. The last line is JSON.
 */
import { mkdtempSync, rmSync, statfsSync } from "node:fs";
import { availableParallelism, cpus, tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { version as chdbVersion } from "chdb";
import { Command, InvalidArgumentError } from "commander";
import { whole } from "../traffic/traffic-flags.ts";
import { benchCase, rounded, WrongResultError } from "./bench-case.ts";
import type { KernelCaseFigures } from "./bench-case.ts";
import { caseBytesMax, CASES, writeCase } from "./cases.ts";
import type { BenchCase } from "./cases.ts";
import { PASSES } from "./group-by.ts";
import { PASSES_MAX } from "./kernel-round.ts";
import { buildNative } from "./native.ts";
import { contenders, runSliding } from "./round.ts";
import { MINUTES } from "./sliding.ts";

const ROWS = 4_000_000;
const ROUNDS = 5;
const SEED = 1;
const SLIDING_ADS = 2_000_000;
const NO_CASES = "none";

const HELP = `
Contenders, each on one thread, in a process of its own each round, with the same bytes, parsing included:
  wasm        the kernel as production runs it, copies into linear memory included
  native      the same algorithm in C with prefetch instructions, cc -O3 -march=native, no copy
  js_map      a Map with string keys for each window
  js_typed    open addressing on typed arrays, keys in an arena, rows in batches: the same without what
              JavaScript has no words for (lines compared at once, 64-bit hashes: MurmurHash3 x86_32)
  clickhouse  the embedded engine: SELECT … FROM file(…, RowBinary) GROUP BY …, max_threads = 1, FORMAT Null;
              the file is in the page cache
Each process groups the whole case ${PASSES} times and is timed in its last pass, with compiled code and memory
that it has used before, as in a process that runs for days; first_pass_rows_per_s has the rates without both.
(The kernel's runs stay in it, so a pass may need memory that was never used; then it is done again, up to ${PASSES_MAX} passes.)
Rounds are interleaved (wasm, native, …, wasm, …); figures are medians, spread_percent says by how much a
contender's slowest round is slower than its fastest. All must come to the same keys, clicks and checksum,
or the exit code is 1.

What only the kernel does, in the process of its passes and with the last; rows of a close are keys:
  close_ms_per_million_rows         with sliding windows (the aggregator has none yet): sorted, encoded, runs made
                                    and added to the sums (nothing leaves them here: see close_ms_median)
  close_counts_ms_per_million_rows  a kernel without sliding windows, also in its last pass: sorted and encoded
  close_over_ingest                 the close of a million rows over the ingestion of two million, same round
  close_counts_over_ingest          the same of the kernel without sliding windows
  top1000_ms                        the first 1,000 ads of the last ${MINUTES} windows
  dump_ms                           all open rows (as many as keys) in canonical order
  dump_run_ms                       the newest run, dumped_run_rows ads
  restore_ms                        a new kernel from open rows and the runs of the passes before, restored_rows in all
  bytes_per_key                     linear memory after the first pass, room for the next block's rows included
  bytes_per_ad_minute               the runs' bytes for each ad in each of them
The restored kernel and the one without sliding windows must close to the same bytes, and the list must be
the one that follows from the closed rows, or the exit code is 1.

sliding: ${MINUTES} minutes, each with clicks of every ad, one after the other through one kernel, no contenders:
  bytes_per_ad_minute               as above
  kernel_bytes                      all linear memory in the end; more than kernel_bytes_max: exit code 1
  close_ms_median                   of the next minutes' closes: in each, a run enters every sum and one leaves it
  top1000_ms                        by the number of windows; the lists are compared with clicks counted here

Cases:
${CASES.map(({ name }) => `  ${name}`).join("\n")}

Example:
  npm run bench:kernel -- --rounds 3 --cases ${CASES[0]!.name},${CASES[1]!.name}`;

const flags = new Command("bench:kernel")
  .description("Compares the kernel's group-by with that of C, JavaScript and ClickHouse.")
  .option("--rows <count>", "partial rows of a case", whole, ROWS)
  .option("--rounds <count>", "rounds of a case", whole, ROUNDS)
  .option(
    "--cases <names>",
    `with commas between them, or "${NO_CASES}" (default: all)`,
    casesNamed,
  )
  .option("--seed <number>", "the rows follow from it", whole, SEED)
  .option("--no-sliding", "leave out the sliding windows at their size")
  .option("--sliding-ads <count>", "ads with clicks in every minute", whole, SLIDING_ADS)
  .addHelpText("after", HELP)
  .parse()
  .opts<{
    rows: number;
    rounds: number;
    cases?: readonly BenchCase[];
    seed: number;
    sliding: boolean;
    slidingAds: number;
  }>();

const directory = mkdtempSync(join(tmpdir(), "clickmill-bench-"));
process.once("exit", () => rmSync(directory, { recursive: true, force: true }));
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.once(signal, () => process.exit(1));
}
try {
  await bench();
} catch (error) {
  if (!(error instanceof WrongResultError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}

async function bench(): Promise<void> {
  const { bavail, bsize } = statfsSync(directory);
  if (bavail * bsize < caseBytesMax(flags.rows)) {
    throw new Error(`${directory} has no room for ${caseBytesMax(flags.rows)} bytes of rows`);
  }
  const native = await buildNative(directory);
  const all = contenders(directory, native.program);
  const cases = [];
  for (const one of flags.cases ?? CASES) {
    console.log(`${one.name}: making ${flags.rows} rows …`);
    const written = writeCase(one, flags.rows, flags.seed, join(directory, "rows"));
    console.log(`${flags.rounds} rounds of ${all.map(({ name }) => name).join(", ")} …`);
    // Contenders must not share the machine.
    // oxlint-disable-next-line no-await-in-loop
    const figures = await benchCase(written, all, flags.rounds);
    cases.push({
      case: one.name,
      ...figures.rates,
      ...printedKernel(figures.kernel),
      rows: flags.rows,
      row_bytes: written.bytes,
      keys: figures.keys,
      first_pass_rows_per_s: figures.firstPassRowsPerSecond,
      spread_percent: figures.spreadPercent,
    });
    console.log(JSON.stringify(cases.at(-1)));
  }
  const sliding = flags.sliding ? await benchSliding() : undefined;
  console.log(
    JSON.stringify({
      cases,
      rounds: flags.rounds,
      seed: flags.seed,
      ...(native.program === null ? { native_reason: native.reason } : {}),
      machine: {
        cores: availableParallelism(),
        cpu: cpus()[0]?.model ?? "unknown",
        memory_bytes: totalmem(),
        node: process.version,
        v8: process.versions.v8,
        clickhouse: chdbVersion().libchdb.replaceAll('"', ""),
        chdb: chdbVersion().chdb,
        ...(native.program === null ? {} : { compiler: native.compiler }),
      },
      ...(sliding === undefined ? {} : { sliding }),
    }),
  );
}

function printedKernel(figures: KernelCaseFigures) {
  return {
    close_ms_per_million_rows: figures.closeMsPerMillionRows,
    close_counts_ms_per_million_rows: figures.closeCountsMsPerMillionRows,
    close_over_ingest: figures.closeOverIngest,
    close_counts_over_ingest: figures.closeCountsOverIngest,
    top1000_ms: figures.topMs,
    dump_ms: figures.dumpMs,
    dump_run_ms: figures.dumpRunMs,
    dumped_run_rows: figures.dumpedRunRows,
    restore_ms: figures.restoreMs,
    restored_rows: figures.restoredRows,
    bytes_per_key: figures.bytesPerKey,
    bytes_per_ad_minute: figures.bytesPerAdMinute,
  };
}

async function benchSliding() {
  console.log(`sliding windows: ${MINUTES} minutes of ${flags.slidingAds} ads …`);
  const outcome = await runSliding(flags.slidingAds, flags.seed);
  if (outcome.faults.length > 0) throw new WrongResultError(outcome.faults);
  const printed = {
    ads: outcome.ads,
    minutes: outcome.minutes,
    bytes_per_ad_minute: rounded(outcome.bytesPerAdMinute, 2),
    kernel_bytes: outcome.kernelBytes,
    kernel_bytes_max: outcome.kernelBytesMax,
    close_ms_median: rounded(outcome.closeMsMedian),
    top1000_ms: Object.fromEntries(
      Object.entries(outcome.topMs).map(([windows, ms]) => [windows, rounded(ms)]),
    ),
  };
  console.log(JSON.stringify(printed));
  return printed;
}

function casesNamed(names: string): BenchCase[] {
  if (names === NO_CASES) return [];
  return names.split(",").map((name) => {
    const found = CASES.find((one) => one.name === name.trim());
    if (found === undefined) throw new InvalidArgumentError(`there is no case ${name}.`);
    return found;
  });
}
