/** Who shares a call to a shard with whom, and when it is made. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { readBatches } from "./click/batch-bytes.ts";
import { countedBatch } from "./click/batches.ts";
import type { ShardBatch } from "./click/batches.ts";
import {
  CALL_BATCHES_MAX,
  CALL_BYTES_MAX,
  CALL_EVERY_MS,
  CALL_LATE_MS_MAX,
  LOOK_EVERY_MS,
  LOOK_FIRST_MS_MAX,
  SHARD_ANSWER_MS_MAX,
} from "./limits.ts";
import { nextLookMs, ShardLine } from "./shared-call.ts";
import type { SharedCall } from "./shared-call.ts";

const START = 1_800_000_000_000;

/** Batch `n`, told by a number that it carries. */
const batch = (n: number): ShardBatch => ({ ...countedBatch(3, 4, []), shard: n });
const numbersIn = (message: Uint8Array) => readBatches(message).map(({ shard }) => shard);

test("a request that finds nothing under way calls at once, and alone", () => {
  const line = new ShardLine();
  const { call, index } = line.join(batch(1), START);
  expect([index, call.dueAtMs]).toEqual([0, START]);
  expect(numbersIn(line.take(call, START))).toEqual([1]);
  expect(line.join(batch(2), START + CALL_EVERY_MS)).toMatchObject({
    index: 0,
    call: { dueAtMs: START + CALL_EVERY_MS },
  });
});

test("those that come within CALL_EVERY_MS share the next call, which is made then", () => {
  const line = new ShardLine();
  line.take(line.join(batch(0), START).call, START);
  const seats = [1, 2, 3].map((n) => line.join(batch(n), START + n));
  expect(seats.map(({ index }) => index)).toEqual([0, 1, 2]);
  expect(new Set(seats.map(({ call }) => call)).size).toBe(1);
  const { call } = seats[0]!;
  expect(call.dueAtMs).toBe(START + CALL_EVERY_MS);
  expect(numbersIn(line.take(call, call.dueAtMs))).toEqual([1, 2, 3]);
  // It is gone: the next one waits for the call after it.
  const next = line.join(batch(4), call.dueAtMs + 1);
  expect(next).toMatchObject({ index: 0, call: { dueAtMs: call.dueAtMs + CALL_EVERY_MS } });
});

test("a full call takes no more: of batches, or of bytes", () => {
  const line = new ShardLine();
  line.take(line.join(batch(0), START).call, START);
  const seats = Array.from({ length: CALL_BATCHES_MAX + 1 }, (_, n) => line.join(batch(n), START));
  expect(seats.map(({ index }) => index)).toEqual([
    ...Array.from({ length: CALL_BATCHES_MAX }, (_, n) => n),
    0,
  ]);
  expect(numbersIn(line.take(seats[0]!.call, START))).toHaveLength(CALL_BATCHES_MAX);

  const large = { ...batch(7), clicks: new Uint8Array(CALL_BYTES_MAX / 2) };
  const bytes = new ShardLine();
  expect([large, large, batch(8)].map((one) => bytes.join(one, START).index)).toEqual([0, 1, 0]);
});

test("a call whose request is gone is joined by nobody when it is late", () => {
  const line = new ShardLine();
  line.take(line.join(batch(0), START).call, START);
  const { call: lost } = line.join(batch(1), START);
  const late = lost.dueAtMs + CALL_LATE_MS_MAX;
  expect(line.join(batch(2), late).call).toBe(lost);
  const { call, index } = line.join(batch(3), late + 1);
  expect(call).not.toBe(lost);
  expect([index, call.dueAtMs]).toEqual([0, late + 1]);
  // Should it be made after all, it takes its own batches, and leaves the other one open.
  expect(numbersIn(line.take(lost, late + 2))).toEqual([1, 2]);
  expect(line.join(batch(4), late + 2).call).toBe(call);
});

test("the clock may jump by years: a call never waits longer than CALL_EVERY_MS, and one that is lost is not joined", () => {
  const clock = fc.integer({ min: -(10 ** 13), max: 10 ** 13 });
  fc.assert(
    fc.property(clock, clock, fc.boolean(), (before, after, isOneLost) => {
      fc.pre(Math.abs(after - before) > CALL_LATE_MS_MAX + CALL_EVERY_MS);
      const line = new ShardLine();
      line.take(line.join(batch(0), before).call, before);
      const lost = isOneLost ? line.join(batch(1), before).call : null;
      const { call } = line.join(batch(2), after);
      const waitMs = call.dueAtMs - after;
      expect(waitMs).toBeGreaterThanOrEqual(0);
      expect(waitMs).toBeLessThanOrEqual(CALL_EVERY_MS);
      expect(call).not.toBe(lost);
    }),
  );
});

test("a batch that cannot be written leaves its call as it was, for those that have joined and for those that come", () => {
  const line = new ShardLine();
  line.take(line.join(batch(0), START).call, START);
  const first = line.join(batch(1), START);
  const broken = { ...batch(2), clicks: null as unknown as Uint8Array };
  expect(() => line.join(broken, START)).toThrow(/./);
  const second = line.join(batch(3), START);
  expect(second).toEqual({ call: first.call, index: 1 });
  expect(numbersIn(line.take(first.call, START))).toEqual([1, 3]);
  // The first of a call, too: the next one makes it.
  expect(() => line.join(broken, START)).toThrow(/./);
  const next = line.join(batch(4), START);
  expect(next.index).toBe(0);
  expect(numbersIn(line.take(next.call, START))).toEqual([4]);
});

test("a call that failed before it was made is joined by nobody", () => {
  const line = new ShardLine();
  line.take(line.join(batch(0), START).call, START);
  const { call } = line.join(batch(1), START);
  line.failed(call);
  expect(call.answers).toEqual([]);
  expect(line.join(batch(2), START).index).toBe(0);
});

test("a call is taken once: nobody keeps its bytes who waits for its answers", () => {
  const line = new ShardLine();
  const { call } = line.join(batch(0), START);
  line.take(call, START);
  expect(() => line.take(call, START)).toThrow(/taken/);
  expect(() => call.add(batch(1))).toThrow(/taken/);
});

test("looks grow rarer the longer an answer takes: some sixty in SHARD_ANSWER_MS_MAX", () => {
  let waitedMs = 0;
  let looks = 0;
  for (; waitedMs < SHARD_ANSWER_MS_MAX; looks++) {
    const nextMs = nextLookMs(waitedMs);
    expect(nextMs).toBeGreaterThanOrEqual(LOOK_EVERY_MS);
    // An answer is never seen later than by a tenth of what it took, or one look.
    expect(nextMs).toBeLessThanOrEqual(Math.max(LOOK_EVERY_MS, waitedMs / 10));
    waitedMs += nextMs;
  }
  expect(looks).toBeLessThan(70);
});

test("a look comes when the newest answered call took so long, at least LOOK_EVERY_MS and at most LOOK_FIRST_MS_MAX later", () => {
  const line = new ShardLine();
  const lookAfter = (tookMs: number, nowMs: number) => {
    const { call } = line.join(batch(0), nowMs);
    line.take(call, call.dueAtMs);
    line.answered(call, [], call.dueAtMs + tookMs);
    const later = nowMs + CALL_EVERY_MS;
    return line.firstLookMs(line.join(batch(1), later).call, later);
  };
  expect(lookAfter(60, START)).toBe(60);
  expect(lookAfter(1, START + 1_000)).toBe(LOOK_EVERY_MS);
  expect(lookAfter(8_000, START + 20_000)).toBe(LOOK_FIRST_MS_MAX);
  expect(lookAfter(-8_000, START + 40_000)).toBe(LOOK_EVERY_MS);
});

test("however requests come, each batch is in one message, once, at its place", () => {
  type Step = { readonly kind: "join" | "take"; readonly afterMs: number };
  const step = fc.record<Step>({
    kind: fc.constantFrom("join", "join", "join", "take"),
    afterMs: fc.oneof(fc.integer({ min: 0, max: 4 }), fc.integer({ min: -5_000, max: 5_000 })),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const line = new ShardLine();
      const waiting: SharedCall[] = [];
      const messages = new Map<SharedCall, number[]>();
      const takeOldest = () => {
        const call = waiting.shift();
        if (call !== undefined) messages.set(call, numbersIn(line.take(call, nowMs)));
      };
      let nowMs = START;
      const seats = steps.flatMap(({ kind, afterMs }, n) => {
        nowMs += afterMs;
        if (kind === "take") {
          takeOldest();
          return [];
        }
        const seat = line.join(batch(n), nowMs);
        if (seat.index === 0) waiting.push(seat.call);
        return [{ ...seat, n }];
      });
      while (waiting.length > 0) takeOldest();
      for (const { call, index, n } of seats) expect(messages.get(call)![index]).toBe(n);
      expect([...messages.values()].flat()).toHaveLength(seats.length);
      for (const [call, numbers] of messages) expect(call.batchCount).toBe(numbers.length);
    }),
  );
});
