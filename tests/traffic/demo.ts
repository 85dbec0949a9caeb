/** `clickmill demo`: starts the whole stack afresh, sends it real traffic, and proves every count. */
import { join } from "node:path";
import { createClient } from "@clickhouse/client";
import { Command } from "commander";
import { EXIT } from "../../aggregator/cli/usage-error.ts";
import { readStackOptions } from "../../infra/stack/config.ts";
import type { StackOptions } from "../../infra/stack/config.ts";
import { judgedRun } from "./judged-run.ts";
import { trafficSettings, withTrafficFlags } from "./traffic-flags.ts";
import type { TrafficFlags } from "./traffic-flags.ts";

/** A minute of traffic leaves two for the start and the last windows; 1,000 clicks/s are half of what 2 cores take. */
const DEFAULTS = { rate: 1_000, seconds: 60, ads: 1_000 };

const HELP = `
Environment, with its defaults:
  CLICKMILL_PORT_EDGE, _CLICKHOUSE, _NATS, _NATS_WEBSOCKET, _NATS_MONITOR  18787, 18123, 14222, 18443, 18222
  SHARDS, PARTITIONS, WINDOW_SECONDS                                       4, 2, 10

The last line is the result as JSON. Exit code 0: every count is right. 1: it is not, or something failed.
2: wrong usage or settings. 130: interrupted (143: by SIGTERM).

Examples:
  clickmill demo
  clickmill demo --rate 200 --seconds 20 --seed 7
  npm run demo -- --seconds 20`;

/**
 * Runs in the process of `clickmill`, which ends the process when this is over: after a process of the stack
 * has died, installations would go on trying for a while.
 *
 * @param args what stands after `demo`
 * @returns the exit code
 * @throws CommanderError, UsageError, StackError …: what `clickmill` knows how to end with
 */
export async function runDemo(args: readonly string[]): Promise<number> {
  const command = withTrafficFlags(new Command("clickmill demo"), DEFAULTS)
    .description(
      "Starts edge, NATS, aggregator and ClickHouse with a fresh state, posts clicks over real HTTP " +
        "(resends, lost answers, wrong clocks, late and malformed clicks included) and compares every " +
        "count with what was sent.",
    )
    .addHelpText("after", HELP)
    .exitOverride();
  const flags = command.parse(args, { from: "user" }).opts<TrafficFlags>();
  return (await demo(readStackOptions("demo"), flags)) ? EXIT.ok : EXIT.failed;
}

async function demo(options: StackOptions, flags: TrafficFlags): Promise<boolean> {
  console.log("starting the stack: edge, NATS, aggregator, ClickHouse …");
  // Here, because it loads wrangler: 600 ms that --help should not wait for.
  const { startStack } = await import("../../infra/stack/stack.ts");
  const stack = await startStack({ ...options, fresh: true });
  const client = createClient({ url: stack.urls.clickhouse, database: options.database });
  try {
    const traffic = { ...trafficSettings(flags), url: stack.urls.edge };
    console.log(
      `${flags.rate} clicks/s for ${flags.seconds} s over ${flags.ads} ads, windows of ${options.windowSeconds} s, seed ${traffic.seed}\n` +
        `edge ${stack.urls.edge}, ClickHouse ${stack.urls.clickhouse} (database ${options.database})\n`,
    );
    const run = judgedRun({
      traffic,
      client,
      windowSeconds: options.windowSeconds,
      differencesFile: join(options.stateDirectory, "differences.txt"),
    });
    // When a process has died, the run's own failures are only its echo.
    run.catch(() => {});
    const died = stack.unaskedExit.then((error) => {
      throw error;
    });
    return await Promise.race([run, died]);
  } finally {
    await client.close();
    await stack.stop();
  }
}
