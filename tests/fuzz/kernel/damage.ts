/** What can be wrong with a block, and the blocks that have it. */
import { AD_ID_BYTES_MAX, BLOCK_BODY_BYTES_MAX } from "../../../wire/limits.ts";
import { blockOf, keyOf } from "../../../wasm/kernel-rows.ts";
import type { TestRow } from "../../../wasm/kernel-rows.ts";
import type { Random } from "../../traffic/random.ts";
import { bytesOf, STRING_BYTES_MAX } from "./rows.ts";

/** What is wrong with a block; places are shares of its rows or bytes, so that they survive shrinking. */
export type Damage =
  | { readonly kind: "bits flipped"; readonly places: readonly number[]; readonly bit: number }
  | { readonly kind: "cut off"; readonly place: number }
  | { readonly kind: "bytes after it"; readonly bytes: Uint8Array }
  | { readonly kind: "another row count"; readonly by: number }
  | { readonly kind: "no clicks"; readonly place: number }
  /** `string` 0 to 3; from 128 bytes on its length takes two bytes. */
  | {
      readonly kind: "a long string";
      readonly place: number;
      readonly string: number;
      readonly byteCount: number;
    }
  | { readonly kind: "a length written long"; readonly place: number; readonly string: number }
  /** Filled up to the limit of a block, and beyond it by so many bytes. */
  | { readonly kind: "at its limit"; readonly beyondBytes: number };

export function makeDamage(random: Random): Damage {
  const place = random.next();
  const string = random.whole(0, 3);
  switch (random.whole(0, 7)) {
    case 0: {
      const places = Array.from({ length: random.whole(1, 3) }, () => random.next());
      return { kind: "bits flipped", places, bit: random.whole(0, 7) };
    }
    case 1:
      return { kind: "cut off", place };
    case 2:
      return { kind: "bytes after it", bytes: bytesOf(random, random.whole(1, 20)) };
    case 3:
      return { kind: "another row count", by: random.pick([-1, 1, -5, 2 ** 20, 2 ** 32]) };
    case 4:
      return { kind: "no clicks", place };
    case 5: {
      const byteCount = STRING_BYTES_MAX[string]! + random.pick([1, 1, 30, 100, 200]);
      return { kind: "a long string", place, string, byteCount };
    }
    case 6:
      return { kind: "a length written long", place, string };
    default:
      // Such blocks take long, and there is little to find.
      if (random.chance(0.9)) return { kind: "cut off", place };
      return { kind: "at its limit", beyondBytes: random.pick([0, 0, 1, 1_000]) };
  }
}

interface Damaged {
  readonly rows: readonly TestRow[];
  readonly damage: Damage | null;
}

/** What a kernel is given. By chance a damaged block may be a good one. */
export function blockFor({ rows, damage }: Damaged): { body: Uint8Array; rows: number } {
  const body = blockOf(rows);
  if (damage === null) return { body, rows: rows.length };
  const changedRow = (place: number, change: (row: TestRow) => TestRow) => {
    const index = Math.floor(place * rows.length);
    return {
      body: blockOf(rows.map((row, i) => (i === index ? change(row) : row))),
      rows: rows.length,
    };
  };
  switch (damage.kind) {
    case "bits flipped": {
      const flipped = body.slice();
      for (const place of damage.places) {
        if (body.length > 0) flipped[Math.floor(place * body.length)]! ^= 1 << damage.bit;
      }
      return { body: flipped, rows: rows.length };
    }
    case "cut off":
      return { body: body.subarray(0, Math.floor(damage.place * body.length)), rows: rows.length };
    case "bytes after it":
      return { body: Buffer.concat([body, damage.bytes]), rows: rows.length };
    case "another row count": {
      const count = Math.min(Math.max(rows.length + damage.by, 0), 0xffff_ffff);
      return { body, rows: count };
    }
    case "no clicks":
      return changedRow(damage.place, (row) => ({ ...row, clicks: 0 }));
    case "a long string": {
      const strings: Uint8Array[] = [0, 1, 2, 3].map(() => new Uint8Array(0));
      strings[damage.string] = new Uint8Array(damage.byteCount).fill(0x61);
      return changedRow(damage.place, (row) => ({ ...row, key: keyOf(...strings) }));
    }
    case "a length written long": {
      // One letter, whose length of 1 is written in two bytes.
      const key = [0, 1, 2, 3].flatMap((i) => (i === damage.string ? [0x81, 0x00, 0x61] : [0]));
      return changedRow(damage.place, (row) => ({ ...row, key: Uint8Array.from(key) }));
    }
    case "at its limit":
      return blockAtLimit(rows, damage.beyondBytes);
  }
}

const ROW_BYTES_MIN = 12;
const FILLING_ROW_BYTES_MAX = ROW_BYTES_MIN + AD_ID_BYTES_MAX;

/** The rows over and over, then rows of the lengths that are left. */
function blockAtLimit(rows: readonly TestRow[], beyondBytes: number) {
  const filled: TestRow[] = [];
  let left = BLOCK_BODY_BYTES_MAX;
  for (let i = 0; rows.length > 0; i++) {
    const row = rows[i % rows.length]!;
    if (left - (8 + row.key.length) < ROW_BYTES_MIN) break;
    filled.push(row);
    left -= 8 + row.key.length;
  }
  while (left > 0) {
    const fits = left <= FILLING_ROW_BYTES_MAX;
    const rowBytes = fits ? left : Math.min(FILLING_ROW_BYTES_MAX, left - ROW_BYTES_MIN);
    const key = keyOf("z".repeat(rowBytes - ROW_BYTES_MIN), "", "", "");
    filled.push({ window: 0, key, clicks: 1 });
    left -= rowBytes;
  }
  const body = blockOf(filled);
  return { body: Buffer.concat([body, new Uint8Array(beyondBytes)]), rows: filled.length };
}
