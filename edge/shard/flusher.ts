/**
 * Carries one chain's journal to NATS: seals numbered flushes, publishes them in order, asks for
 * proof before the journal forgets. One loop per chain, so rejected clicks never delay counted ones.
 *
 * Flush n+1 is published only when all of n is acknowledged, and always from n's stored record.
 */
import { WIRE_VERSION } from "../../wire/block.ts";
import { dayOf } from "../../wire/columns.ts";
import { hashText } from "../../wire/hash.ts";
import { BLOCK_BODY_BYTES_MAX } from "../../wire/limits.ts";
import { PLAN_ROWS_MAX } from "../limits.ts";
import { log } from "../log.ts";
import { rawSubject, rejectedSubject, STREAM } from "../../wire/subjects.ts";
import type { Publisher } from "../publish/publisher.ts";
import { assertAsRecorded, makeFlush, recipeOf } from "./flush-blocks.ts";
import type { FlushMessage, FlushRecipe } from "./flush-blocks.ts";
import {
  assertOwnPast,
  decideAttached,
  decideProof,
  isLate,
  planFlush,
  proofPauseMs,
  publishedByMs,
  readNewest,
} from "./flush-plan.ts";
import type { NewestMessage } from "./flush-plan.ts";
import type { Chain, FlushRecord, Identity, ShardStorage } from "./storage.ts";

export type Failpoint =
  | "before_journal_commit"
  | "after_journal_commit"
  | "between_publishes"
  | "before_acknowledgement";

export interface FlusherParts {
  readonly chain: Chain;
  readonly storage: ShardStorage;
  readonly identity: Identity;
  readonly publisher: Publisher;
  readonly settings: {
    readonly windowSeconds: number;
    readonly partitions: number;
    readonly journalKeepMs: number;
  };
  nowMs(): number;
  /** Resolves when everything written so far is durable. */
  durable(): Promise<void>;
  /** Stops there in crash tests; does nothing otherwise. */
  reached(point: Failpoint): Promise<void>;
  /** The shard's figures since the call before, as wire/report.ts writes them. */
  report(): string;
  /** A flush was published, all of it, in so many milliseconds. */
  published(tookMs: number): void;
  /** The journal has become smaller. */
  trimmed(byteCount: number): void;
}

interface Sealed {
  readonly record: FlushRecord;
  readonly messages: readonly FlushMessage[];
}

export class Flusher {
  readonly #parts: FlusherParts;
  /** Ids of the current flush's messages that JetStream has: a hint, lost with the object. */
  readonly #acknowledged = new Set<string>();
  /**
   * Flushes through this one are acknowledged, all their messages. Not stored: that costs a row a flush. A flush is
   * only sealed when those before it are acknowledged, so after a restart nothing but the newest is in doubt, and
   * publishing it again changes nothing. What a broker lost meanwhile, the subject itself says (#attach).
   */
  #publishedThrough: number;
  /** The subject has been looked at, in this life and since it was another than we knew. */
  #attached = false;
  /** Sequence of the newest message on the chain's subject, ours; null: unknown, so the next is not fenced. */
  #newestSequence: number | null = null;
  #lastProofAtMs = 0;

  constructor(parts: FlusherParts) {
    this.#parts = parts;
    const { storage, chain } = parts;
    const newest = storage.newestFlush(chain)?.flush ?? 0;
    this.#publishedThrough = Math.max(storage.provenFlush(chain), newest - 1);
  }

  /**
   * Publishes what was in the journal when it began (what comes meanwhile is for the next round, or
   * nothing would ever be proven under load); throws when NATS is away or refuses.
   */
  async flushAll(): Promise<void> {
    await this.#publishThrough(this.#parts.storage.newestJournalNumber(this.#parts.chain));
    await this.#prove();
  }

  async #publishThrough(number: number): Promise<void> {
    // First: what the subject has says which flush is next.
    if (!this.#attached && this.pending()) await this.#attach();
    for (let flush = this.#next(number); flush !== null; flush = this.#next(number)) {
      await this.#publish(flush);
    }
  }

  /** True when the journal holds rows that no acknowledged flush covers. */
  pending(): boolean {
    const { storage, chain } = this.#parts;
    return (
      storage.flushAfter(chain, this.#publishedThrough) !== null ||
      storage.newestJournalNumber(chain) > (storage.newestFlush(chain)?.to ?? 0)
    );
  }

  /** When the next range may be proven; null when none waits for it. */
  proofDueAtMs(): number | null {
    const { journalKeepMs } = this.#parts.settings;
    const unproven = this.#unproven();
    if (unproven.length === 0) return null;
    // Not the first one's: it may have been sealed by a clock that was ahead then, and those after it are younger.
    const leastMs = unproven.reduce((least, f) => Math.min(least, f.publishedByMs), Infinity);
    return Math.max(leastMs + journalKeepMs, this.#proofPauseEndsAtMs());
  }

  #proofPauseEndsAtMs(): number {
    // A proof in the future was one before the clock was set back.
    if (this.#lastProofAtMs > this.#parts.nowMs()) return 0;
    return this.#lastProofAtMs + proofPauseMs(this.#parts.settings.journalKeepMs);
  }

  /** Acknowledged flushes whose rows are kept, oldest first. */
  #unproven(): { flush: number; to: number; publishedByMs: number }[] {
    const { storage, chain, settings } = this.#parts;
    const late = storage.late(chain);
    return storage
      .unprovenFlushes(chain)
      .filter(({ flush }) => flush <= this.#publishedThrough)
      .map(({ flush, to, sealedAtMs }) => ({
        flush,
        to,
        publishedByMs: publishedByMs({ flush, sealedAtMs }, late, settings.journalKeepMs),
      }));
  }

  #unflushed(): { number: number; byteCount: number }[] {
    const { storage, chain } = this.#parts;
    return storage.journalSizes(chain, storage.newestFlush(chain)?.to ?? 0, PLAN_ROWS_MAX);
  }

  /** The flush to publish now: one made again from its record, or else a new one of rows up to `through`. */
  #next(through: number): Sealed | null {
    const { storage, chain, identity } = this.#parts;
    const record = storage.flushAfter(chain, this.#publishedThrough);
    if (record !== null) {
      const messages = makeFlush(
        recipeOf(record),
        identity,
        storage.journalRows(chain, record.from, record.to),
      );
      assertAsRecorded(record, messages);
      return { record, messages };
    }
    const sizes = this.#unflushed().filter((row) => row.number <= through);
    const to = planFlush(sizes, BLOCK_BODY_BYTES_MAX);
    return to === null ? null : this.#seal(sizes[0]!.number, to);
  }

  /** Writes down flush n before a byte of it leaves. */
  #seal(from: number, to: number): Sealed {
    const { storage, chain, identity, settings } = this.#parts;
    const newest = storage.newestFlush(chain);
    const newestBySubject = { ...newest?.newestBySubject };
    const sealedAtMs = this.#parts.nowMs();
    const recipe: FlushRecipe = {
      chain,
      flush: (newest?.flush ?? 0) + 1,
      wireVersion: WIRE_VERSION,
      windowSeconds: settings.windowSeconds,
      partitions: settings.partitions,
      flushedOn: dayOf(sealedAtMs),
      previousOn: (subject) => newestBySubject[subject] ?? 0,
    };
    const messages = makeFlush(recipe, identity, storage.journalRows(chain, from, to));
    const record: FlushRecord = {
      chain,
      flush: recipe.flush,
      from,
      to,
      wireVersion: recipe.wireVersion,
      windowSeconds: recipe.windowSeconds,
      partitions: recipe.partitions,
      flushedOn: recipe.flushedOn,
      sealedAtMs,
      messages: messages.map((m) => ({
        subject: m.subject,
        previous: m.previous,
        hash: hashText(m.hash),
      })),
      newestBySubject: {
        ...newestBySubject,
        ...Object.fromEntries(messages.map((m) => [m.subject, recipe.flush])),
      },
      report: this.#parts.report(),
    };
    storage.addFlush(record);
    return { record, messages };
  }

  /**
   * Looks what the chain's subject has. A broker that lost its unsynced tail is noticed here: at the start of
   * a life, and when a message finds another one before it than it should.
   */
  async #attach(): Promise<void> {
    const { storage, chain, identity } = this.#parts;
    const { newest, sequence } = await this.#newestMessage();
    const { publishedThrough, fenced, lost } = decideAttached(
      newest,
      identity.epoch,
      this.#publishedThrough,
      storage.provenFlush(chain),
      this.#newestSequence !== null && sequence > this.#newestSequence,
    );
    if (lost) this.#publishAgain(publishedThrough + 1);
    this.#newestSequence = fenced ? sequence : null;
    this.#attached = true;
  }

  async #publish({ record, messages }: Sealed): Promise<void> {
    const startMs = this.#parts.nowMs();
    this.#noteIfLate(record, startMs);
    await this.#parts.durable();
    // Raw first: raw clicks are the truth that counts are derived from.
    await this.#publishFirst(messages[0]!, record.report);
    await this.#parts.reached("between_publishes");
    await Promise.all(
      messages.slice(1).map(async (message) => {
        if (this.#acknowledged.has(message.id)) return;
        await this.#parts.publisher.publish({ ...message, report: null, behind: null });
        this.#acknowledged.add(message.id);
      }),
    );
    await this.#parts.reached("before_acknowledgement");
    this.#publishedThrough = record.flush;
    this.#acknowledged.clear();
    this.#parts.published(this.#parts.nowMs() - startMs);
  }

  /** Before it leaves: what is published now is not safe for as long as if it had been published when it was sealed. */
  #noteIfLate({ flush, sealedAtMs }: FlushRecord, nowMs: number): void {
    const { storage, chain, settings } = this.#parts;
    if (!isLate(sealedAtMs, nowMs, settings.journalKeepMs)) return;
    const { through } = storage.late(chain);
    storage.setLate(chain, { through: Math.max(through, flush), atMs: nowMs });
  }

  /**
   * On the chain's own subject, behind the flush before. What is acknowledged is not sent again when another message
   * of its flush is refused.
   */
  async #publishFirst(message: FlushMessage, report: string): Promise<void> {
    if (this.#acknowledged.has(message.id)) return;
    try {
      this.#newestSequence = await this.#parts.publisher.publish({
        ...message,
        report,
        behind: this.#newestSequence,
      });
    } catch (error) {
      // Also when an answer was lost: the message may stand there, and be the newest.
      this.#attached = false;
      throw error;
    }
    this.#acknowledged.add(message.id);
  }

  async #prove(): Promise<void> {
    const { storage, chain, identity, settings } = this.#parts;
    const nowMs = this.#parts.nowMs();
    // First: to know what is due, all unproven flushes are read, 600 of them with one a second.
    if (this.#proofPauseEndsAtMs() > nowMs) return;
    const dueAtMs = this.proofDueAtMs();
    if (dueAtMs === null || dueAtMs > nowMs) return;
    const { newest } = await this.#newestMessage();
    this.#lastProofAtMs = nowMs;
    const unproven = this.#unproven();
    const proof = decideProof(unproven, nowMs, settings.journalKeepMs, identity.epoch, newest);
    if (proof.kind === "proven") {
      this.#parts.trimmed(storage.setProven(chain, proof));
    } else if (proof.kind === "publish_again") {
      this.#publishAgain(proof.fromFlush);
      await this.#publishThrough(storage.newestFlush(chain)?.to ?? 0);
    }
  }

  #publishAgain(fromFlush: number): void {
    const { chain, identity } = this.#parts;
    const lost = { shard: identity.shard, chain, flush: fromFlush };
    log("error", "the broker lost flushes it had acknowledged; publishing them again", lost);
    this.#publishedThrough = fromFlush - 1;
    this.#acknowledged.clear();
  }

  /** Of the chain's own subject; its sequence is 0 when there is none. */
  async #newestMessage(): Promise<{ newest: NewestMessage; sequence: number }> {
    const { chain, identity, publisher } = this.#parts;
    const found =
      chain === "clicks"
        ? await publisher.newest(STREAM.raw, rawSubject(identity.shard))
        : await publisher.newest(STREAM.rejected, rejectedSubject(identity.shard));
    const newest = readNewest(found?.bytes ?? null, chain === "clicks" ? "raw" : "rejected");
    assertOwnPast(newest, identity.epoch, this.#parts.storage.newestFlush(chain)?.flush ?? 0);
    return { newest, sequence: found?.sequence ?? 0 };
  }
}
