/**
 * The kernel's sliding windows at their size, in a process of its own; prints the outcome as JSON.
 *
 *     node --expose-gc tests/bench/contend-sliding.ts ADS SEED
 */
import { createWasmKernel, loadKernelModule } from "../../wasm/wasm-kernel.ts";
import { settle } from "./group-by.ts";
import { slideOver } from "./sliding.ts";

const [ads, seed] = process.argv.slice(2).map(Number);
if (ads === undefined || seed === undefined) throw new Error("how many ads, and which seed?");
const kernel = createWasmKernel(await loadKernelModule());
console.log(JSON.stringify(await slideOver(kernel, ads, seed, settle)));
