/** `clickmill`: the operator's command line. */
import process from "node:process";
import { Command } from "commander";
import { deadlettersCommand } from "./deadletters.ts";
import { EXIT, UsageError } from "./usage-error.ts";

try {
  await new Command("clickmill")
    .description("Operate a Clickmill.")
    .exitOverride()
    .addCommand(deadlettersCommand())
    .parseAsync(process.argv);
} catch (error) {
  // commander has printed its own message or the help.
  const { code, exitCode } = error as { code?: unknown; exitCode?: unknown };
  if (typeof code === "string" && code.startsWith("commander.")) {
    process.exitCode = exitCode === 0 ? EXIT.ok : EXIT.usage;
  } else {
    console.error(`clickmill: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = error instanceof UsageError ? EXIT.usage : EXIT.failed;
  }
}
