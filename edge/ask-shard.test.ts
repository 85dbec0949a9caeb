/** The Worker's call to a shard, with shards that fail in every way the platform knows. */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { MockInstance } from "vitest";
import { askShard, askShardInTime } from "./ask-shard.ts";
import { encodeAnswers, readBatches } from "./click/batch-bytes.ts";
import { countedBatch } from "./click/batches.ts";
import type { ShardBatch } from "./click/batches.ts";
import type { Env } from "./config.ts";
import {
  CALL_EVERY_MS,
  CALL_LATE_MS_MAX,
  LOOK_FIRST_MS_MAX,
  SHARD_ANSWER_MS_MAX,
} from "./limits.ts";
import type { Context } from "./platform.ts";
import type { ShardAnswer } from "./shard/fate.ts";

const BATCH = countedBatch(3, 4, []);
const CONTEXT: Context = { waitUntil: () => {} };
const ANSWER: ShardAnswer = { fates: new Uint8Array(0), rejectedTaken: true };

type Accept = (message: Uint8Array) => Promise<string>;

/** An Env whose every shard is this one; `names` are those that were asked for, one for each stub. */
function envOf(accept: Accept): { env: Env; names: string[] } {
  const names: string[] = [];
  const namespace = {
    idFromName: (name: string) => name,
    get: (name: string) => {
      names.push(name);
      return { accept };
    },
  };
  return { env: { SHARD_OBJECTS: namespace as unknown as Env["SHARD_OBJECTS"] }, names };
}

let log: MockInstance<typeof console.error>;
beforeEach(() => {
  log = vi.spyOn(console, "error").mockImplementation(() => {});
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

describe("a shard's answer", () => {
  test.each([
    ["askShard", askShard],
    ["askShardInTime", askShardInTime],
  ])("is what %s answers, after one call to the shard of the batch", async (_, ask) => {
    const accept = vi.fn<Accept>(() => Promise.resolve(encodeAnswers([ANSWER])));
    const { env, names } = envOf(accept);
    expect(await ask(env, CONTEXT, BATCH)).toEqual(ANSWER);
    expect(accept).toHaveBeenCalledTimes(1);
    expect(names).toEqual(["shard-3"]);
    expect(log).not.toHaveBeenCalled();
  });

  test.each([
    ["overloaded", { overloaded: true }],
    ["overloaded and retryable", { overloaded: true, retryable: true }],
    ["retryable", { retryable: true }],
    ["remote", { remote: true }],
    ["remote and retryable", { remote: true, retryable: true }],
    ["of no kind", {}],
  ])(
    "that is an error, %s, is none: it is logged and never asked for again here",
    async (_, kind) => {
      vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
      const failed = Object.assign(new Error("the shard says no"), kind);
      const accept = vi.fn<Accept>(() => Promise.reject(failed));
      const { env, names } = envOf(accept);
      expect(await askShardInTime(env, CONTEXT, BATCH)).toBeNull();
      // Not by a timer either.
      expect(vi.getTimerCount()).toBe(0);
      await vi.advanceTimersByTimeAsync(10 * SHARD_ANSWER_MS_MAX);
      expect(accept).toHaveBeenCalledTimes(1);
      expect(names).toHaveLength(1);
      expect(log.mock.calls).toEqual([
        [expect.stringMatching(/shard is away.*"shard":3.*the shard says no/)],
      ]);
    },
  );

  test("that does not come is waited for until SHARD_ANSWER_MS_MAX and no longer, where others wait, too", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const accept = vi.fn<Accept>(() => new Promise(() => {}));
    const asked = askShardInTime(envOf(accept).env, CONTEXT, BATCH);
    let answered = false;
    void asked.then(() => (answered = true));
    await vi.advanceTimersByTimeAsync(SHARD_ANSWER_MS_MAX - 1);
    expect(answered).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(await asked).toBeNull();
    expect(accept).toHaveBeenCalledTimes(1);
  });

  test("that comes too late, as fates or as an error, changes nothing and breaks nothing", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const late = Promise.withResolvers<string>();
    const failed = Promise.withResolvers<string>();
    const asked = [late, failed].map(({ promise }) =>
      askShardInTime(envOf(() => promise).env, CONTEXT, BATCH),
    );
    await vi.advanceTimersByTimeAsync(SHARD_ANSWER_MS_MAX);
    expect(await Promise.all(asked)).toEqual([null, null]);
    late.resolve(encodeAnswers([ANSWER]));
    // An unhandled rejection would fail the run.
    failed.reject(new Error("too late"));
    await vi.advanceTimersByTimeAsync(0);
    expect(log.mock.calls.join()).toContain("too late");
  });
});

describe("requests for one shard at the same time", () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"] });
  });

  /** The batch of request `n`, told by its counted rejections. */
  const batchOf = (n: number, shard = 3) =>
    countedBatch(shard, 4, [{ account: "a", keyId: "k", code: "c", field: "", count: n }]);
  /** No other batch has this answer: `n` fates. */
  const answerFor = (n: number): ShardAnswer => ({ fates: new Uint8Array(n), rejectedTaken: true });
  const answerTo = ({ counted }: ShardBatch) => answerFor(counted[0]!.count);
  const answersTo = (message: Uint8Array) => encodeAnswers(readBatches(message).map(answerTo));
  /** A shard that answers the first call, and the others by `later`. */
  const acceptWith = (later: Accept) =>
    vi.fn<Accept>(later).mockImplementationOnce(async (message) => answersTo(message));

  /** The first call goes at once; `count` more requests come while it is under way. */
  async function ask(count: number, accept: Accept): Promise<(ShardAnswer | null)[]> {
    const { env } = envOf(accept);
    const asked = Array.from({ length: count + 1 }, (_, n) => askShard(env, CONTEXT, batchOf(n)));
    await vi.advanceTimersByTimeAsync(CALL_EVERY_MS + LOOK_FIRST_MS_MAX);
    expect(vi.getTimerCount()).toBe(0);
    return Promise.all(asked);
  }

  test("share a call, and each gets its own answer", async () => {
    const accept = acceptWith(async (message) => answersTo(message));
    expect(await ask(20, accept)).toEqual(Array.from({ length: 21 }, (_, n) => answerFor(n)));
    expect(accept.mock.calls.map(([message]) => readBatches(message).length)).toEqual([1, 20]);
  });

  test("are answered with null together when their call fails, which is logged once", async () => {
    const accept = acceptWith(() => Promise.reject(new Error("it is gone")));
    expect(await ask(3, accept)).toEqual([answerFor(0), null, null, null]);
    expect(log.mock.calls).toEqual([[expect.stringContaining("it is gone")]]);
  });

  test("have no part in what their shard cannot decide of one of them", async () => {
    const accept = acceptWith(async (message) => {
      const answers = readBatches(message).map((batch, i) => (i === 1 ? null : answerTo(batch)));
      return encodeAnswers(answers);
    });
    expect(await ask(3, accept)).toEqual([answerFor(0), answerFor(1), null, answerFor(3)]);
  });

  test.each([
    ["fewer", (answers: ShardAnswer[]) => answers.slice(1)],
    ["more", (answers: ShardAnswer[]) => [...answers, answerFor(9)]],
  ])("know nothing when there are %s answers than batches", async (_, changed) => {
    const accept = acceptWith(async (message) =>
      encodeAnswers(changed(readBatches(message).map(answerTo))),
    );
    expect(await ask(3, accept)).toEqual([answerFor(0), null, null, null]);
    expect(log.mock.calls).toEqual([[expect.stringContaining("answers to 3 batches")]]);
  });

  test("know nothing when their shard cannot even be called; the next ones can call it", async () => {
    const accept = vi.fn<Accept>(async (message) => answersTo(message));
    const { env } = envOf(accept);
    const get = vi.spyOn(env.SHARD_OBJECTS, "get");
    const one = async (n: number) => {
      const asked = askShard(env, CONTEXT, batchOf(n));
      await vi.advanceTimersByTimeAsync(CALL_EVERY_MS + LOOK_FIRST_MS_MAX);
      return asked;
    };
    expect(await one(1)).toEqual(answerFor(1));
    get.mockImplementationOnce(() => {
      throw new Error("no such binding");
    });
    expect(await one(2)).toBeNull();
    expect(await one(3)).toEqual(answerFor(3));
    expect(log.mock.calls).toEqual([[expect.stringContaining("no such binding")]]);
  });

  test("do not meet those for another shard", async () => {
    const accept = vi.fn<Accept>(async (message) => answersTo(message));
    const { env, names } = envOf(accept);
    const asked = Array.from({ length: 10 }, (_, n) =>
      askShard(env, CONTEXT, batchOf(n, n % 2 === 0 ? 3 : 1)),
    );
    await vi.advanceTimersByTimeAsync(CALL_EVERY_MS + LOOK_FIRST_MS_MAX);
    expect(await Promise.all(asked)).toEqual(Array.from({ length: 10 }, (_, n) => answerFor(n)));
    expect(names).toEqual(["shard-3", "shard-1", "shard-3", "shard-1"]);
    const shards = accept.mock.calls.map(([message]) =>
      readBatches(message).map(({ shard }) => shard),
    );
    expect(shards).toEqual([[3], [1], [3, 3, 3, 3], [1, 1, 1, 1]]);
  });

  test("give up after SHARD_ANSWER_MS_MAX when the request that was to call is gone, and hold up nobody after them", async () => {
    const accept = vi.fn<Accept>(async (message) => answersTo(message));
    const { env } = envOf(accept);
    await askShard(env, CONTEXT, batchOf(0));
    // The platform has ended it: its timer never fires, whatever it said to waitUntil.
    const timers = vi.spyOn(globalThis, "setTimeout").mockImplementation(() => 0);
    void askShard(env, CONTEXT, batchOf(1));
    timers.mockRestore();
    const startMs = Date.now();
    const gaveUpAfter = askShard(env, CONTEXT, batchOf(2)).then((answer) => {
      expect(answer).toBeNull();
      return Date.now() - startMs;
    });
    await vi.advanceTimersByTimeAsync(CALL_EVERY_MS + CALL_LATE_MS_MAX + 1);
    expect(await askShard(env, CONTEXT, batchOf(3))).toEqual(answerFor(3));
    await vi.advanceTimersByTimeAsync(SHARD_ANSWER_MS_MAX);
    expect(await gaveUpAfter).toBe(SHARD_ANSWER_MS_MAX);
    expect(accept).toHaveBeenCalledTimes(2);
  });

  test("are kept waiting for by the platform when the client of the one that calls has gone", async () => {
    const held = Promise.withResolvers<string>();
    const { env } = envOf(() => held.promise);
    const waitUntil = vi.fn<Context["waitUntil"]>();
    void askShard(env, { waitUntil }, batchOf(0));
    expect(waitUntil).toHaveBeenCalledTimes(1);
    let isKept = true;
    void (waitUntil.mock.calls[0]![0] as Promise<void>).then(() => (isKept = false));
    await vi.advanceTimersByTimeAsync(1_000);
    expect(isKept).toBe(true);
    held.resolve(encodeAnswers([answerFor(0)]));
    await vi.advanceTimersByTimeAsync(0);
    expect(isKept).toBe(false);
  });

  test("that need other shards, too, hear of a fault of this side's as of a shard that is away", async () => {
    const accept = vi.fn<Accept>(async (message) => answersTo(message));
    const broken = { ...batchOf(1), clicks: null as unknown as Uint8Array };
    expect(await askShardInTime(envOf(accept).env, CONTEXT, broken)).toBeNull();
    expect(log.mock.calls).toEqual([[expect.stringContaining("shard is away")]]);
  });
});
