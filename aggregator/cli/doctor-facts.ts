/** Gathers what `doctor` judges: asks every part, each question with its time limit. It writes nothing. */
import { setTimeout as sleep } from "node:timers/promises";
import process from "node:process";
import { ClickHouseLogLevel, createClient } from "@clickhouse/client";
import type { ClickHouseClient } from "@clickhouse/client";
import {
  DeliverPolicy,
  jetstream,
  JetStreamApiCodes,
  JetStreamApiError,
  jetstreamManager,
} from "@nats-io/jetstream";
import type { JetStreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import type { NatsConnection } from "@nats-io/transport-node";
import { migrationState } from "../../infra/clickhouse/migrate.ts";
import { DISPLAY_NAME_HEADER, EMBEDDED_DISPLAY_NAME } from "../../infra/embedded/display-name.ts";
import { TABLES } from "../../wire/columns.ts";
import { SHARDS_MAX } from "../../wire/limits.ts";
import { SINK_TICK_SUBJECTS, STREAM } from "../../wire/subjects.ts";
import { RAW_SINK, REJECTED_SINK, RESULT_SINK } from "../sink/unit.ts";
import type { SinkKind } from "../sink/unit.ts";
import { natsOptions } from "../source/nats-options.ts";
import { streamConfigs } from "../source/streams.ts";
import type { OurStreamConfig } from "../source/streams.ts";
import { shownUrl } from "../config-url.ts";
import type { CliConfig, EveryConfig } from "./config.ts";
import type {
  AlarmFacts,
  ClickHouseFacts,
  Clock,
  Facts,
  HttpAnswer,
  MonitorFacts,
  NatsFacts,
  Place,
  Seen,
  SinkFacts,
  StreamFacts,
} from "./doctor-checks.ts";
import { ALARM_HOURS, QUESTION_MS_MAX, SINK_POLL_MS, SINK_WAIT_MS_MAX } from "./limits.ts";
import { isLoginRefused, reasonOf } from "./reason-of.ts";

/** Every shard's subject, the tick's and the one of what was sent again, twice over; without bodies that is one question. */
const SINK_SUBJECTS_MAX = 2 * (SHARDS_MAX + 2);

/** Never rejects for what is outside: what did not answer is a fact too. */
export async function gatherFacts({ cli, aggregator }: EveryConfig): Promise<Facts> {
  const wanted = streamConfigs({
    storeBytes: aggregator.streamStoreBytes,
    replicas: aggregator.streamReplicas,
  });
  const client = createClient({
    url: cli.clickhouseUrl,
    request_timeout: QUESTION_MS_MAX,
    log: { level: ClickHouseLogLevel.OFF },
  });
  let connection: NatsConnection | undefined;
  try {
    const [answer, nats, clickhouse] = await Promise.all([
      look(() => askHttp(new URL("/health", cli.url).href)),
      look(async () => {
        connection = await connect({
          ...natsOptions(cli.natsUrl),
          timeout: QUESTION_MS_MAX,
          reconnect: false,
        });
        return natsFacts(connection, wanted, cli.natsMonitorUrl);
      }),
      look(() => clickHouseFacts(client, cli.clickhouseDatabase)),
    ]);
    const sinks =
      nats.seen && nats.value.hasJetStream && clickhouse.seen
        ? await sinkFacts(connection!, client, cli)
        : [];
    return {
      nodeVersion: process.versions.node,
      edge: { ...place(cli.url), answer },
      nats: { ...place(cli.natsUrl), server: nats },
      clickhouse: {
        ...place(cli.clickhouseUrl),
        database: cli.clickhouseDatabase,
        server: clickhouse,
      },
      sinks,
    };
  } finally {
    await connection?.close();
    await client.close();
  }
}

async function look<T>(ask: () => Promise<T>): Promise<Seen<T>> {
  try {
    return { seen: true, value: await ask() };
  } catch (error) {
    return { seen: false, reason: reasonOf(error), isLoginRefused: isLoginRefused(error) };
  }
}

function place(url: string): Place {
  const { hostname } = new URL(url);
  return {
    url: shownUrl(url),
    isLocal: /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname),
  };
}

async function askHttp(url: string): Promise<HttpAnswer> {
  const response = await fetch(url, { signal: AbortSignal.timeout(QUESTION_MS_MAX) });
  return { status: response.status, text: await response.text() };
}

/** @param askTimeMs asks for the other clock's time, milliseconds since 1970 */
async function compareClock<T>(
  ask: () => Promise<T>,
  askTimeMs: (answer: T) => number,
): Promise<{ readonly answer: T; readonly clock: Clock }> {
  const beforeMs = Date.now();
  const answer = await ask();
  const afterMs = Date.now();
  const clock = {
    aheadMs: askTimeMs(answer) - (beforeMs + afterMs) / 2,
    uncertainMs: (afterMs - beforeMs) / 2,
  };
  return { answer, clock };
}

// ---- NATS

async function natsFacts(
  connection: NatsConnection,
  wanted: readonly OurStreamConfig[],
  monitorUrl: string | null,
): Promise<NatsFacts> {
  const info = connection.info!;
  const hasJetStream = info.jetstream === true;
  const monitor = monitorUrl === null ? null : await look(() => monitorFacts(monitorUrl));
  const manager = await managerOf(connection);
  const clockAheadMs = monitor?.seen ? monitor.value.clock.aheadMs : 0;
  return {
    version: info.version,
    cluster: info.cluster ?? null,
    hasJetStream,
    maxPayloadBytes: info.max_payload,
    monitor,
    streams: hasJetStream
      ? await Promise.all(wanted.map((config) => streamFacts(manager, config)))
      : [],
    tickAgeMs: hasJetStream ? await tickAgeMs(manager, clockAheadMs) : null,
  };
}

function managerOf(connection: NatsConnection): Promise<JetStreamManager> {
  return jetstreamManager(connection, { timeout: QUESTION_MS_MAX, checkAPI: false });
}

/** What nats-server's /varz says; fields that a version does not have are missing. */
interface Varz {
  readonly now: string;
  readonly jetstream?: {
    readonly config?: {
      readonly max_storage?: number;
      readonly sync_always?: boolean;
      /** Nanoseconds. */
      readonly sync_interval?: number;
    };
  };
}

/** Of versions that do not say what they use. */
const SYNC_INTERVAL_MS_DEFAULT = 120_000;

async function monitorFacts(url: string): Promise<MonitorFacts> {
  const { answer, clock } = await compareClock(
    async () => {
      const { status, text } = await askHttp(new URL("/varz", url).href);
      if (status !== 200) throw new Error(`${shownUrl(url)}/varz: HTTP ${status}`);
      return JSON.parse(text) as Varz;
    },
    ({ now }) => Date.parse(now),
  );
  const config = answer.jetstream?.config;
  const intervalNanoseconds = config?.sync_interval ?? 0;
  return {
    isSyncAlways: config?.sync_always === true,
    syncIntervalMs: intervalNanoseconds > 0 ? intervalNanoseconds / 1e6 : SYNC_INTERVAL_MS_DEFAULT,
    storeBytes: config?.max_storage ?? 0,
    clock,
  };
}

async function streamFacts(
  manager: JetStreamManager,
  wanted: OurStreamConfig,
): Promise<StreamFacts> {
  const state = await look(async () => {
    try {
      const info = await manager.streams.info(wanted.name);
      return { config: info.config, bytes: info.state.bytes, messages: info.state.messages };
    } catch (error) {
      throw isApiError(error, JetStreamApiCodes.StreamNotFound)
        ? new Error("there is no such stream")
        : error;
    }
  });
  return { wanted, state };
}

/** By the broker's clock, as far as it is known. */
async function tickAgeMs(manager: JetStreamManager, clockAheadMs: number): Promise<number | null> {
  const tick = await newestMessage(manager, STREAM.results, "results.tick");
  return tick === null ? null : Date.now() + clockAheadMs - tick.timeMs;
}

async function newestMessage(
  manager: JetStreamManager,
  stream: string,
  subject: string,
): Promise<{ readonly sequence: number; readonly timeMs: number } | null> {
  try {
    const message = await manager.streams.getMessage(stream, { last_by_subj: subject });
    return message === null ? null : { sequence: message.seq, timeMs: message.time.getTime() };
  } catch (error) {
    if (
      isApiError(error, JetStreamApiCodes.NoMessageFound) ||
      isApiError(error, JetStreamApiCodes.StreamNotFound)
    )
      return null;
    throw error;
  }
}

function isApiError(error: unknown, code: number): boolean {
  return error instanceof JetStreamApiError && error.code === code;
}

// ---- ClickHouse

async function clickHouseFacts(
  client: ClickHouseClient,
  database: string,
): Promise<ClickHouseFacts> {
  const { answer, clock } = await compareClock(
    async () => {
      const result = await client.query({
        query: "SELECT version() AS version, toString(toUnixTimestamp64Milli(now64(3))) AS now_ms",
        format: "JSONEachRow",
      });
      const [row] = await result.json<{ version: string; now_ms: string }>();
      return { ...row!, displayName: result.response_headers[DISPLAY_NAME_HEADER] };
    },
    ({ now_ms }) => Number(now_ms),
  );
  const migrations = await look(() => migrationState(client, database));
  const isReady = migrations.seen && migrations.value.missing.length === 0;
  return {
    version: answer.version,
    isEmbedded: answer.displayName === EMBEDDED_DISPLAY_NAME,
    clock,
    migrations,
    tables: isReady ? await tableFacts(client, database) : {},
    alarms: isReady
      ? await look(() => alarmFacts(client, database))
      : { seen: false, reason: "migrations are missing", isLoginRefused: false },
  };
}

async function tableFacts(
  client: ClickHouseClient,
  database: string,
): Promise<ClickHouseFacts["tables"]> {
  const rows = await select<{ name: string; create_table_query: string }>(
    client,
    "SELECT name, create_table_query FROM system.tables WHERE database = {database:String}",
    { database },
  );
  const byName = new Map(rows.map((row) => [row.name, row.create_table_query]));
  return Object.fromEntries(Object.keys(TABLES).map((name) => [name, byName.get(name) ?? null]));
}

async function alarmFacts(client: ClickHouseClient, database: string): Promise<AlarmFacts> {
  const [row] = await select<{ count: string; noticed_at: string; alarm: string; detail: string }>(
    client,
    `SELECT toString(count()) AS count, toString(max(repairs.noticed_at)) AS noticed_at,
       argMax(repairs.alarm, repairs.noticed_at) AS alarm,
       argMax(repairs.detail, repairs.noticed_at) AS detail
     FROM ${database}.repairs WHERE repairs.noticed_at > now() - INTERVAL ${ALARM_HOURS} HOUR`,
  );
  const { count, noticed_at, alarm, detail } = row!;
  return { count: Number(count), newest: { noticedAt: noticed_at, alarm, detail } };
}

async function select<Row>(
  client: ClickHouseClient,
  query: string,
  parameters: Record<string, unknown> = {},
  database?: string,
): Promise<Row[]> {
  const result = await client.query({
    query,
    query_params: parameters,
    format: "JSONEachRow",
    ...(database === undefined ? {} : { http_headers: { "X-ClickHouse-Database": database } }),
  });
  return result.json<Row>();
}

// ---- sinks

/** Asks what is newest in each stream, and waits, bounded, until the ledgers have it. */
async function sinkFacts(
  connection: NatsConnection,
  client: ClickHouseClient,
  { clickhouseDatabase }: CliConfig,
): Promise<SinkFacts[]> {
  const manager = await managerOf(connection);
  const looks = [RAW_SINK, REJECTED_SINK, RESULT_SINK].map((kind) =>
    look(() => followSink(connection, manager, client, clickhouseDatabase, kind)),
  );
  // What cannot be seen of a sink (no stream, no table) has its own finding.
  return (await Promise.all(looks)).flatMap((seen) => (seen.seen ? [seen.value] : []));
}

async function followSink(
  connection: NatsConnection,
  manager: JetStreamManager,
  client: ClickHouseClient,
  database: string,
  kind: SinkKind,
): Promise<SinkFacts> {
  const { created, state } = await manager.streams.info(kind.stream);
  const { newestSequence, subjectsNotAsked } =
    state.messages === 0
      ? { newestSequence: 0, subjectsNotAsked: 0 }
      : await newestData(connection, kind.stream);
  const ledgerSequence = async () => {
    const parameters = { stream_created: created };
    const rows = await select<{ sequence: string }>(
      client,
      kind.positionQuery,
      parameters,
      database,
    );
    return Number(rows[0]?.sequence ?? 0);
  };
  const startMs = performance.now();
  const waitedMs = () => performance.now() - startMs;
  let reached = await ledgerSequence();
  const isThereAtOnce = reached >= newestSequence;
  while (reached < newestSequence && waitedMs() < SINK_WAIT_MS_MAX) {
    await sleep(SINK_POLL_MS);
    reached = await ledgerSequence();
  }
  return {
    name: kind.name,
    stream: kind.stream,
    lastSequence: state.last_seq,
    newestSequence,
    subjectsNotAsked,
    ledgerSequence: reached,
    waitedMs: isThereAtOnce ? 0 : waitedMs(),
  };
}

/** The newest message that is no tick: of every subject the newest, in their order, without bodies. */
async function newestData(
  connection: NatsConnection,
  stream: string,
): Promise<Pick<SinkFacts, "newestSequence" | "subjectsNotAsked">> {
  const js = jetstream(connection, { timeout: QUESTION_MS_MAX });
  const consumer = await js.consumers.get(stream, {
    deliver_policy: DeliverPolicy.LastPerSubject,
    filter_subjects: ">",
    headers_only: true,
  });
  const ticks: readonly string[] = SINK_TICK_SUBJECTS;
  let newestSequence = 0;
  let subjectsNotAsked = 0;
  try {
    const messages = await consumer.fetch({
      max_messages: SINK_SUBJECTS_MAX,
      expires: QUESTION_MS_MAX,
    });
    for await (const message of messages) {
      if (!ticks.includes(message.subject)) newestSequence = message.seq;
      subjectsNotAsked = message.info.pending;
      if (subjectsNotAsked === 0) break;
    }
  } finally {
    await consumer.delete();
  }
  return { newestSequence, subjectsNotAsked };
}
