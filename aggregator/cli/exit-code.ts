/** The one place that knows what an error means to the person, to the program that reads our JSON, and to the shell. */
import process from "node:process";
import { CommanderError } from "commander";
import { StackConfigurationError, StackError } from "../../infra/stack/stack-error.ts";
import { CommandFailure, EXIT, UsageError } from "./usage-error.ts";

/**
 * Says on stderr what is to be said, and returns the exit code. What nobody expected comes with its stack.
 *
 * @param isJson a program reads stdout: it gets the message there, as one line of JSON
 */
export function endOfError(error: unknown, isJson: boolean): number {
  const { message, exitCode } = meaningOf(error);
  if (exitCode !== EXIT.ok && isJson) console.log(JSON.stringify({ error: message }));
  return exitCode;
}

function meaningOf(error: unknown): { readonly message: string; readonly exitCode: number } {
  if (error instanceof CommanderError) {
    // It has said everything itself; with --help and --version that was no error.
    const message = error.message.replace(/^error: /, "");
    return { message, exitCode: error.exitCode === 0 ? EXIT.ok : EXIT.usage };
  }
  const isUsage = error instanceof UsageError || error instanceof StackConfigurationError;
  const isExpected = isUsage || error instanceof CommandFailure || error instanceof StackError;
  if (!isExpected) {
    console.error("clickmill: unexpected:", error);
    return { message: `unexpected: ${String(error)}`, exitCode: EXIT.failed };
  }
  process.stderr.write(`clickmill: ${error.message.replaceAll("\n", "\n           ")}\n`);
  return { message: error.message, exitCode: isUsage ? EXIT.usage : EXIT.failed };
}

/**
 * Nobody reads on (`clickmill … | head -1`): nothing is left to say, and that is no failure. What runs on by
 * itself (a stack, a replay) is stopped as by SIGTERM; everything else is about to end, with its own exit code.
 */
export function endQuietlyUnread(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE") throw error;
      stopOnce();
    });
  }
}

let isStopping = false;
function stopOnce(): void {
  // Without a listener the signal would end us where we stand.
  if (isStopping || process.listenerCount("SIGTERM") === 0) return;
  isStopping = true;
  process.kill(process.pid, "SIGTERM");
}
