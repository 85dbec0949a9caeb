/** Messages that are not ours, and messages that only a later version understands, in every stream under traffic. */
import { readFileSync } from "node:fs";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import type { JetStreamClient, JetStreamManager, StoredMsg } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import type { NatsConnection } from "@nats-io/transport-node";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import {
  partialSubject,
  rawSubject,
  rejectedSubject,
  resultSubject,
  SET_ASIDE_HEADER,
  STREAM,
} from "../../wire/subjects.ts";
import {
  garbage,
  ofVersion,
  ownPartial,
  ownRaw,
  ownRejected,
  ownResult,
} from "../helpers/set-aside-fixtures.ts";
import { CLEAN, clean, startTestStack } from "../helpers/test-stack.ts";
import type { TestStack } from "../helpers/test-stack.ts";
import { startTraffic } from "../traffic/traffic.ts";
import type { Traffic } from "../traffic/traffic.ts";

const WINDOW_SECONDS = 2;
const PARTITIONS = 2;
/** What was published is read within a second; restarts and batches come on top. */
const SETTLED_MS_MAX = 20_000;

let t: TestStack;
let nc: NatsConnection;
let js: JetStreamClient;
let manager: JetStreamManager;
let running: Traffic | undefined;
beforeAll(async () => {
  t = await startTestStack("set-aside", {
    windowSeconds: WINDOW_SECONDS,
    partitions: PARTITIONS,
    aggregatorEnvironment: { WINDOW_GRACE_MS: "1500" },
  });
  nc = await connect({ servers: t.stack.urls.nats });
  js = jetstream(nc);
  manager = await jetstreamManager(nc);
});
afterAll(async () => {
  running?.stop();
  await running?.done.catch(() => undefined);
  await nc?.close();
  await t?.stop();
});

function traffic(seconds: number, name: string): Traffic {
  running = startTraffic({ url: t.stack.urls.edge, rate: 200, seconds, ads: 100, seed: 9, name });
  return running;
}

const nowMs = Date.now();
const OURS = {
  raw: ownRaw(nowMs),
  partial: ownPartial(nowMs, PARTITIONS, 0, WINDOW_SECONDS),
  rejected: ownRejected(nowMs),
  result: ownResult(nowMs),
};
/** Each stream's garbage, on a subject that a shard or a partition of the stack uses too. */
const NOT_OURS = [
  { subject: rawSubject(0), garbage: garbage(OURS.raw, OURS.result) },
  { subject: partialSubject(PARTITIONS, 0), garbage: garbage(OURS.partial, OURS.raw) },
  { subject: rejectedSubject(0), garbage: garbage(OURS.rejected, OURS.raw) },
  { subject: resultSubject(PARTITIONS, 0), garbage: garbage(OURS.result, OURS.partial) },
];

interface Published {
  readonly name: string;
  readonly subject: string;
  readonly sequence: number;
  readonly bytes: Uint8Array;
}
async function publish(name: string, subject: string, bytes: Uint8Array): Promise<Published> {
  const { seq } = await js.publish(subject, bytes);
  return { name, subject, sequence: seq, bytes };
}

/** All of SET_ASIDE. */
async function setAsideMessages(): Promise<StoredMsg[]> {
  const { state } = await manager.streams.info(STREAM.setAside);
  const found: StoredMsg[] = [];
  for (let seq = state.first_seq; seq <= state.last_seq; seq++) {
    const m = await manager.streams.getMessage(STREAM.setAside, { seq });
    if (m !== null) found.push(m);
  }
  return found;
}
const placeOf = (m: StoredMsg) =>
  `${m.header.get(SET_ASIDE_HEADER.subject)} ${m.header.get(SET_ASIDE_HEADER.sequence)}`;

describe("messages that are not ours", () => {
  const published: Published[] = [];

  async function expectAllAside(): Promise<void> {
    const places = published.map((p) => `${p.subject} ${p.sequence}`).toSorted();
    await vi.waitFor(
      async () => {
        const aside = await setAsideMessages();
        expect(aside.map(placeOf).toSorted()).toEqual(places);
        const repairs = await t.select<{ alarm: string; place: string }>(
          "SELECT alarm, concat(subject, ' ', replaceOne(message_id, 'sequence ', '')) AS place FROM repairs ORDER BY place",
        );
        expect(repairs.map((r) => r.place).toSorted()).toEqual(places);
        expect(new Set(repairs.map((r) => r.alarm))).toEqual(new Set(["set_aside"]));
      },
      { timeout: SETTLED_MS_MAX, interval: 300 },
    );
  }

  test("go to SET_ASIDE with reason, subject and sequence, onto the repair list, and block nothing", async () => {
    const run = traffic(7, "not-ours");
    const { pid } = t.stack.processes.aggregator;
    const names = Object.keys(NOT_OURS[0]!.garbage);
    // Spread over the traffic: before, between and behind what is counted.
    for (const name of names) {
      for (const { subject, garbage: of } of NOT_OURS) {
        published.push(await publish(name, subject, of[name]!));
      }
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    await run.done;
    expect(clean(await t.verdict(run.ledger))).toEqual(CLEAN);
    await expectAllAside();
    for (const m of await setAsideMessages()) {
      const from = published.find((p) => placeOf(m) === `${p.subject} ${p.sequence}`)!;
      expect(Buffer.from(m.data).equals(from.bytes), from.name).toBe(true);
      expect(m.header.get(SET_ASIDE_HEADER.reason), from.name).not.toBe("");
    }
    expect(t.stack.processes.aggregator.pid).toBe(pid);
    process.kill(pid, 0);
  });

  test("are not set aside twice by a process that was killed and reads them again", async () => {
    const { aggregator } = t.stack.processes;
    await aggregator.kill();
    await aggregator.restart();
    // Each stream is read in order: when the last message is aside, all before it were read again.
    for (const { subject } of NOT_OURS) {
      published.push(await publish("after the restart", subject, Buffer.from("no block")));
    }
    await expectAllAside();
  });
});

describe("an unknown wire version", () => {
  const stops: Published[] = [];
  const stopped = () =>
    t.select(
      "SELECT noticed_by, subject, message_id, detail FROM repairs WHERE alarm = 'reader_stopped' ORDER BY noticed_by",
    );
  const figures = async () =>
    (
      await t.select<Record<"raw" | "first" | "second", number>>(
        `SELECT (SELECT toInt32(count()) FROM clicks_raw) AS raw,
           (SELECT toInt32(max(emission)) FROM emissions WHERE partition = 0 AND partitions = ${PARTITIONS}) AS first,
           (SELECT toInt32(max(emission)) FROM emissions WHERE partition = 1 AND partitions = ${PARTITIONS}) AS second`,
      )
    )[0]!;
  let run: Traffic;
  let asideBefore: number;

  test("stops its own reader with an alarm, moves nothing, and lets the others go on", async () => {
    await t.client.command({ query: "TRUNCATE TABLE clicks_raw" });
    await t.client.command({ query: "TRUNCATE TABLE ad_clicks_1m" });
    asideBefore = (await setAsideMessages()).length;
    run = traffic(8, "version");
    await vi.waitFor(async () => expect((await figures()).raw).toBeGreaterThan(100), {
      timeout: SETTLED_MS_MAX,
      interval: 200,
    });
    stops.push(
      await publish("partition", partialSubject(PARTITIONS, 0), ofVersion(OURS.partial.bytes, 99)),
      await publish("raw sink", rawSubject(0), ofVersion(OURS.raw.bytes, 99)),
    );
    const detail = (p: Published) =>
      expect.stringContaining(`sequence ${p.sequence}: wire version 99`);
    const expected = [
      {
        noticed_by: "partition 0",
        subject: stops[0]!.subject,
        message_id: "",
        detail: detail(stops[0]!),
      },
      {
        noticed_by: "raw sink",
        subject: stops[1]!.subject,
        message_id: "",
        detail: detail(stops[1]!),
      },
    ];
    await vi.waitFor(async () => expect(await stopped()).toEqual(expected), {
      timeout: SETTLED_MS_MAX,
      interval: 200,
    });
    const before = await figures();
    await run.done;
    await vi.waitFor(
      async () => expect((await figures()).second).toBeGreaterThan(before.second + 1),
      { timeout: SETTLED_MS_MAX, interval: 200 },
    );
    const after = await figures();
    expect(after.raw).toBe(before.raw);
    expect(run.ledger.counts().accepted).toBeGreaterThan(after.raw);
    process.kill(t.stack.processes.aggregator.pid, 0);
  });

  test("stops it again after a clean stop and a restart, at the same place, on the list once", async () => {
    const { aggregator } = t.stack.processes;
    await aggregator.stop();
    expect(await aggregator.exited).toMatchObject({ code: 0 });
    const before = await stopped();
    await aggregator.restart();
    const alarms = () =>
      readFileSync(aggregator.logFile, "utf8")
        .split("\n")
        .filter((line) => line.includes('"reader_stopped"')).length;
    await vi.waitFor(() => expect(alarms()).toBeGreaterThanOrEqual(2 * stops.length), {
      timeout: SETTLED_MS_MAX,
      interval: 200,
    });
    expect(await stopped()).toEqual(before);
    expect(await setAsideMessages()).toHaveLength(asideBefore);
    for (const { name, subject, sequence, bytes } of stops) {
      const stream = name === "raw sink" ? STREAM.raw : STREAM.partial;
      const there = await manager.streams.getMessage(stream, { seq: sequence });
      expect(there?.subject).toBe(subject);
      expect(Buffer.from(there!.data).equals(bytes)).toBe(true);
    }
  });

  test("and once it is out of the way, everything that waited behind it is counted", async () => {
    const { aggregator } = t.stack.processes;
    await aggregator.stop();
    for (const { name, sequence } of stops) {
      const stream = name === "raw sink" ? STREAM.raw : STREAM.partial;
      await manager.streams.deleteMessage(stream, sequence);
    }
    await aggregator.restart();
    expect(clean(await t.verdict(run.ledger))).toEqual(CLEAN);
    expect(await t.select("SELECT DISTINCT alarm FROM repairs ORDER BY alarm")).toEqual([
      { alarm: "reader_stopped" },
      { alarm: "set_aside" },
    ]);
  });
});
