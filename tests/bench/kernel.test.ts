/** The bench itself: contenders come to the same counts on a small case, and one that lies is found. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BLOCK_BODY_BYTES_MAX } from "../../wire/limits.ts";
import type { CloseRequest, RowChunk, TopRequest } from "../../wasm/kernel.ts";
import { KERNEL_BYTES_MAX, SLIDING_WINDOWS } from "../../wasm/limits.ts";
import type { KernelLimits } from "../../wasm/limits.ts";
import { createReferenceKernel } from "../../wasm/reference-kernel.ts";
import { benchCase, median, WrongResultError } from "./bench-case.ts";
import { readCase } from "./case-blocks.ts";
import { CASES, writeCase } from "./cases.ts";
import type { WrittenCase } from "./cases.ts";
import { expectedTop } from "./expected-top.ts";
import { kernelRound } from "./kernel-round.ts";
import type { CreateKernel, MeasuredKernel } from "./kernel-work.ts";
import { createMapGroupBy } from "./map-group-by.ts";
import { buildNative } from "./native.ts";
import { contenders } from "./round.ts";
import type { Contender, KernelOutcome, RoundOutcome } from "./round.ts";
import { slideOver } from "./sliding.ts";
import { TallyMaker } from "./tally.ts";
import type { Tally } from "./tally.ts";
import { createTypedGroupBy } from "./typed-group-by.ts";

const ROWS = 5_000;
/** In a list's row: window_end, windows, rank, an id of 11 bytes. */
const TOP_CLICKS_OFFSET = 4 + 2 + 2 + 1 + 11;
const KERNEL: KernelOutcome = {
  passes: 5,
  memoryBytes: 1,
  closeSeconds: 1,
  topSeconds: 1,
  dumpSeconds: 1,
  dumpRunSeconds: 1,
  dumpedRunRows: 1,
  restoreSeconds: 1,
  restoredRows: 1,
  runBytes: 1,
  runRows: 1,
  ingestCountsSeconds: 1,
  closeCountsSeconds: 1,
  faults: [],
};
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
  expect(Object.entries(figures.kernel).filter(([, figure]) => !(figure > 0))).toEqual([]);
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
  await expect(run).rejects.toThrow(WrongResultError);
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

test("what the kernel itself got wrong is found", async () => {
  const faults = ["it has another top"];
  const wrong = saying("wasm", tallyOf(createMapGroupBy()), { kernel: { ...KERNEL, faults } });
  await expect(benchCase(written, [wrong], 1)).rejects.toThrow("wasm: it has another top");
});

test("a close over its ingestion: a million keys over two million rows, of the same round", async () => {
  const truth = tallyOf(createMapGroupBy());
  const rounds = [
    { seconds: 1, kernel: { ...KERNEL, closeSeconds: 2 } },
    { seconds: 10, kernel: { ...KERNEL, closeSeconds: 30 } },
  ].map((round) => ({ ...saying("wasm", truth, round) }));
  const alternating: Contender = {
    name: "wasm",
    run: async (files) => rounds.shift()!.run(files),
  };
  const { kernel } = await benchCase(written, [alternating], 2);
  const rowsPerKey = written.rows / truth.keys;
  expect(kernel.closeOverIngest).toBeCloseTo(((2 + 3) / 2 / 2) * rowsPerKey, 2);
});

test("a round of the kernel comes to the counts of the others, without a fault", async () => {
  const outcome = await kernelRound(readCase(written), measured, async () => {});
  expect(outcome.tally).toEqual(tallyOf(createMapGroupBy()));
  const { kernel } = outcome;
  expect(kernel!.faults).toEqual([]);
  // Each pass leaves the same runs, the largest of the newest window; restored were those before the last.
  const rowsOfPass = kernel!.runRows / kernel!.passes;
  expect(kernel!.dumpedRunRows).toBeGreaterThan(rowsOfPass / 2);
  expect(kernel!.restoredRows).toBe(outcome.tally.keys + rowsOfPass * (kernel!.passes - 1));
});

test.each<[which: string, nth: number, method: "close" | "top", fault: string]>([
  ["a kernel whose list is wrong", 1, "top", "top of 60 windows: clicks of rank 1 is"],
  ["a restored kernel with another click", 2, "close", "restored, it closes to other bytes"],
  ["a restored kernel with another list", 2, "top", "restored, it has another top"],
  ["one without sliding windows", 3, "close", "without sliding windows it closes to other bytes"],
])("%s is found", async (_, nth, method, fault) => {
  let created = 0;
  const create: CreateKernel = (limits) => {
    const kernel = measured(limits);
    return ++created === nth ? lying(kernel, method) : kernel;
  };
  const { kernel } = await kernelRound(readCase(written), create, async () => {});
  expect(kernel!.faults.join("\n")).toContain(fault);
});

describe("sliding windows at their size", () => {
  const slide = (kernel: MeasuredKernel, ads = 50) => slideOver(kernel, ads, 1, async () => {});

  test("are right in every list, and have figures", async () => {
    const outcome = await slide(measured());
    expect(outcome.faults).toEqual([]);
    expect(outcome).toMatchObject({ ads: 50, minutes: 60, bytesPerAdMinute: 3 });
    expect(Object.keys(outcome.topMs)).toEqual(SLIDING_WINDOWS.map(String));
    expect(Math.min(outcome.closeMsMedian, ...Object.values(outcome.topMs))).toBeGreaterThan(0);
  });

  test("are wrong when a list is, when clicks are lost, when ads find no place", async () => {
    const lists = await slide(lying(measured(), "top"));
    expect(lists.faults).toHaveLength(SLIDING_WINDOWS.length);
    const lost = measured();
    const close = lost.close.bind(lost);
    lost.close = (request) => close(request).map((one) => ({ ...one, clicks: one.clicks - 1 }));
    expect((await slide(lost)).faults[0]).toMatch(/^minute 0: \d+ clicks of \d+$/);
    const untracked = await slide(measured({ adsMax: 49 }));
    expect(untracked.faults.join("\n")).toMatch(/^top of 1 windows: /);
  });

  test("are wrong when they take more than the kernel's limit", async () => {
    const large = measured();
    const figures = { ...large.figures(), linearMemoryBytes: KERNEL_BYTES_MAX + 1, runRows: 3_000 };
    large.figures = () => figures;
    const { faults } = await slide(large);
    expect(faults).toEqual([`${KERNEL_BYTES_MAX + 1} bytes, more than ${KERNEL_BYTES_MAX}`]);
  });
});

test("the expected list has the most clicks first, equals by id, and nobody without clicks", () => {
  const ids = ["d", "c", "b", "a"];
  const list = (clicks: number[], count: number) =>
    expectedTop(Float64Array.from(clicks), (ad) => ids[ad]!, count).map(({ adId }) => adId);
  expect(list([5, 7, 5, 5], 3)).toEqual(["c", "a", "b"]);
  expect(list([1, 0, 0, 2], 9)).toEqual(["a", "d"]);
  expect(list([], 9)).toEqual([]);
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
  command.push("--sliding-ads", "300");
  const environment = { ...process.env, TMPDIR: mkdtempSync(join(directory, "tmp-")) };
  const stdout = execFileSync(process.execPath, [...command, "--cases", CASES[0]!.name], {
    encoding: "utf8",
    env: environment,
  });
  const printed = JSON.parse(stdout.trim().split("\n").at(-1)!) as {
    cases: object[];
    sliding: { top1000_ms: object };
  };
  expect(printed.cases).toHaveLength(1);
  expect(Object.keys(printed.cases[0]!).slice(0, 18)).toEqual([
    "case",
    "wasm_rows_per_s",
    "native_rows_per_s",
    "js_map_rows_per_s",
    "js_typed_rows_per_s",
    "clickhouse_rows_per_s",
    "close_ms_per_million_rows",
    "close_counts_ms_per_million_rows",
    "close_over_ingest",
    "close_counts_over_ingest",
    "top1000_ms",
    "dump_ms",
    "dump_run_ms",
    "dumped_run_rows",
    "restore_ms",
    "restored_rows",
    "bytes_per_key",
    "bytes_per_ad_minute",
  ]);
  expect(Object.keys(printed).at(-1)).toBe("sliding");
  expect(Object.keys(printed.sliding)).toEqual([
    "ads",
    "minutes",
    "bytes_per_ad_minute",
    "kernel_bytes",
    "kernel_bytes_max",
    "close_ms_median",
    "top1000_ms",
  ]);
  expect(Object.keys(printed.sliding.top1000_ms)).toEqual(SLIDING_WINDOWS.map(String));
  expect(
    readdirSync(environment.TMPDIR).filter((name) => name.startsWith("clickmill-bench")),
  ).toEqual([]);
});

test("a median is the middle, or the mean of the two in the middle", () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 2, 3])).toBe(2.5);
});

function saying(name: Contender["name"], tally: Tally, more?: Partial<RoundOutcome>): Contender {
  const outcome = { firstSeconds: 1, seconds: 1, kernel: KERNEL, tally, ...more };
  return { name, run: async () => outcome };
}

/** The reference kernel; what it says that it takes is made up. */
function measured(limits?: Partial<KernelLimits>): MeasuredKernel {
  const kernel = createReferenceKernel(limits);
  const runRows = () => kernel.state().runs.reduce((sum, { rows }) => sum + rows, 0);
  return Object.assign(kernel, {
    figures: () => ({ linearMemoryBytes: 65_536, runRows: runRows(), runBytes: 3 * runRows() }),
  });
}

/** One bit of the method's first chunk is another one: of a list, in the first ad's clicks. */
function lying(kernel: MeasuredKernel, method: "close" | "top"): MeasuredKernel {
  const wrong = <Chunk extends RowChunk | undefined>(chunk: Chunk, at: number): Chunk => {
    chunk?.body.set([chunk.body.at(at)! ^ 1], at < 0 ? chunk.body.length + at : at);
    return chunk;
  };
  const close = kernel.close.bind(kernel);
  const top = kernel.top.bind(kernel);
  return Object.assign(
    kernel,
    method === "close"
      ? {
          close(request: CloseRequest) {
            const chunks = close(request);
            wrong(chunks[0], -1);
            return chunks;
          },
        }
      : { top: (request: TopRequest) => wrong(top(request), TOP_CLICKS_OFFSET) },
  );
}

function tallyOf(groupBy: ReturnType<typeof createMapGroupBy>, files = written): Tally {
  for (const block of readCase(files)) groupBy.add(block);
  const tally = new TallyMaker();
  groupBy.tell(tally);
  return tally.finish();
}
