/** What the host may call and read; wasm/wasm-kernel.ts is the only one that does. */
import { LAYOUT_VERSION } from "./constants.generated";
import { tail } from "./close";
import { rowsHeld } from "./ingest";
import { initializeMemory, transfer } from "./memory";
import { directory, windowCount } from "./windows";

export {
  beginClose,
  chunkClicks,
  chunkRows,
  closingClicks,
  closingRows,
  writeChunk,
} from "./close";
export { faultOffset, ingestBlock, ingestedClicks, ingestedRows, touched } from "./ingest";

export function layoutVersion(): u32 {
  return LAYOUT_VERSION;
}

/** Once, before anything else; false when the static areas do not fit `memoryPagesMax`. */
export function initialize(memoryPagesMax: u32): bool {
  return initializeMemory(memoryPagesMax);
}

/** Where blocks go in and chunks come out. */
export function transferAddress(): usize {
  return transfer;
}

export function tailAddress(): usize {
  return tail;
}

/** Entries of 8 bytes, ascending by the window start that each begins with. */
export function directoryAddress(): usize {
  return directory;
}

export function openWindows(): u32 {
  return windowCount;
}

export function heldRows(): u64 {
  return rowsHeld;
}
