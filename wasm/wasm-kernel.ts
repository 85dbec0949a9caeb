/**
 * The kernel in WebAssembly, with types: the only file that touches linear memory.
 *
 * One copy in, one copy out: a block is copied to the transfer area, a chunk is copied from it.
 * Growth of linear memory detaches every view, so none is kept across a call into the kernel.
 * Rows, bytes and clicks are compared on both sides of every call; a difference is a bug and throws.
 *
 * `npm run build:wasm` makes the module from assembly/.
 */
import { readFile } from "node:fs/promises";
import { BLOCK_BODY_BYTES_MAX } from "../wire/limits.ts";
import { resultTail } from "../wire/result.ts";
import type { ClosedChunk, Kernel } from "./kernel.ts";
import { faultOf, faultReason, KERNEL_MEMORY_BYTES_MAX, LAYOUT_VERSION } from "./layout.ts";
import { assertCloseRequest, assertRows } from "./preconditions.ts";

const PAGE_BYTES = 65_536;
const DIRECTORY_ENTRY_BYTES = 8;

/** assembly/kernel.ts; 32-bit results arrive signed. */
interface KernelExports {
  readonly memory: WebAssembly.Memory;
  layoutVersion(): number;
  initialize(memoryPagesMax: number): number;
  transferAddress(): number;
  tailAddress(): number;
  directoryAddress(): number;
  openWindows(): number;
  heldRows(): bigint;
  ingestBlock(bytes: number, rows: number): number;
  readonly faultOffset: WebAssembly.Global<"i32">;
  readonly ingestedRows: WebAssembly.Global<"i32">;
  readonly ingestedClicks: WebAssembly.Global<"i64">;
  beginClose(closedThrough: bigint, lateThrough: bigint, windowSeconds: bigint): void;
  readonly closingRows: WebAssembly.Global<"i64">;
  readonly closingClicks: WebAssembly.Global<"i64">;
  writeChunk(tailBytes: number, bytesMax: number): number;
  readonly chunkRows: WebAssembly.Global<"i32">;
  readonly chunkClicks: WebAssembly.Global<"i64">;
}

/** Compiles the kernel; kernels made from one module share its code and no memory. */
export async function loadKernelModule(): Promise<WebAssembly.Module> {
  return WebAssembly.compile(await readFile(new URL("build/kernel.wasm", import.meta.url)));
}

/**
 * An empty kernel.
 *
 * @param memoryBytesMax limit of its linear memory; a block that would exceed it is refused whole
 */
export function createWasmKernel(
  module: WebAssembly.Module,
  memoryBytesMax: number = KERNEL_MEMORY_BYTES_MAX,
): Kernel {
  const kernel = new WebAssembly.Instance(module).exports as unknown as KernelExports;
  const version = kernel.layoutVersion() >>> 0;
  if (version !== LAYOUT_VERSION) {
    throw new Error(
      `kernel.wasm has layout ${version}, this code ${LAYOUT_VERSION}: run npm run build:wasm`,
    );
  }
  if (kernel.initialize(Math.floor(memoryBytesMax / PAGE_BYTES)) === 0) {
    throw new Error(`${memoryBytesMax} bytes are too few for a kernel`);
  }
  const transfer = kernel.transferAddress() >>> 0;
  const tailAddress = kernel.tailAddress() >>> 0;
  const bytesOf = () => new Uint8Array(kernel.memory.buffer);

  return {
    ingest(body, rows) {
      assertRows(rows);
      if (body.length > BLOCK_BODY_BYTES_MAX) {
        return { ok: false, offset: BLOCK_BODY_BYTES_MAX, reason: faultReason("long_block") };
      }
      bytesOf().set(body, transfer);
      const fault = faultOf(kernel.ingestBlock(body.length, rows));
      if (fault !== "none") {
        assertEqual("rows of a refused block", 0, kernel.ingestedRows.value >>> 0);
        return { ok: false, offset: kernel.faultOffset.value >>> 0, reason: faultReason(fault) };
      }
      assertEqual("rows of a block", rows, kernel.ingestedRows.value >>> 0);
      return { ok: true, clicks: safe(kernel.ingestedClicks.value) };
    },

    close(request) {
      assertCloseRequest(request);
      const rowsBefore = safe(kernel.heldRows());
      kernel.beginClose(
        BigInt(request.closedThroughSeconds),
        BigInt(request.lateThroughSeconds),
        BigInt(request.windowSeconds),
      );
      const rowsPromised = safe(kernel.closingRows.value);
      const clicksPromised = safe(kernel.closingClicks.value);
      const chunks: ClosedChunk[] = [];
      let rowsWritten = 0;
      let clicksWritten = 0;
      while (true) {
        const tail = resultTail(request.unit, chunks.length);
        bytesOf().set(tail, tailAddress);
        const bytes = kernel.writeChunk(tail.length, request.chunkBytesMax) >>> 0;
        if (bytes === 0) break;
        if (bytes > request.chunkBytesMax) throw new Error(`a chunk of ${bytes} bytes`);
        const rows = kernel.chunkRows.value >>> 0;
        const clicks = safe(kernel.chunkClicks.value);
        chunks.push({ rows, clicks, body: bytesOf().slice(transfer, transfer + bytes) });
        rowsWritten += rows;
        clicksWritten += clicks;
      }
      assertEqual("rows of closed windows", rowsPromised, rowsWritten);
      assertEqual("clicks of closed windows", clicksPromised, clicksWritten);
      assertEqual("rows left", rowsBefore - rowsWritten, safe(kernel.heldRows()));
      return chunks;
    },

    windows() {
      const view = new DataView(kernel.memory.buffer);
      const directory = kernel.directoryAddress() >>> 0;
      return Array.from({ length: kernel.openWindows() }, (_, i) =>
        view.getUint32(directory + i * DIRECTORY_ENTRY_BYTES, true),
      );
    },

    rowCount: () => safe(kernel.heldRows()),
  };
}

/** A 64-bit number of the kernel's as a number; beyond 2^53 our counts are wrong, not large. */
function safe(value: bigint): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number)) throw new Error(`${value} is beyond 2^53`);
  return number;
}

function assertEqual(what: string, expected: number, found: number): void {
  if (expected !== found) throw new Error(`${what}: expected ${expected}, the kernel has ${found}`);
}
