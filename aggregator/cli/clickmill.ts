#!/usr/bin/env node
/** `clickmill`, the one command for whoever runs Clickmill: puts its subcommands together. */
import process from "node:process";
import { Command } from "commander";
import packageFile from "../../package.json" with { type: "json" };
import { deadlettersCommand } from "./deadletters.ts";
import { demoCommand } from "./demo.ts";
import { doctorCommand } from "./doctor.ts";
import { endOfError } from "./exit-code.ts";
import { migrateCommand } from "./migrate.ts";
import { replayCommand } from "./replay.ts";
import { startCommand } from "./start.ts";

/** In the order of --help. A new subcommand is a line here. */
const SUBCOMMANDS = [
  startCommand(),
  demoCommand(),
  replayCommand(),
  deadlettersCommand(),
  migrateCommand(),
  doctorCommand(),
];

const HELP = `
Settings come from the environment; each subcommand's --help lists its own.
Exit code 0: done. 1: it did not work. 2: wrong usage or settings. 130: interrupted.

Examples:
  clickmill start                          the local stack, until Ctrl-C
  clickmill demo --seconds 30              the whole system under traffic, and a verdict
  clickmill replay clicks.csv --ad app,channel --time click_time
  clickmill deadletters list               what readers set aside
  clickmill migrate --dry-run
  clickmill doctor --json
  clickmill help replay

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
    .description("Show the help of a subcommand.")
    .argument("[subcommand]")
    .action(async (name?: string) => {
      const isKnown = SUBCOMMANDS.some((subcommand) => subcommand.name() === name);
      if (name !== undefined && !isKnown) program.error(`error: unknown command '${name}'`);
      await program.parseAsync(name === undefined ? ["--help"] : [name, "--help"], {
        from: "user",
      });
    }),
);
endByError(program);

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = endOfError(error);
}
// A client that gave up may leave a socket open (NATS's does, on a port that accepts and says nothing), and
// the command is over when its work is. Not at once: a stop signal that is at work ends the process itself.
setImmediate(() => process.exit());

/** commander would end the process where it stands. */
function endByError(command: Command): void {
  command.exitOverride();
  for (const child of command.commands) endByError(child);
}
