/** The tools' settings. */
import { describe, expect, test } from "vitest";
import { shownUrl } from "../config-url.ts";
import { cliConfig, everyConfig } from "./config.ts";
import { UsageError } from "./usage-error.ts";

function problemsOf(read: () => unknown): string {
  try {
    read();
  } catch (error) {
    if (error instanceof UsageError) return error.message;
    throw error;
  }
  throw new Error("nothing was refused");
}

describe("the tools' settings", () => {
  test("an empty environment gives the local stack's places, and empty values are no values", () => {
    const places = {
      url: "http://127.0.0.1:8787",
      natsUrl: "nats://127.0.0.1:4222",
      natsMonitorUrl: "http://127.0.0.1:8222",
      clickhouseUrl: "http://127.0.0.1:8123",
      clickhouseDatabase: "clickmill",
    };
    expect(cliConfig({})).toMatchObject(places);
    // The local ClickHouse with a user of its own, as `start` makes it.
    const user = { CLICKHOUSE_USER: "ann", CLICKHOUSE_PASSWORD: "p@ss/word" };
    expect(cliConfig(user).clickhouseUrl).toBe("http://ann:p%40ss%2Fword@127.0.0.1:8123/");
    expect(cliConfig({ NATS_URL: "", CLICKMILL_PORT_EDGE: "" })).toMatchObject(places);
  });

  test("ports move the local places, and a URL wins over its port", () => {
    const config = cliConfig({
      CLICKMILL_PORT_EDGE: "1",
      CLICKMILL_PORT_NATS: "2",
      CLICKMILL_PORT_NATS_MONITOR: "3",
      CLICKMILL_PORT_CLICKHOUSE: "4",
      CLICKHOUSE_URL: "https://user:s3cret@clickhouse:8443",
    });
    expect(config).toMatchObject({
      url: "http://127.0.0.1:1",
      natsUrl: "nats://127.0.0.1:2",
      natsMonitorUrl: "http://127.0.0.1:3",
      clickhouseUrl: "https://user:s3cret@clickhouse:8443",
    });
  });

  test("the monitoring of another NATS is known only when it is named", () => {
    const natsUrl = { NATS_URL: "nats://elsewhere:4222" };
    expect(cliConfig(natsUrl).natsMonitorUrl).toBeNull();
    expect(
      cliConfig({ ...natsUrl, NATS_MONITOR_URL: "http://elsewhere:8222" }).natsMonitorUrl,
    ).toBe("http://elsewhere:8222");
  });

  test("every problem of every part is in one message, each setting once, and no password", () => {
    const environment = {
      CLICKMILL_URL: "http://user:s3cret@edge",
      NATS_URL: "http://user:s3cret@nats",
      CLICKHOUSE_URL: "http://user:s3cret@clickhouse:port",
      CLICKHOUSE_DATABASE: "a b",
      CLICKMILL_PORT_EDGE: "0",
      CLICKMILL_PORT_HTTP: "1",
      PARTITIONS: "0",
      SHARDS: "many",
      STREAM_REPLICAS: "9",
    };
    const message = problemsOf(() => everyConfig(environment));
    const lines = message.split("\n");
    expect(lines.map((line) => /^\w+/.exec(line)![0]).toSorted()).toEqual(
      Object.keys(environment).toSorted(),
    );
    expect(message).not.toContain("s3cret");
    expect(problemsOf(() => cliConfig(environment)).split("\n")).toHaveLength(6);
  });

  test("a URL is shown without user and password", () => {
    expect(shownUrl("https://user:s3cret@host:8443/path")).toBe("https://host:8443/path");
    expect(shownUrl("nats://user:s3cret@host:4222")).toBe("nats://host:4222");
  });
});
