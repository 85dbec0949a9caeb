/** production.conf's users, on a real server: each may do what its room does. */
import { readFileSync } from "node:fs";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import type { JetStreamClient, JetStreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import type { NatsConnection } from "@nats-io/transport-node";
import { afterAll, beforeAll, expect, test } from "vitest";
import { natsOptions } from "../../aggregator/source/nats-options.ts";
import { ensureStreams } from "../../aggregator/source/streams.ts";
import {
  AGAIN_SUBJECTS,
  partialSubject,
  rawSubject,
  rejectedSubject,
  resultSubject,
  setAsideSubject,
  SINK_TICK_SUBJECTS,
  STREAM,
} from "../../wire/subjects.ts";
import { startNatsServer } from "../../tests/helpers/nats-server.ts";
import type { StartedNatsServer } from "../../tests/helpers/nats-server.ts";

const PASSWORD = { NATS_EDGE_PASSWORD: "e@dge", NATS_AGGREGATOR_PASSWORD: "aggre/gator" };
const SHARD_SUBJECTS = [rawSubject(4_095), rejectedSubject(0), partialSubject(2, 1)];
const AGGREGATOR_SUBJECTS = [
  resultSubject(2, 1),
  setAsideSubject(STREAM.raw),
  ...SINK_TICK_SUBJECTS,
  ...Object.values(AGAIN_SUBJECTS),
];

interface Client {
  readonly nc: NatsConnection;
  readonly js: JetStreamClient;
  readonly manager: JetStreamManager;
}
let server: StartedNatsServer;
let aggregator: Client;
let edge: Client;

async function enter(user: string, password: string): Promise<Client> {
  const url = `nats://${user}:${encodeURIComponent(password)}@${server.host}`;
  const nc = await connect({ ...natsOptions(url), reconnect: false });
  return {
    nc,
    js: jetstream(nc, { timeout: 2_000 }),
    manager: await jetstreamManager(nc, { timeout: 2_000, checkAPI: false }),
  };
}

beforeAll(async () => {
  const text = readFileSync(new URL("production.conf", import.meta.url), "utf8");
  // The rest needs certificates and two more servers.
  const authorization = /^authorization \{$.*?^\}$/ms.exec(text)![0];
  server = await startNatsServer(authorization, PASSWORD);
  aggregator = await enter("aggregator", PASSWORD.NATS_AGGREGATOR_PASSWORD);
  edge = await enter("edge", PASSWORD.NATS_EDGE_PASSWORD);
  await ensureStreams(aggregator.manager, { storeBytes: 1024 ** 3, replicas: 1 });
});
afterAll(async () => {
  await aggregator?.nc.close();
  await edge?.nc.close();
  await server?.stop();
});

test("the aggregator publishes on every subject of its own, reads, deletes and trims", async () => {
  for (const subject of AGGREGATOR_SUBJECTS) {
    // oxlint-disable-next-line no-await-in-loop
    expect(await aggregator.js.publish(subject, "x")).toMatchObject({ duplicate: false });
  }
  const consumer = await aggregator.js.consumers.get(STREAM.setAside);
  const message = await consumer.next({ expires: 2_000 });
  expect(message?.subject).toBe(setAsideSubject(STREAM.raw));
  expect(await aggregator.manager.streams.deleteMessage(STREAM.setAside, message!.seq, false)).toBe(
    true,
  );
  expect(await aggregator.manager.streams.purge(STREAM.results, { seq: 2 })).toMatchObject({
    success: true,
  });
});

test("the edge publishes its shards' messages and reads back the newest", async () => {
  for (const subject of SHARD_SUBJECTS) {
    // oxlint-disable-next-line no-await-in-loop
    await edge.js.publish(subject, subject);
  }
  const newest = await edge.manager.streams.getMessage(STREAM.raw, {
    last_by_subj: SHARD_SUBJECTS[0]!,
  });
  expect(newest?.string()).toBe(SHARD_SUBJECTS[0]);
});

test("the edge may neither count nor set aside nor delete", async () => {
  for (const subject of [resultSubject(2, 1), "results.again", setAsideSubject(STREAM.raw)]) {
    // oxlint-disable-next-line no-await-in-loop
    await expect(edge.js.publish(subject, "x")).rejects.toThrow(/permissions violation/i);
  }
  await expect(edge.manager.streams.purge(STREAM.raw)).rejects.toThrow(/permissions violation/i);
});
