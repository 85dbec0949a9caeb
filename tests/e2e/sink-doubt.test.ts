/** The sinks in doubt, on real NATS and the real engine: what is there stays, what is missing comes back, nothing comes twice. */
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { decodeBlock, encodeBlock, isFault } from "../../wire/block.ts";
import { hashText } from "../../wire/hash.ts";
import { STREAM } from "../../wire/subjects.ts";
import { CLEAN, clean, startTestStack } from "../helpers/test-stack.ts";
import type { TestStack } from "../helpers/test-stack.ts";
import { startTraffic } from "../traffic/traffic.ts";
import type { Traffic } from "../traffic/traffic.ts";

/** A batch ends with the next tick after its second; twice that and an insert. */
const SETTLED_MS_MAX = 20_000;

let t: TestStack;
let run: Traffic;
beforeAll(async () => {
  t = await startTestStack("sink-doubt", {
    windowSeconds: 2,
    aggregatorEnvironment: { WINDOW_GRACE_MS: "1500", CHUNK_BYTES_MAX: "4000" },
  });
  run = startTraffic({
    url: t.stack.urls.edge,
    rate: 200,
    seconds: 5,
    ads: 100,
    seed: 5,
    name: "doubt",
  });
  await run.done;
  await t.verdict(run.ledger);
});
afterAll(() => t?.stop());

const command = (query: string) =>
  t.client.command({ query, clickhouse_settings: { mutations_sync: "2" } });
const ledger = (table: string, key: string) =>
  t.select(`SELECT ${key}, message_id FROM ${table} ORDER BY ${key}`);

test("a ledger that lost its rows is made whole from what the table has, and the table is left as it is", async () => {
  const { aggregator } = t.stack.processes;
  await aggregator.stop();
  const flushes = await ledger("flushes", "chain, shard, epoch, flush");
  const emissions = await ledger("emissions", "partition, emission, chunk");
  await command("TRUNCATE TABLE emissions");
  await command("TRUNCATE TABLE flushes");
  await aggregator.restart();
  await vi.waitFor(
    async () => {
      expect(await ledger("flushes", "chain, shard, epoch, flush")).toEqual(flushes);
      expect(
        (await ledger("emissions", "partition, emission, chunk")).slice(0, emissions.length),
      ).toHaveLength(emissions.length);
    },
    { timeout: SETTLED_MS_MAX, interval: 500 },
  );
  expect(clean(await t.verdict(run.ledger))).toEqual(CLEAN);
});

test("a unit that the table lost although its token is remembered comes back, once", async () => {
  const { aggregator } = t.stack.processes;
  await aggregator.stop();
  // All rows gone, tokens kept: what a server that was killed between the two leaves behind.
  await command("ALTER TABLE clicks_raw DELETE WHERE 1");
  await command("TRUNCATE TABLE flushes");
  await aggregator.restart();
  expect(clean(await t.verdict(run.ledger))).toEqual(CLEAN);
});

test("a flush that is stored twice changes nothing, and one with other bytes under its number is an alarm", async () => {
  const nc = await connect({ servers: t.stack.urls.nats });
  try {
    const manager = await jetstreamManager(nc);
    const { state } = await manager.streams.info(STREAM.raw, { subjects_filter: "clicks.raw.*" });
    const subject = Object.keys(state.subjects ?? {}).find((s) => s !== "clicks.raw.tick")!;
    const stored = await manager.streams.getMessage(STREAM.raw, { last_by_subj: subject });
    const block = decodeBlock(stored!.data);
    if (isFault(block)) throw new Error(block.reason);
    const otherBody = block.body.slice();
    otherBody[otherBody.length - 1]! ^= 1;
    const other = encodeBlock(block.origin, block.rows, otherBody);
    // As after the broker's duplicate window: no id that it would still know.
    await jetstream(nc).publish(subject, stored!.data);
    await jetstream(nc).publish(subject, other.bytes);
    await vi.waitFor(
      async () => {
        expect(
          await t.select(
            `SELECT alarm, subject, detail LIKE '%${hashText(other.hash)}%' AS named FROM repairs`,
          ),
        ).toEqual([{ alarm: "hash_differs", subject, named: 1 }]);
      },
      { timeout: SETTLED_MS_MAX, interval: 500 },
    );
    const { aggregator } = t.stack.processes;
    await aggregator.stop();
    await aggregator.restart();
    expect(clean(await t.verdict(run.ledger))).toEqual(CLEAN);
  } finally {
    await nc.close();
  }
});
