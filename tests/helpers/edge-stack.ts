/** The edge and the broker alone, with a network between them that the test rules, and what the streams hold in the end. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import type { JetStreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { ensureStreams } from "../../aggregator/source/streams.ts";
import { readStackOptions, startStack } from "../../infra/stack/stack.ts";
import type { Stack, StackOptions } from "../../infra/stack/stack.ts";
import { STREAM } from "../../wire/subjects.ts";
import type { StreamName } from "../../wire/subjects.ts";
import type { Ledger } from "../traffic/ledger.ts";
import type { Verdict } from "../traffic/verdict.ts";
import { judgeReceived, receiveFlushes } from "./received-flushes.ts";
import type { Received, StoredMessage } from "./received-flushes.ts";
import { startTcpProxy } from "./tcp-proxy.ts";
import type { TcpProxy } from "./tcp-proxy.ts";
import { CLEAN, clean } from "./test-stack.ts";

/** Beside some MB of test traffic: never full by accident. */
const STORE_BYTES = 1024 ** 3;
const ID_HEADER = "Nats-Msg-Id";
/** The longest pause between two attempts is 15 s, an alarm comes after 10 s; twice that. */
const ARRIVAL_MS_MAX = 40_000;
const POLL_MS = 200;

/** A line of the edge's log that is one of its own. */
export interface EdgeLogLine {
  readonly level: string;
  readonly msg: string;
  readonly shard?: number;
  readonly chain?: string;
  readonly pauseMs?: number;
  readonly [field: string]: unknown;
}

export interface EdgeStack {
  readonly stack: Stack;
  /** Between workerd and the broker's WebSocket; the test's own connections do not pass it. */
  readonly proxy: TcpProxy;
  /** With a connection of its own, so that the broker may come and go between two calls. */
  withStreams<T>(work: (manager: JetStreamManager) => Promise<T>): Promise<T>;
  /** All that a stream holds, in its order. */
  read(stream: StreamName): Promise<StoredMessage[]>;
  received(): Promise<Received>;
  /** All lives' lines. */
  log(): EdgeLogLine[];
  /**
   * Waits, bounded, until the streams hold every click that the ledger calls safe, and nothing more comes;
   * then compares. ARRIVED is what it should be.
   */
  arrived(
    ledger: Ledger,
    arrivalMsMax?: number,
  ): Promise<ReturnType<typeof clean> & { faults: readonly string[] }>;
  stop(): Promise<void>;
}

/** What the edge publishes accepted clicks to. */
export const EDGE_STREAMS = [STREAM.raw, STREAM.partial] as const;

export const ARRIVED = { ...CLEAN, faults: [] } as const;

/** @param name its state directory under that of the tests, made anew */
export async function startEdgeStack(
  name: string,
  changes: Partial<Pick<StackOptions, "windowSeconds" | "shards" | "partitions" | "edgeVars">> = {},
): Promise<EdgeStack> {
  const profile = readStackOptions("test");
  const proxy = await startTcpProxy(profile.ports.natsWebSocket);
  const stack = await startStack({
    ...profile,
    name: `test-${name}`,
    stateDirectory: join(profile.stateDirectory, name),
    fresh: true,
    parts: ["nats", "edge"],
    ...changes,
    edgeVars: { NATS_URL: `ws://127.0.0.1:${proxy.port}`, ...changes.edgeVars },
  }).catch(async (error: unknown) => {
    await proxy.close();
    throw error;
  });

  async function withStreams<T>(work: (manager: JetStreamManager) => Promise<T>): Promise<T> {
    const nc = await connect({ servers: stack.urls.nats, reconnect: false });
    try {
      return await work(await jetstreamManager(nc));
    } finally {
      await nc.close();
    }
  }

  async function read(stream: StreamName): Promise<StoredMessage[]> {
    const nc = await connect({ servers: stack.urls.nats, reconnect: false });
    try {
      const { state } = await (await jetstreamManager(nc)).streams.info(stream);
      const messages: StoredMessage[] = [];
      if (state.messages === 0) return messages;
      const consumer = await jetstream(nc).consumers.get(stream);
      for (let pending = 1; pending > 0;) {
        const m = await consumer.next({ expires: 2_000 });
        if (m === null) throw new Error(`${stream} ends before its end`);
        pending = m.info.pending;
        messages.push({
          subject: m.subject,
          id: m.headers?.get(ID_HEADER) ?? "",
          sequence: m.seq,
          brokerTimeNanos: m.timestampNanos,
          bytes: m.data,
        });
      }
      return messages;
    } finally {
      await nc.close();
    }
  }

  async function received(): Promise<Received> {
    const partial = await read(STREAM.partial);
    const raw = await read(STREAM.raw);
    return receiveFlushes([raw, partial]);
  }

  async function isAllThere(ledger: Ledger): Promise<boolean> {
    const verdict: Verdict | null = await received().then(
      (r) => judgeReceived(ledger, r.flushes),
      // The broker may be on its way up.
      () => null,
    );
    const safe = ledger.counts().accepted;
    return verdict !== null && verdict.rawRows >= safe && verdict.counted >= safe;
  }

  const edgeStack: EdgeStack = {
    stack,
    proxy,
    withStreams,
    read,
    received,
    log: () => readFileSync(stack.processes.edge.logFile, "utf8").split("\n").flatMap(logLine),
    async arrived(ledger, arrivalMsMax = ARRIVAL_MS_MAX) {
      const deadlineMs = performance.now() + arrivalMsMax;
      while (performance.now() < deadlineMs && !(await isAllThere(ledger))) await delay(POLL_MS);
      const { flushes, faults } = await received();
      const { unanswered } = ledger.counts();
      return {
        ...clean(judgeReceived(ledger, flushes)),
        faults: unanswered > 0 ? [...faults, `${unanswered} clicks without an answer`] : faults,
      };
    },
    async stop() {
      await stack.stop();
      await proxy.close();
    },
  };
  try {
    await withStreams((manager) =>
      ensureStreams(manager, { storeBytes: STORE_BYTES, replicas: 1 }),
    );
  } catch (error) {
    await edgeStack.stop();
    throw error;
  }
  return edgeStack;
}

function logLine(text: string): EdgeLogLine[] {
  const start = text.indexOf('{"level"');
  if (start < 0) return [];
  try {
    return [JSON.parse(text.slice(start)) as EdgeLogLine];
  } catch {
    // Half written.
    return [];
  }
}
