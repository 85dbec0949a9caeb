/** What Worker and shard say to each other. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { FATE } from "../shard/fate.ts";
import { callOf } from "../shard/fixtures.ts";
import { utf8 } from "../../wire/cursor.ts";
import { decodeAnswers, encodeAnswers, readBatches } from "./batch-bytes.ts";
import { countedBatch } from "./batches.ts";
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
    // Short ones, and longer ones than a call has room for at first.
    clicks: fc.oneof(
      fc.uint8Array({ maxLength: 50 }),
      fc.integer({ min: 4_000, max: 10_000 }).map(everyByte),
    ),
    rejected: rows,
  })
  .map(({ rejected, ...batch }) => ({
    ...batch,
    rejectedRows: rejected.bytes,
    rejectedEnds: rejected.ends,
  }));

const calls = fc.array(batches, { minLength: 1, maxLength: 5 });

const hexOf = (bytes: Uint8Array) =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

test("a call and its answer are these bytes and this text", () => {
  const rejected = { account: "a", keyId: "k", code: "empty_body", field: "", count: 2 } as const;
  const full: ShardBatch = {
    shards: 64,
    shard: 258,
    counted: [rejected],
    rejectedEnds: [2, 3],
    rejectedRows: Uint8Array.of(7, 8, 9),
    clicks: Uint8Array.of(1, 2),
  };
  const json = JSON.stringify([rejected]);
  const golden = [
    `04 4000 0201 ${json.length.toString(16)} ${hexOf(utf8(json))}`,
    "02000000 02000000 03000000 070809 02000000 0102",
    "04 0200 0100 00 00000000 00000000",
  ];
  const call = callOf([full, countedBatch(1, 2, [])]);
  expect(hexOf(call)).toBe(golden.join("").replaceAll(" ", ""));
  const { accepted, duplicate, tooOld, unavailable } = FATE;
  const fates = Uint8Array.of(accepted, duplicate, tooOld, unavailable);
  const none = new Uint8Array(0);
  expect(
    encodeAnswers([{ fates, rejectedTaken: true }, null, { fates: none, rejectedTaken: false }]),
  ).toBe("410123  40");
});

test("batches arrive as they were sent, in their order", () => {
  fc.assert(
    fc.property(calls, (sent) => {
      expect(readBatches(callOf(sent))).toEqual(sent);
    }),
  );
});

test("a call that is cut off anywhere between its batches' ends is an error, and so is another version", () => {
  fc.assert(
    fc.property(batches, batches, fc.nat(), (first, second, cut) => {
      const firstBytes = callOf([first]);
      const both = callOf([first, second]);
      const at = cut % both.length;
      fc.pre(at !== firstBytes.length);
      expect(() => readBatches(both.slice(0, at))).toThrow("cut off");
      for (const start of [0, firstBytes.length]) {
        const older = both.with(start, 1);
        expect(() => readBatches(older)).toThrow(/versions 4 and 1/);
      }
    }),
  );
});

test("the text that was a short batch's in the version before is an error", () => {
  expect(() => readBatches("\u0003\u0000\u0004" as unknown as Uint8Array)).toThrow(/./);
});

test("answers arrive as they were sent, also those of batches that failed, and nothing else is one", () => {
  const fates = Uint8Array.from(Object.values(FATE));
  const none = new Uint8Array(0);
  const answers = [
    { fates, rejectedTaken: true },
    null,
    { fates: none, rejectedTaken: false },
    { fates: Uint8Array.of(FATE.duplicate), rejectedTaken: false },
    null,
  ];
  expect(decodeAnswers(encodeAnswers(answers), answers.length)).toEqual(answers);
  expect(decodeAnswers(encodeAnswers([null]), 1)).toEqual([null]);
  expect(() => decodeAnswers("410", 2)).toThrow("1 answers to 2 batches");
  expect(() => decodeAnswers("410 410", 1)).toThrow("2 answers to 1 batches");
  expect(() => decodeAnswers("110", 1)).toThrow(/versions 4 and 1/);
  expect(() => decodeAnswers("4", 1)).toThrow("cut off");
});
