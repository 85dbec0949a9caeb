/**
 * The rules of the edge, each with the object aborted or evicted at the worst moment. One shard is called as the
 * Worker calls it; its clock is this file's. (Rules 5 and 6, on flushes and their ids: shard/flusher.test.ts; rule 4, on
 * what decides downstream: aggregator/partition/step.test.ts.)
 */
import { env, evictDurableObject, runInDurableObject } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { RESEND_ERROR_MS_MAX } from "../wire/limits.ts";
import { shardOf } from "../wire/routing.ts";
import { decodeAnswers } from "./click/batch-bytes.ts";
import { countedBatch, sortIntoBatches } from "./click/batches.ts";
import type { ShardBatch } from "./click/batches.ts";
import { isProblem, parseEnvelope } from "./click/parse-envelope.ts";
import type { Env } from "./config.ts";
import { COMMIT_MS_MAX, DEDUP_BUCKET_MS, DEDUP_SEGMENT_ROWS_MAX } from "./limits.ts";
import { NatsPublisher } from "./publish/publisher.ts";
import { FATE } from "./shard/fate.ts";
import type { ShardAnswer } from "./shard/fate.ts";
import { callOf, packOfClicks } from "./shard/fixtures.ts";
import { GroupCommit } from "./shard/group-commit.ts";
import { clicksOf } from "../tests/helpers/raw-rows.ts";
import type { ClickShard } from "./shard/shard.ts";

const HOUR = DEDUP_BUCKET_MS;
/** The next hour: alarms go by the platform's clock, and must not be due at once. */
const START = Math.ceil(Date.now() / HOUR) * HOUR;
const FATES = Object.fromEntries(Object.entries(FATE).map(([name, fate]) => [fate, name]));

/** An object with work in flight is not evicted: to be evicted, it needs a broker that takes what it has. */
function withBroker(): void {
  let sequence = 0;
  vi.spyOn(NatsPublisher.prototype, "publish").mockImplementation(async () => ++sequence);
  vi.spyOn(NatsPublisher.prototype, "newest").mockResolvedValue(null);
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"] });
  setClock(START);
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

function setClock(ms: number): void {
  vi.setSystemTime(ms);
}

interface Sent {
  readonly click_id: string;
  readonly ad_id: string;
  readonly timestamp: number;
}

function click(click_id: string, timestamp = Date.now(), ad_id = "ad"): Sent {
  return { click_id, ad_id, timestamp };
}

/** As the Worker sends them to a shard that is the only one, now, by a clock that is right. */
function batchOf(clicks: readonly Sent[]): ShardBatch {
  const sentAtMs = Date.now();
  const envelope = parseEnvelope(JSON.stringify({ sent_at: sentAtMs, clicks }));
  if (isProblem(envelope)) throw new Error(envelope.detail);
  const { batches, rejections } = sortIntoBatches(envelope, {
    receivedAtMs: sentAtMs,
    sentAtMs,
    sender: { country: "KR", ip: "::1" },
    classified: { device: "mobile", invalidReason: "", userAgent: new Uint8Array(0) },
    shards: 1,
  });
  if (batches.length !== 1 || rejections.length > 0) throw new Error("not one batch");
  const { places: _, ...batch } = batches[0]!;
  return batch;
}

const aborted = (promise: Promise<unknown>) => expect(promise).rejects.toThrow(/the test says so/);
const fails = (promise: Promise<unknown>) => expect(promise).rejects.toThrow(/./);

/** The next commit is written and never durable. Resolves when it is at the disk. */
function hangAtDisk({ storage }: DurableObjectState): Promise<void> {
  return new Promise((resolve) => {
    storage.sync = () => {
      resolve();
      return new Promise(() => undefined);
    };
  });
}

let unique = 0;

/** One shard: an object of its own in each test. */
class OneShard {
  readonly #name = `rules-${unique++}`;

  get stub(): DurableObjectStub<ClickShard> {
    const { SHARD_OBJECTS } = env as unknown as Env;
    return SHARD_OBJECTS.get(SHARD_OBJECTS.idFromName(this.#name));
  }

  async send(...clicks: Sent[]): Promise<string[]> {
    return this.sendBatch(batchOf(clicks));
  }

  async call(...batches: ShardBatch[]): Promise<(ShardAnswer | null)[]> {
    return decodeAnswers(await this.stub.accept(callOf(batches)), batches.length);
  }

  async sendBatch(batch: ShardBatch): Promise<string[]> {
    const [answer] = await this.call(batch);
    if (!answer) throw new Error("the shard could not decide");
    return Array.from(answer.fates, (fate) => FATES[fate]!);
  }

  inside<Result>(
    body: (state: DurableObjectState, instance: ClickShard) => Result | Promise<Result>,
  ): Promise<Result> {
    return runInDurableObject(this.stub, (instance, state) => body(state, instance));
  }

  number(name: string): Promise<number | null> {
    return this.inside(
      ({ storage }) =>
        storage.sql
          .exec<{ value: number }>("SELECT value FROM meta WHERE name = ?", name)
          .toArray()[0]?.value ?? null,
    );
  }

  segments(): Promise<number[]> {
    return this.inside(({ storage }) =>
      storage.sql
        .exec<{ bucket: number }>("SELECT bucket FROM dedup_segments ORDER BY segment")
        .toArray()
        .map(({ bucket }) => bucket - START / HOUR),
    );
  }

  /** Ids in the journal, as often as they stand there. (Without NATS nothing leaves it.) */
  journal(): Promise<string[]> {
    return this.inside(({ storage }) =>
      storage.sql
        .exec<{ bytes: ArrayBuffer }>("SELECT bytes FROM journal_clicks ORDER BY number")
        .toArray()
        .flatMap(({ bytes }) => clicksOf(new Uint8Array(bytes)).map(({ clickId }) => clickId)),
    );
  }

  /** What is not durable is gone. */
  async abort(): Promise<void> {
    await aborted(this.inside((state) => state.abort("the test says so")));
  }

  evict(): Promise<void> {
    return evictDurableObject(this.stub);
  }

  /** Sends, and dies in the same turn: everything is decided and nothing is on disk. */
  async sendAndDie(...clicks: Sent[]): Promise<void> {
    const batch = batchOf(clicks);
    await aborted(
      this.inside((state, instance) => {
        void instance.accept(callOf([batch])).catch(() => undefined);
        state.abort("the test says so");
      }),
    );
  }

  /** Dies in its next commit, when all of it is written, before or after the disk has it. */
  /** @param how "hangs": the disk never says whether it has the commit */
  dieInCommit(when: "before" | "after", how: "fails" | "hangs" = "fails"): Promise<void> {
    return this.inside(({ storage }) => {
      const sync = storage.sync.bind(storage);
      const newest = () =>
        storage.sql.exec<{ n: number | null }>("SELECT max(number) AS n FROM journal_clicks").one()
          .n;
      const before = newest();
      storage.sync = async () => {
        // A flush is no commit of clicks.
        if (newest() === before) return sync();
        if (when === "after") await sync();
        if (how === "hangs") return new Promise(() => undefined);
        throw new Error("the disk says no");
      };
    });
  }
}

describe("rule 1: never accept a click we could not have remembered", () => {
  test("a click is a duplicate as long as its hour is remembered, and too old from then on, in every life", async () => {
    const shard = new OneShard();
    const old = click("a.1");
    expect(await shard.send(old)).toEqual(["accepted"]);
    for (let hour = 1; hour <= 24; hour++) {
      setClock(START + hour * HOUR);
      // oxlint-disable-next-line no-await-in-loop
      expect(await shard.send(click(`hour.${hour}`), old)).toEqual(["accepted", "duplicate"]);
      // oxlint-disable-next-line no-await-in-loop
      if (hour % 5 === 0) await shard.abort();
    }
    // Sealed when the second hour began, so remembered as one of that hour: it goes when that is a day old.
    expect((await shard.segments())[0]).toBe(1);
    setClock(START + 26 * HOUR - 1);
    expect(await shard.send(old)).toEqual(["duplicate"]);
    setClock(START + 26 * HOUR);
    expect(await shard.send(old, click("a.2"))).toEqual(["tooOld", "accepted"]);
    await shard.abort();
    expect(await shard.send(old)).toEqual(["tooOld"]);
    expect((await shard.journal()).filter((id) => id === old.click_id)).toHaveLength(1);
  });

  test("the limit rises to the end of what is dropped, with what an event time may be off, and never falls", async () => {
    const shard = new OneShard();
    await shard.send(click("a.1"));
    expect(await shard.number("accept_from_ms")).toBe(START - 24 * HOUR);
    setClock(START + HOUR);
    await shard.send(click("a.2"));
    setClock(START + 26 * HOUR);
    const limitMs = START + 2 * HOUR + RESEND_ERROR_MS_MAX;
    expect(await shard.send(click("b.1", limitMs - 1), click("b.2", limitMs))).toEqual([
      "tooOld",
      "accepted",
    ]);
    expect(await shard.number("accept_from_ms")).toBe(limitMs);
    // A clock that jumps back, and lives that begin with it.
    setClock(START);
    expect(await shard.send(click("c.1"))).toEqual(["tooOld"]);
    await shard.abort();
    expect(await shard.send(click("c.2"))).toEqual(["tooOld"]);
    expect(await shard.number("accept_from_ms")).toBe(limitMs);
  });

  test("dropping and rising are one transaction: after a death in between, both or none", async () => {
    const shard = new OneShard();
    const old = click("a.1");
    await shard.send(old);
    setClock(START + HOUR);
    await shard.send(click("a.2"));
    expect(await shard.segments()).toEqual([1]);
    setClock(START + 26 * HOUR);
    await shard.sendAndDie(old, click("a.3"));
    const [limitMs, segments] = [await shard.number("accept_from_ms"), await shard.segments()];
    expect([
      [START - 24 * HOUR, [1]],
      [START + 2 * HOUR + RESEND_ERROR_MS_MAX, []],
    ]).toContainEqual([limitMs, segments]);
    expect(await shard.send(old, click("a.3"))).toEqual(["tooOld", "accepted"]);
    expect(await shard.journal()).toEqual(["a.1", "a.2", "a.3"]);
  });
});

describe("rule 2: the dedup key is account and click id, and nothing else", () => {
  test("the same id is a duplicate whatever else the click says, and the first one stands", async () => {
    const shard = new OneShard();
    expect(await shard.send(click("a.1", START, "first"))).toEqual(["accepted"]);
    setClock(START + 5_000);
    expect(
      await shard.send(
        click("a.1", START, "other"),
        click("a.1", START + 5_000, "first"),
        click("a.1", START - HOUR, "first"),
      ),
    ).toEqual(["duplicate", "duplicate", "duplicate"]);
    expect(await shard.journal()).toEqual(["a.1"]);
  });

  test("the same id of another account is another click", async () => {
    const shard = new OneShard();
    const batches = ["one", "two"].map((account) => ({
      ...batchOf([click("a.1")]),
      clicks: packOfClicks([{ clickId: "a.1", adId: "ad", eventTimeMs: START }], { account }),
    }));
    for (const fate of ["accepted", "duplicate"]) {
      for (const batch of batches) expect(await shard.sendBatch(batch)).toEqual([fate]);
    }
  });

  test("where a click goes follows from its id alone: an installation stays together, ads do not matter", () => {
    const shards = 64;
    for (const install of ["i1", "i2", "a-long.one"]) {
      const home = shardOf(`${install.split(".")[0]}.0`, shards);
      for (let n = 0; n < 50; n++) expect(shardOf(`${install}.${n}`, shards)).toBe(home);
    }
    const homes = new Set(Array.from({ length: 1_000 }, (_, n) => shardOf(`id${n}`, shards)));
    expect(homes.size).toBe(shards);
  });
});

describe("rule 3: duplicate waits for the commit that holds the first sight", () => {
  test("while the disk is busy no copy has an answer; when the object dies then, it is kept once", async () => {
    const shard = new OneShard();
    await shard.send(click("warm.1"));
    const batch = batchOf([click("a.1")]);
    let answerCount = 0;
    await aborted(
      shard.inside(async (state, instance) => {
        const sent = () =>
          void instance.accept(callOf([batch])).then(
            () => answerCount++,
            () => undefined,
          );
        const atDisk = hangAtDisk(state);
        sent();
        sent();
        await atDisk;
        sent();
        // Time enough for an answer that waits for nothing.
        await new Promise((resolve) => setTimeout(resolve, 50));
        state.abort("the test says so");
      }),
    );
    expect(answerCount).toBe(0);
    // The disk may have it or not: that is what nobody was told.
    const onDisk = (await shard.journal()).includes("a.1");
    expect(await shard.send(click("a.1"), click("a.1"))).toEqual([
      onDisk ? "duplicate" : "accepted",
      "duplicate",
    ]);
    expect(await shard.journal()).toEqual(["warm.1", "a.1"]);
  });

  test.each(["before", "after"] as const)(
    "a commit that fails %s the disk has it aborts the object: nothing is in memory that is not in storage",
    async (when) => {
      const shard = new OneShard();
      await shard.send(click("warm.1"));
      await shard.dieInCommit(when);
      const copies = await Promise.allSettled([
        shard.send(click("a.1")),
        shard.send(click("a.1"), click("a.2")),
      ]);
      expect(copies.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
      const again = await shard.send(click("a.1"), click("a.2"));
      const onDisk = when === "after";
      expect(again).toEqual(onDisk ? ["duplicate", "duplicate"] : ["accepted", "accepted"]);
      expect((await shard.journal()).toSorted()).toEqual(["a.1", "a.2", "warm.1"]);
    },
  );

  test("a commit that hangs aborts the object after COMMIT_MS_MAX: whoever waits hears that, and may send again", async () => {
    const shard = new OneShard();
    await shard.send(click("warm.1"));
    await shard.dieInCommit("after", "hangs");
    const after = globalThis.setTimeout;
    const limits: number[] = [];
    vi.spyOn(globalThis, "setTimeout").mockImplementation(((fire: () => void, ms: number) => {
      if (ms !== COMMIT_MS_MAX) return after(fire, ms);
      limits.push(ms);
      return after(fire, 1);
    }) as typeof setTimeout);
    const copies = await Promise.allSettled([shard.send(click("a.1")), shard.send(click("a.1"))]);
    expect(copies).toMatchObject(
      Array.from(copies, () => ({
        status: "rejected",
        reason: { message: expect.stringMatching(/not durable within 8000 ms/) as string },
      })),
    );
    expect(limits).toEqual([COMMIT_MS_MAX]);
    expect(await shard.send(click("a.1"))).toEqual(["duplicate"]);
    expect(await shard.journal()).toEqual(["warm.1", "a.1"]);
  });

  test("a journal that cannot be written aborts the object, and the next life goes on", async () => {
    const shard = new OneShard();
    await shard.send(click("warm.1"));
    await shard.inside(({ storage }) => void storage.sql.exec("DROP TABLE journal_clicks"));
    await fails(shard.send(click("a.1")));
    expect(await shard.send(click("a.1"))).toEqual(["accepted"]);
    expect(await shard.send(click("a.1"))).toEqual(["duplicate"]);
  });

  test("after an eviction every id is known, from the journal and from sealed segments, and the limit stands", async () => {
    withBroker();
    const shard = new OneShard();
    const early = Array.from({ length: 300 }, (_, n) => click(`early.${n}`));
    await shard.send(...early);
    setClock(START + HOUR);
    const late = Array.from({ length: 300 }, (_, n) => click(`late.${n}`));
    await shard.send(...late.slice(0, 150));
    await shard.send(...late.slice(150));
    expect(await shard.segments()).toEqual([1]);
    expect(await shard.number("sealed_through")).toBe(2);
    await shard.evict();
    const fates = await shard.send(...early, ...late, click("new.1"));
    expect(fates).toEqual([...Array.from({ length: 600 }, () => "duplicate"), "accepted"]);
    expect(await shard.send(click("old.1", START - 24 * HOUR - 1))).toEqual(["tooOld"]);
  });

  test.each(["before", "after"] as const)(
    "dying in the commit that seals, %s the disk has it, forgets no id and loses no click",
    async (when) => {
      const shard = new OneShard();
      await shard.send(click("a.1"));
      setClock(START + HOUR);
      await shard.dieInCommit(when);
      await fails(shard.send(click("a.2")));
      const onDisk = when === "after";
      expect(await shard.segments()).toEqual(onDisk ? [1] : []);
      expect(await shard.send(click("a.1"), click("a.2"))).toEqual([
        "duplicate",
        onDisk ? "duplicate" : "accepted",
      ]);
      setClock(START + 2 * HOUR);
      expect(await shard.send(click("a.3"))).toEqual(["accepted"]);
      expect(await shard.segments()).toEqual(onDisk ? [1] : [2]);
      expect(await shard.send(click("a.1"), click("a.2"), click("a.3"))).toEqual([
        "duplicate",
        "duplicate",
        "duplicate",
      ]);
      expect(await shard.journal()).toEqual(["a.1", "a.2", "a.3"]);
    },
  );

  test("a commit that seals takes no id with it that is not in the journal: after a death such a click is new", async () => {
    const shard = new OneShard();
    await shard.send(click("a.1"));
    setClock(START + HOUR);
    const sent: Sent[] = [];
    await aborted(
      shard.inside(async (state, instance) => {
        const sync = state.storage.sync.bind(state.storage);
        const isSealed = () =>
          state.storage.sql.exec("SELECT 1 FROM dedup_segments").toArray().length > 0;
        const onDisk = new Promise<void>((resolve) => {
          state.storage.sync = async () => {
            await sync();
            if (!isSealed()) return;
            resolve();
            await new Promise(() => undefined);
          };
        });
        // Requests come in every turn: before the commit, while it is written, and after.
        const comes = setInterval(() => {
          const next = click(`b.${sent.length}`);
          sent.push(next);
          void instance.accept(callOf([batchOf([next])])).catch(() => undefined);
        }, 1);
        await onDisk;
        await new Promise((resolve) => setTimeout(resolve, 10));
        clearInterval(comes);
        state.abort("the test says so");
      }),
    );
    const kept = new Set(await shard.journal());
    expect(await shard.segments()).toEqual([1]);
    const fates = await shard.send(...sent);
    expect(fates).toEqual(
      sent.map(({ click_id }) => (kept.has(click_id) ? "duplicate" : "accepted")),
    );
    expect(new Set(fates)).toEqual(new Set(["duplicate", "accepted"]));
    expect((await shard.journal()).toSorted()).toEqual(
      ["a.1", ...sent.map(({ click_id }) => click_id)].toSorted(),
    );
  });

  test("many small commits are sealed before a restart has too many rows to read", async () => {
    const shard = new OneShard();
    await shard.send(click("a.1"));
    // As after so many commits.
    await shard.inside(async ({ storage }) => {
      storage.sql.exec("UPDATE journal_clicks SET number = ?", DEDUP_SEGMENT_ROWS_MAX - 2);
      await storage.sync();
    });
    await shard.abort();
    await shard.send(click("a.2"));
    expect(await shard.segments()).toEqual([]);
    await shard.send(click("a.3"));
    expect(await shard.segments()).toEqual([0]);
    expect(await shard.number("sealed_through")).toBe(DEDUP_SEGMENT_ROWS_MAX);
    await shard.abort();
    expect(await shard.send(click("a.1"), click("a.2"), click("a.3"))).toEqual([
      "duplicate",
      "duplicate",
      "duplicate",
    ]);
  });

  test("a batch that is broken anywhere leaves no trace: nothing of it is known, and nothing is forgotten for it", async () => {
    const shard = new OneShard();
    await shard.send(click("warm.1"));
    const limit = await shard.number("accept_from_ms");
    const whole = batchOf([click("a.1"), click("a.2"), click("warm.1")]);
    const last = whole.clicks.length - 1;
    // The number of clicks, once as of 30,000,000; their bytes; the length of the last one's user id.
    for (const [at, change] of [
      [0, 1],
      [0, -1],
      [3, 2],
      [4, 1],
      [4, -1],
      [last - 8, 1],
    ] as const) {
      const broken = whole.clicks.slice();
      broken[at]! += change;
      await fails(shard.sendBatch({ ...whole, clicks: broken }));
    }
    expect(await shard.number("accept_from_ms")).toBe(limit);
    expect(await shard.sendBatch(whole)).toEqual(["accepted", "accepted", "duplicate"]);
    await shard.abort();
    expect(await shard.journal()).toEqual(["warm.1", "a.1", "a.2"]);
  });

  test("a lookup that fails in the middle of a batch leaves nothing of it known, or kept", async () => {
    const shard = new OneShard();
    // Enough that the filter has many words: the lookup of a new id reads no page, but for one in a thousand.
    const sealed = Array.from({ length: 300 }, (_, n) => click(`sealed.${n}`));
    await shard.send(...sealed);
    setClock(START + HOUR);
    await shard.send(click("sealed.300"));
    expect(await shard.segments()).toEqual([1]);
    const rename = (from: string, to: string) =>
      shard.inside(({ storage }) => void storage.sql.exec(`ALTER TABLE ${from} RENAME TO ${to}`));
    await rename("dedup_pages", "away");
    await fails(shard.send(click("a.1"), click("sealed.1"), click("a.2")));
    await rename("away", "dedup_pages");
    expect(await shard.send(click("a.1"), click("sealed.1"), click("a.2"))).toEqual([
      "accepted",
      "duplicate",
      "accepted",
    ]);
    await shard.abort();
    expect((await shard.journal()).slice(-3)).toEqual(["sealed.300", "a.1", "a.2"]);
  });

  test("clicks that are known and cannot be kept end their object, and are accepted when they come again", async () => {
    const shard = new OneShard();
    await shard.send(click("warm.1"));
    const add = vi.spyOn(GroupCommit.prototype, "add").mockImplementationOnce(() => {
      throw new RangeError("no memory");
    });
    await fails(shard.send(click("a.1"), click("a.2")));
    expect(add).toHaveBeenCalledTimes(1);
    add.mockRestore();
    expect(await shard.send(click("a.1"), click("a.2"))).toEqual(["accepted", "accepted"]);
    await shard.abort();
    expect(await shard.journal()).toEqual(["warm.1", "a.1", "a.2"]);
  });

  test("ids of requests that came while a commit sealed are in the journal, and known, when theirs is over", async () => {
    const shard = new OneShard();
    await shard.send(click("a.1"));
    setClock(START + HOUR);
    const fates = await Promise.all(
      Array.from({ length: 40 }, (_, n) => shard.send(click(`b.${n}`), click("a.1"))),
    );
    expect(fates).toEqual(Array.from({ length: 40 }, () => ["accepted", "duplicate"]));
    await shard.abort();
    const ids = Array.from({ length: 40 }, (_, n) => `b.${n}`);
    expect(await shard.send(...ids.map((id) => click(id)))).toEqual(ids.map(() => "duplicate"));
    expect((await shard.journal()).toSorted()).toEqual(["a.1", ...ids].toSorted());
  });
});

describe("a call with the batches of several requests", () => {
  const { accepted, duplicate } = FATE;
  const clicks = [click("a.1"), click("a.2"), click("a.3")];

  test("decides them in their order, in one commit", async () => {
    const shard = new OneShard();
    const batches = [batchOf(clicks.slice(0, 2)), batchOf(clicks.slice(1)), countedBatch(0, 1, [])];
    const answers = await shard.call(...batches);
    expect(answers.map((answer) => [...answer!.fates])).toEqual([
      [accepted, accepted],
      [duplicate, accepted],
      [],
    ]);
    expect(await shard.journal()).toEqual(["a.1", "a.2", "a.3"]);
    expect(
      await shard.inside(({ storage }) =>
        storage.sql.exec<{ n: number }>("SELECT count(*) AS n FROM journal_clicks").one(),
      ),
    ).toEqual({ n: 1 });
  });

  test("has no answer while the disk is busy, also for what is only a duplicate in it", async () => {
    const shard = new OneShard();
    const calls = [
      [batchOf(clicks), batchOf(clicks)],
      [batchOf(clicks.slice(0, 1)), countedBatch(0, 1, [])],
    ];
    let answerCount = 0;
    await aborted(
      shard.inside(async (state, instance) => {
        const atDisk = hangAtDisk(state);
        const sent = (call: ShardBatch[]) =>
          void instance.accept(callOf(call)).then(
            () => answerCount++,
            () => undefined,
          );
        sent(calls[0]!);
        await atDisk;
        sent(calls[1]!);
        // Time enough for an answer that waits for nothing.
        await new Promise((resolve) => setTimeout(resolve, 50));
        state.abort("the test says so");
      }),
    );
    expect(answerCount).toBe(0);
  });

  test("goes on without one that cannot be decided: it is logged, and nothing is known of it alone", async () => {
    const shard = new OneShard();
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const good = batchOf([click("a.1")]);
    const torn = { ...good, clicks: batchOf([click("b.1"), click("b.2")]).clicks.slice(0, -1) };
    const strange = { ...batchOf([click("c.1")]), shards: 2 };
    // Its clicks are taken when its rejected row is looked at.
    const half = { ...batchOf([click("e.1")]), rejectedRows: Uint8Array.of(1), rejectedEnds: [1] };
    const last = batchOf([click("d.1")]);
    const answers = await shard.call(good, torn, strange, half, last);
    const taken = { fates: Uint8Array.of(accepted), rejectedTaken: true };
    expect(answers).toEqual([taken, null, null, null, taken]);
    const said = log.mock.calls.map(([line]) => String(line));
    expect(said.filter((line) => line.includes("a batch failed"))).toEqual([
      expect.stringContaining("cut off"),
      expect.stringContaining("SHARDS changed from 1 to 2"),
      expect.stringContaining("cut off"),
    ]);
    // Sent again by who was told nothing.
    expect(await shard.send(click("b.1"), click("b.2"), click("c.1"), click("e.1"))).toEqual([
      "accepted",
      "accepted",
      "accepted",
      "duplicate",
    ]);
    await shard.abort();
    expect(await shard.journal()).toEqual(["a.1", "e.1", "d.1", "b.1", "b.2", "c.1"]);
  });

  test("ends with its object when clicks of one are known and cannot be kept: no copy in it is a duplicate", async () => {
    const shard = new OneShard();
    await shard.send(click("warm.1"));
    const add = vi.spyOn(GroupCommit.prototype, "add").mockImplementationOnce(() => {
      throw new RangeError("no memory");
    });
    await fails(shard.call(batchOf(clicks), batchOf(clicks), batchOf(clicks)));
    expect(add).toHaveBeenCalledTimes(1);
    add.mockRestore();
    expect(await shard.send(...clicks, ...clicks)).toEqual([
      ...Array(3).fill("accepted"),
      ...Array(3).fill("duplicate"),
    ]);
    await shard.abort();
    expect(await shard.journal()).toEqual(["warm.1", "a.1", "a.2", "a.3"]);
  });
});
