/**
 * The kernel that is compared with the reference. Until the one in WebAssembly has sliding windows, it is
 * another reference kernel, with a limit of memory that is made up of rows.
 */
import { OUT_OF_MEMORY_REASON } from "../../../wasm/kernel.ts";
import type { KernelMaker } from "./compare.ts";
import { createReferenceKernel } from "../../../wasm/reference-kernel.ts";

const STATIC_BYTES = 20 * 65_536;
const ROW_BYTES = 100;
const AD_BYTES = 20_000;

export async function loadKernelMaker(): Promise<KernelMaker> {
  return (limits) => {
    const { bytesMax } = limits;
    if (bytesMax === undefined) return createReferenceKernel(limits);
    const freeBytes = bytesMax - STATIC_BYTES;
    const adsMax = Math.min(limits.adsMax ?? Infinity, Math.floor(freeBytes / AD_BYTES));
    const kernel = createReferenceKernel({ ...limits, adsMax });
    return {
      ...kernel,
      ingest(body, rows) {
        const hasRoom = (kernel.rowCount() + rows) * ROW_BYTES <= freeBytes;
        return hasRoom || !createReferenceKernel().ingest(body, rows).ok
          ? kernel.ingest(body, rows)
          : { ok: false, offset: 0, reason: OUT_OF_MEMORY_REASON };
      },
    };
  };
}
