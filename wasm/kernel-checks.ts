/** What the suites of the kernel contract share: rows of many kinds, and answers read and checked. */
import { expect } from "vitest";
import { readI64, readString, reader } from "../wire/cursor.ts";
import { BLOCK_BODY_BYTES_MAX } from "../wire/limits.ts";
import { readResults } from "../wire/result.ts";
import type { ResultRow } from "../wire/result.ts";
import { RUN_ROW_BYTES_MAX, WINDOW_ROW_BYTES_MAX } from "../wire/snapshot.ts";
import { readTop, topTail } from "../wire/top.ts";
import { adKey, blockOf, UNIT } from "./kernel-rows.ts";
import type { TestRow } from "./kernel-rows.ts";
import type { IngestOutcome, Kernel, KernelState, RowChunk } from "./kernel.ts";
import { keyHash } from "./key-hash.ts";
import type { KernelLimits } from "./limits.ts";

export type CreateKernel = (limits?: Partial<KernelLimits>) => Kernel;

/** Start of a window of a minute. */
export const W = 1_790_000_040;

/** Start of the window `n` minutes after W. */
export function minute(n: number): number {
  return W + 60 * n;
}

export function rowOf(window: number, adId: string, clicks: number, country = "DE"): TestRow {
  return { window, key: adKey(adId, country), clicks };
}

export function add(kernel: Kernel, rows: readonly TestRow[]): void {
  expect(kernel.ingest(blockOf(rows), rows.length)).toEqual({ ok: true, clicks: clicksOf(rows) });
}

export function resultsOf(chunks: readonly RowChunk[]): ResultRow[] {
  return chunks.flatMap((c) => {
    const rows = readResults(c.body);
    expect(rows.length).toBe(c.rows);
    expect(clicksOf(rows)).toBe(c.clicks);
    return rows;
  });
}

/** All chunks' bytes as one text. */
export function hexOf(chunks: readonly RowChunk[]): string {
  return chunks.map((c) => Buffer.from(c.body).toString("hex")).join("");
}

export interface TopAd {
  /** The id's bytes in hexadecimal. */
  readonly id: string;
  readonly clicks: number;
}

export interface TopList {
  readonly ads: readonly TopAd[];
  readonly untrackedClicks: number;
}

/** A list of top ads; everything in its rows but ads and clicks is checked here. */
export function topOf(kernel: Kernel, windows: number, count = 1_000): TopList {
  const chunk = kernel.top({ windows, count, unit: UNIT });
  const rows = readTop(chunk.body);
  expect(chunk.rows).toBe(rows.length);
  expect(chunk.clicks).toBe(clicksOf(rows));
  expect(rows.length).toBeLessThanOrEqual(count);
  const { closedThroughSeconds } = kernel.state();
  const ids = adIdsOf(chunk.body);
  rows.forEach((row, i) => {
    expect(row).toMatchObject({
      windowEndSeconds: closedThroughSeconds,
      windows,
      rank: i + 1,
      untrackedClicks: chunk.untrackedClicks,
      partitions: UNIT.partitions,
      partition: UNIT.partition,
      emission: UNIT.emission,
      emittedOn: UNIT.emittedOn,
    });
  });
  return {
    ads: rows.map((row, i) => ({ id: ids[i]!, clicks: row.clicks })),
    untrackedClicks: chunk.untrackedClicks,
  };
}

/** A list with ids as text: "a 5". */
export function topTexts(kernel: Kernel, windows: number, count?: number): string[] {
  return topOf(kernel, windows, count).ads.map(
    ({ id, clicks }) => `${Buffer.from(id, "hex").toString()} ${clicks}`,
  );
}

/** The ids as bytes: as text, two that are no UTF-8 could look alike. */
function adIdsOf(body: Uint8Array): string[] {
  const c = reader(body);
  const ids: string[] = [];
  while (c.at < body.length) {
    c.at += 4 + 2 + 2;
    ids.push(Buffer.from(readString(c)).toString("hex"));
    c.at += 8 + 8 + topTail(UNIT).length;
  }
  return ids;
}

export interface RunRow {
  /** The id's bytes in hexadecimal. */
  readonly id: string;
  readonly clicks: number;
}

/** The rows of dumped chunks of a run, in the order of ids. */
export function runRowsOf(chunks: readonly RowChunk[]): RunRow[] {
  return chunks
    .flatMap((chunk) => {
      const c = reader(chunk.body);
      const rows: RunRow[] = [];
      while (c.at < chunk.body.length) {
        rows.push({ id: Buffer.from(readString(c)).toString("hex"), clicks: readI64(c) });
      }
      expect(rows.length).toBe(chunk.rows);
      expect(clicksOf(rows)).toBe(chunk.clicks);
      return rows;
    })
    .toSorted((a, b) => (a.id < b.id ? -1 : 1));
}

export function runOf(kernel: Kernel, number: number): RunRow[] {
  return runRowsOf(kernel.dumpRun(number, BLOCK_BODY_BYTES_MAX));
}

/** Everything that a kernel shows without changing. */
export function shownBy(kernel: Kernel): unknown {
  const state = kernel.state();
  return {
    state,
    windows: kernel.windows(),
    rowCount: kernel.rowCount(),
    isOverLimit: kernel.isOverLimit(),
    rows: hexOf(kernel.dumpWindows(BLOCK_BODY_BYTES_MAX)),
    runs: state.runs.map(({ number }) => runOf(kernel, number)),
    lists: state.slidingWindows.map((windows) =>
      hexOf([
        kernel.top({ windows, count: 3, unit: UNIT }),
        kernel.top({ windows, count: 1_000, unit: UNIT }),
      ]),
    ),
  };
}

/** A new kernel that goes on from this one's state, as a snapshot hands it over. */
export function restoredCopy(
  kernel: Kernel,
  create: CreateKernel,
  limits: Partial<KernelLimits>,
  chunkBytesMax = BLOCK_BODY_BYTES_MAX,
): Kernel {
  const copy = create(limits);
  const state = JSON.parse(JSON.stringify(kernel.state())) as KernelState;
  copy.restoreState(state);
  // Rows may come in any order, so they come in one that no one writes: the newest first.
  const windowChunks = kernel.dumpWindows(Math.max(chunkBytesMax, WINDOW_ROW_BYTES_MAX));
  const restoreNewestWindows = () => {
    const chunk = windowChunks.pop();
    if (chunk === undefined) return;
    expect(copy.restoreWindows(chunk.body, chunk.rows)).toEqual({ ok: true, clicks: chunk.clicks });
  };
  for (const { number } of state.runs.toReversed()) {
    restoreNewestWindows();
    for (const chunk of kernel.dumpRun(number, Math.max(chunkBytesMax, RUN_ROW_BYTES_MAX))) {
      expect(copy.restoreRun(number, chunk.body, chunk.rows)).toEqual({
        ok: true,
        clicks: chunk.clicks,
      });
    }
  }
  while (windowChunks.length > 0) restoreNewestWindows();
  return copy;
}

export function fault(offset: number, reason: string): IngestOutcome {
  return { ok: false, offset, reason };
}

export function ascending(a: number, b: number): number {
  return a - b;
}

export function byHashThenBytes(a: Uint8Array, b: Uint8Array): number {
  const [hashA, hashB] = [keyHash(a), keyHash(b)];
  if (hashA !== hashB) return hashA < hashB ? -1 : 1;
  return Buffer.compare(a, b);
}

export function clicksOf(rows: readonly { readonly clicks: number }[]): number {
  return rows.reduce((sum, r) => sum + r.clicks, 0);
}

/** Rows over `windows` windows and `keys` keys, the same for every run. */
export function manyRows(count: number, keys: number, windows: number): TestRow[] {
  return Array.from({ length: count }, (_, i) => {
    const spread = Math.imul(i, 0x9e3779b1) >>> 0;
    const key = spread % keys;
    return {
      window: W + 60 * ((spread >>> 16) % windows),
      key: adKey(`ad-${key}`, ["DE", "FR", "", "T1"][key % 4], key % 3 ? "mobile" : ""),
      clicks: 1 + (i % 7),
    };
  });
}

export function blocksOf(rows: readonly TestRow[], rowsPerBlock: number): TestRow[][] {
  const blocks: TestRow[][] = [];
  for (let i = 0; i < rows.length; i += rowsPerBlock) blocks.push(rows.slice(i, i + rowsPerBlock));
  return blocks;
}
