/** Both kernels against their contract, and what only the one in WebAssembly has: memory. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { kernelContract } from "./kernel-contract.ts";
import { adKey, blockOf, closeRequest } from "./kernel-rows.ts";
import type { TestRow } from "./kernel-rows.ts";
import type { IngestOutcome, Kernel } from "./kernel.ts";
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
    // 40,000 keys take about 2.2 MB of table and 0.9 MB of keys, and 1 MB to sort; two windows are open.
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
    // 54 windows of a row fill the memory with small pieces; the block wants two large ones.
    const limits = { bytesMax: 22 * 65_536 };
    const kernel = createWasmKernel(module, limits);
    const small = freshRows(0, 0, 54).map((row, i) => ({ ...row, window: i }));
    const large = freshRows(0, 0, 300);
    expect(createWasmKernel(module, limits).ingest(blockOf(large), 300).ok).toBe(true);
    expect(kernel.ingest(blockOf(small), small.length).ok).toBe(true);
    expect(kernel.ingest(blockOf(large), 300)).toMatchObject({ reason: OUT_OF_MEMORY_REASON });
    kernel.close(closeRequest());
    expect(kernel.ingest(blockOf(large), 300)).toEqual({ ok: true, clicks: 300 });
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
