/** `clickmill demo`: hands over to the demo, which lives with the traffic that it sends. */
import process from "node:process";
import { Command } from "commander";

/**
 * By its path, and only when it is asked for: this room imports nothing of tests/ (.oxlintrc.imports.json), and
 * the demo is made of the tests' traffic and verdict. What is known of it here is this function.
 */
const DEMO = new URL("../../tests/traffic/demo.ts", import.meta.url);
interface DemoModule {
  /** @returns the exit code; rejects like any subcommand */
  readonly runDemo: (args: readonly string[]) => Promise<number>;
}

/**
 * Everything after `demo`, --help too, is the demo's own. It runs in this process: there is one process to
 * signal, one exit code, and no child that could outlive us.
 */
export function demoCommand(): Command {
  return new Command("demo")
    .description("Run the whole system afresh on real HTTP traffic, and compare every count.")
    .helpOption(false)
    .allowUnknownOption()
    .passThroughOptions()
    .argument("[flags...]")
    .action(async (flags: readonly string[]) => {
      const { runDemo } = (await import(DEMO.href)) as DemoModule;
      process.exitCode = await runDemo(flags);
    });
}
