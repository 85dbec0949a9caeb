import { expect, test } from "vitest";
import { readStackOptions } from "./config.ts";

const PROFILES = ["start", "demo", "test"] as const;

test("start, demo and tests share no port, no database and no directory", () => {
  const all = PROFILES.map((profile) => readStackOptions(profile, {}));
  expect(new Set(all.flatMap((options) => Object.values(options.ports))).size).toBe(15);
  expect(new Set(all.map((options) => options.database)).size).toBe(3);
  expect(new Set(all.map((options) => options.stateDirectory)).size).toBe(3);
});

test("the environment overrides ports, shards, partitions and window", () => {
  const options = readStackOptions("start", {
    CLICKMILL_PORT_NATS_WEBSOCKET: "9001",
    SHARDS: "1",
    PARTITIONS: "7",
    WINDOW_SECONDS: "5",
  });
  expect(options.ports.natsWebSocket).toBe(9001);
  expect(options).toMatchObject({ shards: 1, partitions: 7, windowSeconds: 5 });
});

test("an empty value is no value", () => {
  expect(readStackOptions("start", { SHARDS: "" }).shards).toBe(4);
});

test("all problems come in one message", () => {
  const environment = {
    CLICKMILL_PORT_EDGE: "70000",
    CLICKMILL_PORT_NATS: "8123",
    CLICKMILL_PORT_NAT: "1",
    SHARDS: "four",
    PARTITIONS: "0",
  };
  const problems = [
    "CLICKMILL_PORT_EDGE=70000: ",
    "CLICKMILL_PORT_NATS and CLICKMILL_PORT_CLICKHOUSE are both 8123",
    "CLICKMILL_PORT_NAT: no such setting",
    "SHARDS=four: ",
    "PARTITIONS=0: ",
  ];
  expect(() => readStackOptions("start", environment)).toThrow(new RegExp(problems.join("[^]*")));
});
