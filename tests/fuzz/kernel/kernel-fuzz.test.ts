/** A short fuzz run of both kernels, and kernels with a planted fault that a run must find. */
import { describe, expect, test } from "vitest";
import { BREAKERS, brokenMaker, sequenceThatCatches } from "./broken-kernel.ts";
import { compareSequence } from "./compare.ts";
import { loadKernelMaker } from "./kernel-under-test.ts";
import { makeSequence, SEED_MAX } from "./operations.ts";
import { withLists } from "./plain-list.ts";
import { fuzzKernel, shrink } from "./run.ts";
import { Seen } from "./seen.ts";

const RUN_MS = 2_500;

const makeKernel = await loadKernelMaker();
const seed = Date.now() % SEED_MAX;
console.log(`kernel fuzz: seed ${seed}`);

test("the wasm kernel and the reference kernel cannot be told apart", () => {
  const run = fuzzKernel(seed, RUN_MS, 50, makeKernel);
  expect({ seed, mismatches: run.mismatches }).toEqual({ seed, mismatches: [] });
});

describe("sequences meet", () => {
  const seen = new Seen();
  for (let sequence = 0; sequence < 400; sequence++) {
    compareSequence(makeSequence(1, sequence), makeKernel, seen);
  }

  test("every refusal of a block", () => {
    expect([...seen.blockReasons].toSorted()).toMatchInlineSnapshot(`
      [
        "a string's length takes more than one byte",
        "ad_id is longer than 64 bytes",
        "bytes are left over after the last row",
        "clicks is 0",
        "country is longer than 2 bytes",
        "device is longer than 16 bytes",
        "invalid_reason is longer than 32 bytes",
        "out of memory: the kernel's limit leaves no room for the block",
        "the block is longer than 524032 bytes",
        "the row is cut off",
      ]
    `);
  });

  test("every refusal of a chunk of a snapshot", () => {
    expect([...seen.snapshotReasons].toSorted()).toMatchInlineSnapshot(`
      [
        "a string's length takes more than one byte",
        "ad_id is longer than 64 bytes",
        "bytes are left over after the last row",
        "clicks are beyond 2^53",
        "clicks is 0",
        "country is longer than 2 bytes",
        "device is longer than 16 bytes",
        "invalid_reason is longer than 32 bytes",
        "the block is longer than 524032 bytes",
        "the row is cut off",
      ]
    `);
  });

  test.each([
    ["blocks taken after a drain", 10],
    ["closed rows", 500],
    ["closed rows that are late", 200],
    ["early rows", 100],
    ["early rows that are late", 100],
    ["states over the limit", 200],
    ["states with untracked clicks", 200],
    ["states with ads untracked for want of memory", 20],
    ["states with a run that tracks no ad", 50],
    ["states whose first runs were dropped", 500],
    ["states with several runs of a window", 500],
    ["lists", 300],
    ["lists with ties", 100],
    ["lists as long as they may be", 100],
    ["lists with untracked clicks", 50],
    ["runs dumped again", 500],
    ["restores of the kernel", 50],
    ["restores of the reference", 50],
    ["restores of both", 50],
    ["a chunk twice", 5],
    ["an unknown run", 5],
    ["an unknown window", 5],
    ["a click more in a run", 5],
  ])("%s, at least %i times", (what, least) => {
    expect(seen.counts.get(what)).toBeGreaterThanOrEqual(least);
  });
});

test("lists made of state and dumps are the kernel's own, so that only a planted fault tells them apart", () => {
  const run = fuzzKernel(1, 0, 100, (limits) => withLists(makeKernel(limits), {}));
  expect(run.mismatches).toEqual([]);
});

test("a sequence follows from its seed and number", () => {
  expect(makeSequence(7, 3)).toEqual(makeSequence(7, 3));
  expect(makeSequence(7, 3)).not.toEqual(makeSequence(7, 4));
  expect(makeSequence(7, 3)).not.toEqual(makeSequence(8, 3));
});

describe("a kernel that", () => {
  test.each(Object.entries(BREAKERS))("%s is caught", (_, breaker) => {
    expect({ seed, caughtBy: sequenceThatCatches(breaker, seed, makeKernel) }).toEqual({
      seed,
      caughtBy: expect.any(Number),
    });
  });

  test.each([
    ["counts in 32 bits", 4],
    ["lists ads of equal counts the other way round", 4],
    ["forgets how many runs it made when it is restored", 6],
  ])("%s is shown with few operations and few rows", (name, operationsMax) => {
    const number = sequenceThatCatches(BREAKERS[name]!, 1, makeKernel)!;
    const broken = brokenMaker(BREAKERS[name]!, makeKernel);
    const shrunk = shrink(makeSequence(1, number), broken);
    expect(compareSequence(shrunk, broken)).toBeDefined();
    const rows = shrunk.operations.flatMap((o) => (o.do === "ingest" ? o.rows : []));
    expect(rows.length).toBeLessThanOrEqual(3);
    expect(shrunk.operations.length).toBeLessThanOrEqual(operationsMax);
  });
});
