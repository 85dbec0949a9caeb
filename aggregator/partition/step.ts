/**
 * A partition as a deterministic state machine: the same messages with the same broker times give
 * the same emissions, byte for byte, on any machine. No clock, no I/O; what is to be done comes out
 * as effects.
 */
import type { Block, PartialOrigin, ProducerNumber, Settings } from "../../wire/block.ts";
import { dayOf } from "../../wire/columns.ts";
import type { EmissionUnit } from "../../wire/result.ts";
import { hashText } from "../../wire/hash.ts";
import { shardProducer } from "../../wire/subjects.ts";
import type { Alarm } from "../alarm.ts";
import { OUT_OF_MEMORY_REASON } from "../../wasm/kernel.ts";
import type { Kernel, RowChunk } from "../../wasm/kernel.ts";
import { CHUNK_BYTES_MAX, CHUNK_BYTES_MIN, EPOCHS_PER_SHARD_MAX } from "../limits.ts";
import { makeEmission } from "./emission.ts";
import type { Emission } from "./emission.ts";

/**
 * Raised when the same messages would give other emissions than before: also when the kernel's limits are
 * others (wasm/limits.ts), for beyond them it emits early.
 */
export const STEP_VERSION = 1;

/** In force until the stream's first settings message. */
export const SETTINGS_BEFORE_ANY: Settings = {
  stepVersion: STEP_VERSION,
  windowSeconds: 60,
  graceMs: 5_000,
  chunkBytesMax: CHUNK_BYTES_MAX,
  topCount: 0,
};

/** The newest flush of a producer that is counted here, with its hash to compare a repeat against. */
interface Counted extends ProducerNumber {
  readonly hash: bigint;
}

export interface PartitionState {
  readonly partitions: number;
  readonly partition: number;
  settings: Settings;
  /** Newest broker time seen: it never goes back, whatever a new leader's clock says. */
  brokerTimeMs: number;
  /** Windows that end at or before this are closed (seconds since 1970); 0 before the first message. */
  closedThroughSeconds: number;
  /** Number of the newest emission. */
  emission: number;
  readonly producers: Map<string, Counted>;
  readonly kernel: Kernel;
  /** Clicks ingested and not emitted yet: what the kernel must give back. */
  clicksHeld: number;
}

/** A message that passed the reader's checks, or null for one that was set aside: its time still counts. */
export interface StepMessage {
  readonly subject: string;
  readonly id: string;
  readonly brokerTimeMs: number;
  readonly block: Block | null;
}

export type Effect =
  /** `early`: not because windows closed, but because the kernel is at its limits. */
  | { readonly kind: "emit"; readonly emission: Emission; readonly early: boolean }
  | { readonly kind: "alarm"; readonly alarm: Alarm }
  /** Only a later version knows how to go on: nothing of this message but its time is in the state. */
  | { readonly kind: "stop"; readonly reason: string }
  /** The block's rows are not what its kind promises: our own fault, and nothing of it is counted. */
  | { readonly kind: "set_aside"; readonly reason: string };

export function newPartition(
  partitions: number,
  partition: number,
  kernel: Kernel,
): PartitionState {
  return {
    partitions,
    partition,
    settings: SETTINGS_BEFORE_ANY,
    brokerTimeMs: 0,
    closedThroughSeconds: 0,
    emission: 0,
    producers: new Map(),
    kernel,
    clicksHeld: 0,
  };
}

/** Time first, then content: what a message carries is judged by the watermark it brings. */
export function step(state: PartitionState, message: StepMessage): Effect[] {
  const effects: Effect[] = [];
  state.brokerTimeMs = Math.max(state.brokerTimeMs, message.brokerTimeMs);
  const emission = closeWindows(state);
  if (emission !== null) effects.push({ kind: "emit", emission, early: false });
  const { block } = message;
  if (block === null) return effects;
  switch (block.origin.kind) {
    case "tick":
      break;
    case "settings":
      effects.push(...takeSettings(state, block.origin));
      break;
    case "partial":
      effects.push(...ingest(state, message, block as Block<PartialOrigin>));
      break;
    case "raw":
    case "rejected":
    case "result":
      effects.push({
        kind: "set_aside",
        reason: `a ${block.origin.kind} block does not belong on ${message.subject}`,
      });
  }
  return effects;
}

/** Newest broker time minus the grace, milliseconds since 1970. */
export function watermarkMs(state: PartitionState): number {
  return state.brokerTimeMs - state.settings.graceMs;
}

/**
 * Emits when the watermark passes a window's end: all windows up to there, and what came late for
 * older ones since the last emission.
 */
function closeWindows(state: PartitionState): Emission | null {
  const { windowSeconds, chunkBytesMax } = state.settings;
  const boundarySeconds = Math.floor(watermarkMs(state) / 1_000 / windowSeconds) * windowSeconds;
  if (boundarySeconds <= state.closedThroughSeconds) return null;
  const before = state.closedThroughSeconds;
  state.closedThroughSeconds = boundarySeconds;
  // The first message only says what time it is.
  if (before === 0) return null;

  return emit(state, (unit) =>
    state.kernel.close({
      closedThroughSeconds: boundarySeconds,
      lateThroughSeconds: before,
      windowSeconds,
      unit,
      chunkBytesMax,
    }),
  );
}

/**
 * Beyond its limits the kernel lets go of all rows: deltas of windows that are still open, and of late
 * ones. What comes for them later is another delta: made-up ads cost rows, and memory up to the limits.
 */
function emitEarly(state: PartitionState): Emission {
  const { windowSeconds, chunkBytesMax } = state.settings;
  return emit(state, (unit) =>
    state.kernel.emitEarly({
      closedThroughSeconds: state.closedThroughSeconds,
      windowSeconds,
      unit,
      chunkBytesMax,
    }),
  );
}

function emit(
  state: PartitionState,
  chunksOf: (unit: EmissionUnit) => readonly RowChunk[],
): Emission {
  state.emission++;
  const { partitions, partition, emission: number } = state;
  const emittedOn = dayOf(state.brokerTimeMs);
  const chunks = chunksOf({ job: "", partitions, partition, emission: number, emittedOn });
  const made = makeEmission(
    {
      partitions,
      partition,
      number,
      watermarkMs: watermarkMs(state),
      closedThroughSeconds: state.closedThroughSeconds,
      emittedOn,
      producers: includedProducers(state),
    },
    chunks,
  );
  state.clicksHeld -= made.clicks;
  const rowsHeld = state.kernel.rowCount();
  if (state.clicksHeld < 0 || (rowsHeld === 0 && state.clicksHeld !== 0)) {
    throw new Error(`emission ${number} leaves ${state.clicksHeld} clicks in ${rowsHeld} rows`);
  }
  return made;
}

/** Of each shard the newest epochs, in order of their first flush: an emission has room for so many. */
function includedProducers(state: PartitionState): ProducerNumber[] {
  const ofShard = new Map<number, ProducerNumber[]>();
  for (const { shard, epoch, flush } of state.producers.values()) {
    const epochs = [...(ofShard.get(shard) ?? []), { shard, epoch, flush }];
    ofShard.set(shard, epochs.slice(-EPOCHS_PER_SHARD_MAX));
  }
  return [...ofShard.values()]
    .flat()
    .toSorted((a, b) => a.shard - b.shard || (a.epoch < b.epoch ? -1 : 1));
}

function takeSettings(state: PartitionState, settings: Settings): Effect[] {
  const { stepVersion, windowSeconds, graceMs, chunkBytesMax, topCount } = settings;
  // Another step's messages would be decided otherwise than their sender expects: stop, do not guess.
  if (stepVersion !== STEP_VERSION) {
    return [
      {
        kind: "stop",
        reason: `settings ask for step version ${stepVersion}, this is ${STEP_VERSION}`,
      },
    ];
  }
  if (windowSeconds < 1 || chunkBytesMax < CHUNK_BYTES_MIN || chunkBytesMax > CHUNK_BYTES_MAX) {
    const reason = `settings of ${windowSeconds} s windows and ${chunkBytesMax} byte chunks`;
    return [{ kind: "set_aside", reason }];
  }
  state.settings = { stepVersion, windowSeconds, graceMs, chunkBytesMax, topCount };
  return [];
}

function ingest(
  state: PartitionState,
  message: StepMessage,
  block: Block<PartialOrigin>,
): Effect[] {
  const { origin } = block;
  if (origin.partitions !== state.partitions || origin.partition !== state.partition) {
    return [
      {
        kind: "set_aside",
        reason: `it is for partition ${origin.partition} of ${origin.partitions}`,
      },
    ];
  }
  const key = shardProducer(origin.shard, origin.epoch);
  const last = state.producers.get(key);
  const lastFlush = last?.flush ?? 0;
  if (origin.flush <= lastFlush) {
    // Made again and stored twice: what is here already is skipped.
    if (origin.flush === lastFlush && last?.hash !== block.hash) {
      return [
        alarmOf(
          message,
          "hash_differs",
          `flush ${origin.flush} of ${key} is ${hashText(block.hash)}, counted was ${hashText(last?.hash ?? 0n)}`,
        ),
      ];
    }
    return [];
  }
  const effects: Effect[] = [];
  const outcome = state.kernel.ingest(block.body, block.rows);
  if (!outcome.ok) {
    // Not the block's fault: the process ends, and the stream waits for one with more memory.
    if (outcome.reason === OUT_OF_MEMORY_REASON) throw new Error(outcome.reason);
    effects.push({
      kind: "set_aside",
      reason: `rows: ${outcome.reason} at byte ${outcome.offset}`,
    });
    return effects;
  }
  if (outcome.clicks !== origin.clicks) {
    // The rows are counted as they are, and the windows are in doubt: no other message waits for that.
    effects.push(
      alarmOf(
        message,
        "clicks_differ",
        `flush ${origin.flush} of ${key} says ${origin.clicks} clicks, its rows hold ${outcome.clicks}`,
      ),
    );
  }
  state.clicksHeld += outcome.clicks;
  state.producers.set(key, {
    shard: origin.shard,
    epoch: origin.epoch,
    flush: origin.flush,
    hash: block.hash,
  });
  if (origin.previous !== lastFlush) {
    effects.push(
      alarmOf(
        message,
        "hole",
        `flush ${origin.flush} of ${key} follows ${origin.previous}, counted was ${lastFlush}`,
      ),
    );
  }
  if (origin.windowSeconds !== state.settings.windowSeconds) {
    effects.push(
      alarmOf(
        message,
        "window_size_differs",
        `flush ${origin.flush} of ${key} has windows of ${origin.windowSeconds} s, this partition of ${state.settings.windowSeconds} s`,
      ),
    );
  }
  if (state.kernel.isOverLimit()) {
    effects.push({ kind: "emit", emission: emitEarly(state), early: true });
  }
  return effects;
}

function alarmOf(message: StepMessage, alarm: string, detail: string): Effect {
  return {
    kind: "alarm",
    alarm: { alarm, subject: message.subject, messageId: message.id, detail },
  };
}
