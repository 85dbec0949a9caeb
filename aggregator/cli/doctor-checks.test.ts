/** What the doctor makes of what it sees. */
import { describe, expect, test } from "vitest";
import { streamConfigs } from "../source/streams.ts";
import { findings, isAtLeast } from "./doctor-checks.ts";
import type {
  ClickHouseFacts,
  Facts,
  Finding,
  NatsFacts,
  SinkFacts,
  StreamFacts,
} from "./doctor-checks.ts";

const GIB = 1024 ** 3;
const CLOCK = { aheadMs: 3, uncertainMs: 2 };
const WANTED = streamConfigs({ storeBytes: 8 * GIB, replicas: 1 });

function streams(
  changes: Readonly<
    Record<string, Partial<{ bytes: number; messages: number; max_bytes: number }>>
  > = {},
): StreamFacts[] {
  return WANTED.map((wanted) => {
    const { bytes = 0, messages = 0, ...config } = changes[wanted.name] ?? {};
    return {
      wanted,
      state: { seen: true, value: { config: { ...wanted, ...config }, bytes, messages } },
    };
  });
}

const NATS: NatsFacts = {
  version: "2.9.10",
  cluster: null,
  hasJetStream: true,
  maxPayloadBytes: 1_048_576,
  monitor: {
    seen: true,
    value: { isSyncAlways: false, syncIntervalMs: 120_000, storeBytes: 8 * GIB, clock: CLOCK },
  },
  streams: streams(),
  tickAgeMs: 400,
};
const GOOD_TABLE = "… SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1";
const CLICKHOUSE: ClickHouseFacts = {
  version: "26.7.2.1",
  isEmbedded: true,
  clock: CLOCK,
  migrations: { seen: true, value: { there: ["0001_a.sql"], missing: [], newer: [] } },
  tables: { clicks_raw: GOOD_TABLE, flushes: GOOD_TABLE },
  alarms: { seen: true, value: { count: 0, newest: { noticedAt: "", alarm: "", detail: "" } } },
};

const SINK: SinkFacts = {
  name: "raw sink",
  stream: "CLICKS_RAW",
  lastSequence: 9,
  newestSequence: 7,
  subjectsNotAsked: 0,
  ledgerSequence: 7,
  waitedMs: 0,
};

interface Changes {
  readonly nats?: Partial<NatsFacts>;
  readonly clickhouse?: Partial<ClickHouseFacts>;
  readonly facts?: Partial<Facts>;
  readonly isLocal?: boolean;
}

function found({ nats, clickhouse, facts, isLocal = true }: Changes): Finding[] {
  return findings({
    nodeVersion: "24.21.0",
    edge: {
      url: "http://edge",
      isLocal,
      answer: { seen: true, value: { status: 200, text: '{"status":"ok"}' } },
    },
    nats: { url: "nats://nats", isLocal, server: { seen: true, value: { ...NATS, ...nats } } },
    clickhouse: {
      url: "http://clickhouse",
      isLocal,
      database: "clickmill",
      server: { seen: true, value: { ...CLICKHOUSE, ...clickhouse } },
    },
    sinks: [SINK],
    ...facts,
  });
}

const bad = (changes: Changes) =>
  found(changes)
    .filter(({ level }) => level !== "ok")
    .map(({ check, level }) => `${level} ${check}`);
const monitor = (value: Partial<{ isSyncAlways: boolean; storeBytes: number }>) =>
  ({
    seen: true,
    value: {
      isSyncAlways: false,
      syncIntervalMs: 120_000,
      storeBytes: 8 * GIB,
      clock: CLOCK,
      ...value,
    },
  }) as const;

test("a sound local stack has nothing to do, and each check is there once", () => {
  const all = found({});
  expect(all.filter(({ level, todo }) => level !== "ok" || todo !== null)).toEqual([]);
  expect(new Set(all.map(({ check }) => check)).size).toBe(all.length);
});

test("a sound production has nothing to do", () => {
  const nats = {
    version: "2.12.1",
    cluster: "clickmill",
    monitor: monitor({ isSyncAlways: true }),
  };
  expect(bad({ nats, clickhouse: { isEmbedded: false }, isLocal: false })).toEqual([]);
});

describe("what was not seen fails, with what to do", () => {
  const away = { seen: false, reason: "connect ECONNREFUSED", isLoginRefused: false } as const;
  test.each([true, false])("local %s", (isLocal) => {
    const facts: Partial<Facts> = {
      edge: { url: "http://edge", isLocal, answer: away },
      nats: { url: "nats://nats", isLocal, server: away },
      clickhouse: { url: "http://clickhouse", isLocal, database: "clickmill", server: away },
      sinks: [],
    };
    const failed = found({ facts }).filter(({ level }) => level === "failed");
    expect(failed.map(({ check }) => check)).toEqual(["edge", "nats", "clickhouse"]);
    for (const { text, todo } of failed) {
      expect(text).toContain("ECONNREFUSED");
      expect(todo).toContain(isLocal ? "npm start" : "URL");
    }
  });
});

test.each([true, false])(
  "a refused login answers, and is no missing server: local %s",
  (isLocal) => {
    const refused = { seen: false, reason: "who?", isLoginRefused: true } as const;
    const all = found({
      facts: {
        nats: { url: "nats://nats", isLocal, server: refused },
        clickhouse: { url: "http://clickhouse", isLocal, database: "clickmill", server: refused },
      },
    }).filter(({ level }) => level === "failed");
    expect(all.map(({ check }) => check)).toEqual(["nats", "clickhouse"]);
    for (const { text } of all) expect(text).toMatch(/answers, but refuses this user \(who\?\)$/);
    expect(all[0]!.todo).toMatch(/^put user and password into NATS_URL/);
    expect(all[1]!.todo).toMatch(
      /^set CLICKHOUSE_USER\/CLICKHOUSE_PASSWORD, or put them into CLICKHOUSE_URL/,
    );
  },
);

describe("what a sink has brought", () => {
  const empty = { ...SINK, newestSequence: 0 };
  test.each<readonly [string, SinkFacts, string]>([
    ["everything", SINK, "ClickHouse has all of CLICKS_RAW"],
    ["a new stream", { ...empty, lastSequence: 0, ledgerSequence: 0 }, "nothing in CLICKS_RAW yet"],
    [
      "a stream emptied by trimming",
      empty,
      "ClickHouse has all of CLICKS_RAW, and the stream has been emptied",
    ],
    [
      "ticks only",
      { ...empty, ledgerSequence: 0 },
      "no data among what CLICKS_RAW holds of its 9 messages",
    ],
  ])("%s", (_, sink, text) => {
    expect(found({ facts: { sinks: [sink] } }).at(-1)).toMatchObject({ level: "ok", text });
  });
});

describe("each fault is told apart", () => {
  test.each<readonly [string, Changes, string[]]>([
    ["old Node", { facts: { nodeVersion: "24.1.9" } }, ["failed node"]],
    [
      "something else at the edge's port",
      {
        facts: {
          edge: {
            url: "x",
            isLocal: true,
            answer: { seen: true, value: { status: 404, text: "" } },
          },
        },
      },
      ["failed edge"],
    ],
    ["a clustered 2.9.20", { nats: { version: "2.9.20", cluster: "c" } }, ["failed nats version"]],
    ["a clustered 2.9.21", { nats: { version: "2.9.21", cluster: "c" } }, ["warning nats version"]],
    ["small messages", { nats: { maxPayloadBytes: 524_288 } }, ["failed nats messages"]],
    ["no JetStream", { nats: { hasJetStream: false, streams: [] } }, ["failed jetstream"]],
    [
      "a small store",
      { nats: { monitor: monitor({ storeBytes: 6 * GIB }) } },
      ["failed nats store"],
    ],
    ["no monitoring", { nats: { monitor: null } }, ["warning nats sync"]],
    [
      "monitoring away",
      { nats: { monitor: { seen: false, reason: "away", isLoginRefused: false } } },
      ["warning nats sync"],
    ],
    ["no tick", { nats: { tickAgeMs: null } }, ["failed aggregator"]],
    ["an old tick", { nats: { tickAgeMs: 11_000 } }, ["failed aggregator"]],
    [
      "a stream that is not there",
      {
        nats: {
          streams: streams().map((stream, i) =>
            i === 0
              ? {
                  ...stream,
                  state: { seen: false, reason: "no such stream", isLoginRefused: false },
                }
              : stream,
          ),
        },
      },
      ["failed streams"],
    ],
    [
      "other limits",
      { nats: { streams: streams({ RESULTS: { max_bytes: 5 } }) } },
      ["warning streams"],
    ],
    [
      "half full",
      { nats: { streams: streams({ CLICKS_RAW: { bytes: 2 * GIB } }) } },
      ["warning stream fill"],
    ],
    [
      "nearly full",
      { nats: { streams: streams({ CLICKS_RAW: { bytes: 3.5 * GIB } }) } },
      ["failed stream fill"],
    ],
    [
      "set-aside messages",
      { nats: { streams: streams({ SET_ASIDE: { messages: 1 } }) } },
      ["warning set aside"],
    ],
    [
      "a clock ahead",
      { clickhouse: { clock: { aheadMs: 1_500, uncertainMs: 10 } } },
      ["warning clickhouse clock"],
    ],
    [
      "missing migrations, and nothing that follows from them",
      {
        clickhouse: {
          migrations: { seen: true, value: { there: [], missing: ["0001_a.sql"], newer: [] } },
          tables: {},
        },
      },
      ["failed migrations"],
    ],
    [
      "a changed migration",
      {
        clickhouse: {
          migrations: { seen: false, reason: "0001_a.sql has been changed", isLoginRefused: false },
        },
      },
      ["failed migrations"],
    ],
    [
      "a newer version's tables",
      {
        clickhouse: {
          migrations: { seen: true, value: { there: ["a"], missing: [], newer: ["b"] } },
        },
      },
      ["warning migrations"],
    ],
    [
      "a table that forgets tokens",
      { clickhouse: { tables: { flushes: "SETTINGS fsync_after_insert = 1" } } },
      ["failed tables"],
    ],
    [
      "a table that does not sync",
      { clickhouse: { tables: { flushes: "SETTINGS non_replicated_deduplication_window = 10" } } },
      ["failed tables"],
    ],
    ["a table that is not there", { clickhouse: { tables: { flushes: null } } }, ["failed tables"]],
    [
      "alarms",
      {
        clickhouse: {
          alarms: {
            seen: true,
            value: { count: 2, newest: { noticedAt: "now", alarm: "hole", detail: "3 to 5" } },
          },
        },
      },
      ["warning alarms"],
    ],
    [
      "a sink that is behind",
      {
        facts: {
          sinks: [{ ...SINK, ledgerSequence: 6, waitedMs: 6_000 }],
        },
      },
      ["warning raw sink"],
    ],
    [
      "more subjects than were asked",
      { facts: { sinks: [{ ...SINK, subjectsNotAsked: 3 }] } },
      ["warning raw sink"],
    ],
  ])("%s", (_, changes, expected) => {
    expect(bad(changes)).toEqual(expected);
  });
});

test("a slow answer is no wrong clock", () => {
  expect(bad({ clickhouse: { clock: { aheadMs: 1_500, uncertainMs: 1_000 } } })).toEqual([]);
});

test("versions are compared as numbers", () => {
  expect(isAtLeast("2.10.0", "2.9.21")).toBe(true);
  expect(isAtLeast("2.9.3", "2.9.21")).toBe(false);
  expect(isAtLeast("2.12.0-RC.1", "2.12.0")).toBe(true);
  expect(isAtLeast("25", "24.2.0")).toBe(true);
});
