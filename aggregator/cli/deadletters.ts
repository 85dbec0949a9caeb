/** `clickmill deadletters`: looks at what readers set aside, sends it back, or drops it. */
import { writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline/promises";
import { Command, InvalidArgumentError } from "commander";
import type { StreamName } from "../../wire/subjects.ts";
import { CommandNatsError } from "../source/command-nats.ts";
import { openDeadLetters } from "../source/dead-letters.ts";
import type { DeadLetters, Letter, LetterHead } from "../source/dead-letters.ts";
import { cliConfig } from "./config.ts";
import { isCut, sequenceOf, SET_ASIDE_FROM, streamNamed } from "./dead-letter.ts";
import { faultNow } from "./dead-letter-fault.ts";
import { dropEach, headsOf, retryEach, sequencesThere } from "./dead-letter-outcomes.ts";
import type { RetryOutcome } from "./dead-letter-outcomes.ts";
import { headJson, letterFacts, letterTable, letterText } from "./dead-letter-text.ts";
import { whole } from "./flag-values.ts";
import {
  LIST_DEFAULT,
  LIST_MAX,
  SHOW_BYTES_DEFAULT,
  SHOW_BYTES_MAX,
  WIDTH_DEFAULT,
} from "./limits.ts";
import { CommandFailure, UsageError } from "./usage-error.ts";

export function deadlettersCommand(): Command {
  const command = new Command("deadletters").description(
    "Look at messages that readers set aside, send them back, or drop them.",
  );

  command
    .command("list")
    .description("List them, oldest first: these are dropped first, a month after they came.")
    .option("--limit <n>", `how many, ${LIST_MAX} at most`, whole(1, LIST_MAX), LIST_DEFAULT)
    .option("--stream <name>", `only from this one: ${SET_ASIDE_FROM.join(", ")}`, streamArgument)
    .option("--after <sequence>", "go on after this one", sequenceArgument, 0)
    .option("--json", "print JSON")
    .addHelpText("after", example("list --stream CLICKS_RAW --limit 20"))
    .action((flags: ListFlags) => withDeadLetters((letters) => list(letters, flags)));

  command
    .command("show")
    .description(
      "Show one: its headers, what it says of itself, why it is not read, its first bytes.",
    )
    .argument("<sequence>", "as `list` names it", sequenceArgument)
    .option("--bytes <n>", "how many bytes to dump", whole(0, SHOW_BYTES_MAX), SHOW_BYTES_DEFAULT)
    .option("--out <file>", "write all of its bytes that are kept to a file")
    .option("--json", "print JSON")
    .addHelpText("after", example("show 17 --out message.bin"))
    .action((sequence: number, flags: ShowFlags) =>
      withDeadLetters((letters) => show(letters, sequence, flags)),
    );

  command
    .command("retry")
    .description("Send back what this version reads: it is counted once, however often it is sent.")
    .argument("[sequence...]", "as `list` names them", sequencesArgument)
    .option("--all", "everything that stands there now")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
What is still not readable is refused with the reason and stays where it is. Partial counts are always
refused: their windows are on the repair list. The aggregator that runs must be as new as this command.
${example("retry 17 18")}`,
    )
    .action((sequences: readonly number[], flags: RetryFlags) => {
      if ((sequences.length === 0) !== (flags.all === true)) {
        throw new UsageError("name the sequences to retry, or --all");
      }
      return withDeadLetters((letters) => retry(letters, sequences, flags));
    });

  command
    .command("drop")
    .description("Delete them for good.")
    .argument("<sequence...>", "as `list` names them", sequencesArgument)
    .option("--yes", "do not ask")
    .option("--json", "print JSON")
    .addHelpText("after", example("drop 17 18 --yes"))
    .action((sequences: readonly number[], flags: DropFlags) =>
      withDeadLetters((letters) => drop(letters, sequences, flags)),
    );
  return command;
}

interface ListFlags {
  readonly limit: number;
  readonly stream?: StreamName;
  readonly after: number;
  readonly json?: true;
}
interface ShowFlags {
  readonly bytes: number;
  readonly out?: string;
  readonly json?: true;
}
interface RetryFlags {
  readonly all?: true;
  readonly json?: true;
}
interface DropFlags {
  readonly yes?: true;
  readonly json?: true;
}

async function list(letters: DeadLetters, flags: ListFlags): Promise<void> {
  const page = await letters.list(flags.limit, flags.stream ?? null, flags.after);
  if (flags.json) return printJson({ letters: page.letters.map(headJson), more: page.more });
  if (page.letters.length === 0) {
    const where = flags.stream === undefined ? "" : ` from ${flags.stream}`;
    const after = flags.after === 0 ? "" : ` after ${flags.after}`;
    console.log(`Nothing is set aside${where}${after}.`);
    return;
  }
  console.log(letterTable(page.letters, process.stdout.columns ?? WIDTH_DEFAULT));
  if (page.more > 0) {
    console.log(`and ${page.more} more: add --after ${page.letters.at(-1)!.sequence}`);
  }
}

async function show(letters: DeadLetters, sequence: number, flags: ShowFlags): Promise<void> {
  const letter = await found(letters, sequence);
  const file = flags.out === undefined ? null : resolve(cliConfig().directory, flags.out);
  if (file !== null) await writeFile(file, letter.data);
  if (flags.json) {
    printJson({
      ...headJson(letter.head),
      headers: Object.fromEntries(letter.headers),
      ...letterFacts(letter, faultNow(letter)),
      hex: Buffer.from(letter.data.subarray(0, flags.bytes)).toString("hex"),
      file,
    });
    return;
  }
  console.log(letterText(letter, faultNow(letter), flags.bytes));
  if (file === null) return;
  const { head, data } = letter;
  const which = isCut(head) ? `The ${data.length} bytes that are kept` : `All ${data.length} bytes`;
  console.log(`\n${which} are in ${file}`);
}

async function retry(
  letters: DeadLetters,
  sequences: readonly number[],
  flags: RetryFlags,
): Promise<void> {
  const wanted = flags.all
    ? sequencesThere(letters)
    : (await allThere(letters, sequences)).map((head) => head.sequence);
  const outcomes: RetryOutcome[] = [];
  for await (const outcome of retryEach(letters, wanted)) {
    outcomes.push(outcome);
    if (!flags.json) console.log(outcomeText(outcome));
  }
  const refused = outcomes.filter((o) => o.outcome === "refused").length;
  if (flags.json) printJson({ outcomes });
  else if (outcomes.length === 0) console.log("Nothing is set aside.");
  if (refused > 0)
    throw new CommandFailure(`${refused} of ${outcomes.length} refused; they stay where they are`);
}

function outcomeText({ sequence, outcome, detail }: RetryOutcome): string {
  return `${sequence}  ${outcome === "sent_back" ? "" : `${outcome}: `}${detail}`;
}

async function drop(
  letters: DeadLetters,
  sequences: readonly number[],
  flags: DropFlags,
): Promise<void> {
  const heads = await allThere(letters, sequences);
  if (!flags.yes) {
    console.log(
      `These go for good:\n${letterTable(heads, process.stdout.columns ?? WIDTH_DEFAULT)}`,
    );
    if (!process.stdin.isTTY || flags.json) throw new UsageError("nothing was dropped: add --yes");
    if (!(await confirmed())) {
      console.log("Nothing was dropped.");
      return;
    }
  }
  const { dropped, gone } = await dropEach(
    letters,
    heads.map((head) => head.sequence),
  );
  if (flags.json) return printJson({ dropped, gone });
  const alone =
    dropped.length === 0 ? "Dropped none" : `Dropped ${dropped.length}: ${dropped.join(", ")}`;
  console.log(gone.length === 0 ? alone : `${alone}; gone meanwhile: ${gone.join(", ")}`);
}

async function confirmed(): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  try {
    return /^y(es)?$/i.test((await terminal.question("Drop them? [y/N] ")).trim());
  } finally {
    terminal.close();
  }
}

/** Their heads; an unknown one fails before anything is changed. */
async function allThere(letters: DeadLetters, sequences: readonly number[]): Promise<LetterHead[]> {
  const { heads, unknown } = await headsOf(letters, sequences);
  if (unknown.length > 0) throw notThere(unknown);
  return heads;
}

async function found(letters: DeadLetters, sequence: number): Promise<Letter> {
  const letter = await letters.get(sequence);
  if (letter === null) throw notThere([sequence]);
  return letter;
}

function notThere(sequences: readonly number[]): CommandFailure {
  return new CommandFailure(
    `no message is set aside under ${sequences.join(", ")}; \`clickmill deadletters list\` names those that are. Nothing was changed`,
  );
}

async function withDeadLetters(work: (letters: DeadLetters) => Promise<void>): Promise<void> {
  try {
    const letters = await openDeadLetters(cliConfig().natsUrl);
    try {
      await work(letters);
    } finally {
      await letters.close();
    }
  } catch (error) {
    throw error instanceof CommandNatsError ? new CommandFailure(error.message) : error;
  }
}

function printJson(value: object): void {
  console.log(JSON.stringify(value));
}

function example(text: string): string {
  return `\nExample:\n  clickmill deadletters ${text}`;
}

function sequenceArgument(text: string): number {
  const sequence = sequenceOf(text);
  if (sequence === null) throw new InvalidArgumentError("a sequence is a whole number from 1 on.");
  return sequence;
}
function sequencesArgument(text: string, before: readonly number[] | undefined): number[] {
  return [...(before ?? []), sequenceArgument(text)];
}
function streamArgument(text: string): StreamName {
  const stream = streamNamed(text);
  if (stream === null) throw new InvalidArgumentError(`one of ${SET_ASIDE_FROM.join(", ")}.`);
  return stream;
}
