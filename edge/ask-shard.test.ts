/** The Worker's call to a shard, with shards that fail in every way the platform knows. */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { MockInstance } from "vitest";
import { askShard, askShardInTime } from "./ask-shard.ts";
import type { Context } from "./ask-shard.ts";
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
  const batchOf = (n: number) =>
    countedBatch(3, 4, [{ account: "a", keyId: "k", code: "c", field: "", count: n }]);
  /** Every batch is answered with a fate of its own. */
  const fateOf = ({ counted }: ShardBatch) => counted[0]!.count % 4;
  const answerTo = (batch: ShardBatch): ShardAnswer => ({
    fates: Uint8Array.of(fateOf(batch)),
    rejectedTaken: true,
  });
  const answersTo = (message: Uint8Array) => encodeAnswers(readBatches(message).map(answerTo));

  /** The first call goes at once; `count` more requests come while it is under way. */
  function ask(count: number, accept: Accept) {
    const { env } = envOf(accept);
    const batches = Array.from({ length: count + 1 }, (_, n) => batchOf(n));
    return { env, batches, asked: batches.map((batch) => askShard(env, CONTEXT, batch)) };
  }

  test("share a call, and each gets its own answer", async () => {
    const accept = vi.fn<Accept>((message) => Promise.resolve(answersTo(message)));
    const { batches, asked } = ask(20, accept);
    await vi.advanceTimersByTimeAsync(CALL_EVERY_MS + LOOK_FIRST_MS_MAX);
    expect(await Promise.all(asked)).toEqual(batches.map(answerTo));
    expect(accept.mock.calls.map(([message]) => readBatches(message).length)).toEqual([1, 20]);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("are answered with null together when their call fails, which is logged once", async () => {
    const accept = vi
      .fn<Accept>((message) => Promise.resolve(answersTo(message)))
      .mockImplementationOnce((message) => Promise.resolve(answersTo(message)))
      .mockImplementationOnce(() => Promise.reject(new Error("it is gone")));
    const { batches, asked } = ask(3, accept);
    await vi.advanceTimersByTimeAsync(CALL_EVERY_MS + LOOK_FIRST_MS_MAX);
    expect(await Promise.all(asked)).toEqual([answerTo(batches[0]!), null, null, null]);
    expect(log.mock.calls).toEqual([[expect.stringContaining("it is gone")]]);
  });

  test("have no part in what their shard cannot decide of one of them", async () => {
    const accept = vi.fn<Accept>((message) => {
      const answers = readBatches(message).map((batch, i) => (i === 1 ? null : answerTo(batch)));
      return Promise.resolve(encodeAnswers(answers));
    });
    const { batches, asked } = ask(3, accept);
    await vi.advanceTimersByTimeAsync(CALL_EVERY_MS + LOOK_FIRST_MS_MAX);
    const expected = batches.map((batch, n) => (n === 2 ? null : answerTo(batch)));
    expect(await Promise.all(asked)).toEqual(expected);
  });

  test("know nothing when there are more or fewer answers than batches", async () => {
    const accept = vi.fn<Accept>((message) =>
      Promise.resolve(encodeAnswers(readBatches(message).slice(1).map(answerTo))),
    );
    const { asked } = ask(3, accept);
    await vi.advanceTimersByTimeAsync(CALL_EVERY_MS + LOOK_FIRST_MS_MAX);
    expect(await Promise.all(asked)).toEqual([null, null, null, null]);
  });

  test("give up after SHARD_ANSWER_MS_MAX when the request that was to call is gone, and hold up nobody after them", async () => {
    const accept = vi.fn<Accept>((message) => Promise.resolve(answersTo(message)));
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
    expect(await askShard(env, CONTEXT, batchOf(3))).toEqual(answerTo(batchOf(3)));
    await vi.advanceTimersByTimeAsync(SHARD_ANSWER_MS_MAX);
    const tookMs = await gaveUpAfter;
    expect(tookMs).toBeGreaterThanOrEqual(SHARD_ANSWER_MS_MAX);
    expect(tookMs).toBeLessThan(SHARD_ANSWER_MS_MAX + LOOK_FIRST_MS_MAX);
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
    held.resolve(encodeAnswers([answerTo(batchOf(0))]));
    await vi.advanceTimersByTimeAsync(0);
    expect(isKept).toBe(false);
  });
});
