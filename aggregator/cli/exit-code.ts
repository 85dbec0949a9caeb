/** The one place that knows what an error means to the person and to the shell. */
import process from "node:process";
import { CommanderError } from "commander";
import { StackConfigurationError, StackError } from "../../infra/stack/stack-error.ts";
import { CommandFailure, EXIT, UsageError } from "./usage-error.ts";

/** Says on stderr what is to be said, and returns the exit code. What nobody expected comes with its stack. */
export function endOfError(error: unknown): number {
  // commander has said everything itself; with --help and --version that was no error.
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  const isUsage = error instanceof UsageError || error instanceof StackConfigurationError;
  const isExpected = isUsage || error instanceof CommandFailure || error instanceof StackError;
  if (isExpected) {
    process.stderr.write(`clickmill: ${error.message.replaceAll("\n", "\n           ")}\n`);
  } else {
    console.error("clickmill: unexpected:", error);
  }
  return isUsage ? EXIT.usage : EXIT.failed;
}
