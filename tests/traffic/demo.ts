/** `npm run demo`: starts the whole stack afresh, sends it real traffic, and proves every count. */
import { join } from "node:path";
import { createClient } from "@clickhouse/client";
import { Command } from "commander";
import { readStackOptions, StackError, startStack } from "../../infra/stack/stack.ts";
import type { StackOptions } from "../../infra/stack/stack.ts";
import { judgedRun } from "./judged-run.ts";
import { trafficSettings, withTrafficFlags } from "./traffic-flags.ts";
import type { TrafficFlags } from "./traffic-flags.ts";

/** A minute of traffic leaves two for the start and the last windows; 1,000 clicks/s are half of what 2 cores take. */
const DEFAULTS = { rate: 1_000, seconds: 60, ads: 1_000 };

const flags = withTrafficFlags(new Command("demo"), DEFAULTS)
  .description(
    "Starts edge, NATS, aggregator and ClickHouse with a fresh state, posts clicks over real HTTP " +
      "(resends, lost answers, wrong clocks, late and malformed clicks included) and compares every " +
      "count with what was sent. Exit code 0 only if every count is right.",
  )
  .parse()
  .opts<TrafficFlags>();

let exitCode = 1;
try {
  exitCode = (await demo(readStackOptions("demo"))) ? 0 : 1;
} catch (error) {
  console.error(error instanceof StackError ? error.message : error);
}
// Said aloud: after a process of the stack has died, installations would go on trying for a while.
process.exit(exitCode);

async function demo(options: StackOptions): Promise<boolean> {
  console.log("starting the stack: edge, NATS, aggregator, ClickHouse …");
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
