/** Blocks: golden bytes, and whatever arrives, a block or a fault, never an exception. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  AD_CLICKS_1M,
  CLICKS_RAW,
  CLICKS_REJECTED,
  ORIGIN,
  PARTIAL,
  TIME_SOURCE,
} from "./columns.ts";
import {
  bodyWriter,
  decodeBlock,
  encodeBlock,
  isFault,
  KIND,
  sealBlock,
  WIRE_VERSION,
} from "./block.ts";
import type { Origin } from "./block.ts";
import { reserve, utf8, writeBytes } from "./cursor.ts";
import { hash64, hashText } from "./hash.ts";
import { BLOCK_BODY_BYTES_MAX, SHARDS_MAX } from "./limits.ts";

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const golden = (...lines: string[]) => lines.join("").replaceAll(" ", "");
const FLUSH = { shard: 258, epoch: "abcdefgh", flush: 2 ** 53 - 1, previous: 1 };
const FLUSH_HEX = "0201 6162636465666768 ffffffffffff1f00 0100000000000000";
const RESULT = {
  kind: "result",
  partitions: 64,
  partition: 3,
  emission: 9,
  chunk: 1,
  chunks: 2,
  emissionHash: 2n ** 64n - 1n,
  emissionRows: 5,
  emissionClicks: -1,
  watermarkMs: 256,
  closedThroughSeconds: 60,
  emittedOn: 20_000,
  producers: [{ shard: 1, epoch: "ABCDEFGH", flush: 2 }],
} as const;

const ORIGINS: readonly (readonly [Origin, kind: string, origin: string])[] = [
  [
    { kind: "raw", ...FLUSH, flushedOn: 20_000, idsHash: 0x0102n },
    "0100",
    golden(FLUSH_HEX, "204e", "0201000000000000"),
  ],
  [
    { kind: "partial", ...FLUSH, partitions: 64, partition: 3, windowSeconds: 60, clicks: 7 },
    "0200",
    golden(FLUSH_HEX, "4000 0300 3c000000 0700000000000000"),
  ],
  [{ kind: "rejected", ...FLUSH, flushedOn: 20_000 }, "0300", golden(FLUSH_HEX, "204e")],
  [
    RESULT,
    "0400",
    golden(
      "4000 0300 0900000000000000 01000000 02000000",
      "ffffffffffffffff 0500000000000000 ffffffffffffffff 0001000000000000",
      "3c000000 204e",
      "0100 0100 4142434445464748 0200000000000000",
    ),
  ],
  [{ kind: "tick" }, "0500", ""],
  [
    {
      kind: "settings",
      stepVersion: 1,
      windowSeconds: 60,
      graceMs: 5000,
      chunkBytesMax: 65536,
      topCount: 0,
    },
    "0600",
    golden("01000000 3c000000 88130000 00000100 00000000"),
  ],
];

describe("golden bytes of a block", () => {
  test.each(ORIGINS)("of kind $kind", (origin, kind, originHex) => {
    const { bytes, hash } = encodeBlock(origin, 2, utf8("rows"));
    const originBytes = (originHex.length / 2).toString(16).padStart(2, "0");
    const hashed = golden("02000000", `${originBytes}000000`, "04000000", originHex, "726f7773");
    // The checksum is the hash (proved in hash.test.ts) of all that follows it, seeded with what stands before.
    const seed = Buffer.from(`0200${kind}`, "hex").readUInt32LE();
    const expected = hash64(Buffer.from(hashed, "hex"), 0, hashed.length / 2, seed);
    const checksum = Buffer.alloc(8);
    checksum.writeBigUInt64LE(expected);
    expect(hex(bytes)).toBe(golden("0200", kind, hex(checksum), hashed));
    expect(hash).toBe(expected);
    expect(decodeBlock(bytes)).toMatchObject({ rows: 2, origin, hash });
  });
});

describe("a block", () => {
  test("holds the longest body and the producers of every shard in two epochs", () => {
    const producers = Array.from({ length: 2 * SHARDS_MAX }, () => RESULT.producers[0]);
    const body = new Uint8Array(BLOCK_BODY_BYTES_MAX).fill(7);
    const block = decodeBlock(encodeBlock({ ...RESULT, producers }, 1, body).bytes);
    if (isFault(block) || block.origin.kind !== "result") throw new Error("no result");
    expect(block.origin.producers).toHaveLength(2 * SHARDS_MAX);
    expect(block.body.length).toBe(body.length);
  });

  test("beyond its limits is not made", () => {
    const body = new Uint8Array(BLOCK_BODY_BYTES_MAX + 1);
    expect(() => encodeBlock({ kind: "tick" }, 1, body)).toThrow(/does not fit/);
  });

  test.each(ORIGINS)(
    "of kind $kind is the same bytes when its body was written behind room",
    (origin) => {
      for (const text of ["", "some rows", "x".repeat(10_000)]) {
        const c = bodyWriter(text.length === 9 ? 9 : undefined);
        reserve(c, text.length);
        writeBytes(c, utf8(text));
        expect(sealBlock(origin, 3, c)).toEqual(encodeBlock(origin, 3, utf8(text)));
      }
    },
  );

  test("behind room holds the longest body, no longer one, and no origin that the room is too small for", () => {
    const c = bodyWriter(BLOCK_BODY_BYTES_MAX + 1);
    c.at += BLOCK_BODY_BYTES_MAX;
    expect(decodeBlock(sealBlock({ kind: "tick" }, 1, c).bytes)).toMatchObject({ rows: 1 });
    c.at++;
    expect(() => sealBlock({ kind: "tick" }, 1, c)).toThrow(/does not fit/);
    const producers = Array.from({ length: 20 }, () => RESULT.producers[0]);
    expect(() => sealBlock({ ...RESULT, producers }, 1, bodyWriter())).toThrow(/no room/);
  });
});

describe("decodeBlock", () => {
  const encoded = ORIGINS.map(([origin]) => encodeBlock(origin, 2, utf8("some rows")).bytes);
  const any = fc.constantFrom(...encoded);

  test("finds every flipped bit", () => {
    for (const bytes of encoded) {
      for (let bit = 0; bit < bytes.length * 8; bit++) {
        const flipped = bytes.slice();
        flipped[bit >> 3]! ^= 1 << (bit & 7);
        const block = decodeBlock(flipped);
        // In the version too: a bit that fell over must not stop a reader.
        expect(isFault(block) && block.fault, `bit ${bit}`).toBe("broken");
      }
    }
  });

  test("never takes one kind for another", () => {
    for (const bytes of encoded) {
      for (let kind = 0; kind < 10; kind++) {
        if (bytes[2] === kind) continue;
        const changed = bytes.slice();
        changed[2] = kind;
        expect(isFault(decodeBlock(changed)), `kind ${bytes[2]} as ${kind}`).toBe(true);
      }
    }
  });

  test("finds every cut and every byte too many", () => {
    for (const bytes of encoded) {
      for (let length = 0; length < bytes.length; length++) {
        expect(decodeBlock(bytes.subarray(0, length))).toMatchObject({ fault: "broken" });
      }
      expect(decodeBlock(Buffer.concat([bytes, Buffer.from([0])]))).toMatchObject({
        fault: "broken",
      });
    }
  });

  test("answers any bytes with a fault, and never throws", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(isFault(decodeBlock(bytes))).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  test("answers a wrong origin under a right checksum with a fault, and never throws", () => {
    const parts = fc.record({
      kind: fc.integer({ min: 0, max: 8 }),
      rows: fc.integer({ min: 0, max: 10 }),
      origin: fc.uint8Array({ maxLength: 120 }),
      body: fc.uint8Array({ maxLength: 10 }),
    });
    fc.assert(
      fc.property(parts, ({ kind, rows, origin, body }) => {
        const bytes = Buffer.alloc(24 + origin.length + body.length);
        bytes.writeUInt16LE(WIRE_VERSION, 0);
        bytes.writeUInt16LE(kind, 2);
        bytes.writeUInt32LE(rows, 12);
        bytes.writeUInt32LE(origin.length, 16);
        bytes.writeUInt32LE(body.length, 20);
        bytes.set(origin, 24);
        bytes.set(body, 24 + origin.length);
        bytes.writeBigUInt64LE(hash64(bytes, 12, bytes.length, bytes.readUInt32LE()), 4);
        const block = decodeBlock(bytes);
        expect(isFault(block) || KIND[block.origin.kind] === kind).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  test("blames an unknown version under a right checksum before kind and origin, and under a wrong one the bytes", () => {
    fc.assert(
      fc.property(
        any,
        fc.integer({ min: 0, max: 0xffff }),
        fc.integer({ min: 0, max: 9 }),
        (bytes, version, kind) => {
          fc.pre(version !== WIRE_VERSION);
          const other = Buffer.from(bytes);
          other.writeUInt16LE(version, 0);
          other.writeUInt16LE(kind, 2);
          other.writeUInt8(0xff, 24);
          expect(decodeBlock(other)).toMatchObject({ fault: "broken" });
          other.writeBigUInt64LE(hash64(other, 12, other.length, other.readUInt32LE()), 4);
          expect(decodeBlock(other)).toMatchObject({ fault: "version" });
        },
      ),
    );
  });

  test.each<[string, Origin]>([
    ["flush 0", { kind: "rejected", ...FLUSH, flush: 0, previous: 0, flushedOn: 1 }],
    ["a negative flush", { kind: "rejected", ...FLUSH, flush: -5, previous: -6, flushedOn: 1 }],
    ["a flush after itself", { kind: "rejected", ...FLUSH, flush: 7, previous: 7, flushedOn: 1 }],
    [
      "an epoch with a control character",
      { kind: "rejected", ...FLUSH, epoch: "abc\ndefg", flushedOn: 1 },
    ],
    [
      "an epoch with a byte order mark",
      { kind: "raw", ...FLUSH, epoch: "\ufeffabcde", flushedOn: 1, idsHash: 0n },
    ],
    ["emission 0", { ...RESULT, emission: 0 }],
    ["a chunk beyond the last", { ...RESULT, chunk: 2 }],
  ])("finds an origin that no producer makes: %s", (_, origin) => {
    const block = decodeBlock(encodeBlock(origin, 0, new Uint8Array(0)).bytes);
    expect(block).toMatchObject({ fault: "broken", reason: expect.stringMatching(/^origin: /) });
  });
});

test("a layout or a code that changes is another wire version: raise WIRE_VERSION, and only then this", () => {
  const layout = [CLICKS_RAW, CLICKS_REJECTED, PARTIAL, AD_CLICKS_1M, KIND, TIME_SOURCE, ORIGIN];
  const bytes = utf8(JSON.stringify(layout));
  expect(`${WIRE_VERSION} ${hashText(hash64(bytes))}`).toMatchInlineSnapshot(
    `"2 8a08b8839323d030"`,
  );
});
