/**
 * The rows' bytes: golden ones, written down by hand from the RowBinary specification, and on random
 * rows the hand-written codecs against `encodeRow`.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  AD_CLICKS_1M,
  CLICKS_RAW,
  CLICKS_REJECTED,
  encodeRow,
  ORIGIN,
  PARTIAL,
  TOP_ADS,
} from "./columns.ts";
import type { CellValue, Column } from "./columns.ts";
import {
  CursorError,
  reader,
  textOf,
  utf8,
  writeI64,
  writer,
  writeString,
  writeU16,
  writeU8,
  writeU32,
  writeBytes,
  written,
} from "./cursor.ts";
import { PARTIAL_BYTES_MAX, readPartial, writePartial } from "./partial.ts";
import {
  DEDUP_KEY_OFFSET,
  RAW_CLICK_BYTES_MAX,
  readRawClick,
  UNIT_BYTES,
  unitBytes,
  walkRawClick,
} from "./raw-click.ts";
import { writeRawClick } from "../tests/helpers/raw-rows.ts";
import type { RawClick } from "./raw-click.ts";
import {
  REJECTED_CLICK_BYTES_MAX,
  rejectionKindOf,
  skipRejectedClick,
  writeCountedRejections,
  writeRejectedClick,
} from "./rejected-click.ts";
import { readResult, RESULT_BYTES_MAX, resultTail } from "./result.ts";
import { readTop, TOP_BYTES_MAX, TOP_TAIL_BYTES, topTail } from "./top.ts";
import { LONGEST_CLICK, LONGEST_REJECTED } from "../tests/helpers/longest-rows.ts";

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const golden = (...lines: string[]) => lines.join("").replaceAll(" ", "");
const bytesBy = (write: (c: ReturnType<typeof writer>) => void, byteCountMax: number) => {
  const c = writer(byteCountMax);
  write(c);
  expect(c.bytes.length, "the writer did not need more than its greatest length").toBe(
    byteCountMax,
  );
  return written(c).slice();
};
const byColumns = (columns: readonly Column[], row: Record<string, CellValue>) => {
  const c = writer();
  encodeRow(c, columns, row);
  return written(c).slice();
};

const UNIT = { flush: 1, flushedOn: 20_000, shard: 258, epoch: "abcdefgh" };
const CLICK: RawClick = {
  shard: 258,
  receivedAtMs: 1_000,
  eventTimeMs: -1,
  timeSource: "skew_corrected",
  account: "acc",
  clickId: "i.1",
  adId: "ad",
  country: "DE",
  device: "tv",
  invalidReason: "",
  keyId: "k",
  userId: utf8("ü"),
  ip: "::1",
  userAgent: utf8("UA"),
  claimedTimeMs: 4_294_967_296,
  sentAtMs: 256,
  skewMs: null,
};

describe("golden bytes", () => {
  test("of a raw click, before and after its flush", () => {
    const row = golden(
      "e803000000000000", // received_at 1000
      "ffffffffffffffff", // event_time -1
      "02", // skew_corrected
      "03 616363", // account acc
      "03 692e31", // click_id i.1
      "02 6164", // ad_id ad
      "02 4445", // country DE
      "02 7476", // device tv
      "00", // invalid_reason
      "01 6b", // key_id k
      "02 c3bc", // user_id ü
      "03 3a3a31", // ip ::1
      "02 5541", // user_agent UA
      "0000000001000000", // claimed_time 2^32
      "00 0001000000000000", // sent_at 256
      "01", // skew_ms null
    );
    const bytes = bytesBy((c) => writeRawClick(c, CLICK), RAW_CLICK_BYTES_MAX);
    // Until the flush only the shard is there.
    expect(hex(bytes)).toBe(golden("0000000000000000 0000 0201 0000000000000000", row));
    bytes.set(unitBytes(UNIT));
    // flush 1, day 20,000 = 0x4e20, shard 0x0102, epoch
    expect(hex(bytes)).toBe(golden("0100000000000000 204e 0201 6162636465666768", row));
  });

  test("of a rejected click", () => {
    const bytes = bytesBy(
      (c) =>
        writeRejectedClick(c, {
          shard: 1,
          receivedAtMs: 1_700_000_000_000,
          account: "a",
          keyId: "k",
          code: "missing",
          field: "ad_id",
          message: "é",
          clickId: "x",
          ip: "1.2.3.4",
          country: "KR",
          userAgent: utf8(""),
          body: '{"\n\0',
          sentAtMs: 1_700_000_000_000,
        }),
      REJECTED_CLICK_BYTES_MAX,
    );
    expect(hex(bytes)).toBe(
      golden(
        "0000000000000000 0000 0100 0000000000000000",
        "0068e5cf8b010000", // 1.7e12 = 0x018b_cfe5_6800
        "01 61",
        "01 6b",
        "07 6d697373696e67",
        "05 61645f6964",
        "02 c3a9",
        "01 78",
        "07 312e322e332e34",
        "02 4b52",
        "00",
        "04 7b220a00",
        "04000000",
        "00 0068e5cf8b010000",
        "01000000",
      ),
    );
  });

  test("of many rejections in one row", () => {
    const kind = { account: "a", keyId: "k", code: "not_json", field: "" };
    const bytes = bytesBy(
      (c) => writeCountedRejections(c, 1, 1_700_000_000_000, { ...kind, count: 258 }),
      REJECTED_CLICK_BYTES_MAX,
    );
    expect(hex(bytes)).toBe(
      golden(
        "0000000000000000 0000 0100 0000000000000000",
        "0068e5cf8b010000",
        "01 61",
        "01 6b",
        "08 6e6f745f6a736f6e",
        "00 00 00 00 00 00 00",
        "00000000",
        "01",
        "02010000",
      ),
    );
    expect(rejectionKindOf(reader(bytes))).toEqual(kind);
    const c = reader(bytes);
    skipRejectedClick(c);
    expect(c.at).toBe(bytes.length);
  });

  test("of a partial", () => {
    const key = Buffer.from("0161 024445 00 03626f74", "latin1");
    const keyBytes = Buffer.from(key.toString("latin1").replaceAll(" ", ""), "hex");
    const bytes = bytesBy((c) => writePartial(c, 60, keyBytes, 0xffff_ffff), PARTIAL_BYTES_MAX);
    expect(hex(bytes)).toBe(golden("3c000000", "01 61", "02 4445", "00", "03 626f74", "ffffffff"));
    const row = { adId: "a", country: "DE", device: "", invalidReason: "bot", clicks: 0xffff_ffff };
    expect(readPartial(reader(bytes))).toEqual({ windowStartSeconds: 60, ...row });
  });

  test("of a result's row and tail", () => {
    const unit = { job: "j1", partitions: 64, partition: 63, emission: 2 ** 53 - 1, emittedOn: 1 };
    const tail = golden("02 6a31", "4000", "3f00", "ffffffffffff1f00", "07000000", "0100");
    expect(hex(resultTail(unit, 7))).toBe(tail);
    const row = golden("3c000000", "01 61", "02 4445", "00", "00", "feffffffffffffff", "03", tail);
    expect(readResult(reader(Buffer.from(row, "hex")))).toEqual({
      windowStartSeconds: 60,
      adId: "a",
      country: "DE",
      device: "",
      invalidReason: "",
      clicks: -2,
      origin: "recalculated",
      chunk: 7,
      ...unit,
    });
  });

  test("of a top list's rows and tail", () => {
    const unit = { job: "", partitions: 64, partition: 63, emission: 2 ** 53 - 1, emittedOn: 1 };
    const tail = golden("4000", "3f00", "ffffffffffff1f00", "0100");
    expect(hex(topTail(unit))).toBe(tail);
    expect(tail).toHaveLength(2 * TOP_TAIL_BYTES);
    const body = golden(
      "3c000000", // window_end 60
      "a005", // windows 1440
      "0100", // rank 1
      "02 6164", // ad_id ad
      "0001000000000000", // clicks 256
      "ffffffffffff1f00", // untracked_clicks 2^53 - 1
      tail,
      "3c000000 a005 0200 00 0100000000000000 ffffffffffff1f00",
      tail,
    );
    const { job: _, ...ofTail } = unit;
    const list = { windowEndSeconds: 60, windows: 1_440, untrackedClicks: 2 ** 53 - 1, ...ofTail };
    expect(readTop(Buffer.from(body, "hex"))).toEqual([
      { ...list, rank: 1, adId: "ad", clicks: 256 },
      { ...list, rank: 2, adId: "", clicks: 1 },
    ]);
    const first = { ad_id: "ad", clicks: 256, untracked_clicks: 2 ** 53 - 1 };
    const columns = { window_end: 60, windows: 1_440, rank: 1, ...first, partitions: 64 };
    const row = { ...columns, partition: 63, emission: 2 ** 53 - 1, emitted_on: 1 };
    expect(body.startsWith(hex(byColumns(TOP_ADS, row)))).toBe(true);
  });
});

describe("the longest rows", () => {
  test("of every kind are exactly as long as their limits say", () => {
    const raw = bytesBy((c) => writeRawClick(c, LONGEST_CLICK), RAW_CLICK_BYTES_MAX);
    expect(raw.length).toBe(RAW_CLICK_BYTES_MAX);
    const rejected = bytesBy(
      (c) => writeRejectedClick(c, LONGEST_REJECTED),
      REJECTED_CLICK_BYTES_MAX,
    );
    expect(rejected.length).toBe(REJECTED_CLICK_BYTES_MAX);
  });
});

const ascii = (max: number) =>
  fc.string({
    unit: fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code)),
    maxLength: max,
  });
const text = (max: number) => fc.string({ unit: "binary", maxLength: max });
const ms = fc.maxSafeInteger();
const epoch = ascii(8).map((t) => t.padEnd(8, "x"));
const u16 = fc.integer({ min: 0, max: 0xffff });
const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const flush = fc.maxSafeNat();

const click: fc.Arbitrary<RawClick> = fc.record({
  shard: u16,
  receivedAtMs: ms,
  eventTimeMs: ms,
  timeSource: fc.constantFrom("client", "skew_corrected", "server"),
  account: ascii(64),
  clickId: ascii(64),
  adId: ascii(64),
  country: ascii(2),
  device: ascii(16),
  invalidReason: ascii(32),
  keyId: ascii(64),
  userId: text(40).map(utf8),
  ip: ascii(45),
  userAgent: text(80).map(utf8),
  claimedTimeMs: ms,
  sentAtMs: fc.option(ms),
  skewMs: fc.option(ms),
});
const unit = fc.record({ flush, flushedOn: u16, epoch });

describe("a hand-written codec writes what its columns say", () => {
  test("raw clicks", () => {
    fc.assert(
      fc.property(click, unit, (c, u) => {
        const bytes = bytesBy((cursor) => writeRawClick(cursor, c), RAW_CLICK_BYTES_MAX);
        bytes.set(unitBytes({ ...u, shard: c.shard }));
        const expected = byColumns(CLICKS_RAW, {
          flush: u.flush,
          flushed_on: u.flushedOn,
          shard: c.shard,
          epoch: u.epoch,
          received_at: c.receivedAtMs,
          event_time: c.eventTimeMs,
          time_source: c.timeSource,
          account: c.account,
          click_id: c.clickId,
          ad_id: c.adId,
          country: c.country,
          device: c.device,
          invalid_reason: c.invalidReason,
          key_id: c.keyId,
          user_id: textOf(c.userId),
          ip: c.ip,
          user_agent: textOf(c.userAgent),
          claimed_time: c.claimedTimeMs,
          sent_at: c.sentAtMs,
          skew_ms: c.skewMs,
        });
        expect(hex(bytes)).toBe(hex(expected));
        expect(readRawClick(reader(bytes))).toEqual({ ...c, ...u });
      }),
    );
  });

  test("rejected clicks", () => {
    const rejected = fc.record({
      shard: u16,
      receivedAtMs: ms,
      account: ascii(64),
      keyId: ascii(64),
      code: ascii(32),
      field: ascii(32),
      message: text(60),
      clickId: ascii(64),
      ip: ascii(45),
      country: ascii(2),
      userAgent: text(60).map(utf8),
      body: text(500),
      sentAtMs: fc.option(ms),
    });
    fc.assert(
      fc.property(rejected, (r) => {
        const bytes = bytesBy((c) => writeRejectedClick(c, r), REJECTED_CLICK_BYTES_MAX);
        const { account, keyId, code, field } = r;
        expect(rejectionKindOf(reader(bytes))).toEqual({ account, keyId, code, field });
        const expected = byColumns(CLICKS_REJECTED, {
          flush: 0,
          flushed_on: 0,
          shard: r.shard,
          epoch: "\0".repeat(8),
          received_at: r.receivedAtMs,
          account: r.account,
          key_id: r.keyId,
          code: r.code,
          field: r.field,
          message: r.message,
          click_id: r.clickId,
          ip: r.ip,
          country: r.country,
          user_agent: textOf(r.userAgent),
          body: r.body,
          body_bytes: utf8(r.body).length,
          sent_at: r.sentAtMs,
          occurrences: 1,
        });
        expect(hex(bytes)).toBe(hex(expected));
      }),
    );
  });

  test("partials and results share their key's bytes", () => {
    const key = fc.record({
      ad_id: ascii(64),
      country: ascii(2),
      device: ascii(16),
      invalid_reason: ascii(32),
    });
    const origin = fc.constantFrom("on_time" as const, "late" as const, "recalculated" as const);
    const tail = fc.record({
      job: ascii(64),
      partitions: u16,
      partition: u16,
      emission: flush,
      emittedOn: u16,
    });
    fc.assert(
      fc.property(key, u32, u32, ms, origin, tail, u32, (k, window, count, delta, o, t, chunk) => {
        const keyBytes = bytesBy((c) => {
          for (const value of Object.values(k)) writeString(c, utf8(value));
        }, PARTIAL_BYTES_MAX);
        const partial = bytesBy((c) => writePartial(c, window, keyBytes, count), PARTIAL_BYTES_MAX);
        expect(hex(partial)).toBe(
          hex(byColumns(PARTIAL, { window_start: window, ...k, clicks: count })),
        );
        const result = bytesBy((c) => {
          writeU32(c, window);
          writeBytes(c, keyBytes);
          writeI64(c, delta);
          writeU8(c, ORIGIN[o]);
          writeBytes(c, resultTail(t, chunk));
        }, RESULT_BYTES_MAX);
        const expected = byColumns(AD_CLICKS_1M, {
          window_start: window,
          ...k,
          clicks: delta,
          origin: o,
          job: t.job,
          partitions: t.partitions,
          partition: t.partition,
          emission: t.emission,
          chunk,
          emitted_on: t.emittedOn,
        });
        expect(hex(result)).toBe(hex(expected));
        expect(readResult(reader(result))).toMatchObject({ clicks: delta, origin: o, chunk, ...t });
      }),
    );
  });

  test("rows of a top list, none longer than its limit", () => {
    const list = fc.record({
      windowEndSeconds: u32,
      windows: u16,
      rank: u16,
      adId: fc.oneof(ascii(64), fc.constant("a".repeat(64))),
      clicks: flush,
      untrackedClicks: flush,
      partitions: u16,
      partition: u16,
      emission: flush,
      emittedOn: u16,
    });
    fc.assert(
      fc.property(list, (row) => {
        const bytes = bytesBy((c) => {
          writeU32(c, row.windowEndSeconds);
          writeU16(c, row.windows);
          writeU16(c, row.rank);
          writeString(c, utf8(row.adId));
          writeI64(c, row.clicks);
          writeI64(c, row.untrackedClicks);
          writeBytes(c, topTail({ ...row, job: "" }));
        }, TOP_BYTES_MAX);
        const expected = byColumns(TOP_ADS, {
          window_end: row.windowEndSeconds,
          windows: row.windows,
          rank: row.rank,
          ad_id: row.adId,
          clicks: row.clicks,
          untracked_clicks: row.untrackedClicks,
          partitions: row.partitions,
          partition: row.partition,
          emission: row.emission,
          emitted_on: row.emittedOn,
        });
        expect(hex(bytes)).toBe(hex(expected));
        expect(readTop(bytes)).toEqual([row]);
        expect(bytes.length).toBe(TOP_BYTES_MAX - (64 - row.adId.length));
      }),
    );
  });
});

/** Short strings, each behind its byte of length. */
const lengths = (...parts: string[]) =>
  parts.map((part) => String.fromCharCode(part.length) + part).join("");

describe("walking rows", () => {
  test("finds the dedup key and the partial's key where the columns put them", () => {
    fc.assert(
      fc.property(fc.array(click, { minLength: 1, maxLength: 5 }), (clicks) => {
        const c = writer(clicks.length * RAW_CLICK_BYTES_MAX);
        for (const each of clicks) writeRawClick(c, each);
        const walked = reader(written(c));
        const spans = { start: 0, partialKeyStart: 0, partialKeyEnd: 0 };
        for (const each of clicks) {
          walkRawClick(walked, spans);
          const dedupKey = walked.bytes.subarray(
            spans.start + DEDUP_KEY_OFFSET,
            spans.partialKeyStart,
          );
          expect(textOf(dedupKey)).toBe(lengths(each.account, each.clickId));
          expect(textOf(walked.bytes.subarray(spans.partialKeyStart, spans.partialKeyEnd))).toBe(
            lengths(each.adId, each.country, each.device, each.invalidReason),
          );
        }
        expect(walked.at).toBe(walked.bytes.length);
      }),
    );
  });

  test("a row that is cut off anywhere throws a CursorError", () => {
    const raw = bytesBy((c) => writeRawClick(c, LONGEST_CLICK), RAW_CLICK_BYTES_MAX);
    const spans = { start: 0, partialKeyStart: 0, partialKeyEnd: 0 };
    for (let length = 0; length < raw.length; length++) {
      expect(() => walkRawClick(reader(raw.subarray(0, length)), spans)).toThrow(CursorError);
    }
    const rejected = bytesBy(
      (c) => writeRejectedClick(c, LONGEST_REJECTED),
      REJECTED_CLICK_BYTES_MAX,
    );
    for (let length = UNIT_BYTES; length < rejected.length; length += 7) {
      expect(() => skipRejectedClick(reader(rejected.subarray(0, length)))).toThrow(CursorError);
    }
    const whole = reader(rejected);
    skipRejectedClick(whole);
    expect(whole.at).toBe(rejected.length);
  });
});
