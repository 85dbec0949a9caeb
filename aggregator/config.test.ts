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
