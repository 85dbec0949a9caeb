/**
 * A shard's connection to NATS: opened when there is something to publish, closed when it is quiet,
 * because an open outgoing WebSocket keeps the object awake and billed.
 */
import { JetStreamApiError, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { wsconnect } from "@nats-io/nats-core";
import type { NatsConnection } from "@nats-io/nats-core";
import { CONNECT_MS_MAX, PUBLISH_MS_MAX } from "../limits.ts";

export interface Publisher {
  /** Resolves when JetStream has acknowledged the message (a repeat inside its duplicate window too). */
  publish(subject: string, id: string, bytes: Uint8Array): Promise<void>;
  /** The newest message on a subject, or null when there is none. */
  newest(stream: string, subject: string): Promise<Uint8Array | null>;
  /** Closes the connection; the next call opens another. */
  close(): Promise<void>;
}

/** JetStream API error: no message found. */
const NO_MESSAGE_FOUND = 10037;

export class NatsPublisher implements Publisher {
  readonly #url: string;
  #connection: Promise<NatsConnection> | null = null;

  constructor(url: string) {
    this.#url = url;
  }

  async publish(subject: string, id: string, bytes: Uint8Array): Promise<void> {
    await this.#with(async (nc) => {
      await jetstream(nc, { timeout: PUBLISH_MS_MAX }).publish(subject, bytes, {
        msgID: id,
        timeout: PUBLISH_MS_MAX,
        retries: 0,
      });
    });
  }

  async newest(stream: string, subject: string): Promise<Uint8Array | null> {
    return this.#with(async (nc) => {
      const manager = await jetstreamManager(nc, { timeout: PUBLISH_MS_MAX, checkAPI: false });
      try {
        const message = await manager.streams.getMessage(stream, { last_by_subj: subject });
        return message?.data ?? null;
      } catch (error) {
        if (error instanceof JetStreamApiError && error.code === NO_MESSAGE_FOUND) return null;
        throw error;
      }
    });
  }

  async close(): Promise<void> {
    const connection = this.#connection;
    this.#connection = null;
    if (connection === null) return;
    try {
      await (await connection).close();
    } catch {
      // It never opened, or is gone: closed either way.
    }
  }

  /** After any failure the connection is given up: whether it or the broker is at fault cannot be known here. */
  async #with<T>(work: (nc: NatsConnection) => Promise<T>): Promise<T> {
    this.#connection ??= wsconnect({
      servers: this.#url,
      timeout: CONNECT_MS_MAX,
      reconnect: false,
      ignoreClusterUpdates: true,
      noAsyncTraces: true,
    });
    try {
      return await work(await this.#connection);
    } catch (error) {
      await this.close();
      throw error;
    }
  }
}
