/**
 * `npm run bench:kernel`: the kernel and four others group the same partial rows; the last line is JSON.
 *
 * Top-N, dump and restore are not in the kernel yet, so there are no figures of them here.
 */
import { mkdtempSync, rmSync, statfsSync } from "node:fs";
import { availableParallelism, cpus, tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { version as chdbVersion } from "chdb";
import { Command, InvalidArgumentError } from "commander";
import { whole } from "../traffic/traffic-flags.ts";
import { benchCase, DisagreementError } from "./bench-case.ts";
import { caseBytesMax, CASES, writeCase } from "./cases.ts";
import type { BenchCase } from "./cases.ts";
import { buildNative } from "./native.ts";
import { contenders } from "./round.ts";

const ROWS = 4_000_000;
const ROUNDS = 5;
const SEED = 1;

const HELP = `
Contenders, each on one thread, in a process of its own each round, with the same bytes, parsing included:
  wasm        the kernel as production runs it, copies into linear memory included
  native      the same algorithm in C with prefetch instructions, cc -O3 -march=native, no copy
  js_map      a Map with string keys for each window
  js_typed    the same algorithm on typed arrays, with a 32-bit hash (MurmurHash3 x86_32)
  clickhouse  the embedded engine: SELECT … FROM file(…, RowBinary) GROUP BY …, max_threads = 1, FORMAT Null;
              the file is in the page cache
Each process groups the whole case twice and is timed in its second pass, with compiled code and memory that
it has used before, as in a process that runs for days; first_pass_rows_per_s has the rates without both.
Rounds are interleaved (wasm, native, …, wasm, …); figures are medians, spread_percent says by how much a
contender's slowest round is slower than its fastest. All must come to the same keys, clicks and checksum,
or the exit code is 1. close_ms_per_million_rows (sorting included) is per million keys of closed windows;
bytes_per_key is all that linear memory grew by, the area for sorting included.

Not measured yet, for the kernel does not have them: top-N, dump, restore.

Cases:
${CASES.map(({ name }) => `  ${name}`).join("\n")}

Example:
  npm run bench:kernel -- --rounds 3 --cases ${CASES[0]!.name},${CASES[1]!.name}`;

const flags = new Command("bench:kernel")
  .description("Compares the kernel's group-by with that of C, JavaScript and ClickHouse.")
  .option("--rows <count>", "partial rows of a case", whole, ROWS)
  .option("--rounds <count>", "rounds of a case", whole, ROUNDS)
  .option("--cases <names>", "with commas between them (default: all)", casesNamed)
  .option("--seed <number>", "the rows follow from it", whole, SEED)
  .addHelpText("after", HELP)
  .parse()
  .opts<{ rows: number; rounds: number; cases?: readonly BenchCase[]; seed: number }>();

const directory = mkdtempSync(join(tmpdir(), "clickmill-bench-"));
process.once("exit", () => rmSync(directory, { recursive: true, force: true }));
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.once(signal, () => process.exit(1));
}
try {
  await bench();
} catch (error) {
  if (!(error instanceof DisagreementError)) throw error;
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
      close_ms_per_million_rows: figures.closeMsPerMillionRows,
      bytes_per_key: figures.bytesPerKey,
      rows: flags.rows,
      row_bytes: written.bytes,
      keys: figures.keys,
      first_pass_rows_per_s: figures.firstPassRowsPerSecond,
      spread_percent: figures.spreadPercent,
    });
    console.log(JSON.stringify(cases.at(-1)));
  }
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
    }),
  );
}

function casesNamed(names: string): BenchCase[] {
  return names.split(",").map((name) => {
    const found = CASES.find((one) => one.name === name.trim());
    if (found === undefined) throw new InvalidArgumentError(`there is no case ${name}.`);
    return found;
  });
}
