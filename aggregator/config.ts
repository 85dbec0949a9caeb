/** The aggregator's configuration: parsed once from the environment, every problem in one message. */
import { PARTITIONS_MAX } from "../wire/limits.ts";
import { CLICKHOUSE, NATS, urlProblem } from "./config-url.ts";
import type { UrlKind } from "./config-url.ts";
import { CHUNK_BYTES_MAX, CHUNK_BYTES_MIN, STREAM_STORE_BYTES_MIN } from "./limits.ts";

export interface AggregatorConfig {
  readonly natsUrl: string;
  readonly clickhouseUrl: string;
  readonly clickhouseDatabase: string;
  /** Partitions in all; this process runs them all. */
  readonly partitions: number;
  readonly windowSeconds: number;
  readonly windowGraceMs: number;
  readonly chunkBytesMax: number;
  readonly tickIntervalMs: number;
  readonly streamStoreBytes: number;
  readonly streamReplicas: number;
  readonly streamKeepMs: number;
  readonly logLevel: (typeof LOG_LEVELS)[number];
  /** Where the process kills itself, for crash tests; else empty. */
  readonly failpoint: (typeof FAILPOINTS)[number];
}

const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;
const FAILPOINTS = ["", "between_chunks", "before_ledger"] as const;
const DEFAULT_STORE_BYTES = 8 * 1024 ** 3;

export class ConfigurationError extends Error {
  override readonly name = "ConfigurationError";
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`configuration: ${problems.join("; ")}`);
    this.problems = problems;
  }
}

/** @throws ConfigurationError that names every problem */
export function parseConfig(
  environment: Readonly<Record<string, string | undefined>>,
): AggregatorConfig {
  const problems: string[] = [];
  // An empty value is no value, as for the tools and the local stack.
  const text = (name: string, fallback: string) => environment[name] || fallback;
  const whole = (name: string, fallback: number, least: number, most: number): number => {
    const value = Number(text(name, String(fallback)));
    if (Number.isInteger(value) && value >= least && value <= most) return value;
    problems.push(
      `${name} must be a whole number from ${least} to ${most}, it is ${environment[name]}`,
    );
    return fallback;
  };
  const oneOf = <T extends string>(name: string, known: readonly T[], fallback: T): T => {
    const value = text(name, fallback);
    const found = known.find((k) => k === value);
    if (found === undefined)
      problems.push(`${name} must be one of ${known.join(", ")}, it is ${value}`);
    return found ?? fallback;
  };
  const url = (name: string, fallback: string, kind: UrlKind): string => {
    const value = text(name, fallback);
    const problem = urlProblem(value, name, kind);
    if (problem !== null) problems.push(problem);
    return value;
  };
  const matching = (name: string, fallback: string, pattern: RegExp, what: string): string => {
    const value = text(name, fallback);
    if (!pattern.test(value)) problems.push(`${name} must be ${what}, it is ${value}`);
    return value;
  };
  const config: AggregatorConfig = {
    natsUrl: url("NATS_URL", "nats://127.0.0.1:4222", NATS),
    clickhouseUrl: url("CLICKHOUSE_URL", "http://127.0.0.1:8123", CLICKHOUSE),
    clickhouseDatabase: matching(
      "CLICKHOUSE_DATABASE",
      "clickmill",
      /^[A-Za-z_]\w{0,62}$/,
      "a plain name",
    ),
    partitions: whole("PARTITIONS", 2, 1, PARTITIONS_MAX),
    windowSeconds: whole("WINDOW_SECONDS", 60, 1, 86_400),
    windowGraceMs: whole("WINDOW_GRACE_MS", 5_000, 0, 3_600_000),
    chunkBytesMax: whole("CHUNK_BYTES_MAX", CHUNK_BYTES_MAX, CHUNK_BYTES_MIN, CHUNK_BYTES_MAX),
    tickIntervalMs: whole("TICK_INTERVAL_MS", 1_000, 10, 60_000),
    streamStoreBytes: whole(
      "STREAM_STORE_BYTES",
      DEFAULT_STORE_BYTES,
      STREAM_STORE_BYTES_MIN,
      Number.MAX_SAFE_INTEGER,
    ),
    streamReplicas: whole("STREAM_REPLICAS", 1, 1, 5),
    streamKeepMs: whole("STREAM_KEEP_MS", 3_600_000, 0, 30 * 86_400_000),
    logLevel: oneOf("LOG_LEVEL", LOG_LEVELS, "info"),
    failpoint: oneOf("FAILPOINT", FAILPOINTS, ""),
  };
  if (problems.length > 0) throw new ConfigurationError(problems);
  return Object.freeze(config);
}

/** The one place of the aggregator that looks at the environment. */
export function readConfig(): AggregatorConfig {
  return parseConfig(process.env);
}
