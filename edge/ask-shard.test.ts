/** The Worker's call to a shard, with shards that fail in every way the platform knows. */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { MockInstance } from "vitest";
import { askShard, askShardInTime } from "./ask-shard.ts";
import { encodeAnswer } from "./click/batch-bytes.ts";
import { countedBatch } from "./click/batches.ts";
import type { Env } from "./config.ts";
import { SHARD_ANSWER_MS_MAX } from "./limits.ts";
import type { ShardAnswer } from "./shard/fate.ts";

const BATCH = countedBatch(3, 4, []);
const ANSWER: ShardAnswer = { fates: new Uint8Array(0), rejectedTaken: true };

type Accept = () => Promise<string>;

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
    const accept = vi.fn<Accept>(() => Promise.resolve(encodeAnswer(ANSWER)));
    const { env, names } = envOf(accept);
    expect(await ask(env, BATCH)).toEqual(ANSWER);
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
      expect(await askShardInTime(env, BATCH)).toBeNull();
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
    const asked = askShardInTime(envOf(accept).env, BATCH);
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
      askShardInTime(envOf(() => promise).env, BATCH),
    );
    await vi.advanceTimersByTimeAsync(SHARD_ANSWER_MS_MAX);
    expect(await Promise.all(asked)).toEqual([null, null]);
    late.resolve(encodeAnswer(ANSWER));
    // An unhandled rejection would fail the run.
    failed.reject(new Error("too late"));
    await vi.advanceTimersByTimeAsync(0);
    expect(log.mock.calls.join()).toContain("too late");
  });
});
