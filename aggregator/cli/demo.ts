/** `clickmill demo`: becomes the demo, which lives with the traffic that it sends. */
import process from "node:process";
import { fileURLToPath } from "node:url";
import { Command } from "commander";

/** Started by path: this room imports nothing of tests/. */
const DEMO = fileURLToPath(new URL("../../tests/traffic/demo.ts", import.meta.url));

/**
 * Everything after `demo`, --help too, is the demo's own. It replaces this process instead of running
 * below it: there is one process to signal, one exit code, and no child that could outlive us.
 */
export function demoCommand(): Command {
  return new Command("demo")
    .description("Run the whole system afresh on real HTTP traffic, and compare every count.")
    .helpOption(false)
    .allowUnknownOption()
    .passThroughOptions()
    .argument("[flags...]")
    .action((flags: readonly string[]) => {
      if (process.execve === undefined) throw new Error("this platform cannot replace a process");
      // Its warning that it is experimental goes with the process that it replaces.
      process.execve(process.execPath, [process.execPath, ...process.execArgv, DEMO, ...flags]);
    });
}
