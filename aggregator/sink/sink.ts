/**
 * The shell of one sink: reads a stream from its verified position, inserts units into their table,
 * then their ledger rows. The ledger is the position: it is written after the effect it guards.
 *
 * After any doubt (start, failed or unanswered insert) the table is asked which units it has, because
 * a deduplication token may be remembered whose rows did not survive, and the other way round.
 */
import { createHash } from "node:crypto";
import type { JetStreamClient, JetStreamManager } from "@nats-io/jetstream";
import { decodeBlock, isFault } from "../../wire/block.ts";
import { SINK_BATCH_BYTES_MAX, SINK_BATCH_UNITS_MAX, SINK_LINGER_MS } from "../limits.ts";
import type { Alarms } from "../ops/alarms.ts";
import type { Log } from "../ops/log.ts";
import { retry } from "../ops/retry.ts";
import { setAside } from "../source/set-aside.ts";
import { readStream, storedMessage } from "../source/stream-reader.ts";
import type { StreamMessage } from "../source/stream-reader.ts";
import { isClickHouseFailure } from "./clickhouse.ts";
import type { Database } from "./clickhouse.ts";
import { decidePosition } from "./decide-position.ts";
import type { ReadFrom } from "./decide-position.ts";
import { isAfter, missingUnits, orderUnits } from "./decide-units.ts";
import { planBatch } from "./plan-batch.ts";
import type { Trimmer } from "./trimmer.ts";
import { tokenText } from "./unit.ts";
import type { SinkKind, Unit, UnitNumber } from "./unit.ts";

export interface SinkParts {
  readonly kind: SinkKind;
  readonly js: JetStreamClient;
  readonly manager: JetStreamManager;
  readonly database: Database;
  readonly trimmer: Trimmer;
  readonly alarms: Alarms;
  readonly log: Log;
  readonly signal: AbortSignal;
  nowMs(): number;
  /** Stops there in crash tests; does nothing otherwise. */
  reached(point: "before_ledger"): void;
}

const BATCH_LIMITS = {
  bytesMax: SINK_BATCH_BYTES_MAX,
  unitsMax: SINK_BATCH_UNITS_MAX,
  lingerMs: SINK_LINGER_MS,
};

/** A message at hand: a unit, or the time that a tick tells. */
interface Waiting {
  readonly brokerTimeMs: number;
  readonly unit: Unit | null;
}

/** Runs until the signal aborts; throws what must not be survived. */
export async function runSink(parts: SinkParts): Promise<void> {
  const sink = new Sink(parts);
  await sink.run();
}

class Sink {
  readonly #parts: SinkParts;
  /** Newest unit per producer that is in the table for certain. */
  readonly #newest = new Map<string, UnitNumber>();
  #streamCreated = "";
  /** The table may hold units of the next batch already. */
  #inDoubt = true;

  constructor(parts: SinkParts) {
    this.#parts = parts;
  }

  async run(): Promise<void> {
    const { kind, js, signal, log } = this.#parts;
    const from = await this.#retried("attach", () => this.#attach());
    log.info({ sink: kind.name, from: from.sequence }, "sink reads");
    const waiting: Waiting[] = [];
    for await (const message of readStream(js, kind.stream, undefined, from.sequence, signal)) {
      const read = await this.#read(message);
      // A tick says something only about units that wait.
      if (read === null || (read.unit === null && waiting.length === 0)) continue;
      waiting.push(read);
      const count = planBatch(waiting, BATCH_LIMITS);
      if (count !== null) await this.#take(waiting.splice(0, count).flatMap((w) => w.unit ?? []));
    }
    // Asked to stop: what waits is read again by the next start.
    log.info({ sink: kind.name, waiting: waiting.length }, "sink stopped");
  }

  /** Reads the ledger, and checks its position against the stream. */
  async #attach(): Promise<ReadFrom> {
    const { kind, database, manager, alarms } = this.#parts;
    const { created, state } = await manager.streams.info(kind.stream);
    this.#streamCreated = created;
    const [stored] = await database.select<{ sequence: string; message_id: string; time: string }>(
      kind.positionQuery,
      {
        stream_created: this.#streamCreated,
      },
    );
    const position =
      stored === undefined
        ? null
        : {
            sequence: Number(stored.sequence),
            messageId: stored.message_id,
            timeMs: Number(stored.time),
          };
    const there =
      position === null
        ? null
        : await storedMessage(manager, kind.stream, { seq: position.sequence });
    const from = decidePosition(position, {
      firstSequence: state.first_seq,
      lastSequence: state.last_seq,
      there,
    });
    if (from.lost !== null) {
      await alarms.raise(kind.name, {
        alarm: "position_lost",
        subject: kind.stream,
        messageId: "",
        detail: from.lost,
      });
    }
    this.#newest.clear();
    for (const row of await database.select<{ producer: string; number: string; chunk: string }>(
      kind.newestQuery,
    )) {
      this.#newest.set(row.producer, { number: Number(row.number), chunk: Number(row.chunk) });
    }
    if (position === null && this.#newest.size > 0) {
      const detail = `the ledger knows ${this.#newest.size} producers and nothing of the stream created ${created}`;
      await alarms.raise(kind.name, {
        alarm: "stream_replaced",
        subject: kind.stream,
        messageId: "",
        detail,
      });
    }
    this.#inDoubt = true;
    return from;
  }

  /** Null for a message that is not ours: it goes aside, and blocks nothing. */
  async #read(message: StreamMessage): Promise<Waiting | null> {
    const { kind } = this.#parts;
    const block = decodeBlock(message.data);
    if (isFault(block)) {
      if (block.fault === "version")
        throw new Error(`${message.subject} ${message.sequence}: ${block.reason}`);
      await setAside(this.#parts, kind.stream, message, block.reason);
      return null;
    }
    const { brokerTimeMs } = message;
    if (block.origin.kind === "tick") return { brokerTimeMs, unit: null };
    const unit = kind.unitOf(block, message, this.#streamCreated);
    if (unit !== null) return { brokerTimeMs, unit };
    await setAside(
      this.#parts,
      kind.stream,
      message,
      `a ${block.origin.kind} block does not belong in ${kind.stream}`,
    );
    return null;
  }

  async #take(units: readonly Unit[]): Promise<void> {
    const { kind, alarms, trimmer } = this.#parts;
    const order = orderUnits(units, this.#newest);
    for (const hole of order.holes) await alarms.raise(kind.name, hole);
    await this.#retried("insert", () => this.#insert(order.fresh, order.repeated));
    for (const unit of order.fresh) {
      const known = this.#newest.get(unit.producer);
      if (known === undefined || isAfter(unit, known)) this.#newest.set(unit.producer, unit);
    }
    this.#inDoubt = false;
    const last = units.at(-1);
    if (last !== undefined)
      await trimmer.safeThrough(last.message.sequence, last.message.brokerTimeMs);
  }

  /** Rows first, then the ledger. An attempt that fails leaves doubt, and the next one asks. */
  async #insert(fresh: readonly Unit[], repeated: readonly Unit[]): Promise<void> {
    const { kind, database } = this.#parts;
    const doubt = this.#inDoubt;
    this.#inDoubt = true;
    const missing = await this.#missing(doubt ? [...fresh, ...repeated] : repeated);
    const certain = doubt ? [] : fresh.filter((u) => u.rows > 0);
    await this.#insertRows([...certain, ...missing], doubt || repeated.length > 0);
    this.#parts.reached("before_ledger");
    const ledgerUnits = [...fresh, ...missing.filter((u) => repeated.includes(u))];
    const rows = ledgerUnits.map((u) => u.ledgerRow);
    if (rows.length > 0)
      await database.insert(
        kind.ledger,
        rows,
        token(`${kind.name} ledger ${tokenText(ledgerUnits)}`),
      );
  }

  /**
   * @param verify ask afterwards: in doubt, a token may be remembered without its rows, and then an
   *   insert under it is answered with success and dropped
   */
  async #insertRows(units: readonly Unit[], verify: boolean): Promise<void> {
    const { kind, database } = this.#parts;
    if (units.length === 0) return;
    const text = `${kind.name} ${tokenText(units)}`;
    const bodies = units.map((u) => u.body);
    await database.insert(kind.table, bodies, token(text));
    if (!verify) return;
    const missing = await this.#missing(units);
    if (missing.length === 0) return;
    this.#parts.log.warn(
      { sink: kind.name, units: missing.length },
      "a remembered token had lost its rows",
    );
    await database.insert(
      kind.table,
      missing.map((u) => u.body),
      token(`${text} again ${this.#parts.nowMs()}`),
    );
  }

  /** Asks the table. */
  async #missing(units: readonly Unit[]): Promise<readonly Unit[]> {
    const { kind, database, alarms } = this.#parts;
    if (units.length === 0) return [];
    const found = await database.select<{ key: string; rows: string }>(kind.presentQuery, {
      days: [...new Set(units.map((u) => dateText(u.day)))],
      keys: units.map((u) => u.key),
    });
    const { missing, damaged } = missingUnits(
      units,
      new Map(found.map((row) => [row.key, Number(row.rows)])),
    );
    for (const alarm of damaged) await alarms.raise(kind.name, alarm);
    return missing;
  }

  #retried<T>(what: string, work: () => Promise<T>): Promise<T> {
    const { kind, log, signal } = this.#parts;
    return retry(`${kind.name}: ${what}`, work, isClickHouseFailure, log, signal);
  }
}

/** `YYYY-MM-DD` of days since 1970. */
function dateText(day: number): string {
  return new Date(day * 86_400_000).toISOString().slice(0, 10);
}

function token(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
