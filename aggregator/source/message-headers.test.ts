/** What the broker stores where headers stand, whoever wrote it, in every stream and for every reader. */
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import type { JetStreamClient, JetStreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import type { NatsConnection } from "@nats-io/transport-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startNatsServer } from "../../tests/helpers/nats-server.ts";
import type { StartedNatsServer } from "../../tests/helpers/nats-server.ts";
import { publishRaw } from "../../tests/helpers/raw-publish.ts";
import { runClickmill } from "../../tests/helpers/run-clickmill.ts";
import {
  OWN_PARTITIONS,
  OWN_SHARD,
  ownPartial,
  ownRaw,
  ownRejected,
  ownResult,
  STRANGE_HEADERS,
} from "../../tests/helpers/set-aside-fixtures.ts";
import {
  partialSubject,
  rawSubject,
  rejectedSubject,
  resultSubject,
  SET_ASIDE_HEADER,
  setAsideSubject,
  STREAM,
} from "../../wire/subjects.ts";
import type { StreamName } from "../../wire/subjects.ts";
import type { Alarm } from "../alarm.ts";
import { createLog } from "../ops/log.ts";
import { openDeadLetters } from "./dead-letters.ts";
import { newestMessage } from "./newest-message.ts";
import { setAside } from "./set-aside.ts";
import { readStream, storedMessage } from "./stream-reader.ts";
import type { StreamMessage } from "./stream-reader.ts";
import { ensureStreams } from "./streams.ts";

const NOW_MS = 1_795_420_042_721;
const KINDS = Object.entries(STRANGE_HEADERS).map(([name, headers]) => ({ name, ...headers }));
/** On each stream's subject a sound block of its own producer: only the headers are strange. */
const PLACES: readonly { stream: StreamName; subject: string; body: Uint8Array }[] = [
  { stream: STREAM.raw, subject: rawSubject(OWN_SHARD), body: ownRaw(NOW_MS).bytes },
  {
    stream: STREAM.partial,
    subject: partialSubject(OWN_PARTITIONS, 3),
    body: ownPartial(NOW_MS, OWN_PARTITIONS, 3, 60).bytes,
  },
  {
    stream: STREAM.rejected,
    subject: rejectedSubject(OWN_SHARD),
    body: ownRejected(NOW_MS).bytes,
  },
  {
    stream: STREAM.results,
    subject: resultSubject(OWN_PARTITIONS, 3),
    body: ownResult(NOW_MS).bytes,
  },
];
/** Nobody but a stranger leaves such headers there: our own are written by the client. */
const ASIDE = { subject: setAsideSubject(STREAM.raw), body: ownRaw(NOW_MS).bytes };

let server: StartedNatsServer;
let nc: NatsConnection;
let js: JetStreamClient;
let manager: JetStreamManager;
beforeAll(async () => {
  server = await startNatsServer("");
  nc = await connect({ servers: server.host });
  js = jetstream(nc);
  manager = await jetstreamManager(nc);
  await ensureStreams(manager, { storeBytes: 8 * 1024 ** 3, replicas: 1 });
  for (const { subject, body } of [...PLACES, ASIDE]) {
    for (const { bytes } of KINDS) await publishRaw(server.host, subject, bytes, body);
  }
});
afterAll(async () => {
  await nc?.close();
  await server?.stop();
});

const log = createLog("silent");

async function readAll(stream: StreamName): Promise<StreamMessage[]> {
  const stop = new AbortController();
  const read: StreamMessage[] = [];
  for await (const m of readStream({ js, log, signal: stop.signal }, stream, undefined, 1)) {
    read.push(m);
    if (m.pending === 0) break;
  }
  stop.abort();
  return read;
}

describe.each(PLACES)("in $stream", ({ stream, subject, body }) => {
  test("a reader goes past them all, in order, with every body as it is", async () => {
    const read = await readAll(stream);
    expect(read.map((m, i) => [KINDS[i]?.name, m.sequence, m.subject, m.id])).toEqual(
      KINDS.map(({ name, id }, i) => [name, i + 1, subject, id ?? ""]),
    );
    for (const m of read) expect(Buffer.from(m.data).equals(body)).toBe(true);
  });

  test("who asks for a message gets what the reader got, because a position is compared with it", async () => {
    for (const { sequence, id, brokerTimeMs } of await readAll(stream)) {
      const there = await storedMessage(manager, stream, { seq: sequence });
      expect(there).toMatchObject({ subject, sequence, id, brokerTimeMs });
      expect(Buffer.from(there!.data).equals(body)).toBe(true);
    }
  });

  test("a sound block under them is its producer's newest", async () => {
    const newest = await newestMessage(manager, stream, subject);
    expect(newest).toMatchObject({ found: "own", passed: [], own: { sequence: KINDS.length } });
  });

  test("each can be set aside, with reason and place", async () => {
    const raised: Alarm[] = [];
    const alarms = {
      raise: (_: string, alarm: Alarm) => void raised.push(alarm),
      settled: () => Promise.resolve(),
    };
    const { signal } = new AbortController();
    for (const message of await readAll(stream)) {
      await setAside({ js, alarms, log, signal }, stream, message, "no block");
      const last_by_subj = setAsideSubject(stream);
      const aside = await manager.streams.getMessage(STREAM.setAside, { last_by_subj });
      expect(aside?.header.get(SET_ASIDE_HEADER.reason)).toBe("no block");
      expect(aside?.header.get(SET_ASIDE_HEADER.sequence)).toBe(String(message.sequence));
      expect(Buffer.from(aside!.data).equals(body)).toBe(true);
    }
    expect(raised.map((alarm) => alarm.messageId)).toEqual(
      KINDS.map(({ id }, i) => id || `sequence ${i + 1}`),
    );
  });
});

describe("in SET_ASIDE", () => {
  const natsUrl = () => `nats://${server.host}`;
  const UNREADABLE = KINDS.flatMap(({ id }, i) => (id === null ? [i + 1] : []));

  test("they are listed and shown, and those that nobody can read say so", async () => {
    const letters = await openDeadLetters(natsUrl());
    try {
      const page = await letters.list(KINDS.length, null, 0);
      expect(page.letters.map((l, i) => [KINDS[i]?.name, l])).toEqual(
        KINDS.map(({ name, id }, i) => [
          name,
          {
            sequence: i + 1,
            setAsideMs: expect.any(Number) as number,
            stream: STREAM.raw,
            fromSubject: "",
            fromSequence: "",
            reason: id === null ? "unreadable headers" : "",
            byteCount: ASIDE.body.length,
            keptByteCount: ASIDE.body.length,
          },
        ]),
      );
      for (const head of page.letters) {
        const letter = await letters.get(head.sequence);
        expect(letter?.head).toEqual(head);
        expect(Buffer.from(letter!.data).equals(ASIDE.body)).toBe(true);
      }
      for (const sequence of UNREADABLE) {
        expect(await letters.get(sequence)).toMatchObject({ headers: [] });
      }
    } finally {
      await letters.close();
    }
  });

  test("one that nobody can read is shown, sent back and dropped like any other", async () => {
    const [first, second] = UNREADABLE.map(String);
    const deadletters = (...args: string[]) =>
      runClickmill(["deadletters", ...args], { NATS_URL: natsUrl() });
    const shown = await deadletters("show", first!);
    expect(shown).toMatchObject({ code: 0, stderr: "" });
    expect(shown.stdout).toMatch(/^reason +unreadable headers$/m);
    const back = await deadletters("retry", first!);
    expect(back).toMatchObject({ code: 0, stderr: "" });
    const again = await storedMessage(manager, STREAM.raw, { last_by_subj: "clicks.raw.again" });
    expect(Buffer.from(again!.data).equals(ASIDE.body)).toBe(true);
    expect(await deadletters("drop", second!, "--yes")).toMatchObject({ code: 0, stderr: "" });
  });
});
