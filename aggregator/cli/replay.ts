/** `clickmill replay FILE`: posts a click log of the user's own through the edge, as an SDK would. */
import { resolve } from "node:path";
import process from "node:process";
import { SingleBar } from "cli-progress";
import { Command, InvalidArgumentError, Option } from "commander";
import { DEDUP_HORIZON_MINUTES_DEFAULT } from "../../wire/limits.ts";
import { cliConfig, httpUrl } from "./config.ts";
import { openLog, scanLog } from "./log-file.ts";
import type { Scan } from "./log-file.ts";
import type { Mapping } from "./log-click.ts";
import type { LogFormat } from "./log-rows.ts";
import { chooseSpeed } from "./log-time.ts";
import type { Pace } from "./log-time.ts";
import { createPoster, networkReason } from "./poster.ts";
import { newFigures, runReplay } from "./replay-run.ts";
import type { ReplayFigures } from "./replay-run.ts";
import { CommandFailure, EXIT } from "./usage-error.ts";

/** The edge's dedup horizon, unless configured: it cannot know an older click, so it answers `too_old`. */
const HORIZON_MS = DEDUP_HORIZON_MINUTES_DEFAULT * 60_000;
const HORIZON_TEXT = `${DEDUP_HORIZON_MINUTES_DEFAULT / 60} h`;
/** Lines of progress where stderr is no terminal. */
const PROGRESS_LINE_MS = 5_000;

interface Flags {
  readonly ad: readonly string[];
  readonly time: string;
  readonly user?: string;
  readonly country?: string;
  readonly userAgent?: string;
  readonly format?: LogFormat;
  readonly delimiter?: string;
  readonly speed?: number;
  readonly keepTimes?: true;
  readonly run: string;
  readonly url?: string;
  readonly json?: true;
}

export function replayCommand(): Command {
  return new Command("replay")
    .description("Post a click log of your own through the edge, as an SDK would.")
    .argument(
      "<file>",
      "the log: CSV or TSV with a header line, or NDJSON (one JSON object a line)",
    )
    .option(
      "--ad <columns>",
      "column of the ad; several, with commas between, are joined with -",
      list,
      ["ad_id"],
    )
    .option(
      "--time <column>",
      "column of the click's time: ISO 8601, YYYY-MM-DD HH:MM:SS (taken as UTC), seconds or milliseconds since 1970",
      "timestamp",
    )
    .option("--user <column>", "column of the user's id")
    .option(
      "--country <column>",
      "column of the two-letter country (honoured by a local edge only)",
    )
    .option("--user-agent <column>", "column of the user agent: decides device and bot flag")
    .addOption(
      new Option("--format <format>", "what FILE is, where its name does not say").choices([
        "csv",
        "tsv",
        "ndjson",
      ]),
    )
    .option("--delimiter <character>", "between the fields of a CSV", oneCharacter)
    .addOption(
      new Option(
        "--speed <factor>",
        "the first click becomes now and time runs by this factor: 3600 is an hour a second (default: what replays the log in about a minute)",
      )
        .argParser(positive)
        .conflicts("keepTimes"),
    )
    .option(
      "--keep-times",
      `keep the log's own times; clicks older than the dedup horizon of ${HORIZON_TEXT} are refused as too_old`,
    )
    .option(
      "--run <name>",
      "becomes part of the click ids: a new name counts the same file again",
      "",
    )
    .option("--url <url>", "the edge (default: CLICKMILL_URL, or http://127.0.0.1:8787)")
    .option("--json", "print the summary as JSON in the last line")
    .addHelpText(
      "after",
      `
A click's id is made from the content of the whole file and its line. Replaying the same file again,
renamed or not, gives duplicates only, so a replay that was cut short is simply run again. But:
  - any change to the file gives every line a new id: after you correct one bad row, or append some,
    a replay counts ALL rows again. Put the corrected or new rows into a file of their own.
  - the edge remembers an id for ${HORIZON_TEXT} (DEDUP_HORIZON_MINUTES): after that, a replay of the same
    file counts everything again.
A file that changes while it is replayed is an error: replay a copy that nobody writes to.

Exit code 0: every good click was accepted or a duplicate. 1: some were not, or the file changed
meanwhile. 2: wrong usage or settings. 130: interrupted.

Examples:
  clickmill replay clicks.csv --ad app,channel --time click_time --user ip
  npm run replay -- clicks.csv --ad app,channel --time click_time --user ip`,
    )
    .action(async (path: string, flags: Flags) => {
      process.exitCode = await replay(path, flags);
    });
}

function list(text: string): string[] {
  const names = text.split(",").map((name) => name.trim());
  if (names.includes("")) throw new InvalidArgumentError("name the columns with commas between.");
  return names;
}

function positive(text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0) throw new InvalidArgumentError("a number above 0.");
  return value;
}

function oneCharacter(text: string): string {
  const character = text === "\\t" ? "\t" : text;
  if (character.length !== 1 || /["\r\n]/.test(character)) {
    throw new InvalidArgumentError("one character, no quote and no line end.");
  }
  return character;
}

async function replay(path: string, flags: Flags): Promise<number> {
  const config = cliConfig();
  const url = flags.url === undefined ? config.url : httpUrl(flags.url, "--url");
  const mapping: Mapping = {
    ad: flags.ad,
    time: flags.time,
    user: flags.user ?? null,
    country: flags.country ?? null,
    userAgent: flags.userAgent ?? null,
  };
  const log = await openLog(
    resolve(config.directory, path),
    flags.format ?? null,
    flags.delimiter ?? null,
  );
  const scan = await scanLog(log, mapping, flags.run);
  say(
    `${path}: ${count(scan.clicks)} clicks over ${duration(scan.lastMs - scan.firstMs)}` +
      (scan.badRows > 0 ? `, ${count(scan.badRows)} bad rows` : ""),
  );
  if (scan.clicks > 0) await reach(url);
  const pace = choosePace(flags, scan);
  const figures = newFigures();
  const controller = new AbortController();
  const interrupt = () => controller.abort();
  process.once("SIGINT", interrupt);
  process.once("SIGTERM", interrupt);
  const progress = showProgress(scan.clicks + scan.badRows, figures);
  try {
    await runReplay(
      { log, mapping, scan, pace },
      createPoster({ url }),
      figures,
      controller.signal,
    );
  } finally {
    progress.stop();
    process.removeListener("SIGINT", interrupt);
    process.removeListener("SIGTERM", interrupt);
  }
  const ok = isComplete(figures);
  console.log(summary(figures, pace));
  if (flags.json) console.log(JSON.stringify(summaryJson(figures)));
  return controller.signal.aborted ? EXIT.interrupted : ok ? EXIT.ok : EXIT.failed;
}

/** Whether every good click is safe, and there was one: a log of bad rows only is a wrong mapping. */
function isComplete(figures: ReplayFigures): boolean {
  const safe = figures.accepted + figures.duplicate;
  return (
    figures.stopped === null &&
    !figures.changed &&
    safe === figures.clicks &&
    (safe > 0 || figures.badRows === 0)
  );
}

/** Fails in a moment where nothing listens, instead of after the poster's minute and a half. */
async function reach(url: string): Promise<void> {
  try {
    await (await fetch(url, { signal: AbortSignal.timeout(10_000) })).arrayBuffer();
  } catch (error) {
    throw new CommandFailure(
      `no edge answers at ${url} (${networkReason(error)}); \`npm start\` runs one`,
      { cause: error },
    );
  }
}

function choosePace(flags: Flags, scan: Scan): Pace | null {
  if (flags.keepTimes) {
    const ageMs = Date.now() - scan.firstMs;
    say(
      `keeping the log's own times` +
        (ageMs > HORIZON_MS
          ? `. Warning: its first click is ${duration(ageMs)} old; the edge may refuse clicks older than its dedup horizon (${HORIZON_TEXT}) as too_old`
          : ""),
    );
    return null;
  }
  const speed = flags.speed ?? chooseSpeed(scan.lastMs - scan.firstMs, scan.clicks);
  say(
    `the first click becomes now, time runs by ${count(speed)}` +
      `${flags.speed === undefined ? " (chosen; see --speed)" : ""}: about ${duration((scan.lastMs - scan.firstMs) / speed)}`,
  );
  return { firstMs: scan.firstMs, startMs: Date.now(), speed };
}

function showProgress(rows: number, figures: ReplayFigures): { stop(): void } {
  const figuresText = () =>
    `${count(figures.accepted)} accepted, ${count(figures.duplicate)} duplicate, ${count(figures.rejected)} rejected, ${count(figures.badRows)} bad rows`;
  if (!process.stderr.isTTY) {
    const timer = setInterval(() => {
      say(`${Math.floor(((figures.clicks + figures.badRows) / rows) * 100)} %: ${figuresText()}`);
    }, PROGRESS_LINE_MS);
    return { stop: () => clearInterval(timer) };
  }
  const bar = new SingleBar({
    format: "{bar} {percentage} % | {figures}",
    stream: process.stderr,
    barsize: 24,
    hideCursor: true,
    clearOnComplete: true,
    stopOnComplete: false,
    // Ours: it has figures to print first.
    gracefulExit: false,
  });
  bar.start(rows, 0, { figures: figuresText() });
  const timer = setInterval(
    () => bar.update(figures.clicks + figures.badRows, { figures: figuresText() }),
    200,
  );
  return {
    stop() {
      clearInterval(timer);
      bar.stop();
    },
  };
}

function summary(figures: ReplayFigures, pace: Pace | null): string {
  const lines = [
    `clicks      ${count(figures.clicks)} (sent ${count(figures.sent)} with repeats)`,
    `accepted    ${count(figures.accepted)}`,
    `duplicate   ${count(figures.duplicate)}`,
    `rejected    ${count(figures.rejected)}${[...figures.rejectedByCode].map(([code, n]) => `, ${code} ${count(n)}`).join("")}`,
    `bad rows    ${count(figures.badRows)}`,
  ];
  if (figures.unanswered > 0) lines.push(`unanswered  ${count(figures.unanswered)}`);
  if (pace !== null && figures.behindMs > 1_000) {
    lines.push(
      `the last clicks left ${duration(figures.behindMs)} after their time: the edge takes no more at this speed`,
    );
  }
  if (figures.listed.length > 0) {
    lines.push("", ...figures.listed);
    const more = figures.badRows + figures.rejected - figures.listed.length;
    if (more > 0) lines.push(`and ${count(more)} more`);
  }
  if (figures.stopped !== null) {
    lines.push(
      "",
      `Stopped: ${figures.stopped}. Run the same command again: what has arrived is a duplicate then.`,
    );
  }
  if (figures.changed) {
    lines.push(
      "",
      "The file changed while it was replayed: what was sent is neither the old file nor the new one,",
      "and a replay of the file as it is now counts all of it again. Replay a copy that nobody writes to.",
    );
  }
  return lines.join("\n");
}

function summaryJson(figures: ReplayFigures): object {
  const { clicks, sent, accepted, duplicate, rejected, unanswered, badRows, stopped, changed } =
    figures;
  return {
    clicks,
    sent,
    accepted,
    duplicate,
    rejected,
    rejected_by_code: Object.fromEntries(figures.rejectedByCode),
    unanswered,
    bad_rows: badRows,
    stopped,
    file_changed: changed,
  };
}

/** Progress goes beside the result, so that stdout holds the summary alone. */
function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

function count(value: number): string {
  return value.toLocaleString("en-US");
}

function duration(ms: number): string {
  const seconds = Math.round(ms / 1_000);
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800
    ? `${Math.round(seconds / 3_600)} h`
    : `${Math.round(seconds / 86_400)} days`;
}
