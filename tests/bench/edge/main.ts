/**
 * `npm run bench:edge`: the deployed edge on workerd, with everything on, against the least that a Worker and its
 * objects do. The last line is JSON.
 */
import { execFileSync } from "node:child_process";
import { availableParallelism, cpus, totalmem } from "node:os";
import { Command, InvalidArgumentError } from "commander";
import { findNatsServer } from "../../../infra/find-program.mjs";
import { inheritedEnvironment } from "../../../infra/stack/config.ts";
import { StackError } from "../../../infra/stack/stack-error.ts";
import { onStopSignal } from "../../../infra/stack/stop-signals.ts";
import { ALARM_DELAY_MS } from "../../../edge/limits.ts";
import { whole } from "../../traffic/traffic-flags.ts";
import { WrongResultError } from "../bench-case.ts";
import { Clicks } from "./clicks.ts";
import {
  figuresOf,
  judge,
  PACED_CASES,
  RATIO_BATCH_BAR,
  RATIO_SINGLE_BAR,
  THROUGHPUT_CASES,
} from "./figures.ts";
import type { PacedCase, PacedOutcomes, Round, ThroughputCase } from "./figures.ts";
import { FlushedRows } from "./flushed-rows.ts";
import { freePorts } from "./free-ports.ts";
import {
  CONNECTIONS,
  JOURNAL_KEEP_MS,
  PACED_SECONDS,
  PACED_WARM_UP_SECONDS,
  ROUNDS,
  SECONDS,
  SHARDS,
  WARM_UP_SECONDS,
} from "./limits.ts";
import { measurePaced, measureThroughput } from "./measure.ts";
import type { Bench } from "./measure.ts";
import { DAY_CLICKS, DAY_SHARDS, SHARD_CLICKS_PER_SECOND, USD_PER_BILLION_AIM } from "./price.ts";
import { NoReportError } from "./reported-rows.ts";
import { PORTS, Servers } from "./servers.ts";
import { makeStateDirectory } from "./state-directory.ts";

const SEED = 1;
const THROUGHPUT_NAMES = Object.keys(THROUGHPUT_CASES) as ThroughputCase[];
const PACED_PREFIX = "paced_";
const PACED_NAMES = Object.keys(PACED_CASES) as PacedCase[];
const CASE_NAMES = [...PACED_NAMES.map((name) => `${PACED_PREFIX}${name}`), ...THROUGHPUT_NAMES];

const HELP = `
Every run has a workerd of its own with new state on disk, ${SHARDS} shards, and begins with a warm-up. The edge is the
bundle that would be deployed, with validation, deduplication, the durable journal, and flushes to a nats-server
with JetStream. JOURNAL_KEEP_MS is ${JOURNAL_KEEP_MS}, so that the journal is proven and written over within a run.

Cases of a round, in a closed loop: each connection sends when it has its answer.
  bare       a Worker that parses the click and calls a no-op method of one of ${SHARDS} objects
  grouped    a Worker whose objects keep the click, a row for as many as the edge's commits take; no validation, no
             deduplication, no flush, no shared calls: what an answer that is durable costs by itself
  single     the edge, the same requests: one click each, every click from another installation
  batch100   the edge, 100 clicks of one installation in a request
Cases at a pace, once: requests arrive as a Poisson process at ${SHARD_CLICKS_PER_SECOND} clicks/s for each shard, whatever is still
unanswered: ${DAY_CLICKS} clicks spread evenly over a day and ${DAY_SHARDS} shards. They come first, because they fail on an edge
that does not report what it writes.
  paced_single, paced_batch10

  bare_rps, single_rps, batch100_clicks_per_s   answers (clicks) a second: medians
  ratio_single, ratio_batch   single_rps and batch100_clicks_per_s over bare_rps of the same round: medians. Bars:
                              at least ${RATIO_SINGLE_BAR} and ${RATIO_BATCH_BAR}; stderr says whether they are met, the exit code does not
  grouped_rps, ratio_grouped  the same of grouped; no bar
  cpu_us_per_click_batch100   user and system time of workerd, from the first request to the last flush
  rows_written_per_million    SQLite rows of a million clicks, by the shards' reports (setAlarm included) over the clicks
                              of the same reports. What comes once in an hour, or with a segment of sealed ids, is
                              not in a run of seconds
  object_requests_per_million the Worker's calls, one for each batch, as if none were shared (an isolate with so little
                              traffic shares few), and an alarm every ${ALARM_DELAY_MS / 1_000} s of each shard (they cannot come
                              more often)
  usd_per_billion             at list prices; usd_per_billion_parts has the sum's parts. Objects never sleep. CPU is all of
                              workerd's, objects included. Aim for batch10: at most ${USD_PER_BILLION_AIM}
  paced                       clicks_per_s as they came; latency_ms from when a request was due to its answer, of
                              which lag_ms is the generator's; cpu_us_per_click of workerd
  spread_percent              by how much a case's fastest round is above its slowest
  cpu_us_per_click            workerd's CPU in the closed loops
  generator_cpu_share         CPU seconds a second of this process, which shares the machine with workerd
  clicks                      accepted in all, warm-ups included
  commit_linger_ms            how long a commit waits for others; null for an edge that has no such binding

Every click has a new id, so every answer must be 202 and say that all its clicks are accepted; after each run
CLICKS_RAW must hold exactly as many rows. If not, the exit code is 1.

Cases for --cases:
${CASE_NAMES.map((name) => `  ${name}`).join("\n")}

Example:
  npm run bench:edge -- --rounds 3 --cases bare,single,batch100`;

const flags = new Command("bench:edge")
  .description(
    "Measures the edge on workerd: throughput against a bare Worker, CPU, rows written, dollars.",
  )
  .option("--rounds <count>", "rounds of the closed loops", whole, ROUNDS)
  .option("--seconds <seconds>", "of a case in a round", whole, SECONDS)
  .option("--warm-up <seconds>", "before each of them", whole, WARM_UP_SECONDS)
  .option("--connections <count>", "of a closed loop", whole, CONNECTIONS)
  .option("--paced-seconds <seconds>", "of a case at a pace", whole, PACED_SECONDS)
  .option("--paced-warm-up <seconds>", "before it", whole, PACED_WARM_UP_SECONDS)
  .option("--cases <names>", "with commas between them (default: all)", casesNamed)
  .option("--port <number>", `the first of ${PORTS} in a row (default: any that are free)`, whole)
  .option("--edge-var <name=value>", "a text binding of the edge, again for more", edgeVar)
  .option("--seed <number>", "ads, senders and arrivals follow from it", whole, SEED)
  .addHelpText("after", HELP)
  .parse()
  .opts<{
    rounds: number;
    seconds: number;
    warmUp: number;
    connections: number;
    pacedSeconds: number;
    pacedWarmUp: number;
    cases?: readonly string[];
    port?: number;
    edgeVar?: Readonly<Record<string, string>>;
    seed: number;
  }>();

const wanted: ReadonlySet<string> = new Set(flags.cases ?? CASE_NAMES);
const directory = makeStateDirectory();
let isStopping = false;
try {
  await run();
} catch (error) {
  const isExpected = [WrongResultError, StackError, NoReportError].some(
    (kind) => error instanceof kind,
  );
  // What fails because it was stopped is only the echo.
  if (!isExpected && !isStopping) throw error;
  if (!isStopping) console.error((error as Error).message);
  process.exitCode = 1;
} finally {
  directory.remove();
}

async function run(): Promise<void> {
  const ports = await freePorts(PORTS, flags.port);
  const servers = new Servers(directory.path, ports, flags.edgeVar ?? {});
  const forgetSignals = onStopSignal(() => {
    isStopping = true;
    return servers.stop();
  });
  try {
    await servers.startNats();
    const flushed = await FlushedRows.open(servers.natsUrl);
    try {
      const { connections, seconds, pacedSeconds, seed } = flags;
      await measureAll({
        servers,
        flushed,
        clicks: new Clicks(seed),
        connections,
        seconds,
        warmUpSeconds: flags.warmUp,
        pacedSeconds,
        pacedWarmUpSeconds: flags.pacedWarmUp,
        seed,
      });
    } finally {
      await flushed.close();
    }
  } finally {
    await servers.stop();
    forgetSignals();
  }
}

async function measureAll(bench: Bench): Promise<void> {
  const paced: PacedOutcomes = await pacedOutcomes(bench);
  const rounds: Round[] = [];
  for (let round = 1; round <= flags.rounds; round++) {
    // Cases must not share the machine.
    // oxlint-disable-next-line no-await-in-loop
    rounds.push(await oneRound(bench, round));
  }
  const figures = figuresOf(rounds, paced);
  const settings = bench.servers.edgeSettings();
  const lingerMs = settings["COMMIT_LINGER_MS"];
  for (const line of judge(figures)) console.error(line);
  console.log(
    JSON.stringify({
      ...figures,
      rounds: flags.rounds,
      seconds: flags.seconds,
      paced_seconds: flags.pacedSeconds,
      connections: flags.connections,
      seed: flags.seed,
      commit_linger_ms: lingerMs === undefined ? null : Number(lingerMs),
      edge_settings: settings,
      state_on_disk: directory.onDisk,
      machine: {
        cores: availableParallelism(),
        cpu: cpus()[0]?.model ?? "unknown",
        memory_bytes: totalmem(),
        node: process.version,
        workerd: versionOf(bench.servers.workerd()),
        nats_server: versionOf(findNatsServer(inheritedEnvironment()["PATH"])!),
      },
    }),
  );
}

async function pacedOutcomes(bench: Bench): Promise<PacedOutcomes> {
  const outcomes: Partial<Record<PacedCase, Awaited<ReturnType<typeof measurePaced>>>> = {};
  for (const name of PACED_NAMES) {
    if (!wanted.has(`${PACED_PREFIX}${name}`)) continue;
    const seconds = flags.pacedWarmUp + flags.pacedSeconds;
    console.log(`${PACED_PREFIX}${name}: ${seconds} s, ${flags.pacedWarmUp} of them to warm up …`);
    // oxlint-disable-next-line no-await-in-loop
    const outcome = await measurePaced(bench, PACED_CASES[name]);
    console.log(
      `${PACED_PREFIX}${name}: ${Math.round(outcome.clicksPerSecond)} clicks/s, ` +
        `${Math.round(outcome.rowsWrittenPerMillion)} rows written per million clicks`,
    );
    outcomes[name] = outcome;
  }
  return outcomes;
}

async function oneRound(bench: Bench, round: number): Promise<Round> {
  const outcomes: Partial<Record<ThroughputCase, Awaited<ReturnType<typeof measureThroughput>>>> =
    {};
  for (const name of THROUGHPUT_NAMES) {
    if (!wanted.has(name)) continue;
    const { server, clicksPerRequest } = THROUGHPUT_CASES[name];
    const where = `round ${round} of ${flags.rounds}, ${name}`;
    console.log(`${where}: ${flags.warmUp + flags.seconds} s …`);
    // oxlint-disable-next-line no-await-in-loop
    const outcome = await measureThroughput(bench, server, clicksPerRequest);
    console.log(`${where}: ${Math.round(outcome.requestsPerSecond * clicksPerRequest)} clicks/s`);
    outcomes[name] = outcome;
  }
  return outcomes;
}

function versionOf(program: string): string {
  return execFileSync(program, ["--version"], { encoding: "utf8" }).trim();
}

function casesNamed(names: string): string[] {
  return names.split(",").map((name) => {
    const found = CASE_NAMES.find((one) => one === name.trim());
    if (found === undefined) throw new InvalidArgumentError(`there is no case ${name}.`);
    return found;
  });
}

function edgeVar(text: string, before: Record<string, string> = {}): Record<string, string> {
  const found = /^([A-Z_]+)=(.*)$/.exec(text);
  if (found === null) throw new InvalidArgumentError("NAME=value.");
  return { ...before, [found[1]!]: found[2]! };
}
