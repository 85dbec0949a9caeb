/** Processes killed at named points of the way of one click: nothing lost, nothing doubled, the same bytes again. */
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { jetstream } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import type { NatsConnection } from "@nats-io/transport-node";
import { afterEach, describe, expect, test, vi } from "vitest";
import { decodeBlock, isFault } from "../../wire/block.ts";
import type { ResultOrigin } from "../../wire/block.ts";
import { STREAM } from "../../wire/subjects.ts";
import { PULL_EXPIRES_MS, TRIM_INTERVAL_MS } from "../../aggregator/limits.ts";
import { startFailpointServer } from "../helpers/failpoint-server.ts";
import { CLEAN, clean, startTestStack } from "../helpers/test-stack.ts";
import type { TestStack } from "../helpers/test-stack.ts";
import { watchPublishes } from "../helpers/watch-publishes.ts";
import type { PublishWatch } from "../helpers/watch-publishes.ts";
import { startTraffic } from "../traffic/traffic.ts";
import type { Traffic } from "../traffic/traffic.ts";

/** Short windows and grace, so that the counts are there soon. */
const QUICK = {
  windowSeconds: 2,
  aggregatorEnvironment: { WINDOW_GRACE_MS: "1500", CHUNK_BYTES_MAX: "4000" },
};
const KILLS = 2;
/** An instance that wakes first takes what it had read, a second's batch at a time, and asks about each. */
const AHEAD_MS_MAX = 40_000;

let t: TestStack | undefined;
let nc: NatsConnection | undefined;
let watch: PublishWatch | undefined;
let running: Traffic | undefined;
afterEach(async () => {
  // After a failure the installations would go on, into the next test's stack.
  running?.stop();
  await running?.done.catch(() => undefined);
  await nc?.close();
  await watch?.close();
  await t?.stop();
  nc = undefined;
  watch = undefined;
  t = undefined;
});

function traffic(seconds: number, name: string): Traffic {
  running = startTraffic({ url: t!.stack.urls.edge, rate: 400, seconds, ads: 200, seed: 11, name });
  return running;
}

describe("workerd is killed", () => {
  test.each([
    ["before the journal commit", "before_journal_commit", 0],
    ["after the journal commit", "after_journal_commit", 0],
    ["between two publishes of a flush", "between_publishes", KILLS],
    ["before a flush's acknowledgement", "before_acknowledgement", KILLS],
  ])("%s", async (_, point, repeats) => {
    t = await startTestStack("crash-edge", QUICK);
    const { edge } = t.stack.processes;
    watch = await watchPublishes(t.stack.urls.nats);
    let reached = Promise.withResolvers<void>();
    const server = await startFailpointServer(() => reached.resolve());
    try {
      const run = traffic(10, point);
      for (let kill = 0; kill < KILLS; kill++) {
        await sleep(1_500);
        await edge.kill();
        reached = Promise.withResolvers<void>();
        await edge.restart({ FAILPOINT: point, FAILPOINT_URL: server.url });
        await reached.promise;
        await edge.kill();
        await edge.restart();
      }
      await run.done;
      expect(clean(await t.verdict(run.ledger))).toEqual(CLEAN);
    } finally {
      server.close();
    }
    let repeated = 0;
    for (const [id, [first, ...more]] of watch.published) {
      repeated += more.length;
      expect(more.map((bytes) => `${id} ${bytes.equals(first!)}`)).toEqual(
        more.map(() => `${id} true`),
      );
    }
    // Before anything was published there is nothing to publish again.
    expect(repeated).toBeGreaterThanOrEqual(repeats);
    expect(await t.select("SELECT * FROM repairs")).toEqual([]);
  });

  test("and flushes what it had accepted after its restart, without any request", async () => {
    t = await startTestStack("crash-edge", QUICK);
    const { edge } = t.stack.processes;
    // A flush that never comes by itself: only the alarm is left.
    await edge.kill();
    await edge.restart({ FLUSH_INTERVAL_MS: "60000" });
    const run = startTraffic({
      url: t.stack.urls.edge,
      rate: 50,
      seconds: 2,
      ads: 20,
      seed: 3,
      name: "alarm",
    });
    await run.done;
    expect(run.ledger.counts()).toMatchObject({ unanswered: 0 });
    expect(run.ledger.counts().accepted).toBeGreaterThan(50);
    expect(
      (await t.select<{ n: number }>("SELECT toInt32(count()) AS n FROM clicks_raw"))[0]!.n,
    ).toBe(0);
    await edge.kill();
    await edge.restart({ FLUSH_INTERVAL_MS: "60000" });
    expect(clean(await t.verdict(run.ledger))).toEqual(CLEAN);
  });
});

describe("the aggregator is killed", () => {
  test("between two chunks of an emission, and completes it with the same bytes", async () => {
    t = await startTestStack("crash-aggregator", QUICK);
    const { aggregator } = t.stack.processes;
    const run = traffic(10, "chunks");
    for (let kill = 0; kill < KILLS; kill++) {
      await sleep(1_500);
      await aggregator.kill();
      await aggregator.restart({ FAILPOINT: "between_chunks" });
      expect((await aggregator.exited).signal).toBe("SIGKILL");
      await aggregator.restart();
    }
    await run.done;
    expect(clean(await t.verdict(run.ledger))).toEqual(CLEAN);
    expect(await t.select("SELECT * FROM repairs")).toEqual([]);
    const emissions = await readEmissions(t.stack.urls.nats);
    for (const chunks of emissions.values()) {
      expect(chunks.map((c) => c.chunk)).toEqual(chunks.map((_, i) => i));
      expect(chunks).toHaveLength(chunks[0]!.chunks);
      expect(new Set(chunks.map((c) => c.emissionHash)).size).toBe(1);
    }
    expect([...emissions.values()].some((chunks) => chunks.length > 1)).toBe(true);
  });

  test("between a sink's rows and its ledger, and asks the table before it inserts again", async () => {
    t = await startTestStack("crash-aggregator", QUICK);
    const { aggregator } = t.stack.processes;
    const run = traffic(8, "ledger");
    for (let kill = 0; kill < KILLS; kill++) {
      await sleep(1_500);
      await aggregator.kill();
      await aggregator.restart({ FAILPOINT: "before_ledger" });
      expect((await aggregator.exited).signal).toBe("SIGKILL");
      await aggregator.restart();
    }
    await run.done;
    expect(clean(await t.verdict(run.ledger))).toEqual(CLEAN);
    expect(await t.select("SELECT * FROM repairs")).toEqual([]);
    const [twice] = await t.select(
      "SELECT toInt32(count() - uniqExact(chain, shard, epoch, flush)) AS n FROM flushes",
    );
    expect(twice).toEqual({ n: 0 });
  });
});

describe("the aggregator is doubled", () => {
  test("and both are paused in turn: one wins each step, and nothing is inserted twice", async () => {
    // Nothing is kept for replay: what the one has inserted is trimmed while the other sleeps.
    t = await startTestStack("doubled", {
      ...QUICK,
      aggregatorEnvironment: { ...QUICK.aggregatorEnvironment, STREAM_KEEP_MS: "0" },
    });
    const first = t.stack.processes.aggregator;
    const second = t.anotherAggregator();
    const gone = new Promise((resolve) => second.once("exit", resolve));
    try {
      const run = traffic(40, "doubled");
      await sleep(4_000);
      process.kill(first.pid, "SIGSTOP");
      // Its last pull must have expired, and what came then must have been trimmed.
      await sleep(PULL_EXPIRES_MS + TRIM_INTERVAL_MS + 3_000);
      // It wakes with work in hand that the other has done meanwhile.
      process.kill(first.pid, "SIGCONT");
      await vi.waitFor(
        () => expect(readFileSync(first.logFile, "utf8")).toContain("another instance is ahead"),
        { timeout: AHEAD_MS_MAX, interval: 200 },
      );
      second.kill("SIGSTOP");
      await sleep(3_000);
      second.kill("SIGCONT");
      await sleep(1_000);
      expect(second.exitCode).toBeNull();
      // From here on the first one has to do it alone.
      second.kill("SIGKILL");
      await run.done;
      expect(clean(await t.verdict(run.ledger))).toEqual(CLEAN);
      expect(await t.select("SELECT * FROM repairs")).toEqual([]);
    } finally {
      second.kill("SIGKILL");
      await gone;
    }
  });
});

describe("NATS and ClickHouse go away and come back", () => {
  test("clicks are still accepted, and arrive later", async () => {
    t = await startTestStack("away", QUICK);
    const { nats, clickhouse } = t.stack.processes;
    const run = traffic(12, "away");
    await sleep(2_000);
    await nats.kill();
    const acceptedBefore = run.ledger.counts().accepted;
    await sleep(3_000);
    expect(run.ledger.counts().accepted).toBeGreaterThan(acceptedBefore + 500);
    expect(run.ledger.counts().unavailable).toBe(0);
    await nats.restart();
    await sleep(1_000);
    await clickhouse.kill();
    await sleep(2_000);
    await clickhouse.restart();
    await run.done;
    expect(clean(await t.verdict(run.ledger))).toEqual(CLEAN);
    expect(await t.select("SELECT * FROM repairs")).toEqual([]);
  });
});

/** All chunks in the results stream by emission, in stream order. */
async function readEmissions(url: string): Promise<Map<string, ResultOrigin[]>> {
  nc = await connect({ servers: url });
  const consumer = await jetstream(nc).consumers.get(STREAM.results, {
    filter_subjects: "results.counts.*.*",
  });
  const emissions = new Map<string, ResultOrigin[]>();
  for (let pending = 1; pending > 0;) {
    const m = await consumer.next({ expires: 2_000 });
    if (m === null) break;
    pending = m.info.pending;
    const block = decodeBlock(m.data);
    if (isFault(block) || block.origin.kind !== "result")
      throw new Error(`${m.subject} ${m.seq} is no result`);
    const key = `${block.origin.partition}:${block.origin.emission}`;
    emissions.set(key, [...(emissions.get(key) ?? []), block.origin]);
  }
  return emissions;
}
