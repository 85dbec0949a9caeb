/** The aggregator's configuration. */
import { expect, test } from "vitest";
import { parseConfig } from "./config.ts";

test("an empty environment gives the defaults of the design", () => {
  expect(parseConfig({})).toMatchObject({
    partitions: 2,
    windowSeconds: 60,
    windowGraceMs: 5_000,
    clickhouseDatabase: "clickmill",
    failpoint: "",
  });
});

test("every problem is in one message", () => {
  const environment = {
    PARTITIONS: "0",
    WINDOW_SECONDS: "1e9",
    NATS_URL: "ws://x",
    CLICKHOUSE_DATABASE: "a; DROP DATABASE b",
    LOG_LEVEL: "loud",
    CHUNK_BYTES_MAX: "1",
  };
  expect(() => parseConfig(environment)).toThrow(
    /PARTITIONS.*0.*WINDOW_SECONDS.*1e9.*CHUNK_BYTES_MAX/s,
  );
  for (const name of Object.keys(environment)) {
    expect(() => parseConfig(environment)).toThrow(name);
  }
});

test("an empty value is no value", () => {
  const names = [
    "NATS_URL",
    "CLICKHOUSE_URL",
    "CLICKHOUSE_DATABASE",
    "WINDOW_GRACE_MS",
    "LOG_LEVEL",
  ];
  const empty = Object.fromEntries([...names, "PARTITIONS", "FAILPOINT"].map((name) => [name, ""]));
  expect(parseConfig(empty)).toEqual(parseConfig({}));
});

test("a query string is refused with the other problems, and no secret of it is shown", () => {
  const environment = {
    NATS_URL: "ws://x?token=s3cret",
    CLICKHOUSE_URL: "http://x?password=s3cret",
    PARTITIONS: "0",
  };
  expect(() => parseConfig(environment)).toThrow(/NATS_URL.*CLICKHOUSE_URL.*PARTITIONS/s);
  expect(() => parseConfig(environment)).not.toThrow("s3cret");
});
