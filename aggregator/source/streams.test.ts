/** The streams' configuration. */
import { expect, test } from "vitest";
import type { StreamConfig } from "@nats-io/jetstream";
import { streamChange, streamConfigs } from "./streams.ts";

const options = { storeBytes: 1_000_000_000, replicas: 1 };

test("streams refuse when full, and their sizes stay within 80 % of the store", () => {
  const configs = streamConfigs(options);
  expect(configs.map((c) => c.name)).toEqual([
    "CLICKS_RAW",
    "CLICKS_PARTIAL",
    "CLICKS_REJECTED",
    "RESULTS",
    "SET_ASIDE",
  ]);
  expect(configs.every((c) => c.storage === "file")).toBe(true);
  // What was set aside has no reader that could be behind.
  const refusing = configs.filter((c) => c.discard === "new").map((c) => c.name);
  expect(refusing).toEqual(["CLICKS_RAW", "CLICKS_PARTIAL", "CLICKS_REJECTED", "RESULTS"]);
  expect(configs.reduce((sum, c) => sum + c.max_bytes, 0)).toBeLessThanOrEqual(800_000_000);
});

test("what was set aside is known by its id for days, and no longer than it is kept", () => {
  const windows = new Map(streamConfigs(options).map((c) => [c.name, c.duplicate_window / 1e9]));
  expect(windows.get("SET_ASIDE")).toBe(3 * 86_400);
  expect(windows.get("CLICKS_RAW")).toBe(120);
  const setAside = streamConfigs(options).find((c) => c.name === "SET_ASIDE")!;
  expect(setAside.duplicate_window).toBeLessThanOrEqual(setAside.max_age);
  const before = { ...setAside, duplicate_window: 120e9 } as StreamConfig;
  expect(streamChange(setAside, before)).toEqual(setAside);
});

test("a stream that is right is left alone, another is changed", () => {
  const [wanted] = streamConfigs(options);
  expect(streamChange(wanted!, { ...wanted, max_msgs: -1 } as StreamConfig)).toBeNull();
  expect(streamChange(wanted!, { ...wanted, max_bytes: 1 } as StreamConfig)).toEqual(wanted);
});
