/** Both kernels against their contract, and what only the one in WebAssembly has: memory. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { readTop } from "../wire/top.ts";
import { restoredCopy, shownBy } from "./kernel-checks.ts";
import type { CreateKernel } from "./kernel-checks.ts";
import { kernelContract } from "./kernel-contract.ts";
import { adKey, blockOf, closeRequest, UNIT } from "./kernel-rows.ts";
import type { TestRow } from "./kernel-rows.ts";
import type { IngestOutcome, Kernel, RunFacts } from "./kernel.ts";
import { keyHash } from "./key-hash.ts";
import { kernelConstants, OUT_OF_MEMORY_REASON } from "./layout.ts";
import { createReferenceKernel } from "./reference-kernel.ts";
import { createWasmKernel, loadKernelModule } from "./wasm-kernel.ts";

const module = await loadKernelModule();
const MIB = 2 ** 20;

kernelContract("reference kernel", createReferenceKernel);
kernelContract("wasm kernel", (limits) => createWasmKernel(module, limits));

/** `count` rows of keys from `first` on, in one window. */
function freshRows(window: number, first: number, count: number): TestRow[] {
  return Array.from({ length: count }, (_, i) => ({
    window,
    key: adKey(`ad-${first + i}`),
    clicks: 1,
  }));
}

function ingestAll(kernel: Kernel, window: number, keys: number): void {
  for (let first = 0; first < keys; first += 5_000) {
    const rows = freshRows(window, first, Math.min(5_000, keys - first));
    expect(kernel.ingest(blockOf(rows), rows.length)).toMatchObject({ ok: true });
  }
}

describe("wasm kernel: memory", () => {
  test("windows that open and close for ever stay within the same memory", () => {
    // 40,000 keys take about 0.5 MB of table and 1.3 MB of records, and as many ads; two windows are open.
    const kernel = createWasmKernel(module, { bytesMax: 12 * MIB });
    for (let minute = 0; minute < 24; minute++) {
      ingestAll(kernel, minute * 60, minute % 3 === 0 ? 40_000 : 9_000);
      ingestAll(kernel, minute * 60 + 60, 50);
      kernel.close(closeRequest({ closedThroughSeconds: minute * 60 + 60 }));
    }
    expect(kernel.windows()).toEqual([24 * 60]);
  });

  test("refused blocks leave no memory behind", () => {
    const kernel = createWasmKernel(module, { bytesMax: 4 * MIB });
    const rows = freshRows(0, 0, 5_000);
    const broken = blockOf([...rows, { ...rows[0]!, clicks: 0 }]);
    for (let i = 0; i < 2_000; i++) {
      expect(kernel.ingest(broken, rows.length + 1)).toMatchObject({ ok: false });
    }
    expect(kernel.ingest(blockOf(rows), rows.length)).toMatchObject({ ok: true });
  });

  test("out of memory, a block is refused whole, and closing gives what was accepted", () => {
    for (const limitMiB of [2, 3, 5, 9]) {
      const kernel = createWasmKernel(module, { bytesMax: limitMiB * MIB });
      const reference = createReferenceKernel();
      const refusals: IngestOutcome[] = [];
      for (let i = 0; refusals.length < 5; i++) {
        // Blocks over many small windows, then over one large: records, arenas, tables run out.
        const rows =
          i % 2 === 0
            ? freshRows(i, i * 3_000, 3_000)
            : freshRows(0, 0, 400).map((r, n) => ({ ...r, window: 1_000 * i + n }));
        const outcome = kernel.ingest(blockOf(rows), rows.length);
        if (outcome.ok) reference.ingest(blockOf(rows), rows.length);
        else refusals.push(outcome);
        expect(kernel.rowCount()).toBe(reference.rowCount());
      }
      const refusal = { ok: false, offset: 0, reason: OUT_OF_MEMORY_REASON };
      expect(refusals).toEqual(refusals.map(() => refusal));
      expect(kernel.windows()).toEqual(reference.windows());
      expect(kernel.rowCount()).toBeGreaterThan(0);
      const [mine, theirs] = [kernel, reference].map((k) =>
        Buffer.concat(k.close(closeRequest()).map((c) => c.body)),
      );
      expect(mine!.equals(theirs!)).toBe(true);
      const again = freshRows(0, 0, 3_000);
      expect(kernel.ingest(blockOf(again), again.length)).toEqual({ ok: true, clicks: 3_000 });
    }
  });

  test("a kernel whose windows are all closed takes what a new one takes", () => {
    // 100 windows of a row fill the memory with small pieces; the block wants two large ones.
    const limits = { bytesMax: 24 * 65_536, slidingWindows: [] };
    const kernel = createWasmKernel(module, limits);
    const small = freshRows(0, 0, 100).map((row, i) => ({ ...row, window: i }));
    const large = freshRows(0, 0, 2_400);
    expect(createWasmKernel(module, limits).ingest(blockOf(large), 2_400).ok).toBe(true);
    expect(kernel.ingest(blockOf(small), small.length).ok).toBe(true);
    expect(kernel.ingest(blockOf(large), 2_400)).toMatchObject({ reason: OUT_OF_MEMORY_REASON });
    kernel.close(closeRequest());
    expect(kernel.ingest(blockOf(large), 2_400)).toEqual({ ok: true, clicks: 2_400 });
  });

  test("memory of closed windows comes together again while one stays open", () => {
    const limits = { bytesMax: 4 * MIB, slidingWindows: [] };
    const kernel = createWasmKernel(module, limits);
    ingestAll(kernel, 1_000_000, 10);
    for (let round = 0; round < 20; round++) {
      // Ten windows of many keys each, then one that needs most of what they had in one piece.
      for (let window = 0; window < 10; window++) ingestAll(kernel, 60 * window, 1_500);
      kernel.close(closeRequest({ closedThroughSeconds: 900_000 }));
      ingestAll(kernel, 0, 12_000);
      kernel.close(closeRequest({ closedThroughSeconds: 900_000 }));
    }
    expect(kernel.windows()).toEqual([1_000_000]);
  });

  test("out of memory for sliding windows, counts are complete and lists say what they lack", () => {
    const kernel = createWasmKernel(module, { bytesMax: 5 * MIB });
    const reference = createReferenceKernel();
    for (let minute = 0; minute < 40; minute++) {
      for (const k of [kernel, reference]) {
        const rows = freshRows(minute * 60, minute * 4_000, 4_000);
        expect(k.ingest(blockOf(rows), rows.length).ok).toBe(true);
      }
      const request = closeRequest({ closedThroughSeconds: minute * 60 + 60 });
      expect(kernel.close(request)).toEqual(reference.close(request));
    }
    const { untrackedForMemoryClicks, bytesInUse, linearMemoryBytes } = kernel.figures();
    expect(untrackedForMemoryClicks).toBeGreaterThan(0);
    expect(bytesInUse).toBeLessThanOrEqual(linearMemoryBytes);
    expect(linearMemoryBytes).toBeLessThanOrEqual(5 * MIB);
    const clicksOf = (run: RunFacts) => run.clicks + run.untrackedClicks;
    expect(kernel.state().runs.map(clicksOf)).toEqual(reference.state().runs.map(clicksOf));
    const [row] = readTop(kernel.top({ windows: 60, count: 1, unit: UNIT }).body);
    expect(row!.untrackedClicks).toBe(untrackedForMemoryClicks);
    // Counts have half of the memory to themselves, whatever sliding windows take.
    expect(bytesInUse).toBeLessThan(0.75 * 5 * MIB);
    const full = kernel.rowCount();
    ingestAll(kernel, 10_000, 12_000);
    expect(kernel.rowCount()).toBe(full + 12_000);
    // All runs leave, and what they had is free again.
    kernel.close(closeRequest());
    expect(kernel.figures()).toMatchObject({ ads: 0, runs: 0, runRows: 0, runBytes: 0 });
    ingestAll(kernel, 0, 25_000);
  });

  test("a restore that finds no memory throws, and one that throws nothing is whole", () => {
    const source = createReferenceKernel();
    for (let minute = 0; minute < 20; minute++) {
      const rows = freshRows(minute * 60, minute * 900, 3_000);
      source.ingest(blockOf(rows), rows.length);
      source.close(closeRequest({ closedThroughSeconds: minute * 60 + 60 }));
    }
    const outcomes = new Set<string>();
    for (let pages = 21; pages < 120; pages += 3) {
      const limits = { bytesMax: pages * 65_536 };
      try {
        const copy = restoredCopy(source, (some) => createWasmKernel(module, some), limits);
        expect(shownBy(copy)).toEqual(shownBy(source));
        outcomes.add("restored");
      } catch (error) {
        outcomes.add((error as Error).message);
      }
    }
    expect([...outcomes]).toEqual([OUT_OF_MEMORY_REASON, "restored"]);
  });

  test("a kernel whose restoring threw is of no use, and says why", () => {
    const source = createReferenceKernel();
    const rows = freshRows(0, 0, 4_000);
    source.ingest(blockOf(rows), rows.length);
    const kernel = createWasmKernel(module, { bytesMax: 21 * 65_536 });
    expect(() => kernel.restoreState(source.state())).toThrow(OUT_OF_MEMORY_REASON);
    expect(() => kernel.ingest(blockOf(rows), rows.length)).toThrow("the kernel is of no use");
    expect(() => kernel.rowCount()).toThrow("the kernel is of no use");
  });

  test("a limit below the kernel's own areas is refused at once", () => {
    expect(() => createWasmKernel(module, { bytesMax: MIB / 2 })).toThrow("too few");
  });

  test("kernels of one module share nothing", () => {
    const [a, b] = [createWasmKernel(module), createWasmKernel(module)];
    ingestAll(a, 0, 10);
    expect(b.rowCount()).toBe(0);
  });
});

describe("wasm kernel: figures", () => {
  test("they tell what it holds, how full its tables are, and what it has done", () => {
    let now = 0;
    const kernel = createWasmKernel(module, {}, () => (now += 10));
    expect(kernel.figures()).toMatchObject({ rows: 0, loadFactor: 0, probeLength: 1, ads: 0 });
    ingestAll(kernel, 0, 12_000);
    ingestAll(kernel, 60, 100);
    kernel.ingest(new Uint8Array(1), 1);
    const before = kernel.figures();
    expect(before).toMatchObject({
      rows: 12_100,
      windows: 2,
      ingest: { blocks: 5, rows: 12_100, ms: 50 },
      close: { calls: 0, rows: 0, ms: 0 },
    });
    expect(before.loadFactor).toBeGreaterThan(0.1);
    expect(before.loadFactor).toBeLessThanOrEqual(3 / 4);
    expect(before.probeLength).toBeGreaterThan(1);
    expect(before.probeLength).toBeLessThan(1.5);
    expect(before.bytesInUse).toBeGreaterThan(12_100 * 16);
    kernel.close(closeRequest({ closedThroughSeconds: 60 }));
    const after = kernel.figures();
    expect(after).toMatchObject({
      rows: 100,
      windows: 1,
      ads: 12_000,
      runs: 1,
      runRows: 12_000,
      untrackedForMemoryClicks: 0,
      close: { calls: 1, rows: 12_000, ms: 10 },
    });
    // Two bytes an ad, and the chunk that is not full.
    expect(after.runBytes).toBeGreaterThanOrEqual(24_000);
    expect(after.runBytes).toBeLessThan(24_000 + 65_536);
  });
});

describe("both kernels", () => {
  test("one goes on from the snapshot of the other", () => {
    const limits = { slidingWindows: [1, 3], adsMax: 40, runRowsMax: 150 };
    const makers: CreateKernel[] = [
      createReferenceKernel,
      (some) => createWasmKernel(module, some),
    ];
    let kernels = makers.map((create) => create(limits));
    for (let minute = 0; minute < 12; minute++) {
      const rows = Array.from({ length: 60 }, (_, i) => ({
        window: 60 * Math.max(minute - (i % 4), 0),
        key: adKey(`ad-${(i * 7 + minute * 3) % 50}`, i % 2 ? "DE" : "FR"),
        clicks: 1 + (i % 5),
      }));
      const request = closeRequest({
        closedThroughSeconds: 60 * minute,
        lateThroughSeconds: 60 * (minute - 1),
      });
      const [first, second] = kernels.map((kernel) => {
        kernel.ingest(blockOf(rows), rows.length);
        return minute === 0 ? [] : kernel.close(request);
      });
      expect(first).toEqual(second);
      expect(shownBy(kernels[0]!)).toEqual(shownBy(kernels[1]!));
      // The reference's becomes one in WebAssembly, and the other way round.
      kernels = kernels.map((kernel, i) =>
        restoredCopy(kernel, makers[(i + minute + 1) % 2]!, limits),
      );
    }
  });
});

describe("sources that must agree", () => {
  test("the kernel's constants are those of wire/ (else: node wasm/generate.ts)", () => {
    const file = new URL("assembly/constants.generated.ts", import.meta.url);
    expect(readFileSync(file, "utf8")).toBe(kernelConstants());
  });

  test("the hash of a key is fasthash64", () => {
    // From Zilong Tan's C, seed 0, over the first n of the bytes (7 i + 200) mod 256.
    const vectors: readonly (readonly [number, bigint])[] = [
      [0, 0x0000000000000000n],
      [1, 0xe49910e9140229dfn],
      [2, 0x4b5aef90bf69e485n],
      [3, 0x3ac1f2d313ee653an],
      [4, 0x7bda9d936bda6985n],
      [5, 0x4d57651792d927c5n],
      [6, 0xe56d4f763185a5een],
      [7, 0x6758689f3bd1b1cbn],
      [8, 0xa1d7ba4c1d1625c6n],
      [9, 0x7c1b185d6a19439fn],
      [10, 0x2c84eba5090b1e05n],
      [11, 0x28bc45aff993cc8dn],
      [12, 0xc54b40480c9083ban],
      [13, 0x6a8a54322a2a6c36n],
      [14, 0x4be0c2a0cb9cb1f0n],
      [15, 0xc3429473a3417cf3n],
      [16, 0xc30a34b53be808c7n],
      [17, 0x2a8581d90bfc40aen],
      [18, 0x40aed50efdcd53e7n],
      [19, 0xd8fdd3bd3f681819n],
      [20, 0x84ac443ac709b954n],
      [21, 0x531daf0c40b4378fn],
      [22, 0xcdceeee38ba77b68n],
      [23, 0x834c315e8fd7c01an],
      [24, 0x1d235eb1b7f91edfn],
      [64, 0xdc4c9872b76934c7n],
      [83, 0xc20588351a42b785n],
      [102, 0x0dc210af5ec53e95n],
    ];
    const bytes = Uint8Array.from({ length: 128 }, (_, i) => (7 * i + 200) % 256);
    for (const [length, hash] of vectors) {
      expect(keyHash(bytes.subarray(0, length))).toBe(hash);
    }
  });
});
