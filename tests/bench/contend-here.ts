/**
 * One round of a contender in JavaScript or WebAssembly, in a process of its own; prints the outcome as JSON.
 *
 *     node --expose-gc tests/bench/contend-here.ts wasm|map|typed ROWS.bin ROWS.index
 *
 * The rows are in memory before, and the whole case is grouped PASSES times, each time from nothing. The first
 * pass pays for compilers and for memory that the process has never used; the last has both, as a process
 * that runs for days has, and is the one that is compared.
 */
import { createWasmKernel, loadKernelModule } from "../../wasm/wasm-kernel.ts";
import { readCase } from "./case-blocks.ts";
import { clocked, PASSES, settle } from "./group-by.ts";
import type { GroupBy } from "./group-by.ts";
import { kernelRound } from "./kernel-round.ts";
import { createMapGroupBy } from "./map-group-by.ts";
import type { RoundOutcome } from "./round.ts";
import { TallyMaker } from "./tally.ts";
import { createTypedGroupBy } from "./typed-group-by.ts";

const [contender, rowsFile, indexFile] = process.argv.slice(2);
if (rowsFile === undefined || indexFile === undefined) throw new Error("which case?");
const blocks = readCase({ rowsFile, indexFile });
const outcome = await contend(contender);
console.log(JSON.stringify(outcome));

async function contend(name: string | undefined): Promise<RoundOutcome> {
  if (name === "map") return contendWith(createMapGroupBy);
  if (name === "typed") return contendWith(createTypedGroupBy);
  if (name === "wasm") {
    const module = await loadKernelModule();
    return kernelRound(blocks, (limits) => createWasmKernel(module, limits), settle);
  }
  throw new Error(`no contender ${name}`);
}

async function contendWith(create: () => GroupBy): Promise<RoundOutcome> {
  const first = clocked(() => addAll(create()));
  for (let pass = 2; pass < PASSES; pass++) addAll(create());
  await settle();
  const groupBy = create();
  const last = clocked(() => addAll(groupBy));
  const tally = new TallyMaker();
  groupBy.tell(tally);
  return { firstSeconds: first.seconds, seconds: last.seconds, tally: tally.finish() };
}

function addAll(groupBy: GroupBy): void {
  for (const block of blocks) groupBy.add(block);
}
