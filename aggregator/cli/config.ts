/** What the command line tools take from the environment: parsed once, with defaults for one machine, every problem in one message. */
import {
  PORT_MAX,
  PORT_PREFIX,
  PORT_SETTINGS,
  PORTS_START,
  readStackOptions,
} from "../../infra/stack/config.ts";
import type { Environment, StackPorts } from "../../infra/stack/config.ts";
import { readUser } from "../../infra/embedded/config.ts";
import { withUser } from "../../infra/stack/clickhouse.ts";
import { StackConfigurationError } from "../../infra/stack/stack-error.ts";
import { CLICKHOUSE, HTTP, NATS, urlProblem } from "../config-url.ts";
import type { UrlKind } from "../config-url.ts";
import { ConfigurationError, parseConfig } from "../config.ts";
import type { AggregatorConfig } from "../config.ts";
import { UsageError } from "./usage-error.ts";

export interface CliConfig {
  /** The edge, without path. */
  readonly url: string;
  readonly natsUrl: string;
  /** Null where NATS_URL names a server and nobody says where its monitoring listens. */
  readonly natsMonitorUrl: string | null;
  readonly clickhouseUrl: string;
  readonly clickhouseDatabase: string;
  /** Where the user stands: npm runs scripts in the package's directory and names the user's in INIT_CWD. */
  readonly directory: string;
}

/** @throws UsageError that names every problem */
export function cliConfig(environment: Environment = process.env): CliConfig {
  const problems: string[] = [];
  // An empty value is no value, as for the stack.
  const given = (name: string): string | undefined => environment[name] || undefined;
  const port = (key: keyof StackPorts): number => {
    const name = PORT_SETTINGS[key];
    const text = given(name);
    if (text === undefined) return PORTS_START[key];
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= 1 && value <= PORT_MAX) return value;
    problems.push(`${name}=${text}: must be a whole number from 1 to ${PORT_MAX}`);
    return PORTS_START[key];
  };
  const url = (name: string, fallback: string, kind: UrlKind): string => {
    const text = given(name) ?? fallback;
    const problem = urlProblem(text, name, kind);
    if (problem !== null) problems.push(problem);
    return text;
  };
  // Each port is looked at, whether a URL makes it needless or not: a wrong one is named now, not later.
  const edgePort = port("edge");
  const natsPort = port("nats");
  const clickhousePort = port("clickhouse");
  const monitorPort = port("natsMonitor");
  port("natsWebSocket");
  const known = new Set(Object.values(PORT_SETTINGS));
  for (const name of Object.keys(environment)) {
    if (name.startsWith(PORT_PREFIX) && !known.has(name)) {
      problems.push(`${name}: no such setting; there are ${[...known].join(", ")}`);
    }
  }
  const clickhouseDatabase = given("CLICKHOUSE_DATABASE") ?? "clickmill";
  if (!/^[A-Za-z_]\w{0,62}$/.test(clickhouseDatabase)) {
    problems.push(
      `CLICKHOUSE_DATABASE=${clickhouseDatabase}: must be a plain name (letters, digits, underscores)`,
    );
  }
  const isLocalNats = given("NATS_URL") === undefined || given("NATS_MONITOR_URL") !== undefined;
  const config: CliConfig = {
    url: url("CLICKMILL_URL", `http://127.0.0.1:${edgePort}`, HTTP),
    natsUrl: url("NATS_URL", `nats://127.0.0.1:${natsPort}`, NATS),
    natsMonitorUrl: isLocalNats
      ? url("NATS_MONITOR_URL", `http://127.0.0.1:${monitorPort}`, HTTP)
      : null,
    clickhouseUrl: url(
      "CLICKHOUSE_URL",
      withUser(`http://127.0.0.1:${clickhousePort}`, readUser(environment)),
      CLICKHOUSE,
    ),
    clickhouseDatabase,
    directory: given("INIT_CWD") ?? process.cwd(),
  };
  if (problems.length > 0) throw new UsageError(problems.join("\n"));
  return Object.freeze(config);
}

/** The settings of every part that can be read from here: what `doctor` holds the running system against. */
export interface EveryConfig {
  readonly cli: CliConfig;
  readonly aggregator: AggregatorConfig;
}

/** @throws UsageError that names every problem of the tools', the aggregator's and the local stack's settings */
export function everyConfig(environment: Environment = process.env): EveryConfig {
  const problems = new Map<string, string>();
  const read = <T>(parse: () => T): T | undefined => {
    try {
      return parse();
    } catch (error) {
      for (const problem of problemsOf(error)) {
        // Parts share settings: who reads one first says what is wrong with it.
        const setting = /^\w+/.exec(problem)?.[0] ?? problem;
        if (!problems.has(setting)) problems.set(setting, problem);
      }
      return undefined;
    }
  };
  const cli = read(() => cliConfig(environment));
  const aggregator = read(() => parseConfig(environment));
  read(() => readStackOptions("start", environment));
  if (cli === undefined || aggregator === undefined || problems.size > 0) {
    throw new UsageError([...problems.values()].join("\n"));
  }
  return { cli, aggregator };
}

function problemsOf(error: unknown): readonly string[] {
  if (error instanceof ConfigurationError) return error.problems;
  if (error instanceof UsageError || error instanceof StackConfigurationError)
    return error.message.split("\n");
  throw error;
}

/** Asserts an http(s) URL; `name` is the flag that the message blames. */
export function httpUrl(text: string, name: string): string {
  const problem = urlProblem(text, name, HTTP);
  if (problem !== null) throw new UsageError(problem);
  return text;
}
