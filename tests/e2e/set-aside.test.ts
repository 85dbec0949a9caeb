/** Messages that are not ours, and messages that only a later version understands, in every stream under traffic. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import type { JetStreamClient, JetStreamManager, StoredMsg } from "@nats-io/jetstream";
import { connect, headers } from "@nats-io/transport-node";
import type { NatsConnection } from "@nats-io/transport-node";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import {
  messageId,
  partialSubject,
  rawSubject,
  rejectedSubject,
  resultSubject,
  SET_ASIDE_HEADER,
  setAsideSubject,
  STREAM,
} from "../../wire/subjects.ts";
import {
  garbage,
  OWN_PARTITIONS,
  OWN_SHARD,
  ofVersion,
  ownPartial,
  ownRaw,
  ownRejected,
  ownResult,
  STRANGE_HEADERS,
} from "../helpers/set-aside-fixtures.ts";
import {
  SET_ASIDE_BYTES_MAX,
  SET_ASIDE_DUPLICATE_WINDOW_MS,
  TRIM_INTERVAL_MS,
} from "../../aggregator/limits.ts";
import { publishRaw } from "../helpers/raw-publish.ts";
import { runClickmill } from "../helpers/run-clickmill.ts";
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

async function publishUnreadableHeaders(subject: string): Promise<Published> {
  const { bytes: head } = STRANGE_HEADERS["a space in a name"]!;
  const bytes = Buffer.from("no block, under headers that nobody can read");
  const sequence = await publishRaw(new URL(t.stack.urls.nats).host, subject, head, bytes);
  return { name: "unreadable headers", subject, sequence, bytes };
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

  const places = () => published.map((p) => `${p.subject} ${p.sequence}`).toSorted();
  /** Where the messages stood that are in SET_ASIDE, and those that are on the repair list. */
  async function noticed() {
    const aside = await setAsideMessages();
    const repairs = await t.select<{ alarm: string; place: string }>(
      "SELECT alarm, concat(subject, ' ', replaceOne(message_id, 'sequence ', '')) AS place FROM repairs",
    );
    return {
      aside: aside.map(placeOf).toSorted(),
      listed: repairs.map((r) => r.place).toSorted(),
      alarms: [...new Set(repairs.map((r) => r.alarm))],
    };
  }
  const once = () => ({ aside: places(), listed: places(), alarms: ["set_aside"] });

  test("go to SET_ASIDE with reason, subject and sequence, onto the repair list, and block nothing", async () => {
    const run = traffic(5, "not-ours");
    const { pid } = t.stack.processes.aggregator;
    const names = Object.keys(NOT_OURS[0]!.garbage);
    // Spread over the traffic: before, between and behind what is counted.
    for (const name of names) {
      for (const { subject, garbage: of } of NOT_OURS) {
        published.push(await publish(name, subject, of[name]!));
      }
      await new Promise((resolve) => setTimeout(resolve, 400));
    }
    for (const { subject } of NOT_OURS) published.push(await publishUnreadableHeaders(subject));
    await run.done;
    expect(clean(await t.verdict(run.ledger))).toEqual(CLEAN);
    await vi.waitFor(async () => expect(await noticed()).toEqual(once()), {
      timeout: SETTLED_MS_MAX,
      interval: 300,
    });
    for (const m of await setAsideMessages()) {
      const from = published.find((p) => placeOf(m) === `${p.subject} ${p.sequence}`)!;
      const kept = from.bytes.subarray(0, SET_ASIDE_BYTES_MAX);
      expect([from.name, Buffer.from(m.data).equals(kept)]).toEqual([from.name, true]);
      expect(m.header.get(SET_ASIDE_HEADER.byteCount)).toBe(String(from.bytes.length));
      expect(m.header.get(SET_ASIDE_HEADER.reason)).not.toBe("");
    }
    expect(t.stack.processes.aggregator.pid).toBe(pid);
    process.kill(pid, 0);
  });

  test("are not set aside twice, within SET_ASIDE's duplicate window, by a process that was killed and reads them again", async () => {
    const { aggregator } = t.stack.processes;
    await aggregator.kill();
    // As a version made it that had the broker's own window on all streams.
    const { config } = await manager.streams.info(STREAM.setAside);
    expect(config.duplicate_window).toBe(SET_ASIDE_DUPLICATE_WINDOW_MS * 1_000_000);
    await manager.streams.update(STREAM.setAside, { ...config, duplicate_window: 120e9 });
    await aggregator.restart();
    // Each stream is read in order: when the last message is aside, all before it were read again.
    for (const { subject } of NOT_OURS) {
      published.push(await publish("after the restart", subject, Buffer.from("no block")));
    }
    await vi.waitFor(async () => expect(await noticed()).toEqual(once()), {
      timeout: SETTLED_MS_MAX,
      interval: 300,
    });
    expect((await manager.streams.info(STREAM.setAside)).config.duplicate_window).toBe(
      SET_ASIDE_DUPLICATE_WINDOW_MS * 1_000_000,
    );
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
  /** Messages of CLICKS_RAW that are not ticks, from a sequence on. */
  async function heldBehind(sequence: number): Promise<number> {
    const { state } = await manager.streams.info(STREAM.raw);
    let held = 0;
    for (let seq = sequence; seq <= state.last_seq; seq++) {
      const m = await manager.streams.getMessage(STREAM.raw, { seq });
      if (m !== null && m.subject !== "clicks.raw.tick") held++;
    }
    return held;
  }
  let run: Traffic;
  let asideBefore: number;

  test("stops its own reader with an alarm, moves nothing, and lets the others go on", async () => {
    await t.client.command({ query: "TRUNCATE TABLE clicks_raw" });
    await t.client.command({ query: "TRUNCATE TABLE ad_clicks_1m" });
    asideBefore = (await setAsideMessages()).length;
    run = traffic(6, "version");
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
    const held = await heldBehind(stops[1]!.sequence);
    // Said only where something went.
    const rawTrimmed = () =>
      readFileSync(aggregator.logFile, "utf8")
        .split("\n")
        .filter((line) => line.includes(`"${STREAM.raw}"`) && line.includes('"stream trimmed"'));
    expect(rawTrimmed()).toEqual([]);
    // This life trims whatever is in ClickHouse.
    await aggregator.restart({ STREAM_KEEP_MS: "0" });
    const alarms = () =>
      readFileSync(aggregator.logFile, "utf8")
        .split("\n")
        .filter((line) => line.includes('"reader_stopped"')).length;
    await vi.waitFor(() => expect(alarms()).toBeGreaterThanOrEqual(2 * stops.length), {
      timeout: SETTLED_MS_MAX,
      interval: 200,
    });
    await vi.waitFor(() => expect(rawTrimmed()).not.toEqual([]), {
      timeout: TRIM_INTERVAL_MS + SETTLED_MS_MAX,
      interval: 200,
    });
    expect(await heldBehind(stops[1]!.sequence)).toBeGreaterThanOrEqual(held);
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

describe("clickmill deadletters", () => {
  const deadletters = (args: readonly string[], natsUrl = t.stack.urls.nats) =>
    runClickmill(["deadletters", ...args], { NATS_URL: natsUrl });
  async function json<T>(...args: string[]): Promise<T> {
    const { stdout } = await deadletters([...args, "--json"]);
    return JSON.parse(stdout) as T;
  }
  interface Page {
    readonly letters: readonly {
      sequence: number;
      subject: string;
      stream_sequence: number;
      reason: string;
    }[];
    readonly more: number;
  }
  const aside = async () => (await setAsideMessages()).map((m) => m.seq);

  /** As an older reader would have set it aside. */
  async function putAside(stream: "CLICKS_RAW" | "RESULTS", bytes: Uint8Array): Promise<string> {
    const h = headers();
    h.set(SET_ASIDE_HEADER.reason, "an older reader could not read it");
    h.set(SET_ASIDE_HEADER.subject, "clicks.raw.4000");
    h.set(SET_ASIDE_HEADER.sequence, "1");
    const { seq } = await js.publish(setAsideSubject(stream), bytes, { headers: h });
    return String(seq);
  }
  async function retried(...sequences: string[]): Promise<void> {
    const { code, stderr } = await deadletters(["retry", ...sequences]);
    expect([code, stderr]).toEqual([0, ""]);
  }
  async function eventually(query: string, rows: readonly object[]): Promise<void> {
    await vi.waitFor(async () => expect(await t.select(query)).toEqual(rows), {
      timeout: SETTLED_MS_MAX,
      interval: 200,
    });
  }

  test("list names all, oldest first, page by page and by stream", async () => {
    const all = await setAsideMessages();
    const first = await json<Page>("list", "--limit", "15");
    expect(first.more).toBe(all.length - 15);
    const rest = await json<Page>("list", "--after", String(first.letters.at(-1)!.sequence));
    expect(rest.more).toBe(0);
    expect(
      [...first.letters, ...rest.letters].map((l) => [
        l.sequence,
        `${l.subject} ${l.stream_sequence}`,
      ]),
    ).toEqual(all.map((m) => [m.seq, placeOf(m)]));
    const ofResults = await json<Page>("list", "--stream", "results");
    expect(new Set(ofResults.letters.map((l) => l.subject))).toEqual(
      new Set([resultSubject(PARTITIONS, 0)]),
    );
    const text = await deadletters(["list", "--limit", "2"]);
    expect(text.code).toBe(0);
    expect(text.stdout.split("\n").slice(0, 2)).toEqual([
      expect.stringMatching(/^sequence  set aside/),
      expect.stringContaining("0 bytes are no block"),
    ]);
    expect(text.stdout).toContain(`and ${all.length - 2} more: add --after ${all[1]!.seq}`);
  });

  test("show tells why, and writes the bytes to a file", async () => {
    const wanted = NOT_OURS[0]!.garbage["one bit of the body"]!;
    const m = (await setAsideMessages()).find((a) => Buffer.from(a.data).equals(wanted))!;
    const file = join(mkdtempSync(join(tmpdir(), "clickmill-show-")), "message.bin");
    const { code, stdout } = await deadletters([
      "show",
      String(m.seq),
      "--out",
      file,
      "--bytes",
      "32",
    ]);
    expect(code).toBe(0);
    expect(stdout).toContain("now         checksum differs");
    expect(stdout).toContain(`${SET_ASIDE_HEADER.subject}: ${rawSubject(0)}`);
    expect(stdout).toContain(`bytes       32 of ${wanted.length}`);
    expect(readFileSync(file).equals(wanted)).toBe(true);
    rmSync(dirname(file), { recursive: true });
  });

  test("list and show tell the true length of what was too long to keep, and retry refuses it", async () => {
    const { length } = NOT_OURS[0]!.garbage["as long as NATS takes"]!;
    interface Long {
      readonly letters: readonly {
        sequence: number;
        stream: string;
        bytes: number;
        bytes_kept: number;
      }[];
    }
    const { letters } = await json<Long>("list");
    const long = letters.filter((l) => l.bytes > l.bytes_kept);
    expect(long.map((l) => [l.bytes, l.bytes_kept])).toEqual(
      NOT_OURS.map(() => [length, SET_ASIDE_BYTES_MAX]),
    );
    // Which reader came first is chance, and what is partial is refused for another reason.
    const sequence = String(long.find((l) => l.stream === STREAM.raw)!.sequence);
    const shown = await deadletters(["show", sequence, "--bytes", "16"]);
    expect(shown.stdout).toContain(
      `bytes       16 of ${length}, of which the first ${SET_ASIDE_BYTES_MAX} are kept`,
    );
    const refused = await deadletters(["retry", sequence]);
    expect(refused.code).toBe(1);
    expect(refused.stdout).toContain(`refused: still not readable: ${length} bytes are no block`);
  });

  test("retry refuses what is still broken and what is partial, and changes nothing", async () => {
    const before = await aside();
    const { letters } = await json<Page>("list");
    const ends = async (subject: string, said: RegExp) => {
      const { sequence } = letters.find((l) => l.subject === subject)!;
      const { code, stdout, stderr } = await deadletters(["retry", String(sequence)]);
      expect(code).toBe(1);
      expect(stdout).toMatch(said);
      expect(stderr).toContain("1 of 1 refused");
    };
    await ends(rawSubject(0), /refused: still not readable: 0 bytes are no block/);
    await ends(partialSubject(PARTITIONS, 0), /refused: .*recalculation from raw/);
    const all = await deadletters(["retry", "--all"]);
    expect([all.code, all.stdout.trim().split("\n").length]).toEqual([1, before.length]);
    expect(await aside()).toEqual(before);
    const { state } = await manager.streams.info(STREAM.raw, {
      subjects_filter: "clicks.raw.again",
    });
    expect(state.subjects ?? {}).toEqual({});
  });

  test("retry counts a flush that was set aside once, however often it is sent back", async () => {
    const before = await aside();
    const rows = (flush: number) =>
      `SELECT toInt32(count()) AS n, toInt32(uniqExact(click_id)) AS ids FROM clicks_raw WHERE shard = ${OWN_SHARD} AND flush = ${flush}`;
    const ledger = (flush: number) =>
      `SELECT toInt32(clicks) AS clicks FROM flushes WHERE chain = 'clicks' AND shard = ${OWN_SHARD} AND flush = ${flush}`;
    await retried(await putAside("CLICKS_RAW", OURS.raw.bytes));
    await eventually(ledger(1), [{ clicks: 2 }]);
    await eventually(rows(1), [{ n: 2, ids: 2 }]);
    await retried(await putAside("CLICKS_RAW", OURS.raw.bytes));
    // It stands behind the second copy in the stream: when it is there, that one was read.
    await retried(await putAside("CLICKS_RAW", ownRaw(nowMs, 2).bytes));
    await eventually(ledger(2), [{ clicks: 2 }]);
    expect(await t.select(rows(1))).toEqual([{ n: 2, ids: 2 }]);
    expect(await t.select(ledger(1))).toEqual([{ clicks: 2 }]);
    const { state } = await manager.streams.info(STREAM.raw, {
      subjects_filter: "clicks.raw.again",
    });
    expect(state.subjects).toEqual({ "clicks.raw.again": 3 });
    expect(await aside()).toEqual(before);
  });

  test("retry fills the hole that a result left when it was set aside", async () => {
    const rows = (emission: number) =>
      `SELECT toInt32(count()) AS n FROM ad_clicks_1m WHERE partitions = ${OWN_PARTITIONS} AND emission = ${emission}`;
    const ledger = (emission: number) =>
      `SELECT toInt32(rows) AS rows FROM emissions WHERE partitions = ${OWN_PARTITIONS} AND emission = ${emission}`;
    const subject = resultSubject(OWN_PARTITIONS, 3);
    const result = (emission: number) => {
      const { bytes, hash } = ownResult(nowMs, emission);
      return { bytes, id: messageId(subject, `${OWN_PARTITIONS}.3`, `${emission}.0`, hash) };
    };
    await js.publish(subject, result(2).bytes, { msgID: result(2).id });
    await eventually(ledger(2), [{ rows: 1 }]);
    await eventually(`SELECT detail FROM repairs WHERE alarm = 'hole' AND subject = '${subject}'`, [
      { detail: "9.3:2:0 follows 0.0" },
    ]);
    await retried(await putAside("RESULTS", result(1).bytes));
    await eventually(ledger(1), [{ rows: 1 }]);
    await retried(
      await putAside("RESULTS", result(1).bytes),
      await putAside("RESULTS", result(3).bytes),
    );
    await eventually(ledger(3), [{ rows: 1 }]);
    expect(await t.select(rows(1))).toEqual([{ n: 1 }]);
    expect(await t.select(ledger(1))).toEqual([{ rows: 1 }]);
    // Neither what was sent back nor the stranger's results have disturbed anybody.
    expect(await t.select("SELECT DISTINCT alarm FROM repairs ORDER BY alarm")).toEqual([
      { alarm: "hole" },
      { alarm: "reader_stopped" },
      { alarm: "set_aside" },
    ]);
  });

  test("drop says what would go, and deletes with --yes only", async () => {
    const before = await aside();
    const [first, second] = before.map(String);
    const asked = await deadletters(["drop", first!, second!]);
    expect(asked.code).toBe(2);
    expect(asked.stdout).toContain("0 bytes are no block");
    expect(asked.stderr).toContain("nothing was dropped: add --yes");
    const unknown = await deadletters(["drop", first!, "999999", "--yes"]);
    expect(unknown.code).toBe(1);
    expect(unknown.stderr).toContain("no message is set aside under 999999");
    expect(await aside()).toEqual(before);
    const done = await deadletters(["drop", first!, second!, "--yes"]);
    expect([done.code, done.stdout]).toEqual([0, `Dropped 2: ${first}, ${second}\n`]);
    expect(await aside()).toEqual(before.slice(2));
  });

  test("what is not there is said in words", async () => {
    const failed = async (args: string[], said: string, code = 1, url = t.stack.urls.nats) => {
      const ended = await deadletters(args, url);
      expect([args, ended.code, ended.stderr]).toEqual([args, code, expect.stringContaining(said)]);
    };
    await failed(["show", "999999"], "no message is set aside under 999999");
    await failed(["retry", "999999"], "no message is set aside under 999999");
    await failed(["retry"], "name the sequences to retry, or --all", 2);
    await failed(["show", "first"], "a whole number from 1 on", 2);
    await failed(["list"], "no NATS answers at nats://127.0.0.1:9", 1, "nats://127.0.0.1:9");
    await manager.streams.purge(STREAM.setAside);
    const empty = await deadletters(["list"]);
    expect([empty.code, empty.stdout]).toEqual([0, "Nothing is set aside.\n"]);
    await manager.streams.delete(STREAM.setAside);
    await failed(["list"], "there is no stream SET_ASIDE yet");
    await failed(["drop", "1", "--yes"], "there is no stream SET_ASIDE yet");
  });
});
