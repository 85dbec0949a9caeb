/**
 * The shell of one sink: reads a stream from its verified position, inserts units into their table,
 * then their ledger rows. The ledger is the position: it is written after the effect it guards.
 *
 * In doubt (what was in the stream at the start, what is old, failed or unanswered inserts, repeats) table and
 * ledger are asked which units they have, because a deduplication token may be remembered whose rows
 * did not survive, and the other way round.
 */
import { createHash } from "node:crypto";
import type { JetStreamClient, JetStreamManager } from "@nats-io/jetstream";
import type { TableName } from "../../wire/columns.ts";
import { hashText } from "../../wire/hash.ts";
import {
  SINK_BATCH_BYTES_MAX,
  SINK_BATCH_UNITS_MAX,
  SINK_DOUBT_AGE_MS,
  SINK_LINGER_MS,
  TOKENS_LOST_MAX,
} from "../limits.ts";
import type { Alarms } from "../ops/alarms.ts";
import type { Log } from "../ops/log.ts";
import { retry } from "../ops/retry.ts";
import { isNatsFailure } from "../source/nats-failure.ts";
import { ReaderStop, runStoppable } from "../source/reader-stop.ts";
import { setAside } from "../source/set-aside.ts";
import { readStream, storedMessage } from "../source/stream-reader.ts";
import type { StreamMessage } from "../source/stream-reader.ts";
import { isClickHouseFailure } from "./clickhouse.ts";
import type { Database } from "./clickhouse.ts";
import { decidePosition } from "./decide-position.ts";
import type { ReadFrom, StoredPosition } from "./decide-position.ts";
import { missingUnits, placeUnit } from "./decide-units.ts";
import { planBatch } from "./plan-batch.ts";
import { readUnit } from "./read-unit.ts";
import type { Trimmer } from "./trimmer.ts";
import { tokenText } from "./unit.ts";
import type { Reached, SinkKind, Unit } from "./unit.ts";

export interface SinkParts {
  readonly kind: SinkKind;
  readonly js: JetStreamClient;
  readonly manager: JetStreamManager;
  readonly database: Database;
  readonly trimmer: Trimmer;
  readonly alarms: Alarms;
  readonly log: Log;
  readonly signal: AbortSignal;
  /** Milliseconds since 1970. */
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
  readonly sequence: number;
  readonly brokerTimeMs: number;
  readonly unit: Unit | null;
  /** At or before what its producer had reached: the table knows whether it is there. */
  readonly repeated: boolean;
}

/** Runs until the signal aborts; throws what must not be survived. */
export async function runSink(parts: SinkParts): Promise<void> {
  await runStoppable(parts.kind.name, parts, () => new Sink(parts).run());
}

class Sink {
  readonly #parts: SinkParts;
  /** Newest unit per producer that was read. */
  readonly #reached = new Map<string, Reached>();
  #streamCreated = "";
  /** An earlier life may have inserted what stands up to here. */
  #doubtThrough = 0;
  /** Newest sequence in the ledger as far as this instance knows: what it found and what it wrote. */
  #written = 0;
  /** An attempt of this life has failed or stayed unanswered. */
  #attemptFailed = false;

  constructor(parts: SinkParts) {
    this.#parts = parts;
  }

  /** Attaches again after a gap: only the ledger says where a batch of everybody's begins. */
  async run(): Promise<void> {
    const { kind, signal, log } = this.#parts;
    while (!signal.aborted) {
      const from = await this.#retried("attach", () => this.#attach());
      log.info({ sink: kind.name, from: from.sequence }, "sink reads");
      await this.#readFrom(from.sequence);
    }
    log.info({ sink: kind.name }, "sink stopped");
  }

  /**
   * Reads until it is asked to stop, or finds that another instance was ahead: messages that were not
   * read yet are gone, and the ledger has come further than this instance brought it. What waits then
   * was inserted, or is read again. Other gaps are normal: trimming leaves the newest of each subject.
   */
  async #readFrom(fromSequence: number): Promise<void> {
    const { kind, log, trimmer } = this.#parts;
    const waiting: Waiting[] = [];
    let last = fromSequence - 1;
    for await (const message of readStream(this.#parts, kind.stream, undefined, fromSequence)) {
      if (message.sequence !== last + 1) {
        const stored = await this.#retried("position", () => this.#storedPosition());
        if (stored !== null && stored.sequence > this.#written) {
          log.warn(
            { sink: kind.name, last, next: message.sequence },
            "another instance is ahead: attaching again",
          );
          return;
        }
      }
      last = message.sequence;
      const read = await this.#read(message);
      if (read !== null) waiting.push(read);
      const count = planBatch(waiting, BATCH_LIMITS);
      if (count !== null) await this.#take(waiting.splice(0, count).flatMap((w) => w.unit ?? []));
      await this.#takeHead(waiting);
      if (waiting.length === 0) trimmer.safeThrough(message.sequence, message.brokerTimeMs);
      else trimmer.safeThrough(waiting[0]!.sequence - 1, waiting[0]!.brokerTimeMs);
    }
  }

  /** Reads the ledger, and checks its position against the stream. */
  async #attach(): Promise<ReadFrom> {
    const { kind, database, manager, alarms, trimmer } = this.#parts;
    const { created } = await manager.streams.info(kind.stream);
    this.#streamCreated = created;
    const stored = await this.#storedPosition();
    this.#written = stored?.sequence ?? 0;
    trimmer.forget();
    this.#reached.clear();
    for (const row of await database.select<ReachedRow>(kind.reachedQuery)) {
      this.#reached.set(row.producer, {
        number: Number(row.number),
        chunk: Number(row.chunk),
        complete: row.complete === 1,
      });
    }
    // After the ledger: another instance may go on writing it meanwhile.
    const { state } = await manager.streams.info(kind.stream);
    this.#doubtThrough = state.last_seq;
    if (stored === null) {
      if (this.#reached.size > 0) {
        const detail = `the ledger knows ${this.#reached.size} producers and nothing of the stream created ${created}`;
        alarms.raise(kind.name, {
          alarm: "stream_replaced",
          subject: kind.stream,
          messageId: "",
          detail,
        });
      }
      return { sequence: 1, lost: null };
    }
    const from = decidePosition(stored, {
      firstSequence: state.first_seq,
      lastSequence: state.last_seq,
      there: await storedMessage(manager, kind.stream, { seq: stored.sequence }),
    });
    if (from.lost !== null) {
      alarms.raise(kind.name, {
        alarm: "position_lost",
        subject: kind.stream,
        messageId: "",
        detail: from.lost,
      });
    }
    return from;
  }

  /** The ledger's newest row of this very stream; null when it has none. */
  async #storedPosition(): Promise<StoredPosition | null> {
    const { kind, database } = this.#parts;
    const [row] = await database.select<{ sequence: string; message_id: string; time: string }>(
      kind.positionQuery,
      { stream_created: this.#streamCreated },
    );
    if (row === undefined) return null;
    return { sequence: Number(row.sequence), messageId: row.message_id, timeMs: Number(row.time) };
  }

  /** Null for a message that is not ours: it goes aside, and blocks nothing. */
  async #read(message: StreamMessage): Promise<Waiting | null> {
    const { kind, alarms } = this.#parts;
    const { sequence, brokerTimeMs } = message;
    const reading = readUnit(kind, message, this.#streamCreated);
    if (reading.kind === "tick") return { sequence, brokerTimeMs, unit: null, repeated: false };
    if (reading.kind === "unknown_version") throw new ReaderStop(message, reading.reason);
    if (reading.kind === "broken") {
      await setAside(this.#parts, kind.stream, message, reading.reason);
      return null;
    }
    const { unit } = reading;
    const place = placeUnit(unit, this.#reached.get(unit.producer));
    if (place.kind === "repeated") return { sequence, brokerTimeMs, unit, repeated: true };
    if (place.hole !== null) alarms.raise(kind.name, place.hole);
    this.#reached.set(unit.producer, unit);
    return { sequence, brokerTimeMs, unit, repeated: false };
  }

  /** Ticks and repeats that nothing waits before: a repeat is no part of a batch. */
  async #takeHead(waiting: Waiting[]): Promise<void> {
    for (let head = waiting[0]; head !== undefined; head = waiting[0]) {
      if (head.unit !== null && !head.repeated) return;
      const { unit } = head;
      if (unit !== null) await this.#retried("repeat", () => this.#takeRepeat(unit));
      waiting.shift();
    }
  }

  /** Stored twice, or published again: inserted if the table lacks it, compared if it has it. */
  async #takeRepeat(unit: Unit): Promise<void> {
    const { kind, alarms } = this.#parts;
    const known = (await this.#inLedger([unit])).get(unit.key);
    if (known === undefined) return this.#insert([unit], true);
    // A message id ends with the block's hash.
    if (!known.endsWith(hashText(unit.hash))) {
      alarms.raise(kind.name, {
        alarm: "hash_differs",
        subject: unit.message.subject,
        messageId: unit.message.id,
        detail: `${unit.key} is ${hashText(unit.hash)} now, it was inserted as ${known}`,
      });
    }
  }

  async #take(units: readonly Unit[]): Promise<void> {
    const first = units[0];
    if (first === undefined) return;
    // What is old has been here for another instance to insert, and its token may be forgotten.
    const ageMs = this.#parts.nowMs() - units.at(-1)!.message.brokerTimeMs;
    const doubt = first.message.sequence <= this.#doubtThrough || ageMs > SINK_DOUBT_AGE_MS;
    this.#attemptFailed = false;
    await this.#retried("insert", async () => {
      try {
        await this.#insert(units, doubt || this.#attemptFailed);
      } catch (error) {
        this.#attemptFailed = true;
        throw error;
      }
    });
  }

  /** Rows first, then the ledger. */
  async #insert(units: readonly Unit[], doubt: boolean): Promise<void> {
    const { kind } = this.#parts;
    const withRows = units.filter((u) => u.rows > 0);
    await this.#insertWhole(
      kind.table,
      withRows,
      (u) => u.body,
      doubt,
      (asked) => this.#missing(asked),
    );
    // Behind the ledger row nobody reads these units again: what they were alarmed about must be on the list.
    await this.#parts.alarms.settled();
    if (this.#parts.signal.aborted) throw new Error("asked to stop before the ledger");
    this.#parts.reached("before_ledger");
    await this.#insertWhole(
      kind.ledger,
      units,
      (u) => u.ledgerRow,
      doubt,
      async (asked) => {
        const known = await this.#inLedger(asked);
        return asked.filter((u) => !known.has(u.key));
      },
    );
  }

  /**
   * One insert of all units; in doubt, of those that are not there, and then asks again: under a token
   * that is remembered without its rows, an insert is answered with success and dropped. Tokens are
   * functions of the units and the attempt, so that a late copy of any attempt changes nothing.
   */
  async #insertWhole(
    table: TableName,
    units: readonly Unit[],
    bodyOf: (unit: Unit) => Uint8Array,
    doubt: boolean,
    missingOf: (units: readonly Unit[]) => Promise<readonly Unit[]>,
  ): Promise<void> {
    const { kind, database, log } = this.#parts;
    let missing = doubt && units.length > 0 ? await missingOf(units) : units;
    for (let lost = 0; missing.length > 0; lost++) {
      if (lost > TOKENS_LOST_MAX)
        throw new Error(`${kind.name}: ${table} drops ${missing.length} units`);
      const text = `${kind.name} ${table} ${lost} ${tokenText(missing)}`;
      await database.insert(
        table,
        missing.map(bodyOf),
        createHash("sha256").update(text).digest("hex"),
      );
      if (!doubt) return;
      missing = await missingOf(missing);
      if (missing.length > 0) {
        log.warn(
          { sink: kind.name, table, units: missing.length },
          "a remembered token had lost its rows",
        );
      }
    }
  }

  /** Asks the table. */
  async #missing(units: readonly Unit[]): Promise<readonly Unit[]> {
    const { kind, database, alarms } = this.#parts;
    const found = await database.select<{ key: string; rows: string }>(
      kind.presentQuery,
      range(units),
    );
    const present = new Map(found.map((row) => [row.key, Number(row.rows)]));
    const { missing, damaged } = missingUnits(units, present);
    for (const alarm of damaged) alarms.raise(kind.name, alarm);
    return missing;
  }

  /** Message ids of the units that the ledger has, by unit key. */
  async #inLedger(units: readonly Unit[]): Promise<ReadonlyMap<string, string>> {
    const { kind, database } = this.#parts;
    const found = await database.select<{ key: string; message_id: string }>(
      kind.ledgerQuery,
      range(units),
    );
    return new Map(found.map((row) => [row.key, row.message_id]));
  }

  #retried<T>(what: string, work: () => Promise<T>): Promise<T> {
    const { kind, log, signal } = this.#parts;
    return retry(`${kind.name}: ${what}`, work, isOutsideFailure, log, signal);
  }
}

interface ReachedRow {
  readonly producer: string;
  readonly number: string;
  readonly chunk: string;
  readonly complete: number;
}

function isOutsideFailure(error: unknown): boolean {
  return isClickHouseFailure(error) || isNatsFailure(error);
}

/** The parameters of the queries about units: keys, and bounds that indexes can use. */
function range(units: readonly Unit[]): Record<string, unknown> {
  return {
    days: [...new Set(units.map((u) => dateText(u.day)))],
    keys: units.map((u) => u.key),
    from: Math.min(...units.map((u) => u.number)),
    to: Math.max(...units.map((u) => u.number)),
  };
}

/** `YYYY-MM-DD` of days since 1970. */
function dateText(day: number): string {
  return new Date(day * 86_400_000).toISOString().slice(0, 10);
}
