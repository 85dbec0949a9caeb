/** The edge's configuration, parsed once from the Worker's bindings: every problem in one message. */
import {
  DEDUP_HORIZON_MINUTES_DEFAULT,
  DEDUP_HORIZON_MINUTES_MIN,
  PARTITIONS_MAX,
  SHARDS_MAX,
} from "../wire/limits.ts";
import { COMMIT_LINGER_MS, JOURNAL_BYTES_MAX } from "./limits.ts";
import type { ClickShard } from "./shard/shard.ts";

/** Bindings as the platform gives them: text, and the namespace of shards. */
export interface Env {
  readonly SHARD_OBJECTS: DurableObjectNamespace<ClickShard>;
  readonly [name: string]: unknown;
}

export interface EdgeConfig {
  readonly platform: "cloudflare" | "local";
  readonly shards: number;
  readonly partitions: number;
  readonly windowSeconds: number;
  readonly flushIntervalMs: number;
  /** How long a commit waits for other requests: latency against written rows (limits.ts). */
  readonly commitLingerMs: number;
  readonly dedupHorizonMs: number;
  readonly journalKeepMs: number;
  readonly journalBytesMax: number;
  readonly natsUrl: string;
  /**
   * Event times before it are `too_old` after a change of SHARDS: a time after the last instance with
   * the old number is gone. 0 for none.
   */
  readonly acceptSinceMs: number;
  /** Where a shard stops and reports to `failpointUrl`, for crash tests on the local platform; else empty. */
  readonly failpoint: string;
  readonly failpointUrl: string;
}

const parsed = new WeakMap<object, EdgeConfig>();

/** Parses and ranges the bindings; throws one Error that names every problem. */
export function edgeConfig(env: Env): EdgeConfig {
  let config = parsed.get(env);
  if (config === undefined) {
    config = parse(env);
    parsed.set(env, config);
  }
  return config;
}

function parse(env: Env): EdgeConfig {
  const problems: string[] = [];
  const text = (name: string, fallback: string): string => {
    const value = env[name] ?? fallback;
    if (typeof value === "string") return value;
    problems.push(`${name} must be text`);
    return fallback;
  };
  const whole = (name: string, fallback: number, least: number, most: number): number => {
    const value = Number(text(name, String(fallback)));
    if (Number.isInteger(value) && value >= least && value <= most) return value;
    problems.push(`${name} must be a whole number from ${least} to ${most}`);
    return fallback;
  };
  const platform = text("PLATFORM", "cloudflare");
  if (platform !== "cloudflare" && platform !== "local") {
    problems.push(`PLATFORM must be "cloudflare" or "local"`);
  }
  const natsUrl = text("NATS_URL", "");
  if (!/^wss?:\/\//.test(natsUrl)) problems.push("NATS_URL must start with ws:// or wss://");
  const failpoint = text("FAILPOINT", "");
  if (failpoint !== "" && platform !== "local")
    problems.push("FAILPOINT is for PLATFORM=local only");
  const config: EdgeConfig = {
    platform: platform === "local" ? "local" : "cloudflare",
    shards: whole("SHARDS", 64, 1, SHARDS_MAX),
    partitions: whole("PARTITIONS", 2, 1, PARTITIONS_MAX),
    windowSeconds: whole("WINDOW_SECONDS", 60, 1, 86_400),
    flushIntervalMs: whole("FLUSH_INTERVAL_MS", 1_000, 10, 60_000),
    commitLingerMs: whole("COMMIT_LINGER_MS", COMMIT_LINGER_MS, 0, 1_000),
    dedupHorizonMs:
      whole(
        "DEDUP_HORIZON_MINUTES",
        DEDUP_HORIZON_MINUTES_DEFAULT,
        DEDUP_HORIZON_MINUTES_MIN,
        7 * 1_440,
      ) * 60_000,
    journalKeepMs: whole("JOURNAL_KEEP_MS", 600_000, 0, 86_400_000),
    journalBytesMax: whole("JOURNAL_BYTES_MAX", JOURNAL_BYTES_MAX, 1, JOURNAL_BYTES_MAX),
    natsUrl,
    acceptSinceMs: whole("ACCEPT_SINCE", 0, 0, Number.MAX_SAFE_INTEGER),
    failpoint,
    failpointUrl: text("FAILPOINT_URL", ""),
  };
  if (problems.length > 0) throw new Error(`edge configuration: ${problems.join("; ")}`);
  return Object.freeze(config);
}
