/** The hash against what its author published. */
import { describe, expect, test } from "vitest";
import { hash128, hash32, hash64, hashText } from "./hash.ts";
import { reader, utf8 } from "./cursor.ts";

/** The four lanes as 16 bytes, little-endian, as the reference writes them. */
function digest(bytes: Uint8Array, seed: number): Uint8Array {
  const lanes = new Uint32Array(4);
  hash128(reader(bytes).view, 0, bytes.length, seed, lanes);
  const out = new DataView(new ArrayBuffer(16));
  lanes.forEach((lane, i) => out.setUint32(i * 4, lane, true));
  return new Uint8Array(out.buffer);
}

describe("MurmurHash3_x86_128", () => {
  test("gives SMHasher's published verification value", () => {
    const key = new Uint8Array(256);
    const results = new Uint8Array(256 * 16);
    for (let i = 0; i < 256; i++) {
      key[i] = i;
      results.set(digest(key.subarray(0, i), 256 - i), i * 16);
    }
    const verification = new DataView(digest(results, 0).buffer).getUint32(0, true);
    expect(verification.toString(16)).toBe("b3ece62a");
  });

  test("gives the known hash of nothing, and of nothing with seed 1", () => {
    expect(Buffer.from(digest(new Uint8Array(0), 0)).toString("hex")).toBe("0".repeat(32));
    const lanes = new Uint32Array(4);
    hash128(reader(new Uint8Array(0)).view, 0, 0, 1, lanes);
    expect([...lanes].map((lane) => lane.toString(16))).toEqual([
      "88c4adec",
      "54d201b9",
      "54d201b9",
      "54d201b9",
    ]);
  });

  test("reads only the slice, wherever it lies", () => {
    const text = utf8("the quick brown fox jumps over the lazy dog");
    for (let length = 0; length <= text.length; length++) {
      const alone = hash64(text.slice(0, length));
      for (const offset of [1, 2, 3, 5]) {
        const room = new Uint8Array(offset + length + 7).fill(0xff);
        room.set(text.subarray(0, length), offset);
        expect(hash64(room, offset, offset + length)).toBe(alone);
      }
    }
  });

  test("hash32 is the low half of hash64, and hash64 is written as 16 hex digits", () => {
    const bytes = utf8("an ad");
    expect(BigInt(hash32(reader(bytes).view, 0, bytes.length))).toBe(hash64(bytes) & 0xffff_ffffn);
    expect(hashText(0x1fn)).toBe("000000000000001f");
  });
});
