/**
 * One round of a contender in JavaScript or WebAssembly, in a process of its own; prints the outcome as JSON.
 *
 *     node --expose-gc tests/bench/contend-here.ts wasm|map|typed ROWS.bin ROWS.index
 *
 * The rows are in memory before, and the whole case is grouped twice. The first pass pays for compilers and
 * for memory that the process has never used; the second has both, as a process that runs for days has, and
 * is the one that is compared: a new table (for the kernel: after all windows were closed).
 */
import { setTimeout } from "node:timers/promises";
import { loadKernelModule } from "../../wasm/wasm-kernel.ts";
import { readCase } from "./case-blocks.ts";
import { clocked } from "./group-by.ts";
import type { GroupBy } from "./group-by.ts";
import { createMapGroupBy } from "./map-group-by.ts";
import type { RoundOutcome } from "./round.ts";
import { TallyMaker } from "./tally.ts";
import { createTypedGroupBy } from "./typed-group-by.ts";
import { createWasmGroupBy, tellChunks } from "./wasm-group-by.ts";

/** Of the kernel's tables: no key takes less. */
const ENTRY_BYTES = 16;
/** Compilers work in the background; when they have ended, nothing says. */
const SETTLE_MS = 200;

const [contender, rowsFile, indexFile] = process.argv.slice(2);
if (rowsFile === undefined || indexFile === undefined) throw new Error("which case?");
const blocks = readCase({ rowsFile, indexFile });
const outcome = await contend(contender);
console.log(JSON.stringify(outcome));

async function contend(name: string | undefined): Promise<RoundOutcome> {
  if (name === "map") return contendWith(createMapGroupBy);
  if (name === "typed") return contendWith(createTypedGroupBy);
  if (name === "wasm") return contendWithKernel(await loadKernelModule());
  throw new Error(`no contender ${name}`);
}

async function contendWith(create: () => GroupBy): Promise<RoundOutcome> {
  const first = clocked(() => addAll(create()));
  await settle();
  const groupBy = create();
  const second = clocked(() => addAll(groupBy));
  const tally = new TallyMaker();
  groupBy.tell(tally);
  return { firstSeconds: first.seconds, seconds: second.seconds, tally: tally.finish() };
}

async function contendWithKernel(module: WebAssembly.Module): Promise<RoundOutcome> {
  await settle();
  const bytesBefore = linearMemoryBytes();
  const groupBy = createWasmGroupBy(module);
  const first = clocked(() => addAll(groupBy));
  // Before chunks come and go: what the collector has freed is taken off the process's figures later.
  const memoryBytes = linearMemoryBytes() - bytesBefore;
  groupBy.close();
  await settle();
  const second = clocked(() => addAll(groupBy));
  const closing = clocked(() => groupBy.close());
  const tally = new TallyMaker();
  tellChunks(closing.result, tally);
  const told = tally.finish();
  if (memoryBytes < told.keys * ENTRY_BYTES)
    throw new Error(`${memoryBytes} bytes cannot be right`);
  return {
    firstSeconds: first.seconds,
    seconds: second.seconds,
    tally: told,
    closeSeconds: closing.seconds,
    memoryBytes,
  };
}

/** What is outside the heap and no ArrayBuffer of ours: linear memories, and a few MB that do not change. */
function linearMemoryBytes(): number {
  const { external, arrayBuffers } = process.memoryUsage();
  return external - arrayBuffers;
}

function addAll(groupBy: GroupBy): void {
  for (const block of blocks) groupBy.add(block);
}

async function settle(): Promise<void> {
  await setTimeout(SETTLE_MS);
  globalThis.gc!();
}
