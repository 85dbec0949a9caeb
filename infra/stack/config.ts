/** The local stack's settings: the only file here that reads the environment. */
import { fileURLToPath } from "node:url";
import { readUser } from "../embedded/config.ts";
import { DEFAULT_USER } from "../embedded/credentials.ts";
import type { User } from "../embedded/credentials.ts";
import { PARTITIONS_MAX, SHARDS_MAX } from "../../wire/limits.ts";
import { StackConfigurationError } from "./stack-error.ts";

export interface StackPorts {
  readonly edge: number;
  readonly clickhouse: number;
  readonly nats: number;
  readonly natsWebSocket: number;
  readonly natsMonitor: number;
}

/** In the order of starting: each needs those before it. */
export const STACK_PARTS = ["nats", "clickhouse", "aggregator", "edge"] as const;
export type StackPart = (typeof STACK_PARTS)[number];

export interface StackOptions {
  /** `start`, `demo`, `test-…`: in messages, and where its state lives by default. */
  readonly name: string;
  readonly stateDirectory: string;
  /**
   * Clears the state directory before anything starts, but after the directory is known to be free: a
   * running stack's state is never deleted. By default state from earlier runs is kept.
   */
  readonly fresh?: boolean;
  /** Which processes run, for tests that need only some; by default all. */
  readonly parts?: readonly StackPart[];
  readonly ports: StackPorts;
  readonly database: string;
  /** Who the embedded ClickHouse answers, and as whom the stack's own clients come. Never printed. */
  readonly clickhouseUser: User;
  readonly windowSeconds: number;
  readonly shards: number;
  readonly partitions: number;
  /** Extra text bindings of the edge; they win over wrangler.toml's. */
  readonly edgeVars?: Readonly<Record<string, string>>;
  /** Extra environment of the aggregator. */
  readonly aggregatorEnvironment?: Readonly<Record<string, string>>;
}

export type StackProfile = "start" | "demo" | "test";
export type Environment = Readonly<Record<string, string | undefined>>;

/** Which setting changes which port; messages about taken ports name it. */
export const PORT_SETTINGS: Readonly<Record<keyof StackPorts, string>> = {
  edge: "CLICKMILL_PORT_EDGE",
  clickhouse: "CLICKMILL_PORT_CLICKHOUSE",
  nats: "CLICKMILL_PORT_NATS",
  natsWebSocket: "CLICKMILL_PORT_NATS_WEBSOCKET",
  natsMonitor: "CLICKMILL_PORT_NATS_MONITOR",
};
export const PORT_PREFIX = "CLICKMILL_PORT_";

/** Each product's own port; the websocket's is the one that NATS's examples use. */
export const PORTS_START: StackPorts = {
  edge: 8787,
  clickhouse: 8123,
  nats: 4222,
  natsWebSocket: 8443,
  natsMonitor: 8222,
};
/** Demo and tests stay below 32,768, where Linux begins to hand out ports by itself. */
const PROFILES: Readonly<
  Record<StackProfile, { portOffset: number; database: string; windowSeconds: number }>
> = {
  start: { portOffset: 0, database: "clickmill", windowSeconds: 60 },
  demo: { portOffset: 10_000, database: "clickmill_demo", windowSeconds: 10 },
  test: { portOffset: 20_000, database: "clickmill_test", windowSeconds: 10 },
};

export const PORT_MAX = 65_535;
const WINDOW_SECONDS_MAX = 3_600;
const SHARDS_DEFAULT = 4;
const PARTITIONS_DEFAULT = 2;

/** Where all local state lives; git ignores it. */
export const CLICKMILL_DIRECTORY = fileURLToPath(new URL("../../.clickmill/", import.meta.url));

/**
 * The options of a profile, with what the environment overrides.
 *
 * @param environment values only; unknown port settings are refused, because a misspelt one would
 *   be silently without effect
 * @throws StackConfigurationError with all problems in one message
 */
export function readStackOptions(
  profile: StackProfile,
  environment: Environment = process.env,
): StackOptions {
  const problems: string[] = [];
  const integer = (name: string, defaultValue: number, min: number, max: number): number => {
    const text = environment[name];
    if (text === undefined || text === "") return defaultValue;
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < min || value > max) {
      problems.push(`${name}=${text}: must be a whole number from ${min} to ${max}`);
    }
    return value;
  };

  const { portOffset, database, windowSeconds } = PROFILES[profile];
  const port = (key: keyof StackPorts) =>
    integer(PORT_SETTINGS[key], PORTS_START[key] + portOffset, 1, PORT_MAX);
  const ports: StackPorts = {
    edge: port("edge"),
    clickhouse: port("clickhouse"),
    nats: port("nats"),
    natsWebSocket: port("natsWebSocket"),
    natsMonitor: port("natsMonitor"),
  };
  const settingByPort = new Map<number, string>();
  for (const key of Object.keys(ports) as (keyof StackPorts)[]) {
    const other = settingByPort.get(ports[key]);
    if (other !== undefined) {
      problems.push(`${PORT_SETTINGS[key]} and ${other} are both ${ports[key]}`);
    }
    settingByPort.set(ports[key], PORT_SETTINGS[key]);
  }
  const known = new Set(Object.values(PORT_SETTINGS));
  for (const name of Object.keys(environment)) {
    if (name.startsWith(PORT_PREFIX) && !known.has(name)) {
      problems.push(`${name}: no such setting; there are ${[...known].join(", ")}`);
    }
  }

  const options: StackOptions = Object.freeze({
    name: profile,
    stateDirectory: `${CLICKMILL_DIRECTORY}${profile}`,
    ports: Object.freeze(ports),
    database,
    // Demo and tests ask it in many places, and nobody else does: they keep the user without a password.
    clickhouseUser: profile === "start" ? readUser(environment) : DEFAULT_USER,
    windowSeconds: integer("WINDOW_SECONDS", windowSeconds, 1, WINDOW_SECONDS_MAX),
    shards: integer("SHARDS", SHARDS_DEFAULT, 1, SHARDS_MAX),
    partitions: integer("PARTITIONS", PARTITIONS_DEFAULT, 1, PARTITIONS_MAX),
  });
  if (problems.length > 0) throw new StackConfigurationError(problems.join("\n"));
  return options;
}

/** What children are started with, before their own settings: PATH, HOME, locale, proxies. */
export function inheritedEnvironment(): Environment {
  return process.env;
}
