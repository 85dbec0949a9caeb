/** `clickmill shards` against a broker: what it finds there, what it passes, and how it ends. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import type { JetStreamClient, JetStreamManager } from "@nats-io/jetstream";
import { connect, headers } from "@nats-io/transport-node";
import type { NatsConnection } from "@nats-io/transport-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startNatsServer } from "../../tests/helpers/nats-server.ts";
import type { StartedNatsServer } from "../../tests/helpers/nats-server.ts";
import { publishRaw } from "../../tests/helpers/raw-publish.ts";
import { CLICKMILL, runClickmill } from "../../tests/helpers/run-clickmill.ts";
import { ofVersion } from "../../tests/helpers/set-aside-fixtures.ts";
import { EPOCH, rawFlush, rejectedFlush, shardReport } from "../../tests/helpers/shard-flushes.ts";
import { encodeReport, REPORT_HEADER } from "../../wire/report.ts";
import { rawSubject, rejectedSubject, STREAM } from "../../wire/subjects.ts";
import { ensureStreams } from "../source/streams.ts";

let server: StartedNatsServer;
let nc: NatsConnection;
let js: JetStreamClient;
let manager: JetStreamManager;
let environment: Record<string, string>;
beforeAll(async () => {
  server = await startNatsServer("");
  nc = await connect({ servers: server.host });
  js = jetstream(nc);
  manager = await jetstreamManager(nc);
  environment = { NATS_URL: `nats://${server.host}` };
});
afterAll(async () => {
  await nc?.close();
  await server?.stop();
});

async function publish(subject: string, data: Uint8Array, report?: string): Promise<void> {
  const header = headers();
  if (report !== undefined) header.set(REPORT_HEADER, report);
  await js.publish(subject, data, { headers: header });
}
const GOOD = encodeReport(shardReport());

interface Document {
  readonly shards: readonly {
    readonly shard: number;
    readonly ageMs: number;
    readonly report: object | null;
    readonly notes: readonly string[];
  }[];
  readonly totals: { readonly shards: number; readonly shardsWithReport: number };
  readonly strangers: readonly string[];
}
async function shardsNow(): Promise<Document> {
  const run = await runClickmill(["shards", "--json"], environment);
  expect(run).toMatchObject({ code: 0, stderr: "" });
  expect(run.stdout.trimEnd().split("\n")).toHaveLength(1);
  return JSON.parse(run.stdout) as Document;
}

// In the order of a broker's life: each test finds what those before it have left.
describe("shards", () => {
  test("without a broker, or without streams, is exit code 1 and says what to do", async () => {
    const away = await runClickmill(["shards"], { NATS_URL: "nats://127.0.0.1:1" });
    expect(away).toMatchObject({ code: 1, stdout: "" });
    expect(away.stderr).toContain("no NATS answers at nats://127.0.0.1:1");
    const empty = await runClickmill(["shards", "--watch"], environment);
    expect(empty).toMatchObject({ code: 1, stdout: "" });
    expect(empty.stderr).toContain("there is no stream CLICKS_RAW yet; the aggregator makes it");
  });

  test("without a flush says so: ticks and what was sent back are no shards", async () => {
    await ensureStreams(manager, { storeBytes: 8 * 1024 ** 3, replicas: 1 });
    const before = await runClickmill(["shards"], environment);
    expect(before).toMatchObject({ code: 0, stderr: "" });
    expect(before.stdout).toMatch(/^no shard has flushed yet/);
    for (const subject of ["clicks.raw.tick", "clicks.rejected.tick"]) {
      // oxlint-disable-next-line no-await-in-loop
      await publish(subject, new Uint8Array(0));
    }
    await publish("clicks.raw.again", rawFlush({ shard: 1, flush: 9 }), GOOD);
    expect(await shardsNow()).toMatchObject({ shards: [], strangers: [] });
  });

  test("are read by their newest message: good ones, without report, garbage, of a later version", async () => {
    await publish(rawSubject(0), rawFlush({ shard: 0, flush: 1 }));
    await publish(rawSubject(0), rawFlush({ shard: 0, flush: 2, rows: 780 }), GOOD);
    const end = shardReport().atMs;
    const next = encodeReport(shardReport({ sinceMs: end, atMs: end + 1_000 }));
    await publish(rejectedSubject(0), rejectedFlush({ shard: 0, flush: 1 }), next);
    await publish(rawSubject(1), rawFlush({ shard: 1, flush: 5 }), GOOD);
    await publish(rawSubject(1), rawFlush({ shard: 1, flush: 6 }));
    await publish(rawSubject(2), rawFlush({ shard: 2, flush: 7 }), `{"accepted":1}`);
    await publish(rawSubject(3), new TextEncoder().encode("garbage"), GOOD);
    await publish(rawSubject(4), ofVersion(rawFlush({ shard: 4, flush: 8 }), 99), GOOD);
    await publish("clicks.raw.05", new Uint8Array(0));
    await publish("clicks.raw.4096", new Uint8Array(0));
    const { shards, totals, strangers } = await shardsNow();
    const none = { epoch: null, flush: null, rows: null, rejectedFlush: null };
    const flush = { epoch: EPOCH, rejectedFlush: null, rows: 2 };
    const seen = shards.map(({ ageMs, report, ...rest }) => {
      expect(ageMs).toBeLessThan(60_000);
      return [rest, report !== null];
    });
    expect(seen).toEqual([
      [{ shard: 0, ...flush, flush: 2, rows: 780, rejectedFlush: 1, notes: [] }, true],
      [{ shard: 1, ...flush, flush: 6, notes: ["no report"] }, false],
      [{ shard: 2, ...flush, flush: 7, notes: ["no report"] }, false],
      [{ shard: 3, ...none, notes: ["unreadable newest message: 7 bytes are no block"] }, false],
      [
        {
          shard: 4,
          ...none,
          notes: ["newest message of a later version: wire version 99, this reader knows 2"],
        },
        true,
      ],
    ]);
    // Two of one shard that touch are one report.
    expect(shards[0]?.report).toMatchObject({ accepted: 1_560, atMs: end + 1_000 });
    expect(totals).toMatchObject({ shards: 5, shardsWithReport: 2, accepted: 2_340 });
    expect(strangers.toSorted()).toEqual(["clicks.raw.05", "clicks.raw.4096"]);
    const words = await runClickmill(["shards"], environment);
    expect(words).toMatchObject({ code: 0, stderr: "" });
    expect(words.stdout).toMatch(/^ +0 +2 +\S+ s +2\.0 s +780 +2\.5 +16 /m);
    expect(words.stdout).toMatch(/^ +3 +- .* unreadable newest message: 7 bytes are no block$/m);
    expect(words.stdout).toMatch(/^ +within 10 s +2,220 +█{40}$/m);
  });

  test("have no report in headers that the client cannot read", async () => {
    const block = rawFlush({ shard: 5, flush: 1 });
    const head = Buffer.from(`NATS/1.0\r\nbad name: x\r\n${REPORT_HEADER}: ${GOOD}\r\n\r\n`);
    await publishRaw(server.host, rawSubject(5), head, block);
    const { shards } = await shardsNow();
    expect(shards.at(-1)).toMatchObject({ shard: 5, flush: 1, notes: ["no report"] });
  });

  test("are all there, however many they are", async () => {
    const many = Array.from({ length: 300 }, (_, shard) => shard);
    await Promise.all(
      many.map((shard) =>
        publish(rejectedSubject(shard), rejectedFlush({ shard, flush: 2 }), GOOD),
      ),
    );
    const { shards } = await shardsNow();
    expect(shards.map(({ shard }) => shard)).toEqual(many);
  });
});

describe("shards --watch", () => {
  test.each(["SIGINT", "SIGTERM"] as const)(
    "looks again until %s, which is an orderly end",
    async (signal) => {
      const child = spawn(process.execPath, [CLICKMILL, "shards", "--watch", "1", "--json"], {
        env: { ...process.env, ...environment },
        stdio: ["ignore", "pipe", "pipe"],
      });
      const exit = once(child, "exit");
      let errors = "";
      child.stderr.on("data", (text: Buffer) => (errors += String(text)));
      const totals: unknown[] = [];
      for await (const line of createInterface({ input: child.stdout })) {
        totals.push((JSON.parse(line) as Document).totals);
        if (totals.length === 2) child.kill(signal);
      }
      expect(await exit).toEqual([0, null]);
      expect(totals.length).toBeGreaterThanOrEqual(2);
      expect(totals[0]).toMatchObject({ shards: expect.any(Number) as unknown });
      expect(errors).toBe("");
    },
  );

  test("goes on when the stream it watches is away for a while", async () => {
    const child = spawn(process.execPath, [CLICKMILL, "shards", "--watch", "1"], {
      env: { ...process.env, ...environment },
      stdio: ["ignore", "pipe", "ignore"],
    });
    const exit = once(child, "exit");
    const seen: string[] = [];
    for await (const line of createInterface({ input: child.stdout })) {
      if (line.startsWith("shard ") && seen.length === 0) {
        seen.push("table");
        await manager.streams.delete(STREAM.raw);
      } else if (/no stream CLICKS_RAW .*; looking again$/.test(line) && seen.length === 1) {
        seen.push("away");
        await ensureStreams(manager, { storeBytes: 8 * 1024 ** 3, replicas: 1 });
      } else if (line.startsWith("shard ") && seen.length === 2) {
        seen.push("table");
        child.kill("SIGINT");
      }
    }
    expect(seen).toEqual(["table", "away", "table"]);
    expect(await exit).toEqual([0, null]);
  });

  test.each(["0", "3601", "x"])("%s seconds is wrong usage", async (seconds) => {
    const run = await runClickmill(["shards", "--watch", seconds], environment);
    expect(run).toMatchObject({ code: 2, stdout: "" });
  });
});
