/** The kernel that is compared with the reference: the one in WebAssembly. */
import { createWasmKernel, loadKernelModule } from "../../../wasm/wasm-kernel.ts";
import type { KernelMaker } from "./compare.ts";

export async function loadKernelMaker(): Promise<KernelMaker> {
  const module = await loadKernelModule();
  return (limits) => createWasmKernel(module, limits);
}
