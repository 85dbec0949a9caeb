/** The edge and its broker in trouble: real workerd, real nats-server, a bad network between them. Every accepted click arrives once. */
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, describe, expect, test, vi } from "vitest";
import { STREAM } from "../../wire/subjects.ts";
import type { StreamName } from "../../wire/subjects.ts";
import { ensureStreams } from "../../aggregator/source/streams.ts";
import { MESSAGE_BYTES_MAX } from "../../wire/limits.ts";
import { ClickSender } from "../helpers/click-sender.ts";
import type { Click } from "../helpers/click-sender.ts";
import { ARRIVED, EDGE_STREAMS, startEdgeStack } from "../helpers/edge-stack.ts";
import type { EdgeStack } from "../helpers/edge-stack.ts";
import { startFailpointServer } from "../helpers/failpoint-server.ts";
import { receiveStream, windowSecondsOf } from "../helpers/received-flushes.ts";
import type { Received, ReceivedFlush } from "../helpers/received-flushes.ts";
import { watchPublishes } from "../helpers/watch-publishes.ts";
import type { PublishWatch } from "../helpers/watch-publishes.ts";
import { Random } from "../traffic/random.ts";
import { startTraffic } from "../traffic/traffic.ts";
import type { Traffic } from "../traffic/traffic.ts";

const SHARDS = 2;
/** The edge's longest wait here is an alarm 10 s after; retry pauses stay below it. Three times that. */
const SEEN = { timeout: 30_000, interval: 50 };
/** So that a case needs no second to see its flushes. */
const OFTEN = { FLUSH_INTERVAL_MS: "200" };

let t: EdgeStack;
let started: EdgeStack | undefined;
let sender: ClickSender;
let running: Traffic | undefined;
let watch: PublishWatch | undefined;
afterEach(async () => {
  // After a failure the installations would go on, into the next test's stack.
  running?.stop();
  await running?.done.catch(() => undefined);
  await watch?.close();
  await started?.stop();
  started = undefined;
  running = undefined;
  watch = undefined;
});

async function start(
  name: string,
  edgeVars: Readonly<Record<string, string>>,
  shards = SHARDS,
): Promise<void> {
  started = await startEdgeStack(`trouble-${name}`, {
    shards,
    partitions: 3,
    windowSeconds: 2,
    edgeVars: { ...OFTEN, ...edgeVars },
  });
  t = started;
  sender = new ClickSender(t.stack.urls.edge, shards);
}

function traffic(seconds: number, rate = 400): Traffic {
  const { edge: url } = t.stack.urls;
  running = startTraffic({ url, rate, seconds, ads: 200, seed: 17, name: "trouble" });
  return running;
}

/** What shards said about flushes that failed. */
function failures(chain = "clicks") {
  return t.log().filter((line) => line.msg.startsWith("flush failed") && line.chain === chain);
}
const lossesNoticed = () => t.log().filter((line) => line.msg.startsWith("the broker lost"));

const lastSequence = (stream: StreamName) =>
  t.withStreams(async (manager) => (await manager.streams.info(stream)).state.last_seq);

/** The edge's own answers have come when nothing is published twice: what it knows is what the streams have. */
async function sendAndArrive(count: number): Promise<void> {
  await sender.sendNew(count);
  expect(await t.arrived(sender.ledger)).toEqual(ARRIVED);
}

const flushesOf = (received: Received, shard: number): readonly ReceivedFlush[] =>
  received.flushes.filter((f) => f.shard === shard);

describe("NATS is away", () => {
  test("it hangs, then it is killed: clicks are accepted all the while, and all arrive once it is back", async () => {
    await start("away", {});
    const { nats } = t.stack.processes;
    const run = traffic(16);
    await vi.waitFor(
      async () => expect(await lastSequence(STREAM.partial)).toBeGreaterThan(5),
      SEEN,
    );
    t.proxy.hold();
    const acceptedBefore = run.ledger.counts().accepted;
    await vi.waitFor(() => expect(failures()).not.toEqual([]), SEEN);
    t.proxy.refuse();
    await nats.kill();
    // Several pauses in a row, on every shard.
    const longest = (shard: number) =>
      Math.max(0, ...failures().map((line) => (line.shard === shard ? line.pauseMs! : 0)));
    await vi.waitFor(
      () => expect([longest(0), longest(1)].every((ms) => ms >= 2_000)).toBe(true),
      SEEN,
    );
    expect(run.ledger.counts().accepted).toBeGreaterThan(acceptedBefore + 1_500);
    expect(run.ledger.counts().unavailable).toBe(0);
    await nats.restart();
    t.proxy.pass();
    await run.done;
    expect(await t.arrived(run.ledger)).toEqual(ARRIVED);
  });

  test("what waited leaves in several flushes, no message longer than a message may be", async () => {
    await start("large", {}, 1);
    await sendAndArrive(10);
    t.proxy.refuse();
    const longUserId = "u".repeat(120);
    const longUserAgent = `Mozilla/5.0 (Linux; Android 15) ${"x".repeat(220)}`;
    for (let i = 0; i < 14; i++) {
      const fates = await sender.send(sender.make(300, 0, longUserId), longUserAgent);
      expect(new Set(fates)).toEqual(new Set(["accepted"]));
    }
    t.proxy.pass();
    expect(await t.arrived(sender.ledger)).toEqual(ARRIVED);
    const { flushes } = await t.received();
    const sizes = flushes.map((f) => f.raw.bytes.length);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeGreaterThan(3 * MESSAGE_BYTES_MAX);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(MESSAGE_BYTES_MAX);
    // Full ones: three rows of the journal fit, and the fourth does not.
    expect(
      sizes.filter((size) => size > (MESSAGE_BYTES_MAX * 3) / 4).length,
    ).toBeGreaterThanOrEqual(3);
  });

  test("a full journal answers `unavailable`, remembers what it has, and takes clicks again when ranges are proven", async () => {
    await start("full", { JOURNAL_BYTES_MAX: "60000", JOURNAL_KEEP_MS: "1000" }, 1);
    await sendAndArrive(10);
    t.proxy.refuse();
    const taken: Click[] = [];
    let refused: Click[] = [];
    for (let i = 0; refused.length === 0; i++) {
      expect(i).toBeLessThan(40);
      const clicks = sender.make(100);
      const fates = await sender.send(clicks);
      taken.push(...clicks.filter((_, place) => fates[place] === "accepted"));
      refused = clicks.filter((_, place) => fates[place] === "unavailable");
      expect(fates.every((fate) => fate === "accepted" || fate === "unavailable")).toBe(true);
    }
    expect(taken.length).toBeGreaterThan(500);
    const tellApart = async () => ({
      old: new Set(await sender.send(taken.slice(0, 100))),
      new: new Set(await sender.send(refused)),
    });
    const full = { old: new Set(["duplicate"]), new: new Set(["unavailable"]) };
    expect(await tellApart()).toEqual(full);
    // The next life finds it as full.
    await t.stack.processes.edge.kill();
    await t.stack.processes.edge.restart();
    expect(await tellApart()).toEqual(full);
    t.proxy.pass();
    // As an SDK does: the same clicks again, until each has a fate.
    let open = refused;
    await vi.waitFor(async () => {
      const fates = await sender.send(open);
      open = open.filter((_, place) => fates[place] === "unavailable");
      expect(open).toEqual([]);
    }, SEEN);
    expect(await t.arrived(sender.ledger)).toEqual(ARRIVED);
    expect(sender.ledger.counts()).toMatchObject({ accepted: 10 + taken.length + refused.length });
  });
});

describe("the way to NATS is bad", () => {
  test("slow answers under load: flush n+1 leaves when all of n is acknowledged", async () => {
    await start("slow", {});
    const random = new Random(5);
    const ANSWER_MS_MIN = 300;
    const run = traffic(8);
    await vi.waitFor(
      async () => expect((await t.received()).flushes.length).toBeGreaterThan(SHARDS),
      SEEN,
    );
    const slowNanos = BigInt(Date.now()) * 1_000_000n;
    t.proxy.slow(() => random.whole(ANSWER_MS_MIN, 800));
    await run.done;
    const passedNanos = BigInt(Date.now()) * 1_000_000n;
    t.proxy.pass();
    expect(await t.arrived(run.ledger)).toEqual(ARRIVED);
    const received = await t.received();
    for (let shard = 0; shard < SHARDS; shard++) {
      const leftNanos = flushesOf(received, shard)
        .map((f) => f.raw.brokerTimeNanos)
        .filter((timeNanos) => timeNanos > slowNanos && timeNanos < passedNanos);
      // The answer to the raw message and the answers to the partials, one after the other.
      const pausesMs = leftNanos.slice(1).map((at, i) => Number(at - leftNanos[i]!) / 1e6);
      expect(pausesMs.length).toBeGreaterThanOrEqual(3);
      expect(Math.min(...pausesMs)).toBeGreaterThan(2 * ANSWER_MS_MIN);
    }
    expect(received.repeats).toEqual([]);
  });

  test.each([
    ["the broker knows the message ids", 120_000, 0],
    ["only the numbers tell", 100, 2],
  ])(
    "answers get lost and flushes are published again: %s",
    async (_, duplicateWindowMs, repeatCountMin) => {
      await start("lost-answers", {}, 1);
      await t.withStreams(async (manager) => {
        for (const stream of EDGE_STREAMS) {
          const { config } = await manager.streams.info(stream);
          await manager.streams.update(stream, {
            ...config,
            duplicate_window: duplicateWindowMs * 1e6,
          });
        }
      });
      watch = await watchPublishes(t.stack.urls.nats);
      await sendAndArrive(10);
      for (const stream of [STREAM.raw, STREAM.partial]) {
        const lost = t.proxy.swallowAnswers(`"stream":"${stream}"`);
        await sender.sendNew(50);
        await lost;
        t.proxy.pass();
        // Once it is not cut: the shard has to give up a connection that never says anything again.
        if (repeatCountMin > 0 || stream === STREAM.partial) t.proxy.cut();
        expect(await t.arrived(sender.ledger)).toEqual(ARRIVED);
        await vi.waitFor(() => expect(publishedAgain()).toContain(stream), SEEN);
        // Its answer has come when the next flush leaves.
        await sendAndArrive(10);
      }
      const { repeats } = await t.received();
      expect(Math.min(repeats.length, 2)).toBe(repeatCountMin);
    },
  );
});

/** Streams of messages that were published more than once. */
function publishedAgain(): string[] {
  return [...watch!.published].flatMap(([id, copies]) => {
    if (copies.length < 2) return [];
    expect(copies.map((bytes) => bytes.equals(copies[0]!))).toEqual(copies.map(() => true));
    return id.startsWith("clicks.raw.") ? [STREAM.raw] : [STREAM.partial];
  });
}

describe("workerd is killed in the middle of a flush, and comes back with other settings", () => {
  test.each([
    ["before its partials leave", "between_publishes"],
    ["before its acknowledgement is written down", "before_acknowledgement"],
  ])("%s: the flush is made again byte for byte, the next one is made anew", async (_, point) => {
    await start("settings", {});
    const { edge } = t.stack.processes;
    watch = await watchPublishes(t.stack.urls.nats);
    let reachedCount = 0;
    const server = await startFailpointServer(() => reachedCount++);
    try {
      // Before any click: a shard that comes back publishes its newest flush again, and would halt in that.
      await edge.kill();
      await edge.restart({ FAILPOINT: point, FAILPOINT_URL: server.url });
      await sender.sendNew(200);
      await vi.waitFor(() => expect(reachedCount).toBeGreaterThanOrEqual(SHARDS), SEEN);
      await edge.kill();
    } finally {
      server.close();
    }
    const before = new Map(watch.published);
    await edge.restart({ PARTITIONS: "7", WINDOW_SECONDS: "5", FLUSH_INTERVAL_MS: "350" });
    await sendAndArrive(200);
    const received = await t.received();
    for (let shard = 0; shard < SHARDS; shard++) {
      const of = flushesOf(received, shard).map((f) => ({
        partitions: f.partials.map((p) => p.subject.split(".")[2]),
        windowSeconds: windowSecondsOf(f),
        again: [f.raw, ...f.partials].map((m) => watch!.published.get(m.id)!.length > 1),
      }));
      const halted = of[0]!;
      expect(new Set(halted.partitions)).toEqual(new Set(["3"]));
      expect(halted.windowSeconds).toBe(2);
      // The raw message leaves first.
      const leftBefore = point === "between_publishes" ? halted.again.slice(0, 1) : halted.again;
      expect(leftBefore.every(Boolean)).toBe(true);
      const next = of.slice(1);
      expect(next).not.toEqual([]);
      expect(new Set(next.flatMap((f) => f.partitions))).toEqual(new Set(["7"]));
      expect(new Set(next.map((f) => f.windowSeconds))).toEqual(new Set([5]));
    }
    expect(publishedAgain()).not.toEqual([]);
    // Nothing that had left before came back in another shape: ids hold the hash.
    const ids = [...watch.published.keys()];
    expect(ids).toEqual(expect.arrayContaining([...before.keys()]));
    expect(new Set(ids.map(withoutHash)).size).toBe(ids.length);
  });
});

const withoutHash = (id: string) => id.slice(0, id.lastIndexOf(":"));

describe("a broker that loses what it had acknowledged", () => {
  /** Puts the streams back to what they were after `before`; what `lost` did is gone, though acknowledged. */
  async function loseTail(before: () => Promise<void>, lost: () => Promise<void>): Promise<void> {
    const { nats } = t.stack.processes;
    const { streams } = t.stack.directories;
    const copy = mkdtempSync(join(tmpdir(), "clickmill-streams-"));
    try {
      await before();
      await nats.stop();
      cpSync(streams, copy, { recursive: true });
      await nats.restart();
      await lost();
      await nats.kill();
      rmSync(streams, { recursive: true });
      cpSync(copy, streams, { recursive: true });
      await nats.restart();
    } finally {
      rmSync(copy, { recursive: true });
    }
  }

  test("publishes it again from its journal when it asks for proof; the broker gives it the same sequences as before", async () => {
    await start("lost-tail", { JOURNAL_KEEP_MS: "3000" });
    let sequences: number[] = [];
    await loseTail(
      () => sendAndArrive(100),
      async () => {
        await sendAndArrive(150);
        sequences = (await t.read(STREAM.raw)).map((m) => m.sequence);
      },
    );
    const left = await t.read(STREAM.raw);
    expect(left.length).toBeLessThan(sequences.length);
    expect(await t.arrived(sender.ledger)).toEqual(ARRIVED);
    expect(lossesNoticed().map((line) => line.shard)).toEqual(expect.arrayContaining([0, 1]));
    expect((await t.read(STREAM.raw)).map((m) => m.sequence).slice(0, sequences.length)).toEqual(
      sequences,
    );
    // And it is proven now: the next clicks come behind it.
    await sendAndArrive(50);
  });

  // Every loss looks like this where clicks go on: the newest message alone would prove what is gone.
  test("and gets newer clicks before it is asked for proof", async () => {
    const JOURNAL_KEEP_MS = 3_000;
    await start("lost-middle", { JOURNAL_KEEP_MS: String(JOURNAL_KEEP_MS) });
    await loseTail(
      () => sendAndArrive(100),
      () => sendAndArrive(150),
    );
    // As long as the lost clicks are in the journal, and then some.
    for (const endMs = performance.now() + JOURNAL_KEEP_MS + 1_000; performance.now() < endMs;) {
      await sender.sendNew(20);
      await delay(200);
    }
    expect(await t.arrived(sender.ledger, 3_000)).toEqual(ARRIVED);
  });
});

describe("rejected clicks find no room", () => {
  test.each([
    ["their stream is full", "full"],
    ["their stream is missing", "missing"],
  ])("%s: counted clicks do not wait for them, and they arrive when there is", async (_, how) => {
    await start("rejected", {}, 1);
    await t.withStreams(async (manager) => {
      if (how === "missing") await manager.streams.delete(STREAM.rejected);
      else {
        const { config } = await manager.streams.info(STREAM.rejected);
        await manager.streams.update(STREAM.rejected, { ...config, max_bytes: 200 });
      }
    });
    // So that nearly always something of the counted clicks is under way, which a lost connection would end.
    t.proxy.slow(() => 150);
    const BROKEN = 5;
    let rejectedCount = 0;
    while (failures("rejected").length < 3) {
      expect(new Set(await sender.sendBroken(BROKEN))).toEqual(new Set(["rejected"]));
      rejectedCount += BROKEN;
      await sender.sendNew(30);
      await delay(50);
    }
    expect(await t.arrived(sender.ledger)).toEqual(ARRIVED);
    expect(failures("clicks")).toEqual([]);
    t.proxy.pass();
    await t.withStreams((manager) => ensureStreams(manager, { storeBytes: 1e9, replicas: 1 }));
    await vi.waitFor(async () => {
      const faults: string[] = [];
      const arrivals = receiveStream(await t.read(STREAM.rejected), [], faults);
      expect(arrivals.reduce((sum, a) => sum + a.block.rows, 0)).toBe(rejectedCount);
      expect(faults).toEqual([]);
    }, SEEN);
  });
});

describe("the journal under constant load", () => {
  test("is proven again and again, and workerd killed in between loses and doubles nothing", async () => {
    await start("recycled", { JOURNAL_KEEP_MS: "300" });
    const { edge } = t.stack.processes;
    const run = traffic(9, 1_000);
    for (const share of [0.3, 0.6, 0.9]) {
      await vi.waitFor(
        () => expect(run.ledger.counts().accepted).toBeGreaterThan(9_000 * share * 0.97),
        SEEN,
      );
      await edge.kill();
      await edge.restart();
    }
    await run.done;
    expect(await t.arrived(run.ledger)).toEqual(ARRIVED);
  });
});

describe("clients that hang up", () => {
  test("take nobody's answer along, whosever call it was, and what they sent counts once when it is sent again", async () => {
    await start("hung-up", {}, 1);
    await sendAndArrive(1);
    const random = new Random(5);
    const hungUp: Click[] = [];
    const answers: unknown[] = [];
    for (let round = 0; round < 40; round++) {
      // In three bursts: some come while a call is under way, and share the next.
      const bursts = [6, 6, 6].map((count) => sender.make(count));
      const sent = [];
      for (const burst of bursts) {
        for (const click of burst) {
          const hangUp = new AbortController();
          // Its rejection comes while others are still awaited.
          const fates = sender.send([click], undefined, hangUp.signal).catch(() => null);
          sent.push({ click, hangUp, fates });
        }
        await delay(2);
      }
      await delay(random.next() * 60);
      // Of a burst the first ones, one of which opens the call that the others share, and some others.
      const gone = sent.filter((_, i) => i % 6 <= 1 || random.next() < 0.2);
      for (const { hangUp } of gone) hangUp.abort();
      for (const one of sent) {
        const fates = await one.fates;
        // Who hung up may have had an answer by then.
        if (fates === null && gone.includes(one)) hungUp.push(one.click);
        else answers.push(fates);
      }
    }
    expect(answers.filter((fates) => String(fates) !== "accepted")).toEqual([]);
    expect(hungUp.length).toBeGreaterThan(100);
    const fates = await sender.send(hungUp);
    expect(fates.filter((fate) => fate !== "accepted" && fate !== "duplicate")).toEqual([]);
    expect(await t.arrived(sender.ledger)).toEqual(ARRIVED);
  });
});
