/** What every kernel must do to be written down: its state, and dumps of its rows. */
import { describe, expect, test } from "vitest";
import { AD_ID_BYTES_MAX, BLOCK_BODY_BYTES_MAX } from "../wire/limits.ts";
import { RUN_ROW_BYTES_MAX, WINDOW_ROW_BYTES_MAX } from "../wire/snapshot.ts";
import {
  add,
  byHashThenBytes,
  clicksOf,
  hexOf,
  manyRows,
  minute,
  rowOf,
  runOf,
  runRowsOf,
  shownBy,
  W,
} from "./kernel-checks.ts";
import type { CreateKernel } from "./kernel-checks.ts";
import { adKey, closeRequest, keyOf } from "./kernel-rows.ts";
import { isBug, NEW, windowRow } from "./kernel-snapshots.ts";
import type { RowChunk } from "./kernel.ts";

/** Bytes of the first row of a chunk: `strings` strings from `at` on, then clicks. */
function firstRowBytes(chunk: RowChunk, strings: number, at: number): number {
  for (let i = 0; i < strings; i++) at += 1 + chunk.body[at]!;
  return at + 8;
}

/** Rows of all chunks; sees that each took every row that fits. */
function filledRows(
  chunks: readonly RowChunk[],
  chunkBytesMax: number,
  rowBytes: (chunk: RowChunk) => number,
): number {
  chunks.forEach((chunk, i) => {
    expect(chunk.body.length).toBeLessThanOrEqual(chunkBytesMax);
    const next = chunks[i + 1];
    if (next === undefined) return;
    expect(chunk.body.length + rowBytes(next)).toBeGreaterThan(chunkBytesMax);
  });
  return chunks.reduce((rows, chunk) => rows + chunk.rows, 0);
}

function rowsOfEach(chunks: readonly RowChunk[]): number[] {
  return chunks.map((chunk) => chunk.rows);
}

export function dumpContract(name: string, create: CreateKernel): void {
  describe(`${name}: dumping`, () => {
    test("rows of open windows are the bytes of wire/snapshot.ts, in canonical order", () => {
      const kernel = create();
      add(kernel, [
        { window: W, key: adKey("ad", "DE", "tv", "bot"), clicks: 0xffff_ffff },
        { window: W, key: adKey("ad", "DE", "tv", "bot"), clicks: 259 },
        { window: 1, key: keyOf("", "", "", ""), clicks: 1 },
      ]);
      const [chunk, ...others] = kernel.dumpWindows(BLOCK_BODY_BYTES_MAX);
      expect(others).toEqual([]);
      const golden = [
        "01000000" + // window_start 1
          "00000000" + // four empty strings
          "0100000000000000", // clicks 1
        "a83bb16a" + // window_start 1,790,000,040
          "026164" + // ad_id
          "024445" + // country
          "027476" + // device
          "03626f74" + // invalid_reason
          "0201000001000000", // clicks 2^32 + 258
      ];
      expect(Buffer.from(chunk!.body).toString("hex")).toBe(golden.join(""));
      expect(chunk).toMatchObject({ rows: 2, clicks: 2 ** 32 + 259 });
    });

    test("rows of a run are the bytes of wire/snapshot.ts", () => {
      const kernel = create();
      add(kernel, [rowOf(W, "ad", 0xffff_ffff), rowOf(W, "ad", 259, "FR")]);
      kernel.close(closeRequest({ closedThroughSeconds: minute(1) }));
      const [chunk, ...others] = kernel.dumpRun(1, BLOCK_BODY_BYTES_MAX);
      expect(others).toEqual([]);
      const golden =
        "026164" + // ad_id
        "0201000001000000"; // clicks 2^32 + 258
      expect(Buffer.from(chunk!.body).toString("hex")).toBe(golden);
      expect(chunk).toMatchObject({ rows: 1, clicks: 2 ** 32 + 258 });
    });

    test("open windows come in the order of close: window, hash, key", () => {
      const kernel = create();
      const rows = manyRows(900, 900, 4);
      add(kernel, rows);
      const expected = rows
        .toSorted((a, b) => a.window - b.window || byHashThenBytes(a.key, b.key))
        .map((row) => Buffer.from(windowRow(row.window, row.key, BigInt(row.clicks))));
      expect(kernel.rowCount()).toBe(rows.length);
      expect(hexOf(kernel.dumpWindows(2_000))).toBe(Buffer.concat(expected).toString("hex"));
    });

    test("a dump changes nothing", () => {
      const [kernel, other] = [create(), create()];
      for (const each of [kernel, other]) {
        add(each, manyRows(300, 100, 3));
        each.close(closeRequest({ closedThroughSeconds: minute(2) }));
      }
      const before = shownBy(kernel);
      kernel.dumpWindows(WINDOW_ROW_BYTES_MAX);
      kernel.dumpRun(2, RUN_ROW_BYTES_MAX);
      expect(shownBy(kernel)).toEqual(before);
      const [mine, theirs] = [kernel, other].map((each) => {
        add(each, manyRows(300, 100, 3));
        return hexOf(each.close(closeRequest({ closedThroughSeconds: minute(3) })));
      });
      expect(mine).toBe(theirs);
    });

    test("chunks take every row that fits, down to one row each", () => {
      const kernel = create();
      add(kernel, manyRows(200, 200, 3));
      add(kernel, manyRows(150, 150, 3));
      kernel.close(closeRequest({ closedThroughSeconds: minute(2) }));
      const longest = "x".repeat(AD_ID_BYTES_MAX);
      add(kernel, [
        { window: W, key: keyOf(longest, "yy", "z".repeat(16), "r".repeat(32)), clicks: 1 },
      ]);
      kernel.close(closeRequest({ closedThroughSeconds: minute(2) }));
      add(kernel, manyRows(200, 200, 3));
      const state = kernel.state();
      const whole = hexOf(kernel.dumpWindows(BLOCK_BODY_BYTES_MAX));
      for (const bytesMax of [WINDOW_ROW_BYTES_MAX, WINDOW_ROW_BYTES_MAX + 1, 500]) {
        const chunks = kernel.dumpWindows(bytesMax);
        expect(filledRows(chunks, bytesMax, (c) => firstRowBytes(c, 4, 4))).toBe(kernel.rowCount());
        expect(hexOf(chunks)).toBe(whole);
      }
      expect(state.runs.length).toBe(3);
      for (const { number, rows, clicks } of state.runs) {
        for (const bytesMax of [RUN_ROW_BYTES_MAX, RUN_ROW_BYTES_MAX + 1, 500]) {
          const chunks = kernel.dumpRun(number, bytesMax);
          expect(filledRows(chunks, bytesMax, (c) => firstRowBytes(c, 1, 0))).toBe(rows);
          expect(clicksOf(chunks)).toBe(clicks);
          expect(runRowsOf(chunks)).toEqual(runOf(kernel, number));
        }
      }
    });

    test("a row that ends exactly at the limit belongs to the chunk", () => {
      const kernel = create();
      const adIds = Array.from({ length: 9 }, (_, i) => `${"x".repeat(AD_ID_BYTES_MAX - 1)}${i}`);
      const rows = adIds.map((adId) => rowOf(W, adId, 1));
      add(kernel, rows);
      const windowRowBytes = 4 + rows[0]!.key.length + 8;
      expect(rowsOfEach(kernel.dumpWindows(3 * windowRowBytes))).toEqual([3, 3, 3]);
      expect(rowsOfEach(kernel.dumpWindows(3 * windowRowBytes - 1))).toEqual([2, 2, 2, 2, 1]);
      kernel.close(closeRequest({ closedThroughSeconds: minute(1) }));
      expect(rowsOfEach(kernel.dumpRun(1, 3 * RUN_ROW_BYTES_MAX))).toEqual([3, 3, 3]);
      expect(rowsOfEach(kernel.dumpRun(1, 3 * RUN_ROW_BYTES_MAX - 1))).toEqual([2, 2, 2, 2, 1]);
    });

    test("an empty kernel has a state and no rows", () => {
      const kernel = create();
      expect(kernel.state()).toEqual(NEW);
      expect(kernel.dumpWindows(BLOCK_BODY_BYTES_MAX)).toEqual([]);
    });

    test("a request that makes no sense throws", () => {
      const kernel = create();
      add(kernel, [rowOf(W, "a", 1)]);
      kernel.close(closeRequest({ closedThroughSeconds: minute(1) }));
      for (const bytesMax of [WINDOW_ROW_BYTES_MAX - 1, BLOCK_BODY_BYTES_MAX + 1, 200.5]) {
        expect(() => kernel.dumpWindows(bytesMax)).toThrow(`chunks of ${bytesMax} bytes`);
      }
      for (const bytesMax of [RUN_ROW_BYTES_MAX - 1, BLOCK_BODY_BYTES_MAX + 1, 200.5]) {
        expect(() => kernel.dumpRun(1, bytesMax)).toThrow(`chunks of ${bytesMax} bytes`);
      }
      for (const number of [0, 2, -1]) {
        expect(isBug(() => kernel.dumpRun(number, BLOCK_BODY_BYTES_MAX))).toBe(true);
      }
    });
  });
}
