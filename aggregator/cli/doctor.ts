/** `clickmill doctor`: says in words whether everything is reachable and set right. */
import process from "node:process";
import { Command } from "commander";
import { everyConfig } from "./config.ts";
import { findings } from "./doctor-checks.ts";
import type { Finding, Level } from "./doctor-checks.ts";
import { gatherFacts } from "./doctor-facts.ts";
import { EXIT } from "./usage-error.ts";

interface Flags {
  readonly json?: true;
}

export function doctorCommand(): Command {
  return new Command("doctor")
    .description(
      "Say whether everything is reachable and set right, and what to do where it is not.",
    )
    .option("--json", "print the same as one line of JSON")
    .addHelpText("after", HELP)
    .action(run);
}

const HELP = `
Looks at the settings, the edge, NATS and its streams, ClickHouse and its tables, the clocks, and whether the
aggregator is alive and has brought everything to ClickHouse. It writes nothing.

Environment, with its defaults:
  CLICKMILL_URL        http://127.0.0.1:8787 (the port: CLICKMILL_PORT_EDGE)
  NATS_URL             nats://127.0.0.1:4222 (the port: CLICKMILL_PORT_NATS)
  NATS_MONITOR_URL     http://127.0.0.1:8222 (the port: CLICKMILL_PORT_NATS_MONITOR); none where NATS_URL is set
  CLICKHOUSE_URL       http://127.0.0.1:8123 (the port: CLICKMILL_PORT_CLICKHOUSE)
  CLICKHOUSE_DATABASE  clickmill
and the aggregator's own settings, such as STREAM_STORE_BYTES and STREAM_REPLICAS: give it the same ones.

Exit code 0: nothing failed (there may be warnings). 1: something failed. 2: wrong usage or settings; all of
them are named, and nothing else was looked at.

Examples:
  clickmill doctor
  clickmill doctor --json
  NATS_URL=nats://nats-1:4222 NATS_MONITOR_URL=http://nats-1:8222 clickmill doctor`;

async function run(flags: Flags): Promise<void> {
  const config = everyConfig();
  const settings: Finding = {
    check: "settings",
    level: "ok",
    text: "of the tools, the aggregator and the local stack can be read",
    todo: null,
  };
  const found = [settings, ...findings(await gatherFacts(config))];
  const count = (level: Level) => found.filter((finding) => finding.level === level).length;
  const [failed, warnings] = [count("failed"), count("warning")];
  if (flags.json) {
    console.log(JSON.stringify({ ok: failed === 0, failed, warnings, findings: found }));
  } else {
    console.log(found.map(inWords).join("\n"));
    const sum = failed > 0 ? `${failed} failed` : "Nothing failed";
    console.log(`\n${sum}, ${warnings} warning${warnings === 1 ? "" : "s"}, ${count("ok")} ok.`);
  }
  process.exitCode = failed === 0 ? EXIT.ok : EXIT.failed;
}

const LEVEL_WIDTH = "warning".length;
const CHECK_WIDTH = "clickhouse clock".length;

function inWords({ check, level, text, todo }: Finding): string {
  const line = `${level.padEnd(LEVEL_WIDTH)}  ${check.padEnd(CHECK_WIDTH)}  ${text}`;
  return todo === null ? line : `${line}\n${" ".repeat(LEVEL_WIDTH + CHECK_WIDTH + 4)}→ ${todo}`;
}
