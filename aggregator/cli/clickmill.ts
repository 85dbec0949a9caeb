#!/usr/bin/env node
/** `clickmill`, the one command for whoever runs Clickmill: puts its subcommands together. */
import process from "node:process";
import { Command } from "commander";
import packageFile from "../../package.json" with { type: "json" };
import { deadlettersCommand } from "./deadletters.ts";
import { demoCommand } from "./demo.ts";
import { doctorCommand } from "./doctor.ts";
import { endOfError, endQuietlyUnread } from "./exit-code.ts";
import { migrateCommand } from "./migrate.ts";
import { replayCommand } from "./replay.ts";
import { shardsCommand } from "./shards.ts";
import { startCommand } from "./start.ts";

/** In the order of --help. A new subcommand is a line here. */
const SUBCOMMANDS = [
  startCommand(),
  demoCommand(),
  replayCommand(),
  shardsCommand(),
  deadlettersCommand(),
  migrateCommand(),
  doctorCommand(),
];

const HELP = `
Settings come from the environment; each subcommand's --help lists its own.
A setting with an empty value is one without a value.

Exit code 0: done. 1: it did not work. 2: wrong usage or settings. 130: interrupted (143: start and demo by
SIGTERM; 0 for what is meant to be interrupted: a start that is ready, and --watch). With --json, what ends
with an error says it on stdout too, as a last line {"error":"…"}.

Examples:
  clickmill start                          the local stack, until Ctrl-C
  clickmill demo --seconds 30              the whole system under traffic, and a verdict
  clickmill replay clicks.csv --ad app,channel --time click_time
  clickmill shards --watch                 what every shard of the edge does
  clickmill deadletters list               what readers set aside
  clickmill migrate --dry-run
  clickmill doctor --json
  clickmill help deadletters list

Inside a checkout: npm run clickmill -- doctor`;

const program = new Command("clickmill")
  .description(packageFile.description)
  .version(packageFile.version)
  // What stands after a subcommand's name is the subcommand's.
  .enablePositionalOptions()
  .helpCommand(false)
  .addHelpText("after", HELP);
for (const subcommand of SUBCOMMANDS) program.addCommand(subcommand);
program.addCommand(
  new Command("help")
    .description("Show the help of a subcommand, or of a subcommand's own.")
    .argument("[names...]")
    .action(async (names: readonly string[]) => {
      let command: Command = program;
      for (const name of names) {
        const child = command.commands.find((candidate) => candidate.name() === name);
        if (child === undefined) return program.error(`error: unknown command '${name}'`);
        command = child;
      }
      await program.parseAsync([...names, "--help"], { from: "user" });
    }),
);
endByError(program);
endQuietlyUnread();

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = endOfError(error, isJsonAsked(process.argv));
}
// A client that gave up may leave a socket open (NATS's does, on a port that accepts and says nothing), and
// the command is over when its work is. Not at once: a stop signal that is at work ends the process itself, and
// what was printed is still on its way where the reader of a pipe is slower.
setImmediate(() => process.stdout.write("", () => process.exit()));

/** commander would end the process where it stands. */
function endByError(command: Command): void {
  command.exitOverride();
  for (const child of command.commands) endByError(child);
}

/** By the arguments as they stand: where they are wrong, there are no parsed ones. */
function isJsonAsked(argv: readonly string[]): boolean {
  const end = argv.indexOf("--");
  return argv.slice(0, end === -1 ? argv.length : end).includes("--json");
}
