/** URLs among the settings: what is refused, and what a refusal shows. */
import { describe, expect, test } from "vitest";
import { CLICKHOUSE, HTTP, NATS, urlProblem } from "./config-url.ts";
import type { UrlKind } from "./config-url.ts";

describe("a URL among the settings", () => {
  test.each<readonly [string, UrlKind]>([
    ["http://host", HTTP],
    ["https://user:p%40ss%2Fword@host:8443/path", CLICKHOUSE],
    ["nats://token@host:4222", NATS],
    ["tls://[::1]:4222", NATS],
  ])("%s is right", (text, kind) => {
    expect(urlProblem(text, "X_URL", kind)).toBeNull();
  });

  test.each<readonly [string, UrlKind, string]>([
    ["host", HTTP, "X_URL must be http://… or https://…, not host"],
    ["host:8123", HTTP, "X_URL must be http://… or https://…, not host:8123"],
    [
      "ws://host:1/path?password=s3cret",
      NATS,
      "X_URL must be nats://… or tls://…, not ws://host:1",
    ],
    ["host?password=s3cret", CLICKHOUSE, "X_URL must be http://… or https://…, not host"],
    ["http://host:s3cret", CLICKHOUSE, "X_URL must be http://… or https://…"],
    ["user:s3cret@host", CLICKHOUSE, "X_URL must be http://… or https://…"],
    ["ws://user:s3/cret@host", NATS, "X_URL must be nats://… or tls://…"],
    ["http://user:s3cret@host", HTTP, "X_URL must not hold a user or a password"],
    ["http://host/?a=s3cret", HTTP, "X_URL must not hold a query string"],
    [
      "https://host:8443?password=s3cret",
      CLICKHOUSE,
      "X_URL must not hold a query string; user and password go before the host: https://user:password@host",
    ],
    [
      "nats://host:4222#s3cret",
      NATS,
      "X_URL must not hold a query string; user and password go before the host: nats://user:password@host",
    ],
    [
      "nats://user:s3cret%@host",
      NATS,
      "X_URL must hold user and password percent-encoded (% is %25)",
    ],
  ])("%s is refused, in words that hold no secret", (text, kind, problem) => {
    expect(urlProblem(text, "X_URL", kind)).toBe(problem);
  });
});
