/** What Worker and shard say to each other. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { FATE } from "../shard/fate.ts";
import {
  decodeAnswer,
  decodeBatch,
  encodeAnswer,
  encodeBatch,
  TEXT_BYTES_MAX,
} from "./batch-bytes.ts";
import type { ShardBatch } from "./batches.ts";

const rows = fc
  .array(fc.uint8Array({ minLength: 1, maxLength: 20 }), { maxLength: 5 })
  .map((parts) => {
    let end = 0;
    return {
      ends: parts.map((part) => (end += part.length)),
      bytes: Uint8Array.from(parts.flatMap((part) => [...part])),
    };
  });
const everyByte = (length: number) => Uint8Array.from({ length }, (_, i) => i);
const text = fc.string({ unit: "grapheme", maxLength: 10 });

const batches: fc.Arbitrary<ShardBatch> = fc
  .record({
    shard: fc.integer({ min: 0, max: 4_095 }),
    shards: fc.integer({ min: 1, max: 4_096 }),
    counted: fc.array(
      fc.record({ account: text, keyId: text, code: text, field: text, count: fc.nat() }),
      { maxLength: 2 },
    ),
    // Short ones and long ones.
    clicks: fc.oneof(
      fc.uint8Array({ maxLength: 50 }),
      fc.integer({ min: TEXT_BYTES_MAX - 50, max: TEXT_BYTES_MAX + 50 }).map(everyByte),
    ),
    rejected: rows,
  })
  .map(({ rejected, ...batch }) => ({
    ...batch,
    rejectedRows: rejected.bytes,
    rejectedEnds: rejected.ends,
  }));

test("a batch arrives as it was sent", () => {
  fc.assert(
    fc.property(batches, (batch) => {
      expect(decodeBatch(encodeBatch(batch))).toEqual(batch);
    }),
  );
});

test("what was read of a batch stays as it is while others are read", () => {
  const all = Array.from({ length: 200 }, (_, i) => ({
    shard: i,
    shards: 200,
    counted: [],
    rejectedEnds: [],
    rejectedRows: new Uint8Array(0),
    clicks: new Uint8Array(TEXT_BYTES_MAX - 100).fill(i),
  }));
  expect(all.map((batch) => decodeBatch(encodeBatch(batch)))).toEqual(all);
});

test("text that is longer than any short batch is no batch", () => {
  expect(() => decodeBatch("\u0003".repeat(TEXT_BYTES_MAX + 1))).toThrow("2049 characters");
});

test("a batch that is cut off anywhere is an error, and so is another version", () => {
  fc.assert(
    fc.property(batches, fc.nat(), (batch, cut) => {
      const message = encodeBatch(batch);
      expect(() => decodeBatch(message.slice(0, cut % message.length))).toThrow(/./);
      const older =
        typeof message === "string"
          ? `\u0001${message.slice(1)}`
          : Uint8Array.from(message, (b, i) => (i === 0 ? 1 : b));
      expect(() => decodeBatch(older)).toThrow(/versions 3 and 1/);
    }),
  );
});

test("an answer arrives as it was sent, and nothing else is one", () => {
  const fates = Uint8Array.from(Object.values(FATE));
  for (const rejectedTaken of [true, false]) {
    expect(decodeAnswer(encodeAnswer({ fates, rejectedTaken }))).toEqual({ fates, rejectedTaken });
  }
  const none = { fates: new Uint8Array(0), rejectedTaken: true };
  expect(decodeAnswer(encodeAnswer(none))).toEqual(none);
  expect(() => decodeAnswer("110")).toThrow(/versions 3 and 1/);
  for (const cut of ["", "3"]) expect(() => decodeAnswer(cut)).toThrow(/./);
});
