/**
 * Reads a stream in order from a given sequence: an ordered consumer, which the client re-makes by
 * itself after a lost connection, without acknowledgements, because positions are our own.
 */
import { DeliverPolicy } from "@nats-io/jetstream";
import type { JetStreamClient, JetStreamManager, JsMsg } from "@nats-io/jetstream";
import { HEARTBEAT_MS, PULL_EXPIRES_MS, READ_AHEAD_BYTES } from "../limits.ts";
import type { Log } from "../ops/log.ts";
import { retry } from "../ops/retry.ts";
import { headerOf } from "./message-headers.ts";
import { isNatsFailure } from "./nats-failure.ts";

/** A message as the deciding code sees it. */
export interface StreamMessage {
  readonly subject: string;
  readonly sequence: number;
  /** Broker time, milliseconds since 1970. */
  readonly brokerTimeMs: number;
  /** The Nats-Msg-Id header; empty for ticks, and where the headers cannot be read. */
  readonly id: string;
  readonly data: Uint8Array;
  /** Messages behind this one that match the filter, when it was delivered. */
  readonly pending: number;
}

const MESSAGE_ID_HEADER = "Nats-Msg-Id";

export interface ReaderParts {
  readonly js: JetStreamClient;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** Yields messages until the signal aborts. @param subject filter, or undefined for all */
export async function* readStream(
  { js, log, signal }: ReaderParts,
  stream: string,
  subject: string | undefined,
  fromSequence: number,
): AsyncGenerator<StreamMessage> {
  const open = async () => {
    const consumer = await js.consumers.get(stream, {
      ...(subject === undefined ? {} : { filter_subjects: subject }),
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: Math.max(1, fromSequence),
    });
    return consumer.consume({
      max_bytes: READ_AHEAD_BYTES,
      expires: PULL_EXPIRES_MS,
      idle_heartbeat: HEARTBEAT_MS,
    });
  };
  const messages = await retry(`read ${stream}`, open, isNatsFailure, log, signal);
  const stop = () => messages.stop();
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  try {
    for await (const m of messages) yield streamMessage(m);
  } finally {
    signal.removeEventListener("abort", stop);
    await messages.close();
  }
}

function streamMessage(m: JsMsg): StreamMessage {
  return {
    subject: m.subject,
    sequence: m.seq,
    brokerTimeMs: Number(m.timestampNanos / 1_000_000n),
    id: headerOf(m, MESSAGE_ID_HEADER),
    data: m.data,
    pending: m.info.pending,
  };
}

/** A stored message that was asked for. */
export interface StoredMessage {
  readonly subject: string;
  readonly sequence: number;
  readonly id: string;
  readonly brokerTimeMs: number;
  readonly data: Uint8Array;
}

/**
 * The newest message on a subject, the one at a sequence, or the first on a subject from a sequence on;
 * null when there is none.
 */
export async function storedMessage(
  manager: JetStreamManager,
  stream: string,
  which:
    | { readonly last_by_subj: string }
    | { readonly seq: number }
    | { readonly seq: number; readonly next_by_subj: string },
): Promise<StoredMessage | null> {
  const m = await manager.streams.getMessage(stream, which);
  if (m === null) return null;
  return {
    subject: m.subject,
    sequence: m.seq,
    id: headerOf(m, MESSAGE_ID_HEADER),
    brokerTimeMs: m.time.getTime(),
    data: m.data,
  };
}
