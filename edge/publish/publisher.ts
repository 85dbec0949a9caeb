/**
 * A shard's connection to NATS: opened when there is something to publish, closed when it is quiet,
 * because an open outgoing WebSocket keeps the object awake and billed.
 */
import { JetStreamApiError, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { headers, RequestError, wsconnect } from "@nats-io/nats-core";
import type { NatsConnection } from "@nats-io/nats-core";
import { REPORT_HEADER } from "../../wire/report.ts";
import { CONNECT_MS_MAX, PUBLISH_MS_MAX } from "../limits.ts";
import { within } from "../within.ts";

export interface OutgoingMessage {
  readonly subject: string;
  readonly id: string;
  readonly bytes: Uint8Array;
  /** The shard's figures (wire/report.ts), on a flush's first message. */
  readonly report: string | null;
  /** Sequence of the newest message on the subject, without which this one is refused; 0: there is none; null: any. */
  readonly behind: number | null;
}

/** What stands on a subject. */
export interface NewestOnSubject {
  readonly bytes: Uint8Array;
  readonly sequence: number;
}

export interface Publisher {
  /**
   * Resolves when JetStream has acknowledged the message (a repeat inside its duplicate window too), with its sequence.
   *
   * @throws PublishFailure, also when another message than `behind` is the subject's newest
   */
  publish(message: OutgoingMessage): Promise<number>;
  /** The newest message on a subject, or null when there is none. */
  newest(stream: string, subject: string): Promise<NewestOnSubject | null>;
  /** Closes the connection; the next call opens another. */
  close(): void;
}

export class NatsPublisher implements Publisher {
  readonly #url: string;
  #connection: Promise<NatsConnection> | null = null;

  constructor(url: string) {
    this.#url = url;
  }

  async publish({ subject, id, bytes, report, behind }: OutgoingMessage): Promise<number> {
    return this.#with(async (nc) => {
      const reported = headers();
      if (report !== null) reported.set(REPORT_HEADER, report);
      const { seq } = await jetstream(nc, { timeout: PUBLISH_MS_MAX }).publish(subject, bytes, {
        msgID: id,
        timeout: PUBLISH_MS_MAX,
        retries: 0,
        headers: reported,
        ...(behind === null ? {} : { expect: { lastSubjectSequence: behind } }),
      });
      return seq;
    });
  }

  async newest(stream: string, subject: string): Promise<NewestOnSubject | null> {
    return this.#with(async (nc) => {
      const manager = await jetstreamManager(nc, { timeout: PUBLISH_MS_MAX, checkAPI: false });
      const message = await manager.streams.getMessage(stream, { last_by_subj: subject });
      return message === null ? null : { bytes: message.data, sequence: message.seq };
    });
  }

  close(): void {
    const connection = this.#connection;
    this.#connection = null;
    // Not awaited: a peer that is gone without a word would be waited for as long as TCP waits.
    connection?.then((nc) => nc.close()).catch(() => undefined);
  }

  /**
   * After a failure the connection is given up: whether it or the broker is at fault cannot be known
   * here. Not after a refusal, which is an answer: one chain's full or missing stream must not cut the other off.
   */
  async #with<T>(work: (nc: NatsConnection) => Promise<T>): Promise<T> {
    this.#connection ??= wsconnect({
      servers: this.#url,
      timeout: CONNECT_MS_MAX,
      reconnect: false,
      ignoreClusterUpdates: true,
      noAsyncTraces: true,
    });
    const connection = this.#connection;
    try {
      // The client's own limit waits for the socket to close, and a peer that hangs never closes it.
      return await work(await within(connection, CONNECT_MS_MAX + 1_000, "no connection"));
    } catch (error) {
      if (!isRefusal(error) && this.#connection === connection) this.close();
      throw new PublishFailure(error);
    }
  }
}

/** The broker's own word; where no stream takes a subject, it says that nobody answers there. */
function isRefusal(error: unknown): boolean {
  if (error instanceof JetStreamApiError) return true;
  const cause = error instanceof Error ? error.cause : null;
  return cause instanceof RequestError && cause.isNoResponders();
}

/** NATS is away, slow, or refuses: the flush is made again later. */
export class PublishFailure extends Error {
  constructor(cause: unknown) {
    super(String(cause), { cause });
    this.name = "PublishFailure";
  }
}
