/** The shards as a person reads them. */
import { expect, test } from "vitest";
import { AT_MS, EPOCH, shardReport } from "../../tests/helpers/shard-flushes.ts";
import { REPORT_SKEW_BOUNDS_MS } from "../../wire/report.ts";
import type { ShardReport } from "../../wire/report.ts";
import { shardsText, skewLabel } from "./shard-text.ts";
import { totalsOf } from "./shard-views.ts";
import type { ShardView } from "./shard-views.ts";

function view(
  shard: number,
  report: ShardReport | null,
  changes: Partial<ShardView> = {},
): ShardView {
  const place = { shard, epoch: EPOCH, flush: 86_412, rows: 780, rejectedFlush: null };
  return { ...place, ageMs: 420, report, notes: [], ...changes };
}
const text = (views: readonly ShardView[], strangers: readonly string[] = []) =>
  shardsText(views, totalsOf(views), strangers);

test("shards stand in a table with their sums, and below it what was refused and the clocks", () => {
  const idle: Partial<ShardReport> = {
    sinceMs: AT_MS - 7_000_000,
    accepted: 9,
    duplicate: 0,
    unavailable: 2,
    rejected: {},
    invalid: {},
    skew: [0, 0, 0, 0, 9, 0, 0, 0, 0],
    withoutClock: 0,
    journalBytes: 2_300,
    rejectedJournalBytes: 0,
    commits: 0,
    flushMs: 12,
    flushFailures: 3,
    dedupIds: 512,
    dedupSegments: 1,
    dedupBytes: 12_000,
    rowsWritten: 11,
  };
  const unread = { epoch: null, flush: null, rows: null };
  const views = [
    view(0, shardReport()),
    view(1, shardReport(idle), { flush: 7, ageMs: 4_000_000 }),
    view(2, null, { flush: 3, notes: ["no report"] }),
    view(10, null, { ...unread, notes: ["unreadable newest message: 3 bytes are no block"] }),
  ];
  expect(`\n${text(views)}\n`).toMatchInlineSnapshot(`
    "
    shard   flush     age     over  clicks/s  dup %  rejected    journal  commit ms  flush ms        ids  segments    memory  rows
        0  86,412   0.4 s    1.0 s       780    2.5         8  120.0 MiB   7.3 / 31       4.5  8,012,345        24  17.2 MiB    75
        1       7  67 min  117 min    (<0.1)    0.0         0    2.2 KiB          -        12        512         1  11.7 KiB    11
        2       3   0.4 s        -         -      -         -          -          -         -          -         -         -     -  no report
       10       -   0.4 s        -         -      -         -          -          -         -          -         -         -     -  unreadable newest message: 3 bytes are no block
    total                                780    2.5         8  120.0 MiB   7.3 / 31        12  8,012,857        25  17.2 MiB    86
    (…): of a flush more than 30 s ago; the total's clicks/s leave it out

    rejected        missing 6, too_old 2
    invalid         bot 31
    unavailable     2 found no room (shard 1): are streams full, or is NATS away from the edge?
    flush failures  3 (shard 1)
    journals        120.0 MiB of clicks, 300.0 KiB of rejected ones, not proven downstream yet
    accept from     2026-11-22 07:47:22 UTC; clicks with earlier event times are too_old

    clients' clocks, by 779 accepted clicks
      ahead by more than 1 d     1  ▏
      ahead by 1 h to 1 d        0
      ahead by 1 min to 1 h      4  ▎
      ahead by 10 s to 1 min    12  ▋
      within 10 s              749  ████████████████████████████████████████
      behind by 10 s to 1 min   10  ▌
      behind by 1 min to 1 h     2  ▏
      behind by 1 h to 1 d       0
      behind by 1 d and more     1  ▏
      without a client clock    10
    "
  `);
});

test("without a report there are no figures", () => {
  expect(text([view(2, null, { notes: ["no report"] })])).toMatchInlineSnapshot(`
    "shard   flush    age  over  clicks/s  dup %  rejected  journal  commit ms  flush ms  ids  segments  memory  rows
        2  86,412  0.4 s     -         -      -         -        -          -         -    -         -       -     -  no report
    total                              -      -         -        -          -         -    -         -       -     -"
  `);
});

test("without a shard it says so, and what to do", () => {
  expect(text([])).toMatch(/^no shard has flushed yet: .*\n→ .*`clickmill doctor`/);
});

test("subjects that are no shard's are named, as far as there is room, and write nothing to the terminal", () => {
  const strangers = Array.from({ length: 14 }, (_, i) => `clicks.raw.x${i}\u001B[2J`);
  for (const views of [[], [view(0, shardReport())]]) {
    const last = text(views, strangers).split("\n").at(-1)!;
    expect(last).toMatch(/^subjects that are no shard's: clicks\.raw\.x0\?\[2J, .* and 2 more$/);
  }
});

test("names in a report are anybody's: cut in number, without control characters", () => {
  const names = Array.from({ length: 14 }, (_, i) => [`c${i}\u001B`, 100 - i] as const);
  const rejected = Object.fromEntries(names);
  const shown = text([view(0, shardReport({ rejected }))]);
  expect(shown).toMatch(/^rejected +c0\? 100, c1\? 99, .*, c11\? 89, others 175$/m);
  expect(shown).not.toContain("\u001B");
});

test("every class of the skew has its own words", () => {
  const labels = [...REPORT_SKEW_BOUNDS_MS, null].map((_, i) => skewLabel(i));
  expect(labels).toEqual([
    "ahead by more than 1 d",
    "ahead by 1 h to 1 d",
    "ahead by 1 min to 1 h",
    "ahead by 10 s to 1 min",
    "within 10 s",
    "behind by 10 s to 1 min",
    "behind by 1 min to 1 h",
    "behind by 1 h to 1 d",
    "behind by 1 d and more",
  ]);
});

test("a single click among a million can be seen", () => {
  const skew = [1, 0, 0, 0, 1_000_000, 0, 0, 0, 500_000];
  const lines = text([view(0, shardReport({ skew }))]).split("\n");
  const line = (label: string) => lines.find((l) => l.includes(label))!;
  expect(line("ahead by more than 1 d")).toMatch(/ 1 {2}▏$/);
  expect(line("ahead by 1 h to 1 d")).toMatch(/ 0$/);
  expect(line("within 10 s")).toMatch(/ 1,000,000 {2}█{40}$/);
  expect(line("behind by 1 d and more")).toMatch(/ 500,000 {2}█{20}$/);
});
