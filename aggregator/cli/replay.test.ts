/** Replays of small logs against an edge in this process; and the command itself, as a user types it. */
import { appendFileSync } from "node:fs";
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { startFakeEdge } from "../../tests/helpers/fake-edge.ts";
import type { Behaviour, FakeEdge } from "../../tests/helpers/fake-edge.ts";
import { runClickmill } from "../../tests/helpers/run-clickmill.ts";
import type { Run } from "../../tests/helpers/run-clickmill.ts";
import { BATCH_CLICKS, ReplayBatches } from "./replay-batches.ts";

let directory = "";
let edge: FakeEdge | null = null;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "clickmill-replay-"));
});
afterAll(() => rm(directory, { recursive: true }));
afterEach(async () => {
  await edge?.close();
  edge = null;
});

function replay(args: readonly string[]): Promise<Run> {
  return runClickmill(["replay", ...args], { INIT_CWD: directory });
}

async function replayLog(
  name: string,
  text: string,
  args: readonly string[],
  behave?: (request: number) => Behaviour,
): Promise<Run & { readonly json: Record<string, unknown> }> {
  await writeFile(join(directory, name), text);
  edge ??= await startFakeEdge(behave);
  const run = await replay([name, "--url", edge.url, "--json", ...args]);
  const last = run.stdout.trimEnd().split("\n").at(-1)!;
  return { ...run, json: JSON.parse(last) as Record<string, unknown> };
}

const HEADER = "ip,app,channel,click_time\n";
const FLAGS = ["--ad", "app,channel", "--time", "click_time", "--user", "ip"];

function logOf(clicks: number): string {
  let text = HEADER;
  for (let i = 0; i < clicks; i++) {
    text += `${i},${i % 3},7,2017-11-06 16:00:${String(Math.floor((i / clicks) * 60)).padStart(2, "0")}\n`;
  }
  return text;
}

describe("replay", () => {
  test("every row becomes one click, bad rows are named by line, and the exit code is 0", async () => {
    const run = await replayLog(
      "log.csv",
      `${logOf(250)}1,2\n1,2,3,never\n,5,6,2017-11-06 16:01:00\n`,
      [...FLAGS, "--speed", "100"],
    );
    expect(run.stderr).toContain("251 clicks over 60 s, 2 bad rows");
    expect(run.json).toMatchObject({
      clicks: 251,
      accepted: 251,
      duplicate: 0,
      rejected: 0,
      bad_rows: 2,
    });
    expect(run.stdout).toContain("line 252: 2 fields, the header has 4");
    expect(run.stdout).toContain('line 253: click_time is no time: "never"');
    expect(run.code).toBe(0);
    const perAd = Map.groupBy(edge!.taken.values(), (click) => click.adId);
    expect(Object.fromEntries([...perAd].map(([ad, clicks]) => [ad, clicks.length]))).toEqual({
      "0-7": 84,
      "1-7": 83,
      "2-7": 83,
      "5-6": 1,
    });
  });

  test("the first click becomes now, and the log's spacing is kept by the speed", async () => {
    const startMs = Date.now();
    await replayLog("spaced.csv", logOf(60), [...FLAGS, "--speed", "120"]);
    const times = [...edge!.taken.values()].map((click) => click.eventTimeMs);
    expect(Math.min(...times)).toBeGreaterThanOrEqual(startMs);
    expect(Math.max(...times) - Math.min(...times)).toBe(Math.round(59_000 / 120));
    expect([...edge!.taken.values()].every((click) => click.timeSource === "client")).toBe(true);
  });

  test("a second replay is all duplicates, also after a rename; a new --run counts again", async () => {
    const args = [...FLAGS, "--speed", "1000"];
    await replayLog("one.csv", logOf(120), args);
    await rename(join(directory, "one.csv"), join(directory, "two.csv"));
    const second = await replayLog("two.csv", logOf(120), args);
    expect(second.json).toMatchObject({ accepted: 0, duplicate: 120 });
    expect(second.code).toBe(0);
    const third = await replayLog("two.csv", logOf(120), [...args, "--run", "again"]);
    expect(third.json).toMatchObject({ accepted: 120, duplicate: 0 });
  });

  test("a log that changes between the two passes is an error, in words", async () => {
    const path = join(directory, "changing.csv");
    // The first request is `reach`'s, after the first pass.
    edge = await startFakeEdge(
      () => ({ kind: "answer" }),
      () => appendFileSync(path, "1,2,3,2017-11-06 16:02:00\n"),
    );
    const run = await replayLog("changing.csv", logOf(50), [...FLAGS, "--speed", "1000"]);
    expect(run.code).toBe(1);
    expect(run.json).toMatchObject({ clicks: 51, file_changed: true });
    expect(run.stdout).toContain("The file changed while it was replayed");
  });

  test("a changed file has new ids, and --help says so", async () => {
    const args = [...FLAGS, "--speed", "1000"];
    await replayLog("growing.csv", logOf(30), args);
    const grown = await replayLog("growing.csv", `${logOf(30)}1,2,3,2017-11-06 16:02:00\n`, args);
    expect(grown.json).toMatchObject({ accepted: 31, duplicate: 0, file_changed: false });
    const help = await replay(["--help"]);
    expect(help.code).toBe(0);
    expect(help.stdout).toContain("counts ALL rows again");
    expect(help.stdout).toContain("remembers an id for 24 h");
  });

  test("lost answers are resent, and nothing is taken twice", async () => {
    const run = await replayLog("lossy.csv", logOf(500), [...FLAGS, "--speed", "1000"], (request) =>
      request % 3 === 0 ? { kind: "break_after" } : { kind: "answer" },
    );
    expect(edge!.taken.size).toBe(500);
    expect(run.code).toBe(0);
    expect(Number(run.json["accepted"]) + Number(run.json["duplicate"])).toBe(500);
  });

  test("rejected clicks are listed by line, and the exit code is 1", async () => {
    const log = `${HEADER}1,${"a".repeat(70)},1,2017-11-06 16:00:00\n1,2,3,2017-11-06 16:00:01\n`;
    const run = await replayLog("rejected.csv", log, FLAGS);
    expect(run.json).toMatchObject({ accepted: 1, rejected: 1, rejected_by_code: { too_long: 1 } });
    expect(run.stdout).toContain("line 2: rejected, too_long");
    expect(run.code).toBe(1);
  });

  test("--keep-times keeps them, and warns of the horizon", async () => {
    const run = await replayLog("kept.ndjson", '{"ad_id":"x","timestamp":1509984013}\n', [
      "--keep-times",
    ]);
    expect([...edge!.taken.values()][0]!.eventTimeMs).toBe(1_509_984_013_000);
    expect(run.stderr).toContain("too_old");
  });

  test("country and user agent go along as the sender's", async () => {
    const lines = ["DE", "US", "DE"].map((land, i) =>
      JSON.stringify({ ad_id: `ad${i}`, timestamp: 1_509_984_013, land, ua: `phone ${land}` }),
    );
    await replayLog("senders.jsonl", `${lines.join("\n")}\n`, [
      "--country",
      "land",
      "--user-agent",
      "ua",
    ]);
    const senders = [...edge!.taken.values()].map((c) => `${c.adId} ${c.country} ${c.userAgent}`);
    expect(senders.toSorted()).toEqual(["ad0 DE phone DE", "ad1 US phone US", "ad2 DE phone DE"]);
  });

  test("a refusal for good ends it with the reason, and exit code 1", async () => {
    const run = await replayLog("refused.csv", logOf(10), [...FLAGS, "--speed", "1000"], () => ({
      kind: "status",
      status: 401,
    }));
    expect(run.json).toMatchObject({ accepted: 0, unanswered: 10, stopped: "HTTP 401: not now" });
    expect(run.stdout).toContain("Stopped: HTTP 401");
    expect(run.code).toBe(1);
  });
});

describe("wrong usage is exit code 2, with the reason in one line", () => {
  test.for<readonly [string, readonly string[], string]>([
    ["no such file", ["missing.csv"], "no such file"],
    ["a column that is not there", ["log.csv"], 'no column "ad_id"; the log has: ip, app'],
    ["an unknown flag", ["log.csv", "--sped", "3"], "unknown option"],
    ["no file", [], "missing required argument"],
    ["a speed that is none", ["log.csv", "--speed", "0"], "a number above 0"],
    ["both paces", ["log.csv", "--speed", "2", "--keep-times"], "cannot be used with"],
    ["a name without format", ["log.txt"], "--format"],
    ["compressed", ["log.gz.csv"], "gzip"],
    ["an URL that is none", ["log.csv", "--url", "localhost:1"], "--url must be"],
    ["a directory", [".", "--format", "csv"], "is not a file"],
  ])("%s", async ([, args, message]) => {
    await writeFile(join(directory, "log.csv"), logOf(1));
    await writeFile(join(directory, "log.txt"), "x");
    await writeFile(join(directory, "log.gz.csv"), Buffer.from([0x1f, 0x8b, 8, 0]));
    const run = await replay(args);
    expect(run.stderr).toContain(message);
    expect(run.stderr).not.toContain("    at ");
    expect(run.code).toBe(2);
  });

  test("no edge at the URL is said at once, and is exit code 1", async () => {
    await writeFile(join(directory, "log.csv"), logOf(1));
    const run = await replay(["log.csv", ...FLAGS, "--url", "http://127.0.0.1:1"]);
    expect(run.stderr).toMatch(
      /no edge answers at http:\/\/127.0.0.1:1 \(.*\); `npm start` runs one/,
    );
    expect(run.code).toBe(1);
  });
});

test("a batch leaves when it is full, when it is old, or when senders are too many", () => {
  const batches = new ReplayBatches();
  const click = { click_id: "a", ad_id: "b", timestamp: 1 };
  const de = { country: "DE", userAgent: "" };
  for (let i = 1; i < BATCH_CLICKS; i++) expect(batches.add(de, click, i, 0)).toEqual([]);
  expect(batches.add(de, click, BATCH_CLICKS, 0)[0]!.lines).toHaveLength(BATCH_CLICKS);
  batches.add(de, click, 1, 10);
  expect(batches.take(9)).toEqual([]);
  expect(batches.take(10)).toHaveLength(1);
  let sent = 0;
  for (let i = 0; i < 5_000; i++)
    sent += batches.add({ country: "", userAgent: `${i}` }, click, i, 0).length;
  expect(sent + batches.take(Infinity).length).toBe(5_000);
  expect(sent).toBeGreaterThan(0);
});
