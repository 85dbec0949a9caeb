/** What the facts that `doctor` has gathered mean: facts in, findings in words out. */
import { BLOCK_BODY_BYTES_MAX, BLOCK_ORIGIN_BYTES_MAX } from "../../wire/limits.ts";
import { STREAM } from "../../wire/subjects.ts";
import { STREAM_FULL_SHARE } from "../limits.ts";
import type { OurStreamConfig } from "../source/streams.ts";
import {
  ALARM_HOURS,
  CLOCK_DIFFERENCE_MS_MAX,
  STREAM_NEARLY_FULL_SHARE,
  TICK_AGE_MS_MAX,
} from "./limits.ts";

export type Level = "ok" | "warning" | "failed";

export interface Finding {
  readonly check: string;
  readonly level: Level;
  readonly text: string;
  /** What to do about it; null where there is nothing to do. */
  readonly todo: string | null;
}

/** Something of the outside: what it showed, or why it did not. */
export type Seen<T> =
  | { readonly seen: true; readonly value: T }
  | {
      readonly seen: false;
      readonly reason: string;
      /** It answered, and wants another user or password. */
      readonly isLoginRefused: boolean;
    };

/** Where a part is looked for. */
export interface Place {
  /** As it may be shown. */
  readonly url: string;
  readonly isLocal: boolean;
}

export interface Facts {
  readonly nodeVersion: string;
  readonly edge: Place & { readonly answer: Seen<HttpAnswer> };
  readonly nats: Place & { readonly server: Seen<NatsFacts> };
  readonly clickhouse: Place & {
    readonly database: string;
    readonly server: Seen<ClickHouseFacts>;
  };
  /** Empty where NATS or ClickHouse was not seen. */
  readonly sinks: readonly SinkFacts[];
}

export interface HttpAnswer {
  readonly status: number;
  readonly text: string;
}

export interface NatsFacts {
  readonly version: string;
  /** Null for a server by itself. */
  readonly cluster: string | null;
  readonly hasJetStream: boolean;
  readonly maxPayloadBytes: number;
  /** Null where nobody says where it listens. */
  readonly monitor: Seen<MonitorFacts> | null;
  /** Empty without JetStream. */
  readonly streams: readonly StreamFacts[];
  /** How long ago the newest tick came; null when there is none. */
  readonly tickAgeMs: number | null;
}

export interface MonitorFacts {
  readonly isSyncAlways: boolean;
  readonly syncIntervalMs: number;
  readonly storeBytes: number;
  readonly clock: Clock;
}

/** A clock beside this machine's. */
export interface Clock {
  readonly aheadMs: number;
  /** Half of the time that the question took. */
  readonly uncertainMs: number;
}

export interface StreamFacts {
  readonly wanted: OurStreamConfig;
  readonly state: Seen<{
    readonly config: OurStreamConfig;
    readonly bytes: number;
    readonly messages: number;
  }>;
}

export interface ClickHouseFacts {
  readonly version: string;
  readonly isEmbedded: boolean;
  readonly clock: Clock;
  readonly migrations: Seen<{
    readonly there: readonly string[];
    readonly missing: readonly string[];
    readonly newer: readonly string[];
  }>;
  /** Every table that we insert into; null for one that is not there. */
  readonly tables: Readonly<Record<string, string | null>>;
  readonly alarms: Seen<AlarmFacts>;
}

/** Alarms of the last ALARM_HOURS. */
export interface AlarmFacts {
  readonly count: number;
  readonly newest: { readonly noticedAt: string; readonly alarm: string; readonly detail: string };
}

export interface SinkFacts {
  readonly name: string;
  readonly stream: string;
  /** Position of the newest message that the stream has had, ticks too; 0 for a new one. It stays when it is emptied. */
  readonly lastSequence: number;
  /** Position of the newest message with data when we asked; 0 when there was none. */
  readonly newestSequence: number;
  /** How many of its newest subjects were not looked at: there were more than SINK_SUBJECTS_MAX. */
  readonly subjectsNotAsked: number;
  /** Position of the newest ledger row after the wait; 0 when there was none. */
  readonly ledgerSequence: number;
  readonly waitedMs: number;
}

const START = "`npm start` runs a local stack";

export function findings(facts: Facts): Finding[] {
  return [
    checkNode(facts.nodeVersion),
    checkEdge(facts.edge),
    ...checkNats(facts.nats),
    ...checkClickHouse(facts.clickhouse),
    ...facts.sinks.map(checkSink),
  ];
}

const ok = (check: string, text: string): Finding => ({ check, level: "ok", text, todo: null });
const warning = (check: string, text: string, todo: string | null): Finding => ({
  check,
  level: "warning",
  text,
  todo,
});
const failed = (check: string, text: string, todo: string | null): Finding => ({
  check,
  level: "failed",
  text,
  todo,
});

/** As infra/setup.mjs asks for. */
const NODE_MIN = "24.2.0";

function checkNode(version: string): Finding {
  return isAtLeast(version, NODE_MIN)
    ? ok("node", version)
    : failed("node", `${version}, but ${NODE_MIN} or newer is needed`, "run `npm run setup`");
}

function checkEdge({ url, isLocal, answer }: Facts["edge"]): Finding {
  if (!answer.seen) {
    return failed(
      "edge",
      `nothing answers at ${url} (${answer.reason})`,
      isLocal ? `${START}; CLICKMILL_URL names another edge` : "is CLICKMILL_URL right?",
    );
  }
  const { status, text } = answer.value;
  if (status === 200 && text.includes('"ok"')) return ok("edge", `${url} answers /health`);
  return failed(
    "edge",
    `${url}/health answered HTTP ${status}: ${oneLine(text)}`,
    status >= 500
      ? "its settings are wrong; its log names them"
      : "this is no Clickmill edge: stop what listens there, or set CLICKMILL_URL",
  );
}

// ---- NATS

/** Below it, two publishers of a clustered stream can both win one expected-last-subject-sequence. */
const NATS_MIN_CLUSTERED = "2.9.21";
/** What production.conf is written for. */
const NATS_MIN_PRODUCTION = "2.12.0";
/** The longest block (wire/limits.ts) and its headers: a message id of 200 bytes, and room. */
const MESSAGE_BYTES_NEEDED = BLOCK_BODY_BYTES_MAX + BLOCK_ORIGIN_BYTES_MAX + 1_024;

function checkNats({ url, isLocal, server }: Facts["nats"]): Finding[] {
  if (!server.seen && server.isLoginRefused) {
    const todo = "put user and password into NATS_URL: nats://user:password@host, percent-encoded";
    return [failed("nats", `${url} answers, but refuses this user (${server.reason})`, todo)];
  }
  if (!server.seen) {
    const todo = isLocal ? `${START}; NATS_URL names another server` : "is NATS_URL right?";
    return [failed("nats", `no NATS answers at ${url} (${server.reason})`, todo)];
  }
  const nats = server.value;
  const found = [
    ok("nats", `${url} answers`),
    checkNatsVersion(nats, isLocal),
    nats.maxPayloadBytes >= MESSAGE_BYTES_NEEDED
      ? ok("nats messages", `up to ${count(nats.maxPayloadBytes)} bytes`)
      : failed(
          "nats messages",
          `up to ${count(nats.maxPayloadBytes)} bytes, but Clickmill's take up to ${count(MESSAGE_BYTES_NEEDED)}`,
          "set max_payload to 1MB, the server's own default",
        ),
  ];
  if (!nats.hasJetStream) {
    return [
      ...found,
      failed(
        "jetstream",
        "is off",
        "give the server a jetstream section: infra/nats/production.conf",
      ),
    ];
  }
  return [
    ...found,
    ...checkMonitor(nats, isLocal),
    ...checkStreams(nats.streams),
    checkAggregator(nats.tickAgeMs, isLocal),
  ];
}

function checkNatsVersion({ version, cluster }: NatsFacts, isLocal: boolean): Finding {
  const check = "nats version";
  if (cluster !== null && !isAtLeast(version, NATS_MIN_CLUSTERED)) {
    return failed(
      check,
      `${version} in a cluster: before ${NATS_MIN_CLUSTERED} two instances can both win one fence, and windows count twice`,
      `update to ${NATS_MIN_PRODUCTION} or newer`,
    );
  }
  if (isAtLeast(version, NATS_MIN_PRODUCTION)) return ok(check, version);
  return isLocal && cluster === null
    ? ok(check, `${version}: enough for one machine; production wants ${NATS_MIN_PRODUCTION}`)
    : warning(
        check,
        `${version} is older than what production is made for`,
        `update to ${NATS_MIN_PRODUCTION} or newer`,
      );
}

function checkMonitor(nats: NatsFacts, isLocal: boolean): Finding[] {
  const { monitor } = nats;
  const check = "nats sync";
  if (monitor === null) {
    return [
      warning(
        check,
        "whether an acknowledged message is on disk cannot be seen from here, nor the server's clock and room",
        "set NATS_MONITOR_URL to its monitoring (http://host:8222), or look for sync_interval: always in its configuration",
      ),
    ];
  }
  if (!monitor.seen) {
    const text = `its monitoring does not answer (${monitor.reason}), so what it promises is unknown`;
    return [warning(check, text, "set NATS_MONITOR_URL to its monitoring")];
  }
  const { isSyncAlways, syncIntervalMs, storeBytes, clock } = monitor.value;
  const loss = `syncs every ${seconds(syncIntervalMs)}: a crash of the process loses nothing, a crash of the machine up to that much of what was acknowledged (it comes back from the edge's journals, as a repair)`;
  const reserved = nats.streams.reduce((sum, { wanted }) => sum + wanted.max_bytes, 0);
  return [
    isSyncAlways
      ? ok(check, "an acknowledged message is on disk (sync_interval: always)")
      : isLocal
        ? ok(check, `${loss}; production wants sync_interval: always`)
        : warning(check, loss, "set sync_interval: always, as in infra/nats/production.conf"),
    reserved <= storeBytes
      ? ok("nats store", `${bytes(storeBytes)}, the streams may take ${bytes(reserved)}`)
      : failed(
          "nats store",
          `${bytes(storeBytes)}, but the streams may take ${bytes(reserved)}`,
          "raise max_file_store, or lower STREAM_STORE_BYTES",
        ),
    checkClock("nats clock", clock),
  ];
}

function checkStreams(streams: readonly StreamFacts[]): Finding[] {
  const found: Finding[] = [];
  const fills: string[] = [];
  for (const { wanted, state } of streams) {
    const { name } = wanted;
    if (!state.seen) {
      const todo = "the aggregator makes it when it starts: `npm start`, or start yours";
      found.push(failed("streams", `${name}: ${state.reason}`, todo));
      continue;
    }
    const { config, bytes: held, messages } = state.value;
    const differing = (Object.keys(wanted) as (keyof OurStreamConfig)[]).filter(
      (key) => JSON.stringify(wanted[key]) !== JSON.stringify(config[key]),
    );
    if (differing.length > 0) {
      const what = differing
        .map(
          (key) => `${key} is ${JSON.stringify(config[key])}, not ${JSON.stringify(wanted[key])}`,
        )
        .join("; ");
      const todo =
        "give this command the aggregator's settings (STREAM_STORE_BYTES, STREAM_REPLICAS), or restart the aggregator: it puts its streams right";
      found.push(warning("streams", `${name}: ${what}`, todo));
    }
    if (name === STREAM.setAside) {
      found.push(
        messages === 0
          ? ok("set aside", "nothing")
          : warning(
              "set aside",
              `${count(messages)} messages that nobody could read`,
              "`clickmill deadletters list` shows them",
            ),
      );
      continue;
    }
    const share = held / config.max_bytes;
    fills.push(`${name} ${percent(share)}`);
    if (share < STREAM_FULL_SHARE) continue;
    const text = `${name} is ${percent(share)} full (${bytes(held)} of ${bytes(config.max_bytes)})`;
    const todo =
      "its reader is behind: look at the aggregator's log, and whether ClickHouse takes inserts";
    found.push(
      share < STREAM_NEARLY_FULL_SHARE
        ? warning("stream fill", `${text}: nothing is kept for a replay any more`, todo)
        : failed("stream fill", `${text}: when it is full, clicks are refused`, todo),
    );
  }
  const isFine = (check: string) => !found.some((finding) => finding.check === check);
  if (isFine("stream fill") && fills.length > 0) found.unshift(ok("stream fill", fills.join(", ")));
  if (isFine("streams")) {
    const windowMs = Math.min(...streams.map(({ wanted }) => wanted.duplicate_window)) / 1e6;
    found.unshift(
      ok(
        "streams",
        `all ${streams.length} as the aggregator makes them (duplicate window ${seconds(windowMs)})`,
      ),
    );
  }
  return found;
}

/** It has no port of its own; its ticks are its pulse. */
function checkAggregator(tickAgeMs: number | null, isLocal: boolean): Finding {
  if (tickAgeMs !== null && tickAgeMs <= TICK_AGE_MS_MAX) {
    return ok("aggregator", `its newest tick is ${seconds(Math.max(0, tickAgeMs))} old`);
  }
  return failed(
    "aggregator",
    tickAgeMs === null ? "no tick in the streams" : `its newest tick is ${seconds(tickAgeMs)} old`,
    isLocal ? START : "start it, or look at its log",
  );
}

function checkClock(check: string, { aheadMs, uncertainMs }: Clock): Finding {
  const off = Math.max(0, Math.abs(aheadMs) - uncertainMs);
  if (off <= CLOCK_DIFFERENCE_MS_MAX)
    return ok(check, `as this machine's, within ${seconds(off + 2 * uncertainMs)}`);
  return warning(
    check,
    `${seconds(off)} ${aheadMs > 0 ? "ahead of" : "behind"} this machine's`,
    "one of the two is wrong: let NTP keep both",
  );
}

// ---- ClickHouse

function checkClickHouse({ url, isLocal, database, server }: Facts["clickhouse"]): Finding[] {
  if (!server.seen && server.isLoginRefused) {
    const todo =
      "set CLICKHOUSE_USER/CLICKHOUSE_PASSWORD, or put them into CLICKHOUSE_URL (where that is set, only they count)";
    return [failed("clickhouse", `${url} answers, but refuses this user (${server.reason})`, todo)];
  }
  if (!server.seen) {
    const todo = isLocal
      ? `${START}; CLICKHOUSE_URL names another server`
      : "is CLICKHOUSE_URL right?";
    return [failed("clickhouse", `no ClickHouse answers at ${url} (${server.reason})`, todo)];
  }
  const { version, isEmbedded, clock, migrations, tables, alarms } = server.value;
  const found = [
    isEmbedded
      ? ok(
          "clickhouse",
          `${url} answers: ${version}, the embedded engine, for development and tests`,
        )
      : ok("clickhouse", `${url} answers: ${version}`),
    checkClock("clickhouse clock", clock),
  ];
  const apply = "`clickmill migrate` applies what is missing";
  if (!migrations.seen) {
    return [...found, failed("migrations", migrations.reason, "see infra/clickhouse/migrations/")];
  }
  const { there, missing, newer } = migrations.value;
  if (missing.length > 0) {
    const text = `database ${database} lacks ${missing.join(", ")}`;
    return [...found, failed("migrations", text, apply)];
  }
  found.push(
    newer.length === 0
      ? ok("migrations", `all ${there.length} are applied to database ${database}`)
      : warning(
          "migrations",
          `database ${database} has ${newer.join(", ")}, which this version does not know`,
          "run the version that made it",
        ),
  );
  return [...found, checkTables(tables), checkAlarms(alarms)];
}

function checkTables(tables: ClickHouseFacts["tables"]): Finding {
  const faults = Object.entries(tables).flatMap(([name, createQuery]) => {
    if (createQuery === null) return [`${name} is not there`];
    const window = Number(
      /\bnon_replicated_deduplication_window = (\d+)/.exec(createQuery)?.[1] ?? 0,
    );
    const isSynced = /\bfsync_after_insert = (1|true)\b/.test(createQuery);
    return [
      ...(window > 0
        ? []
        : [`${name} forgets insert tokens (non_replicated_deduplication_window)`]),
      ...(isSynced ? [] : [`${name} does not sync its parts (fsync_after_insert)`]),
    ];
  });
  if (faults.length === 0) {
    return ok(
      "tables",
      `all ${Object.keys(tables).length} remember insert tokens and sync their parts`,
    );
  }
  return failed(
    "tables",
    faults.join("; "),
    "somebody changed them: compare with infra/clickhouse/migrations/",
  );
}

function checkAlarms(alarms: ClickHouseFacts["alarms"]): Finding {
  if (!alarms.seen) return failed("alarms", `cannot be read: ${alarms.reason}`, null);
  const { count: total, newest } = alarms.value;
  if (total === 0) return ok("alarms", `none in the last ${ALARM_HOURS} h`);
  return warning(
    "alarms",
    `${count(total)} in the last ${ALARM_HOURS} h; the newest, of ${newest.noticedAt}: ${newest.alarm}: ${oneLine(newest.detail)}`,
    "SELECT * FROM repairs ORDER BY noticed_at DESC",
  );
}

// ---- sinks

function checkSink(sink: SinkFacts): Finding {
  const { name, stream, lastSequence, newestSequence, subjectsNotAsked, ledgerSequence, waitedMs } =
    sink;
  if (ledgerSequence < newestSequence) {
    return warning(
      name,
      `behind: message ${count(newestSequence)} of ${stream} was there ${seconds(waitedMs)} ago, ClickHouse has them up to ${count(ledgerSequence)}`,
      "it may be catching up: run this again, and look at the aggregator's log",
    );
  }
  if (subjectsNotAsked > 0) {
    return warning(
      name,
      `ClickHouse has what was looked at of ${stream}, up to ${count(newestSequence)}; ${count(subjectsNotAsked)} subjects with newer messages were not`,
      "more shards have published there than this version knows: run the version that the edge runs",
    );
  }
  if (lastSequence === 0) return ok(name, `nothing in ${stream} yet`);
  // Its ledger outlives the messages: an emptied stream is no new one.
  if (newestSequence === 0 && ledgerSequence === 0)
    return ok(name, `no data among what ${stream} holds of its ${count(lastSequence)} messages`);
  const emptied = newestSequence === 0 ? ", and the stream has been emptied" : "";
  const after = waitedMs > 0 ? `, after ${seconds(waitedMs)}` : "";
  return ok(name, `ClickHouse has all of ${stream}${emptied}${after}`);
}

// ---- words

/** Compares versions as numbers; what comes after a hyphen does not count. */
export function isAtLeast(version: string, least: string): boolean {
  const have = numbersOf(version);
  for (const [i, wanted] of numbersOf(least).entries()) {
    const part = have[i] ?? 0;
    if (part !== wanted) return part > wanted;
  }
  return true;
}

function numbersOf(version: string): number[] {
  return version.split("-", 1)[0]!.split(".").map(Number);
}

/** Enough of foreign text to know it by. */
const TEXT_LENGTH_MAX = 160;

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, " ").trim().slice(0, TEXT_LENGTH_MAX);
}

function count(value: number): string {
  return value.toLocaleString("en-US");
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}

function seconds(ms: number): string {
  return ms < 1_000 ? `${Math.round(ms)} ms` : `${count(Math.round(ms / 100) / 10)} s`;
}

function bytes(value: number): string {
  return value >= 1024 ** 3
    ? `${(value / 1024 ** 3).toFixed(1)} GiB`
    : `${(value / 1024 ** 2).toFixed(1)} MiB`;
}
