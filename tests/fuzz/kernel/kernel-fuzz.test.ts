/** A short fuzz run of both kernels, and kernels with a planted fault that a run must find. */
import { describe, expect, test } from "vitest";
import { createWasmKernel, loadKernelModule } from "../../../wasm/wasm-kernel.ts";
import { BREAKERS, sequenceThatCatches } from "./broken-kernel.ts";
import { compareSequence, fuzzKernel, shrink } from "./compare.ts";
import type { KernelMaker, Seen } from "./compare.ts";
import { makeSequence, SEED_MAX } from "./operations.ts";

const RUN_MS = 2_500;

const module = await loadKernelModule();
const makeKernel: KernelMaker = (memoryBytesMax) =>
  memoryBytesMax === null ? createWasmKernel(module) : createWasmKernel(module, memoryBytesMax);
const seed = Date.now() % SEED_MAX;
console.log(`kernel fuzz: seed ${seed}`);

test("the wasm kernel and the reference kernel cannot be told apart", () => {
  const run = fuzzKernel(seed, RUN_MS, 50, makeKernel);
  expect({ seed, mismatches: run.mismatches }).toEqual({ seed, mismatches: [] });
});

test("sequences meet every refusal, late rows, and memory that runs out and comes back", () => {
  const seen: Seen = { reasons: new Set(), takenAfterDrain: 0, lateCloses: 0 };
  for (let sequence = 0; sequence < 300; sequence++) {
    compareSequence(makeSequence(1, sequence), makeKernel, seen);
  }
  expect([...seen.reasons].toSorted()).toMatchInlineSnapshot(`
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
  expect(seen.takenAfterDrain).toBeGreaterThan(10);
  expect(seen.lateCloses).toBeGreaterThan(100);
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

  test("fails is shown with few operations and few rows", () => {
    const broken: KernelMaker = (memoryBytesMax) =>
      BREAKERS["counts in 32 bits"]!(makeKernel(memoryBytesMax));
    const number = sequenceThatCatches(BREAKERS["counts in 32 bits"]!, 1, makeKernel)!;
    const shrunk = shrink(makeSequence(1, number), broken);
    expect(compareSequence(shrunk, broken)).toBeDefined();
    const rows = shrunk.operations.flatMap((o) => (o.do === "ingest" ? o.rows : []));
    expect(rows.length).toBeLessThanOrEqual(3);
    expect(shrunk.operations.length).toBeLessThanOrEqual(4);
  });
});
