/** The bench itself: contenders come to the same counts on a small case, and one that lies is found. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { BLOCK_BODY_BYTES_MAX } from "../../wire/limits.ts";
import { createReferenceKernel } from "../../wasm/reference-kernel.ts";
import { benchCase, DisagreementError, median } from "./bench-case.ts";
import { readCase } from "./case-blocks.ts";
import { CASES, writeCase } from "./cases.ts";
import type { WrittenCase } from "./cases.ts";
import { createMapGroupBy } from "./map-group-by.ts";
import { buildNative } from "./native.ts";
import { contenders } from "./round.ts";
import type { Contender, RoundOutcome } from "./round.ts";
import { TallyMaker } from "./tally.ts";
import type { Tally } from "./tally.ts";
import { createTypedGroupBy } from "./typed-group-by.ts";

const ROWS = 5_000;
const LONGEST = CASES.find(({ adIdBytes }) => adIdBytes === 64)!;

let directory: string;
let written: WrittenCase;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "clickmill-bench-test-"));
  written = writeCase(CASES[0]!, ROWS, 1, join(directory, "small"));
});
afterAll(() => rmSync(directory, { recursive: true }));

test("all contenders come to the same counts, and all have figures", async () => {
  const native = await buildNative(directory);
  const hasCompiler = spawnSync("cc", ["--version"]).error === undefined;
  expect(native.program !== null).toBe(hasCompiler);
  const figures = await benchCase(written, contenders(directory, native.program), 1);
  const missing = Object.entries(figures.rates).filter(([, rate]) => !(rate !== null && rate > 0));
  expect(missing).toEqual(hasCompiler ? [] : [["native_rows_per_s", null]]);
  expect(figures.bytesPerKey).toBeGreaterThan(0);
  expect(figures.closeMsPerMillionRows).toBeGreaterThan(0);
});

test("where there is no compiler, the reason is given", async () => {
  expect(await buildNative(directory, "no-such-compiler")).toEqual({
    program: null,
    reason: "there is no no-such-compiler",
  });
});

test.each<[field: keyof Tally, lie: (truth: Tally) => Partial<Tally>]>([
  ["keys", ({ keys }) => ({ keys: keys + 1 })],
  ["clicks", ({ clicks }) => ({ clicks: clicks + 1 })],
  ["checksum", ({ checksum }) => ({ checksum: String(BigInt(checksum) + 1n) })],
])("a contender that lies about its %s is found", async (field, lie) => {
  const truth = tallyOf(createMapGroupBy());
  const lies = { ...truth, ...lie(truth) };
  await expect(
    benchCase(written, [saying("wasm", truth), saying("js_map", truth)], 1),
  ).resolves.toBeDefined();
  const run = benchCase(written, [saying("wasm", truth), saying("js_map", lies)], 1);
  await expect(run).rejects.toThrow(DisagreementError);
  await expect(run).rejects.toThrow(`${field}: wasm has ${truth[field]}, js_map has`);
});

test("clicks that all contenders lose are missed: the making of the rows knows their sum", async () => {
  const truth = tallyOf(createMapGroupBy());
  const lies = { ...truth, clicks: truth.clicks - 1 };
  const run = benchCase(written, [saying("wasm", lies), saying("js_map", lies)], 1);
  await expect(run).rejects.toThrow(`the rows have ${truth.clicks}`);
});

test("an engine on two threads is found", async () => {
  const truth = tallyOf(createMapGroupBy());
  const twoThreads = saying("clickhouse", truth, { cpuShare: 1.9 });
  await expect(benchCase(written, [saying("wasm", truth), twoThreads], 1)).rejects.toThrow(
    "threads: clickhouse",
  );
});

test("counts that swap their keys change the checksum, their order does not", () => {
  const keys = ["\u0001a\u0000\u0000\u0000", "\u0001b\u0000\u0000\u0000"].map((key) =>
    Buffer.from(key),
  );
  const checksum = (counts: readonly (readonly [key: number, clicks: number])[]) => {
    const tally = new TallyMaker();
    for (const [key, clicks] of counts) tally.add(keys[key]!, 0, 60, clicks);
    return tally.finish().checksum;
  };
  const right = checksum([
    [0, 3],
    [1, 5],
  ]);
  expect(
    checksum([
      [1, 5],
      [0, 3],
    ]),
  ).toBe(right);
  expect(
    checksum([
      [0, 5],
      [1, 3],
    ]),
  ).not.toBe(right);
});

test.each(CASES)("$name: the rows follow from the seed, in blocks that the kernel takes", (one) => {
  const first = writeCase(one, ROWS * 10, 7, join(directory, "first"));
  const { rows, bytes, clicks } = writeCase(one, ROWS * 10, 7, join(directory, "second"));
  expect({ rows, bytes, clicks }).toEqual({
    rows: first.rows,
    bytes: first.bytes,
    clicks: first.clicks,
  });
  expect(execFileSync("cmp", [first.rowsFile, join(directory, "second.bin")]).length).toBe(0);
  const blocks = readCase(first);
  expect(blocks.length).toBeGreaterThan(1);
  const kernel = createReferenceKernel();
  let kernelClicks = 0;
  for (const block of blocks) {
    expect(block.body.length).toBeLessThanOrEqual(BLOCK_BODY_BYTES_MAX);
    const outcome = kernel.ingest(block.body, block.rows);
    kernelClicks += outcome.ok ? outcome.clicks : Number.NaN;
  }
  expect(kernelClicks).toBe(clicks);
  expect(kernel.windows()).toHaveLength(2);
});

test("typed arrays count as the map does while table and arena grow, with the longest ids", () => {
  const files = writeCase(LONGEST, 60_000, 3, join(directory, "longest"));
  expect(tallyOf(createTypedGroupBy(), files)).toEqual(tallyOf(createMapGroupBy(), files));
});

test("the command's last line is JSON with a figure for each contender, and its files are gone", () => {
  const command = [join(import.meta.dirname, "kernel.ts"), "--rows", "2000", "--rounds", "1"];
  const environment = { ...process.env, TMPDIR: mkdtempSync(join(directory, "tmp-")) };
  const stdout = execFileSync(process.execPath, [...command, "--cases", CASES[0]!.name], {
    encoding: "utf8",
    env: environment,
  });
  const printed = JSON.parse(stdout.trim().split("\n").at(-1)!) as { cases: object[] };
  expect(printed.cases).toHaveLength(1);
  expect(Object.keys(printed.cases[0]!).slice(0, 8)).toEqual([
    "case",
    "wasm_rows_per_s",
    "native_rows_per_s",
    "js_map_rows_per_s",
    "js_typed_rows_per_s",
    "clickhouse_rows_per_s",
    "close_ms_per_million_rows",
    "bytes_per_key",
  ]);
  expect(
    readdirSync(environment.TMPDIR).filter((name) => name.startsWith("clickmill-bench")),
  ).toEqual([]);
});

test("a median is the middle, or the mean of the two in the middle", () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 2, 3])).toBe(2.5);
});

function saying(name: Contender["name"], tally: Tally, more?: Partial<RoundOutcome>): Contender {
  const outcome = { firstSeconds: 1, seconds: 1, closeSeconds: 1, memoryBytes: 1, tally, ...more };
  return { name, run: async () => outcome };
}

function tallyOf(groupBy: ReturnType<typeof createMapGroupBy>, files = written): Tally {
  for (const block of readCase(files)) groupBy.add(block);
  const tally = new TallyMaker();
  groupBy.tell(tally);
  return tally.finish();
}
