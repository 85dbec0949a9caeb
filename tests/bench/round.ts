/** One round of one contender: a process that gets a case's files and prints its outcome. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { endingWithParent } from "../../infra/stack/children.ts";
import type { CaseFiles } from "./cases.ts";
import { PASSES } from "./group-by.ts";
import type { SlidingOutcome } from "./sliding.ts";
import type { Tally } from "./tally.ts";

export const CONTENDERS = ["wasm", "native", "js_map", "js_typed", "clickhouse"] as const;
export type ContenderName = (typeof CONTENDERS)[number];

/** What only the kernel does; seconds are those of the whole case. */
export interface KernelOutcome {
  /** Linear memory after the first pass. */
  readonly memoryBytes: number;
  readonly closeSeconds: number;
  readonly topSeconds: number;
  /** Of all open rows. */
  readonly dumpSeconds: number;
  readonly dumpRunSeconds: number;
  readonly dumpedRunRows: number;
  readonly restoreSeconds: number;
  readonly restoredRows: number;
  /** How many passes there were. */
  readonly passes: number;
  /** All runs that sliding windows need after all passes. */
  readonly runBytes: number;
  readonly runRows: number;
  /** The last pass and its close of a kernel without sliding windows. */
  readonly ingestCountsSeconds: number;
  readonly closeCountsSeconds: number;
  /** Results that are wrong, in words. */
  readonly faults: readonly string[];
}

export interface RoundOutcome {
  /** From the first block to the last one's end, in a process that has never done it. */
  readonly firstSeconds: number;
  /** The same in the last pass. */
  readonly seconds: number;
  readonly tally: Tally;
  /** The kernel's only. */
  readonly kernel?: KernelOutcome;
  /** CPU seconds per second: above 1, it was not one thread. The engine's only. */
  readonly cpuShare?: number;
}

export interface Contender {
  readonly name: ContenderName;
  run(files: CaseFiles): Promise<RoundOutcome>;
}

const scriptPath = (name: string) => fileURLToPath(new URL(name, import.meta.url));

function here(name: ContenderName, groupBy: string): Contender {
  const script = scriptPath("contend-here.ts");
  return {
    name,
    run: async ({ rowsFile, indexFile }) =>
      outcomeOf(process.execPath, ["--expose-gc", script, groupBy, rowsFile, indexFile]),
  };
}

/**
 * All contenders, in the order of a round.
 *
 * @param directory for the engine's own files
 * @param nativeProgram null where there is no C compiler
 */
export function contenders(directory: string, nativeProgram: string | null): Contender[] {
  const native: Contender[] =
    nativeProgram === null
      ? []
      : [
          {
            name: "native",
            async run({ rowsFile, indexFile }) {
              const printed = await output(nativeProgram, [rowsFile, indexFile, String(PASSES)]);
              const { firstSeconds, seconds, ...tally } = JSON.parse(printed) as Tally & {
                firstSeconds: number;
                seconds: number;
              };
              return { firstSeconds, seconds, tally };
            },
          },
        ];
  return [
    here("wasm", "wasm"),
    ...native,
    here("js_map", "map"),
    here("js_typed", "typed"),
    {
      name: "clickhouse",
      run: async ({ rowsFile, indexFile }) =>
        outcomeOf(process.execPath, [
          scriptPath("contend-clickhouse.ts"),
          rowsFile,
          indexFile,
          join(directory, "engine"),
        ]),
    },
  ];
}

/** The kernel's sliding windows, in a process of its own; no contender has any. */
export async function runSliding(ads: number, seed: number): Promise<SlidingOutcome> {
  const script = scriptPath("contend-sliding.ts");
  const printed = await output(process.execPath, [
    "--expose-gc",
    script,
    String(ads),
    String(seed),
  ]);
  return JSON.parse(printed) as SlidingOutcome;
}

async function outcomeOf(program: string, programArguments: string[]): Promise<RoundOutcome> {
  return JSON.parse(await output(program, programArguments)) as RoundOutcome;
}

async function output(program: string, programArguments: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(...endingWithParent(program, programArguments));
  return stdout;
}
