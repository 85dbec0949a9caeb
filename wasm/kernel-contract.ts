/** What every kernel must do, as one suite that both implementations pass. */
import { describe, expect, test } from "vitest";
import { utf8, writeBytes, writeI64, writer, writeU32, writeU8, written } from "../wire/cursor.ts";
import {
  AD_ID_BYTES_MAX,
  BLOCK_BODY_BYTES_MAX,
  COUNTRY_BYTES_MAX,
  DEVICE_BYTES_MAX,
  INVALID_REASON_BYTES_MAX,
} from "../wire/limits.ts";
import { PARTIAL_BYTES_MAX, PARTIAL_KEY_BYTES_MAX } from "../wire/partial.ts";
import { readResults, RESULT_BYTES_MAX, resultTail } from "../wire/result.ts";
import type { EmissionUnit } from "../wire/result.ts";
import {
  add,
  ascending,
  blocksOf,
  byHashThenBytes,
  clicksOf,
  fault,
  manyRows,
  resultsOf,
  W,
} from "./kernel-checks.ts";
import type { CreateKernel } from "./kernel-checks.ts";
import { dumpContract } from "./kernel-contract-dump.ts";
import { earlyContract } from "./kernel-contract-early.ts";
import { refuseContract } from "./kernel-contract-refuse.ts";
import { restoreContract } from "./kernel-contract-restore.ts";
import { slidingContract } from "./kernel-contract-sliding.ts";
import { adKey, blockOf, closeRequest, keyOf, keyWithHash, UNIT } from "./kernel-rows.ts";
import type { TestRow } from "./kernel-rows.ts";
import type { IngestOutcome } from "./kernel.ts";
import { keyHash } from "./key-hash.ts";

/** The bytes of a result row, written here once more, value by value. */
function resultBytes(row: TestRow, origin: number, unit: EmissionUnit, chunk: number): Uint8Array {
  const c = writer(RESULT_BYTES_MAX);
  writeU32(c, row.window);
  writeBytes(c, row.key);
  writeI64(c, row.clicks);
  writeU8(c, origin);
  writeBytes(c, resultTail(unit, chunk));
  return written(c);
}

/** A key with every string at its limit. */
function longestKey(last: string): Uint8Array {
  return keyOf(
    "x".repeat(AD_ID_BYTES_MAX),
    "y".repeat(COUNTRY_BYTES_MAX),
    "z".repeat(DEVICE_BYTES_MAX),
    "r".repeat(INVALID_REASON_BYTES_MAX - utf8(last).length) + last,
  );
}

/** Rows of `count` keys, over and over; the highest byte of their hashes says which line of a table of 256 is theirs. */
function rowsOfLine(line: number, from: number, count: number, times = 1): TestRow[] {
  return Array.from({ length: count * times }, (_, i) => ({
    window: W,
    key: keyWithHash((BigInt(line) << 56n) + (BigInt(from + (i % count)) << 32n), line),
    clicks: i + 1,
  }));
}

export function kernelContract(name: string, create: CreateKernel): void {
  countingContract(name, create);
  slidingContract(name, create);
  earlyContract(name, create);
  dumpContract(name, create);
  restoreContract(name, create);
  refuseContract(name, create);
}

function countingContract(name: string, create: CreateKernel): void {
  describe(`${name}: counting`, () => {
    test("counts add up per key and window, within a block and across blocks", () => {
      const kernel = create();
      const [a, b] = [adKey("a"), adKey("b")];
      add(kernel, [
        { window: W, key: a, clicks: 1 },
        { window: W, key: b, clicks: 10 },
        { window: W, key: a, clicks: 2 },
        { window: W + 60, key: a, clicks: 100 },
      ]);
      add(kernel, [{ window: W, key: a, clicks: 4 }]);
      expect(kernel.windows()).toEqual([W, W + 60]);
      expect(kernel.rowCount()).toBe(3);
      const counts = resultsOf(kernel.close(closeRequest())).map((r) => [
        r.windowStartSeconds - W,
        r.adId,
        r.clicks,
      ]);
      expect(counts).toHaveLength(3);
      expect(counts).toEqual(
        expect.arrayContaining([
          [0, "a", 7],
          [0, "b", 10],
          [60, "a", 100],
        ]),
      );
    });

    test("each of the four strings is part of the key, and so is where one ends", () => {
      const kernel = create();
      const keys = [
        keyOf("ab", "", "", ""),
        keyOf("a", "b", "", ""),
        keyOf("a", "", "b", ""),
        keyOf("a", "", "", "b"),
        keyOf("", "ab", "", ""),
      ];
      add(
        kernel,
        keys.map((key, i) => ({ window: W, key, clicks: i + 1 })),
      );
      expect(kernel.rowCount()).toBe(keys.length);
      expect(
        resultsOf(kernel.close(closeRequest()))
          .map((r) => [r.adId, r.country, r.device, r.invalidReason, r.clicks].join("|"))
          .toSorted(),
      ).toEqual(["ab||||1", "a|b|||2", "a||b||3", "a|||b|4", "|ab|||5"]);
    });

    test("a key of four empty strings counts", () => {
      const kernel = create();
      add(kernel, [{ window: 0, key: keyOf("", "", "", ""), clicks: 3 }]);
      expect(resultsOf(kernel.close(closeRequest()))).toMatchObject([{ adId: "", clicks: 3 }]);
    });

    test("strings at their limits count, and keys that differ in the last byte only are two", () => {
      const kernel = create();
      add(kernel, [
        { window: W, key: longestKey("1"), clicks: 1 },
        { window: W, key: longestKey("2"), clicks: 2 },
        { window: W, key: longestKey("1"), clicks: 4 },
      ]);
      const rows = resultsOf(kernel.close(closeRequest()));
      expect(rows.map((r) => r.clicks).toSorted(ascending)).toEqual([2, 5]);
    });

    test("any number of new keys of the greatest length is one block", () => {
      const keys = Array.from({ length: 300 }, (_, i) => longestKey(String.fromCharCode(i + 128)));
      expect(new Set(keys.map((key) => key.length))).toEqual(new Set([PARTIAL_KEY_BYTES_MAX]));
      for (let count = 1; count <= keys.length; count++) {
        const kernel = create();
        add(
          kernel,
          keys.slice(0, count).map((key) => ({ window: W, key, clicks: 1 })),
        );
        expect(kernel.rowCount()).toBe(count);
      }
    });

    test("counts go beyond 2^32", () => {
      const kernel = create();
      const keys = [adKey("a"), adKey("an id of more bytes")];
      for (let i = 0; i < 3; i++)
        add(
          kernel,
          keys.map((key) => ({ window: W, key, clicks: 0xffff_ffff })),
        );
      const rows = resultsOf(kernel.close(closeRequest()));
      expect(rows.map((row) => row.clicks)).toEqual(keys.map(() => 3 * 0xffff_ffff));
    });

    test("a window may start at 0 and at the last second of 32 bits", () => {
      const kernel = create();
      const last = 0xffff_ffff;
      add(
        kernel,
        [last, 0, 2 ** 31].map((window) => ({ window, key: adKey("a"), clicks: 1 })),
      );
      expect(kernel.windows()).toEqual([0, 2 ** 31, last]);
      expect(kernel.close(closeRequest({ closedThroughSeconds: last })).length).toBe(1);
      expect(kernel.windows()).toEqual([last]);
      kernel.close(closeRequest({ closedThroughSeconds: last + 59 }));
      expect(kernel.windows()).toEqual([last]);
      kernel.close(closeRequest({ closedThroughSeconds: last + 60 }));
      expect(kernel.windows()).toEqual([]);
    });

    test("clicks in are clicks out, over many keys, windows and blocks", () => {
      const kernel = create();
      const rows = manyRows(30_000, 5_000, 40);
      for (const block of blocksOf(rows, 1_111)) add(kernel, block);
      expect(kernel.windows()).toHaveLength(40);
      const out = resultsOf(kernel.close(closeRequest()));
      expect(clicksOf(out)).toBe(clicksOf(rows));
      expect(out.length).toBe(new Set(rows.map((r) => `${r.window} ${r.key.join()}`)).size);
      expect(kernel.rowCount()).toBe(0);
    });

    test("rows whose ids are as long as those before are counted as others are", () => {
      const kernel = create();
      const ids = ["aa", "bb", "c", "dd", "ee", "fff", "gg", "", "hh"];
      const named = ids.flatMap((id) => ["DE", "", "D"].map((country) => [id, country] as const));
      const rows = named.map(([id, country], i) => ({
        window: W,
        key: adKey(id, country, "mobile", i % 2 === 0 ? "" : "bot"),
        clicks: i + 1,
      }));
      for (const from of [0, 6, 21]) add(kernel, rows.slice(from));
      const out = resultsOf(kernel.close(closeRequest()));
      const expected = rows.map((row, i) => {
        const [adId, country] = named[i]!;
        return `${adId} ${country} ${(i < 6 ? 1 : i < 21 ? 2 : 3) * row.clicks}`;
      });
      expect(out.map((r) => `${r.adId} ${r.country} ${r.clicks}`).toSorted()).toEqual(
        expected.toSorted(),
      );
    });

    test("keys that come several times are one row each, however many come before them again", () => {
      for (const count of [40, 500, 512, 520, 700, 2_000]) {
        const kernel = create();
        const rows = Array.from({ length: count }, (_, i) => ({
          window: W,
          key: adKey(`an id of many bytes ${i}`),
          clicks: i + 1,
        }));
        add(kernel, [...rows, ...rows, ...rows]);
        add(kernel, rows);
        expect(kernel.rowCount()).toBe(count);
        const clicks = resultsOf(kernel.close(closeRequest())).map((r) => r.clicks);
        expect(clicks.toSorted(ascending)).toEqual(rows.map((r) => 4 * r.clicks));
      }
    });

    test("keys whose hashes all begin alike count, however many a block has", () => {
      // They all belong to one line of a table, and go over hundreds.
      const rows = Array.from({ length: 3_000 }, (_, i) => ({
        window: W + 60 * (i % 2),
        key: keyWithHash((0x1234_5000n + BigInt(i)) << 32n, i),
        clicks: i + 1,
      }));
      const kernel = create();
      for (const rowsPerBlock of [3_000, 1_700, 700, 1]) {
        for (const block of blocksOf(rows, rowsPerBlock)) add(kernel, block);
      }
      expect(kernel.rowCount()).toBe(rows.length);
      const out = resultsOf(kernel.close(closeRequest()));
      const expected = [0, 1].flatMap((odd) => rows.filter((_, i) => i % 2 === odd));
      expect(out.map((r) => r.clicks)).toEqual(expected.map((r) => 4 * r.clicks));
    });

    test("a full line's keys are counted, new or known, whatever else a batch has for it", () => {
      for (const [full, further] of [
        [rowsOfLine(0x12, 0, 7), [...rowsOfLine(0x12, 100, 768), ...rowsOfLine(0x80, 0, 768)]],
        [
          [...rowsOfLine(0x12, 0, 8), ...rowsOfLine(0x80, 0, 1)],
          [
            ...rowsOfLine(0x12, 7, 1, 768),
            ...rowsOfLine(0x80, 0, 1, 762),
            ...rowsOfLine(0x90, 0, 1, 6),
          ],
        ],
      ] as const) {
        const kernel = create();
        add(kernel, full);
        add(kernel, further);
        add(kernel, further);
        const counts = new Map<string, number>();
        for (const { key, clicks } of [...full, ...further, ...further]) {
          counts.set(key.join(), (counts.get(key.join()) ?? 0) + clicks);
        }
        const clicks = resultsOf(kernel.close(closeRequest())).map((r) => r.clicks);
        expect(clicks.toSorted(ascending)).toEqual([...counts.values()].toSorted(ascending));
      }
    });

    test("two thousand windows may be open, opened in any order", () => {
      const kernel = create();
      const starts = Array.from({ length: 2_000 }, (_, i) => ((i * 1_237) % 2_000) * 60);
      for (const block of blocksOf(
        starts.map((window) => ({ window, key: adKey("a"), clicks: window / 60 + 1 })),
        300,
      )) {
        add(kernel, block);
      }
      expect(kernel.windows()).toEqual(starts.toSorted(ascending));
      const out = resultsOf(kernel.close(closeRequest({ closedThroughSeconds: 60_000 })));
      expect(out.map((r) => r.clicks)).toEqual(Array.from({ length: 1_000 }, (_, i) => i + 1));
      expect(kernel.windows()).toHaveLength(1_000);
    });
  });

  describe(`${name}: a block is ingested whole or not at all`, () => {
    const good: TestRow[] = [
      { window: W, key: adKey("first"), clicks: 2 },
      { window: W + 60, key: adKey("second", "FR", "desktop", "bot"), clicks: 3 },
    ];
    const secondAt = 4 + good[0]!.key.length + 4;
    const body = blockOf(good);

    /** The outcome of a broken block; sees that it leaves no trace, in an empty kernel and in another. */
    function refusal(bytes: Uint8Array, rows: number): IngestOutcome {
      const kernel = create();
      const outcome = kernel.ingest(bytes, rows);
      expect(kernel.windows()).toEqual([]);
      expect(kernel.rowCount()).toBe(0);
      add(kernel, [good[0]!]);
      expect(kernel.ingest(bytes, rows)).toEqual(outcome);
      expect(kernel.windows()).toEqual([W]);
      expect(resultsOf(kernel.close(closeRequest())).map((r) => r.clicks)).toEqual([2]);
      return outcome;
    }

    const CUT_OFF = "the row is cut off";

    test("an empty body with no rows is a block", () => {
      const kernel = create();
      expect(kernel.ingest(new Uint8Array(0), 0)).toEqual({ ok: true, clicks: 0 });
      expect(kernel.windows()).toEqual([]);
    });

    test("cut off anywhere, the offset is where the value begins that is not whole", () => {
      const key = good[1]!.key;
      const valueStarts = [0, 4, 10, 13, 20, 21, secondAt];
      for (let at = 0; at < key.length; at += 1 + key[at]!) valueStarts.push(secondAt + 4 + at);
      valueStarts.push(secondAt + 4 + key.length);
      for (let length = 1; length < body.length; length++) {
        const offset = valueStarts.findLast((start) => start <= length)!;
        expect(refusal(body.subarray(0, length), 2)).toEqual(fault(offset, CUT_OFF));
      }
    });

    test("left-over bytes and too low a row count are found where the rows end", () => {
      const LEFT_OVER = "bytes are left over after the last row";
      expect(refusal(Buffer.concat([body, Uint8Array.of(0)]), 2)).toEqual(
        fault(body.length, LEFT_OVER),
      );
      expect(refusal(body, 1)).toEqual(fault(secondAt, LEFT_OVER));
      expect(refusal(body, 0)).toEqual(fault(0, LEFT_OVER));
    });

    test("too high a row count is found where the rows end", () => {
      expect(refusal(body, 3)).toEqual(fault(body.length, CUT_OFF));
      expect(refusal(body, 0xffff_ffff)).toEqual(fault(body.length, CUT_OFF));
      expect(refusal(new Uint8Array(0), 1)).toEqual(fault(0, CUT_OFF));
    });

    test("a string beyond its limit is named", () => {
      const limits = [
        ["ad_id", AD_ID_BYTES_MAX],
        ["country", COUNTRY_BYTES_MAX],
        ["device", DEVICE_BYTES_MAX],
        ["invalid_reason", INVALID_REASON_BYTES_MAX],
      ] as const;
      limits.forEach(([field, bytesMax], i) => {
        const strings = ["", "", "", ""];
        strings[i] = "x".repeat(bytesMax + 1);
        const bad = { window: W, key: keyOf(...strings), clicks: 1 };
        const reason = `${field} is longer than ${bytesMax} bytes`;
        expect(refusal(blockOf([good[0]!, bad]), 2)).toEqual(fault(secondAt + 4 + i, reason));
        expect(refusal(blockOf([bad, bad]), 2)).toEqual(fault(4 + i, reason));
      });
    });

    test("a length of more than one byte is refused, even one that a limit would allow", () => {
      const reason = "a string's length takes more than one byte";
      for (let i = 0; i < 4; i++) {
        for (const varint of [
          [0x80, 0x00],
          [0x81, 0x00],
          [0xff, 0xff, 0xff, 0xff, 0x0f],
        ]) {
          const key = Uint8Array.from([...Array<number>(i).fill(0), ...varint, 0x61, 0, 0, 0]);
          const bytes = blockOf([good[0]!, { window: W, key, clicks: 1 }]);
          expect(refusal(bytes, 2)).toEqual(fault(secondAt + 4 + i, reason));
        }
      }
    });

    test("a row of no clicks is refused", () => {
      const bytes = blockOf([good[0]!, { ...good[1]!, clicks: 0 }, good[0]!]);
      expect(refusal(bytes, 3)).toEqual(fault(secondAt + 4 + good[1]!.key.length, "clicks is 0"));
    });

    test("a fault in the last row of a large block leaves nothing of the rows before it", () => {
      const rows = manyRows(10_000, 10_000, 5);
      const bytes = blockOf([...rows, { ...rows[0]!, clicks: 0 }]);
      expect(refusal(bytes, rows.length + 1)).toEqual(fault(bytes.length - 4, "clicks is 0"));
    });

    test("a block beyond the limit of a message is refused, one at the limit is not", () => {
      const rowBytes = PARTIAL_BYTES_MAX;
      const key = keyOf("x".repeat(AD_ID_BYTES_MAX), "DE", "d".repeat(16), "r".repeat(32));
      const rows = Array.from({ length: Math.floor(BLOCK_BODY_BYTES_MAX / rowBytes) }, () => ({
        window: W,
        key,
        clicks: 1,
      }));
      const kernel = create();
      add(kernel, rows);
      expect(kernel.ingest(new Uint8Array(BLOCK_BODY_BYTES_MAX), 0)).toMatchObject({
        reason: "bytes are left over after the last row",
      });
      expect(kernel.ingest(new Uint8Array(BLOCK_BODY_BYTES_MAX + 1), 0)).toEqual({
        ok: false,
        offset: BLOCK_BODY_BYTES_MAX,
        reason: `the block is longer than ${BLOCK_BODY_BYTES_MAX} bytes`,
      });
    });

    test("as many of the shortest rows as a message takes are a block", () => {
      const count = Math.floor(BLOCK_BODY_BYTES_MAX / 12);
      const key = keyOf("", "", "", "");
      const kernel = create();
      add(
        kernel,
        Array.from({ length: count }, (_, i) => ({ window: i % 3, key, clicks: 1 })),
      );
      expect(kernel.rowCount()).toBe(3);
    });

    test("the caller's bytes are neither kept nor changed", () => {
      const kernel = create();
      const bytes = body.slice();
      kernel.ingest(bytes, 2);
      expect(bytes).toEqual(body);
      bytes.fill(0);
      expect(resultsOf(kernel.close(closeRequest())).map((r) => r.adId)).toEqual([
        "first",
        "second",
      ]);
    });
  });

  describe(`${name}: closing`, () => {
    test("nothing to close gives no chunks", () => {
      const kernel = create();
      expect(kernel.close(closeRequest({ closedThroughSeconds: 0 }))).toEqual([]);
      add(kernel, [{ window: W, key: adKey("a"), clicks: 1 }]);
      expect(kernel.close(closeRequest({ closedThroughSeconds: W + 59 }))).toEqual([]);
      expect(kernel.rowCount()).toBe(1);
    });

    test("windows that end at or before the boundary are closed, the others stay", () => {
      const kernel = create();
      add(
        kernel,
        [0, 60, 120].map((o) => ({ window: W + o, key: adKey("a"), clicks: o + 1 })),
      );
      const rows = resultsOf(kernel.close(closeRequest({ closedThroughSeconds: W + 120 })));
      expect(rows.map((r) => r.clicks)).toEqual([1, 61]);
      expect(kernel.windows()).toEqual([W + 120]);
      expect(kernel.rowCount()).toBe(1);
    });

    test("a window that had been closed before is late, a new one on time", () => {
      const kernel = create();
      add(
        kernel,
        [0, 60, 120].map((o) => ({ window: W + o, key: adKey("a"), clicks: 1 })),
      );
      const rows = resultsOf(
        kernel.close(closeRequest({ closedThroughSeconds: W + 180, lateThroughSeconds: W + 120 })),
      );
      expect(rows.map((r) => r.origin)).toEqual(["late", "late", "on_time"]);
    });

    test("a closed window can be opened again and starts from nothing", () => {
      const kernel = create();
      for (let round = 0; round < 5; round++) {
        add(kernel, [
          { window: W, key: adKey("a"), clicks: 5 + round },
          { window: W, key: adKey(`only ${round}`), clicks: 1 },
        ]);
        const rows = resultsOf(kernel.close(closeRequest()));
        expect(rows.map((r) => r.clicks).toSorted(ascending)).toEqual([1, 5 + round]);
      }
    });

    test("rows are the bytes of wire/result.ts, in the order of window, hash, key", () => {
      const kernel = create();
      const rows = [60, 0].flatMap((o) =>
        Array.from({ length: 300 }, (_, i) => ({
          window: W + o,
          key: adKey(`ad ${i}`, i % 2 ? "DE" : ""),
          clicks: i + 1,
        })),
      );
      add(kernel, rows);
      const unit = { ...UNIT, job: "recalculated-7" };
      const [chunk, ...others] = kernel.close(closeRequest({ unit }));
      expect(others).toEqual([]);
      const expected = rows
        .toSorted((a, b) => a.window - b.window || byHashThenBytes(a.key, b.key))
        .map((row) => resultBytes(row, 1, unit, 0).slice());
      expect(Buffer.compare(chunk!.body, Buffer.concat(expected))).toBe(0);
    });

    test("the order of arrival and the split into blocks do not show in the result", () => {
      const rows = manyRows(6_000, 1_500, 3);
      const orders = [
        rows,
        rows.toReversed(),
        rows.toSorted((a, b) => byHashThenBytes(a.key, b.key)),
      ];
      const bodies = orders.flatMap((order) =>
        [1, 37, 5_999].map((rowsPerBlock) => {
          const kernel = create();
          for (const block of blocksOf(order, rowsPerBlock)) {
            kernel.ingest(blockOf(block), block.length);
          }
          return Buffer.concat(
            kernel.close(closeRequest({ chunkBytesMax: 10_000 })).map((c) => c.body),
          );
        }),
      );
      expect(bodies.every((b) => b.equals(bodies[0]!))).toBe(true);
      expect(bodies[0]!.length).toBeGreaterThan(0);
    });

    test("keys of one hash are told apart and stand in the order of their bytes", () => {
      const hash = 0x0123_4567_89ab_cdefn;
      const keys = Array.from({ length: 40 }, (_, i) => keyWithHash(hash, i));
      expect(keys.every((key) => keyHash(key) === hash)).toBe(true);
      const kernel = create();
      for (let round = 1; round <= 2; round++) {
        add(
          kernel,
          keys.map((key, i) => ({ window: W, key, clicks: i + 1 })),
        );
      }
      expect(kernel.rowCount()).toBe(keys.length);
      const [chunk] = kernel.close(closeRequest());
      const expected = keys
        .map((key, i) => ({ window: W, key, clicks: 2 * (i + 1) }))
        .toSorted((a, b) => Buffer.compare(a.key, b.key))
        .map((row) => resultBytes(row, 1, UNIT, 0).slice());
      expect(Buffer.compare(chunk!.body, Buffer.concat(expected))).toBe(0);
    });

    test("keys that agree in all but their last bytes, and in half their hash, are told apart", () => {
      const keys = ["tail0055763", "tail0141381"].map((reason) => keyOf("", "", "", reason));
      expect(keys.map((key) => keyHash(key) & 0xffff_ffffn)).toEqual([0x0f4e_4654n, 0x0f4e_4654n]);
      const kernel = create();
      add(
        kernel,
        keys.map((key) => ({ window: W, key, clicks: 1 })),
      );
      expect(kernel.rowCount()).toBe(2);
    });

    test("the hash orders as 64 bits without a sign, down to the last", () => {
      const hashes = [
        0n,
        1n,
        0x7fff_ffffn,
        0x8000_0000n,
        0xffff_ffffn,
        0x1_0000_0000n,
        0x7fff_ffff_0000_0000n,
        0x7fff_ffff_ffff_ffffn,
        0x8000_0000_0000_0000n,
        0x8000_0000_8000_0000n,
        0xffff_ffff_ffff_ffffn,
      ];
      const keys = hashes.map((hash, i) => keyWithHash(hash, 100 - i));
      expect(keys.map(keyHash)).toEqual(hashes);
      const kernel = create();
      add(kernel, keys.map((key, i) => ({ window: W, key, clicks: i + 1 })).toReversed());
      expect(resultsOf(kernel.close(closeRequest())).map((r) => r.clicks)).toEqual(
        hashes.map((_, i) => i + 1),
      );
    });

    test("a chunk takes every row that fits, over windows, and carries its index", () => {
      const kernel = create();
      add(kernel, manyRows(400, 200, 7));
      const whole = create();
      add(whole, manyRows(400, 200, 7));
      const all = resultsOf(whole.close(closeRequest()));
      const chunkBytesMax = RESULT_BYTES_MAX + 13;
      const chunks = kernel.close(closeRequest({ chunkBytesMax }));
      expect(chunks.length).toBeGreaterThan(7);
      expect(resultsOf(chunks).map((r) => ({ ...r, chunk: 0 }))).toEqual(all);
      expect(
        chunks.some((c) => new Set(readResults(c.body).map((r) => r.windowStartSeconds)).size > 1),
      ).toBe(true);
      chunks.forEach((chunk, i) => {
        expect(readResults(chunk.body).every((r) => r.chunk === i)).toBe(true);
        expect(chunk.body.length).toBeLessThanOrEqual(chunkBytesMax);
        const next = chunks[i + 1];
        if (next === undefined) return;
        const firstRowBytes = next.body.length / next.rows;
        const rowBytes =
          next.rows === 1 ? firstRowBytes : firstRowLength(next.body, resultTail(UNIT, 0).length);
        expect(chunk.body.length + rowBytes).toBeGreaterThan(chunkBytesMax);
      });
    });

    test("a row that ends exactly at the limit belongs to the chunk", () => {
      const key = adKey("a".repeat(AD_ID_BYTES_MAX));
      const rowBytes = 4 + key.length + 8 + 1 + resultTail(UNIT, 0).length;
      const perChunk = Math.ceil(RESULT_BYTES_MAX / rowBytes) + 1;
      const rows = Array.from({ length: perChunk * 3 }, (_, i) => ({
        window: W + 60 * i,
        key,
        clicks: 1,
      }));
      const closedWith = (chunkBytesMax: number) => {
        const kernel = create();
        add(kernel, rows);
        return kernel.close(closeRequest({ chunkBytesMax })).map((c) => c.rows);
      };
      expect(closedWith(perChunk * rowBytes)).toEqual([perChunk, perChunk, perChunk]);
      expect(closedWith(perChunk * rowBytes - 1)[0]).toBe(perChunk - 1);
    });

    test("chunks stay what they are while the kernel goes on", () => {
      const kernel = create();
      add(kernel, [{ window: W, key: adKey("a"), clicks: 1 }]);
      const [chunk] = kernel.close(closeRequest());
      const before = chunk!.body.slice();
      for (let i = 0; i < 3; i++) add(kernel, manyRows(20_000, 20_000, 2));
      kernel.close(closeRequest());
      expect(chunk!.body).toEqual(before);
    });

    test("a request that makes no sense throws and closes nothing", () => {
      const kernel = create();
      kernel.close(closeRequest({ closedThroughSeconds: W }));
      add(kernel, [{ window: W, key: adKey("a"), clicks: 1 }]);
      for (const [wrong, message] of [
        [{ closedThroughSeconds: W - 1 }, `closed through ${W - 1} after closed through ${W}`],
        [{ windowSeconds: 2 ** 52 }, "a window of 4503599627370496 seconds"],
        [{ chunkBytesMax: RESULT_BYTES_MAX - 1 }, "chunks of"],
        [{ chunkBytesMax: BLOCK_BODY_BYTES_MAX + 1 }, "chunks of"],
        [{ windowSeconds: 0 }, "a window of 0 seconds"],
        [{ closedThroughSeconds: Number.NaN }, "NaN seconds"],
        [{ lateThroughSeconds: -1 }, "-1 seconds"],
      ] as const) {
        expect(() => kernel.close(closeRequest(wrong))).toThrow(message);
      }
      expect(() => kernel.ingest(new Uint8Array(0), -1)).toThrow("no number of rows");
      expect(kernel.rowCount()).toBe(1);
    });
  });
}

/** Bytes of the first row of a chunk. */
function firstRowLength(body: Uint8Array, tailBytes: number): number {
  let at = 4;
  for (let i = 0; i < 4; i++) at += 1 + body[at]!;
  return at + 8 + 1 + tailBytes;
}
