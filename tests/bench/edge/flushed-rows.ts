/**
 * What has come out of the edge: the blocks of CLICKS_RAW, counted, and the shards' reports. Read after a load, never
 * beside it: reading takes CPU.
 */
import { DeliverPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import type { JetStreamClient, JetStreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import type { NatsConnection } from "@nats-io/nats-core";
import { ensureStreams } from "../../../aggregator/source/streams.ts";
import { decodeBlock, isFault } from "../../../wire/block.ts";
import { parseReport, REPORT_HEADER } from "../../../wire/report.ts";
import type { ShardReport } from "../../../wire/report.ts";
import { STREAM } from "../../../wire/subjects.ts";
import { WrongResultError } from "../bench-case.ts";
import { READ_AHEAD_MESSAGES, ROWS_WAIT_MS_MAX, STREAMS_BYTES } from "./limits.ts";

export class FlushedRows {
  readonly #connection: NatsConnection;
  readonly #js: JetStreamClient;
  readonly #manager: JetStreamManager;
  readonly #waitMsMax: number;
  /** Of the messages that are not read yet. */
  #nextRaw = 1;
  #nextRejected = 1;
  #rows = 0;
  #rejectedRows = 0;
  #reports: ShardReport[] = [];

  private constructor(connection: NatsConnection, manager: JetStreamManager, waitMsMax: number) {
    this.#waitMsMax = waitMsMax;
    this.#connection = connection;
    this.#js = jetstream(connection);
    this.#manager = manager;
  }

  /**
   * Makes the streams as the aggregator does.
   *
   * @param waitMsMax without another message, for rows that are missing
   */
  static async open(natsUrl: string, waitMsMax = ROWS_WAIT_MS_MAX): Promise<FlushedRows> {
    const connection = await connect({ servers: natsUrl });
    const manager = await jetstreamManager(connection);
    await ensureStreams(manager, { storeBytes: STREAMS_BYTES, replicas: 1 });
    return new FlushedRows(connection, manager, waitMsMax);
  }

  /** Of all that was read since the last forget(). */
  get reports(): readonly ShardReport[] {
    return this.#reports;
  }

  /**
   * Waits until CLICKS_RAW holds so many rows.
   *
   * @throws WrongResultError when they do not come, or when there are more
   */
  async until(rows: number): Promise<void> {
    if (this.#rows < rows) await this.#readRaw(() => this.#rows >= rows);
    if (this.#rows !== rows) this.#wrong(rows);
  }

  /**
   * Reads what else there is, when nobody publishes any more.
   *
   * @throws WrongResultError when CLICKS_RAW has other rows than these, or CLICKS_REJECTED any
   */
  async expectNoMore(rows: number): Promise<void> {
    const lastRaw = await this.#last(STREAM.raw);
    if (this.#nextRaw <= lastRaw) await this.#readRaw(() => this.#nextRaw > lastRaw);
    const lastRejected = await this.#last(STREAM.rejected);
    if (this.#nextRejected <= lastRejected) {
      await this.#read(STREAM.rejected, this.#nextRejected, (sequence, blockRows) => {
        this.#nextRejected = sequence + 1;
        this.#rejectedRows += blockRows;
        return sequence >= lastRejected;
      });
    }
    if (this.#rows !== rows) this.#wrong(rows);
    if (this.#rejectedRows > 0) {
      throw new WrongResultError([`${STREAM.rejected} holds ${this.#rejectedRows} rows`]);
    }
  }

  /** Empties the streams and begins to count anew. Only when the shards are gone: they would miss what they published. */
  async forget(): Promise<void> {
    for (const stream of [STREAM.raw, STREAM.partial, STREAM.rejected]) {
      // oxlint-disable-next-line no-await-in-loop
      await this.#manager.streams.purge(stream);
    }
    this.#nextRaw = (await this.#last(STREAM.raw)) + 1;
    this.#nextRejected = (await this.#last(STREAM.rejected)) + 1;
    this.#rows = 0;
    this.#rejectedRows = 0;
    this.#reports = [];
  }

  async close(): Promise<void> {
    await this.#connection.close();
  }

  #readRaw(done: () => boolean): Promise<void> {
    return this.#read(STREAM.raw, this.#nextRaw, (sequence, blockRows) => {
      this.#nextRaw = sequence + 1;
      this.#rows += blockRows;
      return done();
    });
  }

  /** Until `onBlock` is content, or nothing comes any more. */
  async #read(
    stream: string,
    from: number,
    onBlock: (sequence: number, rows: number) => boolean,
  ): Promise<void> {
    const consumer = await this.#js.consumers.get(stream, {
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: from,
    });
    const messages = await consumer.consume({ max_messages: READ_AHEAD_MESSAGES });
    const silence = setTimeout(() => messages.stop(), this.#waitMsMax);
    try {
      for await (const message of messages) {
        silence.refresh();
        const block = decodeBlock(message.data);
        if (isFault(block)) {
          throw new WrongResultError([`${stream} ${message.seq}: ${block.reason}`]);
        }
        const report = parseReport(message.headers?.get(REPORT_HEADER));
        if (report !== null) this.#reports.push(report);
        if (onBlock(message.seq, block.rows)) break;
      }
    } finally {
      clearTimeout(silence);
      await messages.close();
    }
  }

  async #last(stream: string): Promise<number> {
    return (await this.#manager.streams.info(stream)).state.last_seq;
  }

  #wrong(rows: number): never {
    throw new WrongResultError([`${rows} clicks were accepted, ${STREAM.raw} holds ${this.#rows}`]);
  }
}
