/** `clickmill shards`: what the edge's shards say of themselves, from the streams alone. */
import { setTimeout as sleep } from "node:timers/promises";
import process from "node:process";
import { Command } from "commander";
import { CommandNatsError } from "../source/command-nats.ts";
import { readShardMessages } from "../source/shard-messages.ts";
import { cliConfig } from "./config.ts";
import { whole } from "./flag-values.ts";
import { REPORT_CURRENT_MS, WATCH_SECONDS_DEFAULT, WATCH_SECONDS_MAX } from "./limits.ts";
import { shardsJson, shardsText } from "./shard-text.ts";
import { shardViews, totalsOf } from "./shard-views.ts";
import { CommandFailure } from "./usage-error.ts";

interface Flags {
  readonly watch?: number | true;
  readonly json?: true;
}

export function shardsCommand(): Command {
  return new Command("shards")
    .description("Show what every shard of the edge said with its newest flush.")
    .option(
      "--watch [seconds]",
      `look again and again, until Ctrl-C (every ${WATCH_SECONDS_DEFAULT} s unless said otherwise)`,
      whole(1, WATCH_SECONDS_MAX),
    )
    .option("--json", "print JSON: one line, or one for each look")
    .addHelpText("after", HELP)
    .action(run);
}

const HELP = `
Reads the newest message of every shard in CLICKS_RAW and CLICKS_REJECTED. It asks nothing of the edge, and
writes nothing.

  age        of the newest flush. A shard without clicks flushes nothing
  over       the time that the counts are of: since the report before
  clicks/s   accepted; in brackets where the flush is more than ${REPORT_CURRENT_MS / 1_000} s old
  dup %      of what was accepted or had been before
  journal    accepted clicks that are not proven downstream yet; they stay some minutes after a flush
  commit ms  mean / most, from a commit's first click to its durability
  flush ms   of the flush before, until NATS had all of it
  ids        click ids that are remembered; segments and memory are theirs
  rows       written to SQLite: what is billed

Environment, with its defaults:
  NATS_URL  nats://127.0.0.1:4222 (the port: CLICKMILL_PORT_NATS)

Exit code 0: shown, or watched until Ctrl-C. 1: NATS or its streams are not there. 2: wrong usage or settings.

Examples:
  clickmill shards
  clickmill shards --watch 5
  clickmill shards --json | jq '.totals.rejected'`;

async function run(flags: Flags): Promise<void> {
  const { natsUrl } = cliConfig();
  const isJson = flags.json === true;
  if (flags.watch === undefined) return print(await look(natsUrl, isJson), false);
  return watch(natsUrl, flags.watch === true ? WATCH_SECONDS_DEFAULT : flags.watch, isJson);
}

async function look(natsUrl: string, isJson: boolean): Promise<string> {
  try {
    const { messages, strangers } = await readShardMessages(natsUrl);
    const views = shardViews(messages, Date.now());
    const totals = totalsOf(views);
    return isJson
      ? JSON.stringify(shardsJson(views, totals, strangers))
      : shardsText(views, totals, strangers);
  } catch (error) {
    throw error instanceof CommandNatsError
      ? new CommandFailure(error.message, { cause: error })
      : error;
  }
}

/** A broker that goes away while it is watched comes back: only the first look must find one. */
async function watch(natsUrl: string, seconds: number, isJson: boolean): Promise<void> {
  const controller = new AbortController();
  const { signal } = controller;
  const interrupted = new Promise<null>((resolve) => {
    for (const name of ["SIGINT", "SIGTERM"] as const) {
      // Once: a second one ends a command whose output nobody takes.
      process.once(name, () => {
        controller.abort();
        resolve(null);
      });
    }
  });
  let looks = 0;
  while (!signal.aborted) {
    const asked = look(natsUrl, isJson).catch((error: unknown) => {
      if (looks === 0 || !(error instanceof CommandFailure)) throw error;
      return isJson ? JSON.stringify({ error: error.message }) : `${error.message}; looking again`;
    });
    // oxlint-disable-next-line no-await-in-loop -- one look after the other is the point
    const text = await Promise.race([asked, interrupted]);
    if (text === null) return;
    print(text, !isJson && process.stdout.isTTY);
    looks++;
    // oxlint-disable-next-line no-await-in-loop
    await sleep(seconds * 1_000, undefined, { signal }).catch(() => null);
  }
}

/** From the top left, on an empty screen: written at once, so that it does not flicker. */
const CLEARED = "\u001B[H\u001B[2J";

function print(text: string, isOnEmptyScreen: boolean): void {
  process.stdout.write(`${isOnEmptyScreen ? CLEARED : ""}${text}\n`);
}
