/**
 * Sequences of operations for a kernel, from chance alone: a sequence follows from its seed and number.
 *
 * Each sequence has habits of its own (how many keys, windows and rows, how much memory), so that runs
 * meet states that an even mixture would not: a thousand windows, one hot key, hashes that all collide.
 */
import { utf8 } from "../../../wire/cursor.ts";
import {
  AD_ID_BYTES_MAX,
  BLOCK_BODY_BYTES_MAX,
  COUNTRY_BYTES_MAX,
  DEVICE_BYTES_MAX,
  INVALID_REASON_BYTES_MAX,
} from "../../../wire/limits.ts";
import { JOB_BYTES_MAX, RESULT_BYTES_MAX } from "../../../wire/result.ts";
import { adKey, blockOf, closeRequest, keyOf, keyWithHash } from "../../../wasm/kernel-rows.ts";
import type { TestRow } from "../../../wasm/kernel-rows.ts";
import type { CloseRequest } from "../../../wasm/kernel.ts";
import { Random } from "../../traffic/random.ts";

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

export interface Ingest {
  readonly do: "ingest";
  readonly rows: readonly TestRow[];
  readonly damage: Damage | null;
}

export type Operation =
  | Ingest
  | { readonly do: "close"; readonly request: CloseRequest }
  /** Closes everything; then blocks that were refused for want of memory must be taken. */
  | { readonly do: "drain"; readonly request: CloseRequest };

export interface Sequence {
  /** Of the kernel's linear memory; null for what it takes by itself. */
  readonly memoryBytesMax: number | null;
  readonly operations: readonly Operation[];
}

const OPERATIONS_MAX = 25;
const PAGE_BYTES = 65_536;
/** 20 pages of static areas (a block, its row index, sort counters) and one for the rest. */
const MEMORY_PAGES_MIN = 21;
/** A page takes 32 windows of few rows, or a thousand rows of one window. */
const FREE_PAGES = [0, 1, 2, 3, 4, 6, 9, 14, 24] as const;
/** Sequence and seed are the two halves of the generator's seed. */
export const SEED_MAX = 1_000_000;

export function makeSequence(seed: number, sequence: number): Sequence {
  const random = new Random(seed * 2 ** 32 + sequence);
  const limited = random.chance(0.25);
  const makeOperation = operationMaker(random, limited);
  const length = random.whole(limited ? OPERATIONS_MAX / 5 : 1, OPERATIONS_MAX);
  const operations = Array.from({ length }, makeOperation);
  return {
    memoryBytesMax: limited ? (MEMORY_PAGES_MIN + random.pick(FREE_PAGES)) * PAGE_BYTES : null,
    operations: [...operations, { do: "drain", request: closeRequest() }],
  };
}

function operationMaker(random: Random, limited: boolean): () => Operation {
  const makeRows = rowsMaker(random, limited);
  const windowSeconds = makeRows.windowSeconds;
  let closedThroughSeconds = 0;

  const makeRequest = (): CloseRequest => {
    const aligned = random.chance(0.8);
    const boundary =
      makeRows.window() + (aligned ? windowSeconds : random.whole(0, 2 * windowSeconds));
    // As the aggregator asks: forward only, and what was closed before is late. Or else any boundary.
    const forward = random.chance(0.5);
    const closedBefore = closedThroughSeconds;
    if (forward) closedThroughSeconds = Math.max(closedBefore, boundary);
    return closeRequest({
      closedThroughSeconds: forward ? closedThroughSeconds : boundary,
      lateThroughSeconds: random.chance(0.7)
        ? closedBefore
        : makeRows.window() + random.whole(0, windowSeconds),
      windowSeconds: random.chance(0.9) ? windowSeconds : random.pick([1, 61, 2 ** 31, 2 ** 40]),
      chunkBytesMax: random.chance(0.75)
        ? random.whole(RESULT_BYTES_MAX, RESULT_BYTES_MAX + random.pick([0, 1_000, 20_000]))
        : random.pick([BLOCK_BODY_BYTES_MAX, BLOCK_BODY_BYTES_MAX - 1]),
      unit: {
        job: random.pick(["", "j", "a-job-of-some-length", "x".repeat(JOB_BYTES_MAX)]),
        partitions: random.pick([1, 4, 0xffff]),
        partition: random.pick([0, 3, 0xfffe]),
        emission: random.pick([0, random.whole(1, 1_000), Number.MAX_SAFE_INTEGER]),
        emittedOn: random.whole(0, 0xffff),
      },
    });
  };

  return () => {
    if (random.chance(0.22)) return { do: "close", request: makeRequest() };
    if (random.chance(limited ? 0.1 : 0.02)) return { do: "drain", request: closeRequest() };
    const rows = makeRows.rows();
    return { do: "ingest", rows, damage: random.chance(0.3) ? makeDamage(random) : null };
  };
}

interface RowsMaker {
  readonly windowSeconds: number;
  window(): number;
  rows(): TestRow[];
}

/** Rows of one sequence: they meet in its keys and windows, and late ones in windows closed before. */
function rowsMaker(random: Random, limited: boolean): RowsMaker {
  const windowSeconds = random.pick([1, 60, 60, 60, 300, 86_400]);
  const windowCount = random.pick([1, 3, 8, 8, 60, limited ? 400 : 2_000]);
  const firstWindow = random.pick([0, 0, 1_790_000_040, 2 ** 31 - windowSeconds]);
  const rowsMax = random.pick(limited ? [70, 700, 2_000] : [4, 70, 70, 700]);
  const makeKey = keyMaker(random);
  const window = () => {
    if (random.chance(0.01)) return random.pick([0, 2 ** 31, 0xffff_ffff, 0xffff_ffc4]);
    const start = firstWindow + random.whole(0, windowCount - 1) * windowSeconds;
    return random.chance(0.02) ? start + random.whole(0, windowSeconds - 1) : start;
  };
  const clicks = () => {
    if (random.chance(0.03)) return random.pick([0xffff_ffff, 2 ** 31, 0xffff]);
    return random.chance(0.01) ? random.whole(1, 0xffff_ffff) : random.whole(1, 9);
  };
  return {
    windowSeconds,
    window,
    rows() {
      const length = random.chance(0.05) ? 0 : random.whole(1, rowsMax);
      // Some blocks are of one window, as a shard's flush mostly is.
      const one = random.chance(0.3) ? window() : null;
      return Array.from({ length }, () => ({
        window: one ?? window(),
        key: makeKey(),
        clicks: clicks(),
      }));
    },
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

const STRING_BYTES_MAX = [
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

function bytesOf(random: Random, length: number): Uint8Array {
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

function makeDamage(random: Random): Damage {
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

/** What a kernel is given. By chance a damaged block may be a good one. */
export function blockFor({ rows, damage }: Ingest): { body: Uint8Array; rows: number } {
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
