/** `npm run fuzz:edge`: bodies that no SDK would send, at the parser and at a running edge; the last line is JSON. */
import { createClient } from "@clickhouse/client";
import { Command } from "commander";
import { readStackOptions, StackError, startStack } from "../../infra/stack/stack.ts";
import { residentBytes } from "../helpers/resident-bytes.ts";
import { Random } from "../traffic/random.ts";
import { whole } from "../traffic/traffic-flags.ts";
import { fuzzInProcess } from "./in-process.ts";
import type { Crash } from "./in-process.ts";
import { differences, fuzzOverHttp } from "./over-http.ts";

/** A full run's bodies, at least; shorter runs have their part of them. */
const FULL_RUN_SECONDS = 60;
const IN_PROCESS_BODIES_MIN = 50_000;
const OVER_HTTP_BODIES_MIN = 5_000;
/** The parser alone is ten times as fast as the way to it. */
const IN_PROCESS_SHARE = 0.4;

/** What later bodies may leave behind in the parser's process: noise of measurement, a tenth of it seen. */
const HEAP_GROWN_BYTES_MAX = 2 * 1024 ** 2;
/**
 * What the second half of the bodies may leave in workerd: ids to remember, and a heap that its collector
 * lets grow (10 MB seen in a run of 60 s, 40 MB in one of 30 s, which is young yet).
 */
const EDGE_GROWN_BYTES_MAX = 64 * 1024 ** 2;

const flags = new Command("fuzz:edge")
  .description(
    "Throws changed bodies (bits, cuts, nesting, numbers, encodings) at the edge's parser in this process, " +
      "then at a running edge, whose answers are compared with the tables. Exit code 0: no server error, " +
      "no crash, nothing lost, no growth of memory.",
  )
  .option("--seconds <seconds>", "how long, without start and end", whole, FULL_RUN_SECONDS)
  .option("--seed <number>", "what is sent follows from it (default: another one each time)", whole)
  .addHelpText("after", "\nExample:\n  npm run fuzz:edge -- --seconds 60 --seed 7")
  .parse()
  .opts<{ seconds: number; seed?: number }>();

const seed = flags.seed ?? Date.now() % 1_000_000;
const bodiesMin = (full: number) => Math.ceil((full * flags.seconds) / FULL_RUN_SECONDS);
const inProcessMs = flags.seconds * 1_000 * IN_PROCESS_SHARE;
const overHttpMs = flags.seconds * 1_000 - inProcessMs;

console.log(`seed ${seed}\nthe parser in this process, for ${inProcessMs / 1_000} s …`);
const inProcess = await fuzzInProcess(
  new Random(seed),
  inProcessMs,
  bodiesMin(IN_PROCESS_BODIES_MIN),
);
list(inProcess.crashes);

try {
  console.log("starting the stack …");
  const options = readStackOptions("test");
  const stateDirectory = `${options.stateDirectory}/fuzz`;
  const stack = await startStack({ ...options, name: "fuzz", stateDirectory, fresh: true });
  const client = createClient({ url: stack.urls.clickhouse, database: options.database });
  console.log(`the edge at ${stack.urls.edge}, for ${overHttpMs / 1_000} s …`);
  const edgeBytes = async () => residentBytes(stack.processes.edge.pid);
  let halfBytes = 0;
  const overHttp = await fuzzOverHttp({
    url: stack.urls.edge,
    random: new Random(seed + 1),
    timeMs: overHttpMs,
    bodiesMin: bodiesMin(OVER_HTTP_BODIES_MIN),
    atHalf: async () => {
      halfBytes = await edgeBytes();
    },
  });
  const edgeGrownBytes = (await edgeBytes()) - halfBytes;
  list(overHttp.crashes);
  console.log("comparing answers and tables …");
  const lost = await differences(overHttp.book, client);
  for (const line of lost) console.log(line);
  await client.close();
  await stack.stop();
  const result = {
    bodies: inProcess.bodies + overHttp.bodies,
    in_process: inProcess.bodies,
    over_http: overHttp.bodies,
    server_errors: overHttp.serverErrors,
    crashes: inProcess.crashes.length + overHttp.crashCount,
    differences: lost.length,
    heap_grown_bytes: inProcess.grownBytes,
    edge_grown_bytes: edgeGrownBytes,
    seed,
  };
  const sound =
    result.server_errors + result.crashes + result.differences === 0 &&
    result.heap_grown_bytes <= HEAP_GROWN_BYTES_MAX &&
    result.edge_grown_bytes <= EDGE_GROWN_BYTES_MAX;
  console.log(JSON.stringify(result));
  process.exitCode = sound ? 0 : 1;
} catch (error) {
  if (!(error instanceof StackError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}

function list(crashes: readonly Crash[]): void {
  for (const crash of crashes) console.log(JSON.stringify(crash));
}
