import { expect, test } from "vitest";
import { renderNatsConfig } from "./render-nats-config.ts";

const text = renderNatsConfig({
  port: 1,
  webSocketPort: 2,
  monitorPort: 3,
  storeDirectory: '/a "quoted" place',
});

test("every listener is on 127.0.0.1", () => {
  expect(text.match(/"127\.0\.0\.1:[123]"/g)).toEqual([
    '"127.0.0.1:1"',
    '"127.0.0.1:3"',
    '"127.0.0.1:2"',
  ]);
});

test("a store directory with spaces and quotes stays one value", () => {
  expect(text).toContain(String.raw`store_dir: "/a \"quoted\" place"`);
});

test("the message size stays the server's default, which wire/limits.ts counts on", () => {
  expect(text).not.toContain("max_payload");
});
