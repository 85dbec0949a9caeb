/**
 * The flusher and its storage against a broker that refuses, loses answers and loses what it had acknowledged, with
 * crashes and changed settings in between: a simulation over the object's own SQLite.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeBlock, encodeBlock, isFault } from "../../wire/block.ts";
import { reader } from "../../wire/cursor.ts";
import { hash128 } from "../../wire/hash.ts";
import { MESSAGE_BYTES_MAX } from "../../wire/limits.ts";
import { readPartial } from "../../wire/partial.ts";
import { readRawClick } from "../../wire/raw-click.ts";
import { PublishFailure } from "../publish/publisher.ts";
import type { NewestOnSubject, OutgoingMessage, Publisher } from "../publish/publisher.ts";
import { journalEntry, packOfClicks, withSql } from "./fixtures.ts";
import { proofPauseMs } from "./flush-plan.ts";
import { Flusher } from "./flusher.ts";
import type { CountedSql } from "./sql.ts";
import { ShardStorage } from "./storage.ts";

const SHARD = 3;
const RAW = `clicks.raw.${SHARD}`;
const KEEP_MS = 10_000;
/** From sealing on, when a flush is published in time. */
const PROVEN_AFTER_MS = KEEP_MS + proofPauseMs(KEEP_MS);
/** What an unsynced broker may lose: less than the journal keeps. */
const UNSYNCED_MS = 8_000;

type Fault = "refuses" | "loses the answer";

interface Stored {
  readonly subject: string;
  readonly id: string;
  readonly bytes: Uint8Array;
  readonly storedAtMs: number;
  readonly sequence: number;
}

/** One stream for all subjects. It has forgotten all message ids: only numbers make a message one. */
class Broker implements Publisher {
  messages: Stored[] = [];
  /** Faults of the next publishes, in order; then all goes well. */
  faults: (Fault | null)[] = [];
  nowMs = 0;

  async publish({ subject, id, bytes, behind }: OutgoingMessage): Promise<number> {
    const fault = this.faults.shift();
    if (fault === "refuses") throw new PublishFailure("refused");
    if (behind !== null && (this.#newest(subject)?.sequence ?? 0) !== behind) {
      throw new PublishFailure("wrong last sequence");
    }
    const sequence = (this.messages.at(-1)?.sequence ?? 0) + 1;
    this.messages.push({ subject, id, bytes, storedAtMs: this.nowMs, sequence });
    if (fault === "loses the answer") throw new PublishFailure("timeout");
    return sequence;
  }

  async newest(_: string, subject: string): Promise<NewestOnSubject | null> {
    return this.#newest(subject) ?? null;
  }

  #newest(subject: string): Stored | undefined {
    return this.messages.findLast((message) => message.subject === subject);
  }

  /** Its machine crashes. Others publish on: sequences that were lost are used again. */
  losesItsTail(): void {
    this.messages = this.messages.filter((m) => m.storedAtMs <= this.nowMs - UNSYNCED_MS);
  }

  close(): void {}
}

/** One life of a shard after the other, over one storage. */
class Shard {
  readonly broker = new Broker();
  readonly #sql: CountedSql;
  settings = { windowSeconds: 60, partitions: 2, journalKeepMs: KEEP_MS };
  storage: ShardStorage;
  flusher: Flusher;
  clickCount = 0;
  /** Fingerprints of commits that no sealed segment holds: the journal must. */
  unsealed: number[] = [];
  /** What the platform answers when the flush asks whether its record is on disk. */
  durable: () => Promise<void> = async () => {};

  constructor(sql: CountedSql) {
    this.#sql = sql;
    this.storage = new ShardStorage(sql);
    this.flusher = this.#flusher();
  }

  restart(): void {
    this.storage = new ShardStorage(this.#sql);
    this.flusher = this.#flusher();
  }

  #flusher(): Flusher {
    return new Flusher({
      chain: "clicks",
      storage: this.storage,
      identity: this.storage.identity(SHARD),
      publisher: this.broker,
      settings: this.settings,
      nowMs: () => this.broker.nowMs,
      durable: () => this.durable(),
      reached: async () => {},
      report: () => `{"n":${this.clickCount}}`,
      published: () => {},
      trimmed: () => {},
    });
  }

  /** One commit of so many clicks; every third seals. */
  commit(count: number): void {
    const clicks = Array.from({ length: count }, (_, i) => ({
      clickId: `click.${this.clickCount + i}`,
      adId: `ad${(this.clickCount + i) % 5}`,
      eventTimeMs: 1_800_000_000_000 + this.clickCount * 1_000,
    }));
    const fingerprints = Uint32Array.from({ length: 2 * count }, (_, i) => this.clickCount + i);
    const number = this.storage.newestJournalNumber("clicks") + 1;
    const entry = { ...journalEntry([packOfClicks(clicks)]), fingerprints };
    this.storage.appendJournal("clicks", number, entry);
    this.unsealed.push(...fingerprints);
    if (number % 3 === 0) {
      this.storage.setSealed(number);
      this.unsealed = [];
    }
    const kept = [...this.storage.unsealedFingerprints()].flatMap((lanes) => [...lanes]);
    if (kept.join() !== this.unsealed.join()) {
      throw new Error(`the journal has ids ${kept.join()}, not ${this.unsealed.join()}`);
    }
    this.clickCount += count;
  }

  /** As the shard does it: a failure is tried again later. Returns whether it went well. */
  async flush(): Promise<boolean> {
    try {
      await this.flusher.flushAll();
      return true;
    } catch (error) {
      if (!(error instanceof PublishFailure)) throw error;
      return false;
    }
  }

  /** So many flushes of one click. */
  async flushOneByOne(count: number): Promise<void> {
    for (let flush = 1; flush <= count; flush++) {
      this.commit(1);
      // oxlint-disable-next-line no-await-in-loop
      await this.flush();
    }
  }

  /** All is well from now on: everything is published and proven. */
  async heal(): Promise<void> {
    this.broker.faults = [];
    const { newestFlush, provenFlush } = {
      newestFlush: () => this.storage.newestFlush("clicks")?.flush ?? 0,
      provenFlush: () => this.storage.provenFlush("clicks"),
    };
    for (let round = 0; round < 20; round++) {
      // oxlint-disable-next-line no-await-in-loop
      await this.flush();
      if (!this.flusher.pending() && provenFlush() === newestFlush()) return;
      this.broker.nowMs += KEEP_MS;
    }
    throw new Error(`flush ${newestFlush()} is not proven, only ${provenFlush()}`);
  }
}

/** What receivers take: the first of each number, and no other bytes under the same number. */
function received(messages: readonly Stored[], subject: string) {
  const byFlush = new Map<number, Stored>();
  for (const message of messages.filter((m) => m.subject === subject)) {
    const block = decodeBlock(message.bytes);
    if (isFault(block)) throw new Error(block.reason);
    if (block.origin.kind !== "raw" && block.origin.kind !== "partial") throw new Error("kind");
    const known = byFlush.get(block.origin.flush);
    if (known === undefined) byFlush.set(block.origin.flush, message);
    else if (message.id !== known.id || hashOf(message) !== hashOf(known)) {
      throw new Error(`flush ${block.origin.flush} has two contents: ${known.id}, ${message.id}`);
    }
  }
  return [...byFlush].toSorted(([a], [b]) => a - b).map(([, message]) => blockOf(message));
}

function blockOf({ bytes }: Stored) {
  const block = decodeBlock(bytes);
  if (isFault(block)) throw new Error(block.reason);
  return block;
}

function hashOf({ bytes }: Stored): string {
  const lanes = new Uint32Array(4);
  hash128(reader(bytes).view, 0, bytes.length, 0, lanes);
  return lanes.join(" ");
}

function clickIds(messages: readonly Stored[]): string[] {
  return received(messages, RAW).flatMap(({ rows, body }) => {
    const c = reader(body);
    return Array.from({ length: rows }, () => readRawClick(c).clickId);
  });
}

function countedClicks(messages: readonly Stored[]): number {
  const subjects = new Set(messages.map(({ subject }) => subject).filter((s) => s !== RAW));
  let clicks = 0;
  for (const subject of subjects) {
    for (const { rows, body } of received(messages, subject)) {
      const c = reader(body);
      for (let row = 0; row < rows; row++) clicks += readPartial(c).clicks;
    }
  }
  return clicks;
}

const ids = (count: number) => Array.from({ length: count }, (_, i) => `click.${i}`);

const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ commit: fc.integer({ min: 1, max: 4 }) }) },
  { weight: 6, arbitrary: fc.constant("flush" as const) },
  { weight: 4, arbitrary: fc.record({ waitMs: fc.integer({ min: 1, max: KEEP_MS }) }) },
  { weight: 2, arbitrary: fc.constant("crash" as const) },
  { weight: 1, arbitrary: fc.constant("other settings" as const) },
  {
    weight: 3,
    arbitrary: fc.record({
      faults: fc.array(fc.constantFrom<Fault>("refuses", "loses the answer"), { maxLength: 3 }),
    }),
  },
);

async function run(
  shard: Shard,
  steps: readonly (typeof step extends fc.Arbitrary<infer S> ? S : never)[],
) {
  for (const what of steps) {
    if (what === "crash") shard.restart();
    else if (what === "other settings") {
      const partitions = shard.settings.partitions === 2 ? 3 : 2;
      shard.settings = { ...shard.settings, partitions, windowSeconds: 30 * partitions };
      shard.restart();
    } else if (what === "flush") {
      // oxlint-disable-next-line no-await-in-loop
      await shard.flush();
    } else if ("commit" in what) shard.commit(what.commit);
    else if ("waitMs" in what) shard.broker.nowMs += what.waitMs;
    else shard.broker.faults.push(...what.faults);
  }
}

describe("rule 5: a flush is the same bytes whenever it is made, and none is missing", () => {
  test("over refusals, lost answers, crashes and changed settings every click is raw and counted once", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), (steps) =>
        withSql(async (sql) => {
          const shard = new Shard(sql);
          await run(shard, steps);
          await shard.heal();
          const { messages } = shard.broker;
          expect(clickIds(messages)).toEqual(ids(shard.clickCount));
          expect(countedClicks(messages)).toBe(shard.clickCount);
          received(messages, RAW).forEach(({ origin }, i) => {
            expect(origin).toMatchObject({ flush: i + 1, previous: i });
          });
          expect(shard.storage.journalBytes("clicks")).toBe(0);
        }),
      ),
      { numRuns: 150 },
    );
  });

  test("a broker that loses its unsynced tail, again and again, has all raw clicks in the end", async () => {
    const lossy = fc.oneof(
      { weight: 9, arbitrary: step },
      { weight: 1, arbitrary: fc.constant("loss" as const) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(lossy, { maxLength: 60 }), (steps) =>
        withSql(async (sql) => {
          const shard = new Shard(sql);
          for (const what of steps) {
            if (what === "loss") shard.broker.losesItsTail();
            // oxlint-disable-next-line no-await-in-loop
            else await run(shard, [what]);
          }
          await shard.heal();
          expect(clickIds(shard.broker.messages)).toEqual(ids(shard.clickCount));
        }),
      ),
      { numRuns: 150 },
    );
  });

  test("flush n+1 is published when all of n is acknowledged, and not before", async () => {
    await withSql(async (sql) => {
      const shard = new Shard(sql);
      shard.commit(40);
      // Raw arrives, a partial message does not.
      shard.broker.faults = [null, "refuses"];
      expect(await shard.flush()).toBe(false);
      expect(shard.broker.messages.map(({ subject }) => subject)).toContain(RAW);
      shard.commit(40);
      expect(await shard.flush()).toBe(true);
      const flushes = shard.broker.messages.map((m) => {
        const { origin } = blockOf(m);
        return origin.kind === "raw" || origin.kind === "partial" ? origin.flush : 0;
      });
      expect(flushes).toEqual(flushes.toSorted((a, b) => a - b));
      expect(new Set(flushes)).toEqual(new Set([1, 2]));
    });
  });

  test("what follows a lost tail at once does not prove it", async () => {
    await withSql(async (sql) => {
      const shard = new Shard(sql);
      for (let flush = 1; flush <= 4; flush++) {
        shard.commit(1);
        // oxlint-disable-next-line no-await-in-loop
        expect(await shard.flush()).toBe(true);
        shard.broker.nowMs += flush === 2 ? UNSYNCED_MS : 0;
      }
      shard.broker.losesItsTail();
      expect(clickIds(shard.broker.messages)).toEqual(ids(2));
      // Others publish meanwhile: the sequences that were lost are there again.
      for (let i = 0; i < 20; i++) {
        shard.broker.messages.push({
          subject: "clicks.raw.9",
          id: `other ${i}`,
          bytes: new Uint8Array(0),
          storedAtMs: shard.broker.nowMs,
          sequence: shard.broker.messages.at(-1)!.sequence + 1,
        });
      }
      shard.commit(1);
      expect(await shard.flush()).toBe(false);
      expect(await shard.flush()).toBe(true);
      expect(clickIds(shard.broker.messages)).toEqual(ids(5));
    });
  });

  test("what is published long after it was sealed is kept as long as if it had been sealed then", async () => {
    // Sealed, and NATS went away; or published, lost by the broker, and published again in the next life.
    for (const first of ["refused", "lost"]) {
      // oxlint-disable-next-line no-await-in-loop
      await withSql(async (sql) => {
        const shard = new Shard(sql);
        if (first === "refused") shard.broker.faults = ["refuses"];
        shard.commit(1);
        expect(await shard.flush()).toBe(first === "lost");
        shard.restart();
        shard.broker.losesItsTail();
        shard.broker.nowMs += 100 * KEEP_MS;
        const publishedAtMs = shard.broker.nowMs;
        expect(await shard.flush()).toBe(true);
        expect(shard.storage.provenFlush("clicks")).toBe(0);
        // Its next life knows it too.
        shard.restart();
        shard.broker.nowMs += KEEP_MS - 1;
        await shard.flush();
        expect(shard.storage.provenFlush("clicks")).toBe(0);
        shard.broker.losesItsTail();
        await shard.heal();
        expect(clickIds(shard.broker.messages)).toEqual(ids(1));
        expect(shard.broker.nowMs).toBeGreaterThanOrEqual(publishedAtMs + KEEP_MS);
      });
    }
  });

  test("a restart in the middle of publishing again goes on where it was", async () => {
    await withSql(async (sql) => {
      const shard = new Shard(sql);
      await shard.flushOneByOne(5);
      shard.broker.nowMs = 1;
      shard.broker.losesItsTail();
      expect(shard.broker.messages).toEqual([]);
      shard.commit(1);
      expect(await shard.flush()).toBe(false);
      // One flush again (a raw and a partial message), then NATS is away, and the shard dies.
      shard.broker.faults = [null, null, "refuses"];
      expect(await shard.flush()).toBe(false);
      expect(clickIds(shard.broker.messages)).toEqual(ids(1));
      shard.restart();
      await shard.heal();
      expect(clickIds(shard.broker.messages)).toEqual(ids(6));
    });
  });

  test("no byte of a flush leaves before its record is on disk", async () => {
    await withSql(async (sql) => {
      const shard = new Shard(sql);
      const recorded: number[] = [];
      let onDisk!: () => void;
      shard.durable = () => {
        recorded.push(shard.storage.newestFlush("clicks")?.flush ?? 0);
        return new Promise((done) => (onDisk = done));
      };
      shard.commit(1);
      const flushed = shard.flush();
      await new Promise((resolve) => setTimeout(resolve, 5));
      expect(shard.broker.messages).toEqual([]);
      onDisk();
      expect(await flushed).toBe(true);
      expect(recorded).toEqual([1]);
      expect(clickIds(shard.broker.messages)).toEqual(ids(1));
      // A disk that fails: nothing leaves.
      shard.durable = () => Promise.reject(new Error("the disk says no"));
      shard.commit(1);
      await expect(shard.flush()).rejects.toThrow(/the disk says no/);
      expect(clickIds(shard.broker.messages)).toEqual(ids(1));
    });
  });

  test("a life that ends between the messages of a flush that it publishes again leaves none of them out", async () => {
    await withSql(async (sql) => {
      const shard = new Shard(sql);
      await shard.flushOneByOne(5);
      shard.broker.nowMs = 1;
      shard.broker.losesItsTail();
      shard.commit(1);
      expect(await shard.flush()).toBe(false);
      // The raw message of flush 1 again, and not its partial message.
      shard.broker.faults = [null, "refuses"];
      expect(await shard.flush()).toBe(false);
      expect(shard.broker.messages.map(({ subject }) => subject)).toEqual([RAW]);
      shard.restart();
      await shard.heal();
      expect(clickIds(shard.broker.messages)).toEqual(ids(6));
      expect(countedClicks(shard.broker.messages)).toBe(6);
    });
  });

  test("another storage of the shard that publishes too holds nothing up", async () => {
    await withSql(async (sql) => {
      const shard = new Shard(sql);
      for (let flush = 1; flush <= 10; flush++) {
        shard.commit(1);
        // oxlint-disable-next-line no-await-in-loop
        expect(await shard.flush()).toBe(true);
      }
      const origin = { shard: SHARD, epoch: "abcdefgh", flush: 7, previous: 6, flushedOn: 1 };
      const { bytes } = encodeBlock({ kind: "raw", ...origin, idsHash: 0n }, 0, new Uint8Array(0));
      const publish = shard.broker.publish.bind(shard.broker);
      let publishCount = 0;
      // One of its messages for every eight of ours: fewer than those that are not proven.
      shard.broker.publish = async (message) => {
        if (publishCount++ % 8 === 0) {
          const sequence = shard.broker.messages.at(-1)!.sequence + 1;
          shard.broker.messages.push({ subject: RAW, id: "", bytes, storedAtMs: 0, sequence });
        }
        return publish(message);
      };
      for (const restarts of [false, true]) {
        if (restarts) shard.restart();
        for (let flush = 1; flush <= 10; flush++) {
          shard.commit(1);
          // oxlint-disable-next-line no-await-in-loop
          for (let round = 0; round < 8 && !(await shard.flush()); round++);
          expect(shard.flusher.pending()).toBe(false);
        }
      }
      const own = shard.broker.messages.filter(({ id }) => id !== "");
      expect(clickIds(own)).toEqual(ids(30));
    });
  });

  test("storage that was put back to an earlier state publishes and trims nothing", async () => {
    await withSql(async (sql) => {
      const shard = new Shard(sql);
      for (let flush = 1; flush <= 2; flush++) {
        shard.commit(1);
        // oxlint-disable-next-line no-await-in-loop
        expect(await shard.flush()).toBe(true);
      }
      const before = shard.broker.messages.length;
      // As it was after the first flush; and then another click comes.
      sql.write("DELETE FROM flushes_clicks WHERE flush > 1");
      sql.write("DELETE FROM journal_clicks WHERE number > 1");
      shard.unsealed = [0, 1];
      shard.restart();
      shard.clickCount = 100;
      shard.commit(1);
      for (let round = 0; round < 3; round++) {
        shard.broker.nowMs += KEEP_MS;
        // oxlint-disable-next-line no-await-in-loop
        await expect(shard.flush()).rejects.toThrow(/put back to an earlier state/);
      }
      expect(shard.broker.messages.length).toBe(before);
      expect(shard.storage.provenFlush("clicks")).toBe(0);
      expect(shard.storage.journalBytes("clicks")).toBeGreaterThan(0);
    });
  });

  test("what is large leaves in several flushes, each message within its limit", async () => {
    await withSql(async (sql) => {
      const shard = new Shard(sql);
      for (let commit = 0; commit < 20; commit++) shard.commit(500);
      expect(await shard.flush()).toBe(true);
      const sizes = shard.broker.messages.map(({ bytes }) => bytes.length);
      expect(Math.max(...sizes)).toBeLessThanOrEqual(MESSAGE_BYTES_MAX);
      expect(received(shard.broker.messages, RAW).length).toBeGreaterThan(1);
      expect(clickIds(shard.broker.messages)).toEqual(ids(10_000));
    });
  });
});

test("a shard that wakes up publishes its newest flush again, and nothing that is proven", async () => {
  await withSql(async (sql) => {
    const shard = new Shard(sql);
    const flushed = async () => {
      const before = shard.broker.messages.length;
      expect(await shard.flush()).toBe(true);
      return shard.broker.messages.slice(before).filter(({ subject }) => subject === RAW).length;
    };
    shard.commit(1);
    expect(await flushed()).toBe(1);
    shard.restart();
    expect(await flushed()).toBe(1);
    shard.broker.nowMs += PROVEN_AFTER_MS;
    expect(await flushed()).toBe(0);
    expect(shard.storage.provenFlush("clicks")).toBe(1);
    shard.restart();
    expect([shard.flusher.pending(), await flushed()]).toEqual([false, 0]);
    shard.commit(1);
    expect(await flushed()).toBe(1);
    expect(clickIds(shard.broker.messages)).toEqual(ids(2));
  });
});

describe("rule 6: a message id says what it is", () => {
  test("the same bytes have the same id, after a crash and under other settings, and other bytes another", async () => {
    await withSql(async (sql) => {
      const shard = new Shard(sql);
      shard.commit(10);
      shard.broker.faults = ["loses the answer"];
      expect(await shard.flush()).toBe(false);
      shard.settings = { ...shard.settings, partitions: 3, windowSeconds: 7 };
      shard.restart();
      shard.commit(10);
      expect(await shard.flush()).toBe(true);
      const byId = new Map<string, string>();
      for (const message of shard.broker.messages) {
        expect(byId.get(message.id) ?? hashOf(message)).toBe(hashOf(message));
        byId.set(message.id, hashOf(message));
      }
      expect(new Set(byId.values()).size).toBe(byId.size);
      const { epoch } = shard.storage.identity(SHARD);
      const raws = shard.broker.messages.filter(({ subject }) => subject === RAW);
      expect(raws.map(({ id }) => id.replace(/:[0-9a-f]{16}$/, ":hash"))).toEqual([
        `${RAW}:${SHARD}-${epoch}:1:hash`,
        `${RAW}:${SHARD}-${epoch}:1:hash`,
        `${RAW}:${SHARD}-${epoch}:2:hash`,
      ]);
      expect(raws[0]!.id).toBe(raws[1]!.id);
    });
  });
});

describe("the journal", () => {
  test("is proven in time although the clock was ahead for a while", async () => {
    await withSql(async (sql) => {
      const shard = new Shard(sql);
      const flushed = async () => {
        shard.commit(1);
        expect(await shard.flush()).toBe(true);
      };
      const aheadMs = 100 * KEEP_MS;
      await flushed();
      shard.broker.nowMs += aheadMs;
      // Flush 1 is proven, and 2 is sealed, by the wrong clock.
      await flushed();
      expect(shard.storage.provenFlush("clicks")).toBe(1);
      shard.broker.nowMs -= aheadMs;
      await flushed();
      shard.broker.nowMs += PROVEN_AFTER_MS - 1;
      await flushed();
      expect(shard.storage.provenFlush("clicks")).toBe(1);
      shard.broker.nowMs += 1;
      await flushed();
      expect(shard.storage.provenFlush("clicks")).toBe(3);
    });
  });

  test("is written over where it is proven and sealed, and nowhere else", async () => {
    await withSql(async (sql) => {
      const shard = new Shard(sql);
      const rowCount = () =>
        sql.first<{ n: number }>("SELECT count(*) AS n FROM journal_clicks")!.n;
      for (let round = 0; round < 50; round++) {
        shard.commit(3);
        // oxlint-disable-next-line no-await-in-loop
        await shard.flush();
        shard.broker.nowMs += KEEP_MS;
      }
      // The newest is kept until it is proven, and those before it until the next seal.
      expect(rowCount()).toBeLessThanOrEqual(5);
      expect(clickIds(shard.broker.messages)).toEqual(ids(150));
      const kept = [
        ...sql.rows<{ number: number }>("SELECT number FROM journal_clicks ORDER BY number"),
      ];
      expect(kept.at(-1)).toEqual({ number: 50 });
    });
  });

  test("a commit is one written row, a flush one more", async () => {
    await withSql(async (sql) => {
      const shard = new Shard(sql);
      const round = async () => {
        shard.commit(2);
        await shard.flush();
        shard.broker.nowMs += 1;
      };
      await round();
      sql.takeRowsWritten();
      await round();
      expect(sql.takeRowsWritten()).toBe(2);
      await round();
      // Number 3 is sealed: one row more for that.
      expect(sql.takeRowsWritten()).toBe(3);
    });
  });
});
