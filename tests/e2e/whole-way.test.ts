/** The way of one click, step by step, and then of 20,000: real workerd, nats-server and ClickHouse engine. */
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import type { NatsConnection } from "@nats-io/transport-node";
import { decodeBlock, isFault } from "../../wire/block.ts";
import type { Block, Origin } from "../../wire/block.ts";
import type { IngestAnswer } from "../../wire/ingest.ts";
import { reader, utf8 } from "../../wire/cursor.ts";
import { partitionOf, shardOf } from "../../wire/routing.ts";
import { partialSubject, rawSubject, resultSubject, STREAM } from "../../wire/subjects.ts";
import { CLEAN, clean, startTestStack } from "../helpers/test-stack.ts";
import type { TestStack } from "../helpers/test-stack.ts";
import type { Ledger } from "../traffic/ledger.ts";
import { readVerdict } from "../traffic/read-verdict.ts";
import { startTraffic } from "../traffic/traffic.ts";

const SHARDS = 4;
const PARTITIONS = 2;
/** Everything that happens to one click must have happened by then: a window, the grace, the sinks. */
const ONE_CLICK_MS_MAX = 30_000;

let t: TestStack;
let nc: NatsConnection;
beforeAll(async () => {
  t = await startTestStack("whole-way", {
    windowSeconds: 5,
    shards: SHARDS,
    partitions: PARTITIONS,
  });
  nc = await connect({ servers: t.stack.urls.nats });
});
afterAll(async () => {
  await nc?.close();
  await t?.stop();
});

async function post(clicks: readonly unknown[]): Promise<{ status: number; answer: IngestAnswer }> {
  const response = await fetch(`${t.stack.urls.edge}/v1/clicks`, {
    method: "POST",
    headers: { "content-type": "application/json", "x-clickmill-country": "KR" },
    body: JSON.stringify({ sent_at: Date.now(), clicks }),
  });
  return { status: response.status, answer: (await response.json()) as IngestAnswer };
}

/** The newest block on a subject, once there is one. */
async function blockOn(stream: string, subject: string): Promise<Block> {
  const manager = await jetstreamManager(nc);
  return vi.waitFor(
    async () => {
      const message = await manager.streams.getMessage(stream, { last_by_subj: subject });
      const block = decodeBlock(message!.data);
      if (isFault(block)) throw new Error(block.reason);
      return block;
    },
    { timeout: ONE_CLICK_MS_MAX, interval: 100 },
  );
}

describe("the way of one click", () => {
  const click = { click_id: "way.1", ad_id: "ad-of-the-way", timestamp: Date.now() };
  const shard = shardOf(click.click_id, SHARDS);
  const ad = utf8(click.ad_id);
  const partition = partitionOf(reader(ad).view, 0, ad.length, PARTITIONS);

  test("1 parse and validate: a click or a rejection with its reason", async () => {
    const { answer } = await post([{ ...click, ad_id: 7 }]);
    expect(answer.results).toMatchObject([
      { status: "rejected", code: "wrong_type", field: "ad_id" },
    ]);
  });

  test("2 stamp, 3 dedup, 4 journal: accepted once it is durable, and a duplicate from then on", async () => {
    const first = await post([click]);
    expect([first.status, first.answer.accepted]).toEqual([202, 1]);
    const again = await post([click, click]);
    expect([again.status, again.answer.duplicate]).toEqual([202, 2]);
  });

  test("5 flush: the raw block is in JetStream under the shard's number", async () => {
    const block = await blockOn(STREAM.raw, rawSubject(shard));
    expect(block).toMatchObject({ rows: 1, origin: { kind: "raw", shard, flush: 1, previous: 0 } });
  });

  test("6 ingest: the partial block is in the partition of its ad, with settings and ticks around it", async () => {
    const consumer = await jetstream(nc).consumers.get(STREAM.partial, {
      filter_subjects: partialSubject(PARTITIONS, partition),
    });
    const origins: Origin[] = [];
    for (let pending = 1; pending > 0;) {
      const m = await consumer.next();
      const block = decodeBlock(m!.data);
      if (isFault(block)) throw new Error(block.reason);
      origins.push(block.origin);
      pending = m!.info.pending;
    }
    expect(origins[0]).toMatchObject({ kind: "settings", windowSeconds: 5 });
    expect(origins.filter((o) => o.kind === "partial")).toMatchObject([
      { shard, flush: 1, previous: 0, partition, clicks: 1 },
    ]);
    expect(origins.some((o) => o.kind === "tick")).toBe(true);
  });

  test("7 broker time closes the window: an emission is in the results stream", async () => {
    const block = await vi.waitFor(
      async () => {
        const newest = await blockOn(STREAM.results, resultSubject(PARTITIONS, partition));
        const origin = newest.origin.kind === "result" ? newest.origin : null;
        expect(origin?.producers).toHaveLength(1);
        return origin;
      },
      { timeout: ONE_CLICK_MS_MAX, interval: 200 },
    );
    expect(block).toMatchObject({
      partitions: PARTITIONS,
      partition,
      chunk: 0,
      producers: [{ shard, flush: 1 }],
    });
  });

  test("8 insert: raw, count, rejection and ledgers are in ClickHouse", async () => {
    await vi.waitFor(
      async () => {
        expect(
          await t.select(
            `SELECT click_id, country, time_source FROM clicks_raw WHERE ad_id = '${click.ad_id}'`,
          ),
        ).toEqual([{ click_id: click.click_id, country: "KR", time_source: "client" }]);
        expect(
          await t.select(
            `SELECT toInt32(sum(clicks)) AS n FROM ad_clicks_1m WHERE ad_id = '${click.ad_id}'`,
          ),
        ).toEqual([{ n: 1 }]);
        expect(await t.select("SELECT code, field FROM clicks_rejected")).toEqual([
          { code: "wrong_type", field: "ad_id" },
        ]);
        expect(
          await t.select("SELECT chain, toInt32(clicks) AS n FROM flushes ORDER BY chain"),
        ).toEqual([
          { chain: "clicks", n: 1 },
          { chain: "rejected", n: 1 },
        ]);
      },
      { timeout: ONE_CLICK_MS_MAX, interval: 200 },
    );
  });

  test("9 sum(clicks) is the number, for curl too", async () => {
    const { database } = await t
      .select<{ database: string }>("SELECT currentDatabase() AS database")
      .then(([row]) => row!);
    const query = encodeURIComponent(
      `SELECT sum(clicks) FROM ${database}.ad_clicks_1m WHERE ad_id = '${click.ad_id}'`,
    );
    const response = await fetch(`${t.stack.urls.clickhouse}/?query=${query}`);
    expect([response.status, await response.text()]).toEqual([200, "1\n"]);
    expect(await t.select("SELECT * FROM repairs")).toEqual([]);
  });
});

describe("20,000 clicks with resends, lost answers, wrong clocks, late and malformed clicks", () => {
  test("are each counted exactly once, and a spoilt table is noticed", async () => {
    // The verdict wants the tables to itself.
    for (const table of ["clicks_raw", "ad_clicks_1m"])
      await t.client.command({ query: `TRUNCATE TABLE ${table}` });
    const traffic = startTraffic({
      url: t.stack.urls.edge,
      rate: 1_500,
      seconds: 14,
      ads: 500,
      seed: 7,
      name: "e2e",
    });
    await traffic.done;
    const counts = traffic.ledger.counts();
    expect(counts.accepted).toBeGreaterThanOrEqual(20_000);
    // Resends, losses and broken clicks were really there.
    expect(counts.duplicates).toBeGreaterThan(500);
    expect(counts.rejected).toBeGreaterThan(100);
    expect(clean(await t.verdict(traffic.ledger))).toEqual(CLEAN);
    expect(await t.select("SELECT * FROM repairs")).toEqual([]);
    const [late] = await t.select<{ n: number }>(
      "SELECT toInt32(sumIf(clicks, origin = 'late')) AS n FROM ad_clicks_1m",
    );
    expect(late!.n).toBeGreaterThan(0);
    await spoil(traffic.ledger);
  });

  /** Canary: the same verdict must find one lost, one doubled and one miscounted click. */
  async function spoil(ledger: Ledger): Promise<void> {
    const command = (query: string) => t.client.command({ query });
    await command("INSERT INTO clicks_raw SELECT * FROM clicks_raw ORDER BY click_id LIMIT 1");
    await command(
      "ALTER TABLE clicks_raw DELETE WHERE click_id = (SELECT max(click_id) FROM clicks_raw) SETTINGS mutations_sync = 2",
    );
    const verdict = await readVerdict(t.client, ledger, t.windowSeconds);
    expect(verdict.figures).toMatchObject({ lost_id: 1, double_id: 1 });
    expect(verdict.clean).toBe(false);
    // Raw and counts disagree in both directions now, and nothing is netted.
    expect([verdict.lost, verdict.double]).toEqual([2, 2]);
  }
});
