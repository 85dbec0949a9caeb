/** Traffic against an edge that already runs; with --clickhouse, on a fresh database, the verdict too. */
import { createClient } from "@clickhouse/client";
import { Command } from "commander";
import { judgedRun } from "./judged-run.ts";
import { ProgressLine, progressText } from "./progress.ts";
import { startTraffic } from "./traffic.ts";
import { trafficSettings, whole, withTrafficFlags } from "./traffic-flags.ts";
import type { TrafficFlags } from "./traffic-flags.ts";

interface Flags extends TrafficFlags {
  readonly url: string;
  readonly clickhouse?: string;
  readonly database: string;
  readonly windowSeconds: number;
  readonly differences?: string;
}

const flags = withTrafficFlags(new Command("traffic"), { rate: 500, seconds: 60, ads: 1_000 })
  .description("Simulated SDK installations post clicks over HTTP; the last line is JSON.")
  .option("--url <url>", "the edge", "http://127.0.0.1:8787")
  .option("--clickhouse <url>", "compare with its tables, which must hold nothing but this run")
  .option("--database <name>", "", "clickmill")
  .option("--window-seconds <seconds>", "as the edge counts", whole, 60)
  .option("--differences <file>", "write every difference of the verdict there")
  .parse()
  .opts<Flags>();

// A running edge remembers the ids of earlier runs, with the same seed or not.
const name = Math.floor(Date.now() / 1_000).toString(36);
const traffic = { ...trafficSettings(flags, name), url: flags.url };
console.log(`seed ${traffic.seed}`);
if (flags.clickhouse === undefined) {
  const { ledger, done } = startTraffic(traffic);
  const startMs = performance.now();
  const progress = new ProgressLine(process.stdout);
  const timer = setInterval(() => {
    progress.show(progressText(performance.now() - startMs, ledger.counts(), null, Date.now()));
  }, 1_000);
  const report = await done;
  clearInterval(timer);
  progress.end();
  console.log(JSON.stringify({ ...ledger.counts(), behindMsMax: Math.round(report.behindMsMax) }));
  process.exitCode = ledger.counts().unanswered === 0 ? 0 : 1;
} else {
  const client = createClient({ url: flags.clickhouse, database: flags.database });
  try {
    const { windowSeconds, differences } = flags;
    const differencesFile = differences ?? null;
    const right = await judgedRun({ traffic, client, windowSeconds, differencesFile });
    process.exitCode = right ? 0 : 1;
  } finally {
    await client.close();
  }
}
