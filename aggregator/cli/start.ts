/** `clickmill start`: runs the local stack until Ctrl-C and says what to try. */
import { resolve } from "node:path";
import process from "node:process";
import { Command } from "commander";
import { PORT_SETTINGS, PORTS_START, readStackOptions } from "../../infra/stack/config.ts";
import type { StackPorts } from "../../infra/stack/config.ts";
import { DEFAULT_USER } from "../../infra/embedded/credentials.ts";
import type { User } from "../../infra/embedded/credentials.ts";
import type { Stack, StackOptions } from "../../infra/stack/stack.ts";
import { cliConfig } from "./config.ts";

interface Flags {
  readonly json?: true;
  readonly state?: string;
}

export function startCommand(): Command {
  return new Command("start")
    .description(
      "Run the local stack until Ctrl-C: edge, NATS, aggregator and ClickHouse, as real processes on 127.0.0.1.",
    )
    .option("--json", "when it is ready, print its URLs as one line of JSON and nothing else")
    .option("--state <directory>", "where its state and logs live (default: .clickmill/start)")
    .addHelpText("after", HELP)
    .action(start);
}

const portLines = (Object.keys(PORTS_START) as (keyof StackPorts)[])
  .map((key) => `  ${PORT_SETTINGS[key].padEnd(30)} ${PORTS_START[key]}`)
  .join("\n");

const HELP = `
The state of earlier runs is kept; \`npm run reset\` clears it.

Environment, with its defaults:
${portLines}
  SHARDS                         4      Durable Objects that share the clicks
  PARTITIONS                     2      slices of the ads
  WINDOW_SECONDS                 60     length of a window

Exit code 0: ready, and stopped by Ctrl-C or SIGTERM. 1: it did not start, or a process of it died.
2: wrong usage or settings. 130: interrupted before it was ready (143: by SIGTERM).

Examples:
  clickmill start
  WINDOW_SECONDS=10 CLICKMILL_PORT_EDGE=9000 clickmill start
  npm start -- --json`;

async function start(flags: Flags): Promise<void> {
  const profile = readStackOptions("start");
  const options =
    flags.state === undefined
      ? profile
      : { ...profile, stateDirectory: resolve(cliConfig().directory, flags.state) };
  process.stderr.write("starting Clickmill …\n");
  // Here, because it loads wrangler: 600 ms that no other subcommand should wait for.
  const { startStack } = await import("../../infra/stack/stack.ts");
  const stack = await startStack(options);
  console.log(flags.json ? JSON.stringify(readyJson(stack, options)) : welcome(stack, options));
  // From here on a stop signal is the normal end (stop-signals.ts ends the process with this).
  process.exitCode = 0;
  const error = await stack.unaskedExit;
  process.exitCode = 1;
  await stack.stop();
  throw error;
}

function readyJson(stack: Stack, options: StackOptions): object {
  const { urls } = stack;
  return {
    edge: urls.edge,
    clickhouse: urls.clickhouse,
    database: options.database,
    nats: urls.nats,
    nats_websocket: urls.natsWebSocket,
    nats_monitor: urls.natsMonitor,
    window_seconds: options.windowSeconds,
    logs: `${options.stateDirectory}/logs`,
  };
}

/** curl's flag for a user other than the one who asks without a name; of a password curl asks itself. */
export function curlUser({ name, password }: User): string {
  if (name === DEFAULT_USER.name && password === DEFAULT_USER.password) return "";
  const text = password === "" ? `${name}:` : name;
  return `-u '${text.replaceAll("'", String.raw`'\''`)}' `;
}

function welcome(stack: Stack, options: StackOptions): string {
  const { urls } = stack;
  const { database, windowSeconds, stateDirectory } = options;
  const user = curlUser(options.clickhouseUser);
  const sum = encodeURIComponent(`SELECT sum(clicks) FROM ${database}.ad_clicks_1m`);
  // `date +%s000`: milliseconds since 1970 on every Unix; %N is GNU's alone.
  return `
  edge         ${urls.edge}
  ClickHouse   ${urls.clickhouse}  (database ${database})
  NATS         ${urls.nats}  (monitoring ${urls.natsMonitor})
  logs         ${stateDirectory}/logs

Post a click:

  curl -sS ${urls.edge}/v1/clicks -H 'content-type: application/json' -d "{\\"sent_at\\":$(date +%s000),\\"clicks\\":[{\\"click_id\\":\\"try-$(date +%s)-$RANDOM\\",\\"ad_id\\":\\"my-ad\\",\\"timestamp\\":$(date +%s000)}]}"

Ask for the count; a click is in it about ${windowSeconds + 10} seconds later, when its window has closed:

  curl -sS ${user}'${urls.clickhouse}/?query=${sum}'

Ctrl-C stops it; its state stays.
`;
}
