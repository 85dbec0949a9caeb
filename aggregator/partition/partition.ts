/** The shell of one partition: reads its subject from the start, steps, publishes what comes out. */
import { JetStreamApiCodes, JetStreamApiError } from "@nats-io/jetstream";
import type { JetStreamClient, JetStreamManager } from "@nats-io/jetstream";
import { decodeBlock, encodeBlock, isFault } from "../../wire/block.ts";
import type { Block, Settings } from "../../wire/block.ts";
import { partialSubject, resultSubject, STREAM } from "../../wire/subjects.ts";
import type { Kernel } from "../../wasm/kernel.ts";
import { PUBLISH_MS_MAX } from "../limits.ts";
import type { Alarms } from "../ops/alarms.ts";
import type { Log } from "../ops/log.ts";
import { retry } from "../ops/retry.ts";
import { isNatsFailure } from "../source/nats-failure.ts";
import { newestMessage } from "../source/newest-message.ts";
import { ReaderStop, runStoppable } from "../source/reader-stop.ts";
import { setAside } from "../source/set-aside.ts";
import { readStream, storedMessage } from "../source/stream-reader.ts";
import type { StreamMessage } from "../source/stream-reader.ts";
import { decidePublish } from "./decide-publish.ts";
import type { NewestResult } from "./decide-publish.ts";
import type { Emission, ResultMessage } from "./emission.ts";
import { newPartition, step, watermarkMs } from "./step.ts";
import type { Effect } from "./step.ts";

/** What it takes to publish a partition's emissions. */
export interface PublisherParts {
  readonly partitions: number;
  readonly partition: number;
  readonly js: JetStreamClient;
  readonly manager: JetStreamManager;
  readonly alarms: Alarms;
  readonly log: Log;
  readonly signal: AbortSignal;
  /** Stops there in crash tests; does nothing otherwise. */
  reached(point: "between_chunks"): void;
}

export interface PartitionParts extends PublisherParts {
  /** What the environment asks for; in force once it is a message in the stream. */
  readonly settings: Settings;
  readonly kernel: Kernel;
}

/** The first message of a new subject: before any tick, so that no decision precedes the settings. */
export async function openSubject(parts: PartitionParts): Promise<void> {
  const subject = partialSubject(parts.partitions, parts.partition);
  const ask = () => storedMessage(parts.manager, STREAM.partial, { last_by_subj: subject });
  const newest = await retry("open subject", ask, isNatsFailure, parts.log, parts.signal);
  if (newest === null) await publishSettings(parts, subject);
}

/** Runs until the signal aborts; throws what must not be survived. */
export async function runPartition(parts: PartitionParts): Promise<void> {
  await runStoppable(`partition ${parts.partition}`, parts, () => readPartition(parts));
}

async function readPartition(parts: PartitionParts): Promise<void> {
  const { partitions, partition, log } = parts;
  const subject = partialSubject(partitions, partition);
  const state = newPartition(partitions, partition, parts.kernel);
  const publisher = new EmissionPublisher(parts);
  let caughtUp = false;
  // There are no snapshots yet: a start replays the whole subject, and skips the emissions that are there.
  for await (const message of readStream(parts, STREAM.partial, subject, 1)) {
    const block = await readBlock(parts, message);
    for (const effect of step(state, { ...message, block })) {
      await carryOut(parts, publisher, message, effect);
    }
    if (message.pending === 0 && !caughtUp) {
      // Once per process: an old instance must not take back what a new one has published since.
      caughtUp = true;
      if (differs(state.settings, parts.settings)) await publishSettings(parts, subject);
    }
  }
  log.info(
    { partition, emission: state.emission, watermarkMs: watermarkMs(state) },
    "partition stopped",
  );
}

/** Null for a message that is not ours: it goes aside, and blocks nothing. */
async function readBlock(parts: PartitionParts, message: StreamMessage): Promise<Block | null> {
  const block = decodeBlock(message.data);
  if (!isFault(block)) return block;
  if (block.fault === "version") throw new ReaderStop(message, block.reason);
  await setAside(parts, STREAM.partial, message, block.reason);
  return null;
}

async function carryOut(
  parts: PartitionParts,
  publisher: EmissionPublisher,
  message: StreamMessage,
  effect: Effect,
): Promise<void> {
  switch (effect.kind) {
    case "emit":
      if (effect.early) {
        const { number, rows, clicks } = effect.emission;
        parts.log.warn(
          { partition: parts.partition, emission: number, rows, clicks },
          "more keys or windows than the kernel holds: counts are emitted before windows close",
        );
      }
      return publisher.publish(effect.emission);
    case "alarm":
      parts.alarms.raise(`partition ${parts.partition}`, effect.alarm);
      return;
    case "stop":
      throw new ReaderStop(message, effect.reason);
    case "set_aside":
      return setAside(parts, STREAM.partial, message, effect.reason);
  }
}

/**
 * Nobody may publish without knowing what is newest: the same number could get other content. So it is
 * asked again until it is known: the trimmer takes what was set aside out of the way, a round at a time.
 */
class NewestUnknown extends Error {
  constructor(subject: string, passed: number) {
    super(`the last ${passed} messages on ${subject} are not its partition's: not publishing`);
  }
}
function isPassing(error: unknown): boolean {
  return isNatsFailure(error) || error instanceof NewestUnknown;
}

interface NewestOnSubject {
  /** The subject's last sequence, whatever stands there; 0 for none. */
  readonly fence: number;
  readonly result: NewestResult;
}

/** Publishes emissions behind the fence of their subject: of two instances side by side one wins each step. */
export class EmissionPublisher {
  readonly #parts: PublisherParts;
  readonly #subject: string;
  /** The newest message on the results subject as far as we know; undefined: ask. */
  #newest: NewestOnSubject | undefined;

  constructor(parts: PublisherParts) {
    this.#parts = parts;
    this.#subject = resultSubject(parts.partitions, parts.partition);
  }

  async publish(emission: Emission): Promise<void> {
    const { log, signal, partition } = this.#parts;
    for (const message of emission.messages) {
      const sent = await retry(
        "publish emission",
        () => this.#chunk(emission, message),
        isPassing,
        log,
        signal,
      );
      if (sent && message.chunk < emission.messages.length - 1)
        this.#parts.reached("between_chunks");
    }
    log.debug(
      { partition, emission: emission.number, rows: emission.rows, clicks: emission.clicks },
      "emission",
    );
  }

  /** True when this instance published it. */
  async #chunk(emission: Emission, message: ResultMessage): Promise<boolean> {
    const { alarms, partition } = this.#parts;
    for (;;) {
      this.#newest ??= await this.#askNewest();
      const { result, fence } = this.#newest;
      const decision = decidePublish(emission, message.chunk, result);
      if (decision.kind === "skip") return false;
      if (decision.kind === "differs") {
        alarms.raise(
          `partition ${partition}`,
          this.#alarm("hash_differs", message, decision.detail),
        );
        // This state is not to be trusted: the process ends, and the next one replays.
        throw new Error(decision.detail);
      }
      // Until the answer is there, we do not know what is newest.
      this.#newest = undefined;
      try {
        const ack = await this.#parts.js.publish(this.#subject, message.bytes, {
          msgID: message.id,
          timeout: PUBLISH_MS_MAX,
          expect: { lastSubjectSequence: fence },
        });
        // Not before: a lost fence asks what is newest once more, and then there may be no hole. Whose answer
        // is lost leaves it to the sink, which names a hole by the same numbers.
        if (decision.hole !== null) {
          alarms.raise(`partition ${partition}`, this.#alarm("hole", message, decision.hole));
        }
        const { number, hash, messages } = emission;
        const { chunk } = message;
        this.#newest = {
          fence: ack.seq,
          result: { emission: number, chunk, chunks: messages.length, emissionHash: hash },
        };
        return true;
      } catch (error) {
        if (
          error instanceof JetStreamApiError &&
          error.code === JetStreamApiCodes.StreamWrongLastSequence
        )
          continue;
        throw error;
      }
    }
  }

  /** What is not ours on the subject moves the fence, and says nothing about emissions: the sink sets it aside. */
  async #askNewest(): Promise<NewestOnSubject> {
    const newest = await newestMessage(this.#parts.manager, STREAM.results, this.#subject);
    if (newest === null) return { fence: 0, result: null };
    const fence = newest.last.sequence;
    if (newest.found === "unknown") throw new NewestUnknown(this.#subject, newest.passed.length);
    if (newest.found === "none") return { fence, result: null };
    const block = decodeBlock(newest.own.data);
    if (isFault(block)) throw new ReaderStop(newest.own, block.reason);
    return { fence, result: block.origin.kind === "result" ? block.origin : null };
  }

  #alarm(alarm: string, message: ResultMessage, detail: string) {
    return { alarm, subject: this.#subject, messageId: message.id, detail };
  }
}

function differs(a: Settings, b: Settings): boolean {
  return (Object.keys(b) as (keyof Settings)[]).some((key) => a[key] !== b[key]);
}

/** Without an idempotency key: settings that go from A to B and back to A are three messages. */
async function publishSettings(parts: PartitionParts, subject: string): Promise<void> {
  const { js, partition, settings, log, signal } = parts;
  const { bytes } = encodeBlock({ kind: "settings", ...settings }, 0, new Uint8Array(0));
  const publish = () => js.publish(subject, bytes, { timeout: PUBLISH_MS_MAX });
  await retry("publish settings", publish, isNatsFailure, log, signal);
  log.info({ partition, settings }, "settings published");
}
