/** Rows, windows and keys of one sequence, from chance: what meets what is decided here. */
import { utf8 } from "../../../wire/cursor.ts";
import {
  AD_ID_BYTES_MAX,
  COUNTRY_BYTES_MAX,
  DEVICE_BYTES_MAX,
  INVALID_REASON_BYTES_MAX,
} from "../../../wire/limits.ts";
import { adKey, keyOf, keyWithHash } from "../../../wasm/kernel-rows.ts";
import type { TestRow } from "../../../wasm/kernel-rows.ts";
import type { Random } from "../../traffic/random.ts";

/** Rows of one sequence: they meet in its keys and windows. */
export function rowsMaker(random: Random, rowsMax: number, window: () => number): () => TestRow[] {
  const makeKey = keyMaker(random);
  const clicks = () => {
    if (random.chance(0.03)) return random.pick([0xffff_ffff, 2 ** 31, 0xffff]);
    return random.chance(0.01) ? random.whole(1, 0xffff_ffff) : random.whole(1, 9);
  };
  return () => {
    const length = random.chance(0.05) ? 0 : random.whole(1, rowsMax);
    // Some blocks are of one window, as a shard's flush mostly is.
    const one = random.chance(0.3) ? window() : null;
    return Array.from({ length }, () => ({
      window: one ?? window(),
      key: makeKey(),
      clicks: clicks(),
    }));
  };
}

/** Keys of one sequence: one or two families of them, from a pool that comes again, or each another. */
function keyMaker(random: Random): () => Uint8Array {
  const families = [
    numberedKey,
    numberedKey,
    anyKey,
    longestKey,
    splitKey,
    lastByteKey,
    beginningKey,
    highBytesKey,
    hashKey("all"),
    hashKey("low half"),
    hashKey("high half"),
  ];
  const mine = [random.pick(families)];
  if (random.chance(0.5)) mine.push(random.pick(families));
  if (random.chance(0.15)) return () => random.pick(mine)(random);
  const poolSize = random.pick([1, 5, 40, 300, 3_000]);
  const pool: Uint8Array[] = [];
  return () => {
    if (pool.length < poolSize && random.chance(0.7)) pool.push(random.pick(mine)(random));
    return pool.length > 0 ? random.pick(pool) : random.pick(mine)(random);
  };
}

function numberedKey(random: Random): Uint8Array {
  const country = random.pick(["DE", "US", "", "T1"]);
  const reason = random.chance(0.1) ? "bot" : "";
  return adKey(`ad-${random.whole(0, 9_999)}`, country, random.pick(["mobile", ""]), reason);
}

export const STRING_BYTES_MAX = [
  AD_ID_BYTES_MAX,
  COUNTRY_BYTES_MAX,
  DEVICE_BYTES_MAX,
  INVALID_REASON_BYTES_MAX,
] as const;

/** Any bytes and every length, the limits more often. */
function anyKey(random: Random): Uint8Array {
  return keyOf(
    ...STRING_BYTES_MAX.map((bytesMax) =>
      bytesOf(random, random.chance(0.2) ? bytesMax : random.whole(0, bytesMax)),
    ),
  );
}

export function bytesOf(random: Random, length: number): Uint8Array {
  return Uint8Array.from({ length }, () => random.whole(0, 255));
}

/** Every string at its limit: such keys fill the kernel's memory to its last byte. */
function longestKey(random: Random): Uint8Array {
  const number = String(random.whole(0, 999_999)).padStart(INVALID_REASON_BYTES_MAX, "r");
  return keyOf("x".repeat(AD_ID_BYTES_MAX), "yy", "z".repeat(DEVICE_BYTES_MAX), number);
}

/** The same letters in different strings: only the lengths tell such keys apart. */
function splitKey(random: Random): Uint8Array {
  const letters = "abcdefgh".slice(0, random.whole(0, 8));
  const [a, b] = [random.whole(0, letters.length), random.whole(0, letters.length)];
  const [from, to] = [Math.min(a, b), Math.max(a, b)];
  const country = letters.slice(from, Math.min(to, from + COUNTRY_BYTES_MAX));
  return keyOf(letters.slice(0, from), country, letters.slice(from + country.length, to), "");
}

/** One long beginning for all; they differ in their last byte, or are cut before it. */
function lastByteKey(random: Random): Uint8Array {
  const beginning = "x".repeat(random.whole(0, INVALID_REASON_BYTES_MAX - 1));
  const last = random.chance(0.1) ? [] : [random.whole(0, 255)];
  const reason = Uint8Array.from([...utf8(beginning), ...last]);
  return keyOf("the-same-ad", "DE", "mobile", reason);
}

/** Ads whose ids are each the beginning of the next: lists tell them apart by their length alone. */
function beginningKey(random: Random): Uint8Array {
  const adId = "a".repeat(random.whole(0, AD_ID_BYTES_MAX));
  return adKey(adId, random.pick(["DE", "US"]), "mobile", "");
}

/** Ads whose ids differ in bytes that a comparison may take for negative numbers. */
function highBytesKey(random: Random): Uint8Array {
  const bytes = Array.from({ length: random.whole(1, 9) }, () =>
    random.pick([0, 1, 0x7f, 0x80, 0xff]),
  );
  return keyOf(Uint8Array.from(bytes), "DE", "mobile", "");
}

/** Keys of one hash, or of one half of it: the half that finds the place in a table, or the half that sorts. */
function hashKey(shared: "all" | "low half" | "high half"): (random: Random) => Uint8Array {
  return (random) => {
    const any = () => BigInt(random.whole(0, 0xffff_ffff));
    const edge = random.pick([0n, 0x0123_4567n, 0x8000_0000n, 0xffff_ffffn]);
    const high = shared === "low half" ? any() : edge;
    const low = shared === "high half" ? any() : edge;
    return keyWithHash((high << 32n) | low, random.whole(0, 500));
  };
}
