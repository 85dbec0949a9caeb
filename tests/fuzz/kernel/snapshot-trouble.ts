/** What can be wrong with the chunks of a snapshot: malformed ones, and good ones that contradict its state. */
import { BLOCK_BODY_BYTES_MAX } from "../../../wire/limits.ts";
import { keyOf } from "../../../wasm/kernel-rows.ts";
import type { Random } from "../../traffic/random.ts";
import { runPlaces, viewOf, windowPlaces } from "./places.ts";
import type { RowPlace } from "./places.ts";
import { bytesOf, STRING_BYTES_MAX } from "./rows.ts";

/** A chunk of open windows, or of the run with this number. */
export interface SnapshotChunk {
  readonly run: number | null;
  readonly body: Uint8Array;
  readonly rows: number;
}

/** What is done to a chunk's bytes; places are shares of its rows or bytes. */
type ChunkDamage =
  | { readonly kind: "bits flipped"; readonly places: readonly number[]; readonly bit: number }
  | { readonly kind: "cut off"; readonly place: number }
  | { readonly kind: "bytes after it"; readonly bytes: Uint8Array }
  | { readonly kind: "another row count"; readonly by: number }
  | { readonly kind: "other clicks"; readonly place: number; readonly clicks: bigint }
  /** From 128 bytes on its length takes two bytes. */
  | {
      readonly kind: "a long string";
      readonly place: number;
      readonly string: number;
      readonly beyondBytes: number;
    }
  | { readonly kind: "a length written long"; readonly place: number; readonly string: number }
  | { readonly kind: "too long" };

/** A chunk that is no such chunk: it is refused, and as if it had never been given. */
export interface DamagedChunk {
  readonly trouble: "a damaged chunk";
  /** Which of the chunks. */
  readonly chunk: number;
  readonly damage: ChunkDamage;
}

const CONTRADICTIONS = [
  "a chunk twice",
  "an unknown run",
  "an unknown window",
  "a click more in a run",
] as const;

/** Good rows that cannot be of this snapshot: our own fault, so a kernel throws. */
export interface Contradiction {
  readonly trouble: (typeof CONTRADICTIONS)[number];
  readonly chunk: number;
}

export type Trouble = DamagedChunk | Contradiction;

export function makeTrouble(random: Random): Trouble {
  const chunk = random.next();
  if (random.chance(0.35)) {
    return { trouble: random.pick(CONTRADICTIONS), chunk };
  }
  return { trouble: "a damaged chunk", chunk, damage: makeChunkDamage(random) };
}

const CLICKS_THAT_NO_ROW_HAS = [0n, 0n, -1n, -(2n ** 63n), 2n ** 53n, 2n ** 63n - 1n];

function makeChunkDamage(random: Random): ChunkDamage {
  const place = random.next();
  const string = random.whole(0, 3);
  switch (random.whole(0, 9)) {
    case 0: {
      const places = Array.from({ length: random.whole(1, 2) }, () => random.next());
      return { kind: "bits flipped", places, bit: random.whole(0, 7) };
    }
    case 1:
      return { kind: "cut off", place };
    case 2:
      return { kind: "bytes after it", bytes: bytesOf(random, random.whole(1, 20)) };
    case 3:
      return { kind: "another row count", by: random.pick([-1, 1, 2 ** 20]) };
    case 4:
    case 5:
      return { kind: "other clicks", place, clicks: random.pick(CLICKS_THAT_NO_ROW_HAS) };
    case 6:
    case 7:
    case 8:
      return { kind: "a long string", place, string, beyondBytes: random.pick([1, 1, 30, 200]) };
    default:
      if (random.chance(0.4)) return { kind: "too long" };
      return { kind: "a length written long", place, string };
  }
}

/** By chance it may be a good one. */
export function damagedChunk(
  chunks: readonly SnapshotChunk[],
  { chunk, damage }: DamagedChunk,
): SnapshotChunk | undefined {
  const good = chunks[Math.floor(chunk * chunks.length)];
  if (good === undefined) return undefined;
  const { body } = good;
  switch (damage.kind) {
    case "bits flipped": {
      const flipped = body.slice();
      for (const place of damage.places) {
        flipped[Math.floor(place * body.length)]! ^= 1 << damage.bit;
      }
      return { ...good, body: flipped };
    }
    case "cut off":
      return { ...good, body: body.subarray(0, Math.floor(damage.place * body.length)) };
    case "bytes after it":
      return { ...good, body: Buffer.concat([body, damage.bytes]) };
    case "another row count":
      return { ...good, rows: Math.max(good.rows + damage.by, 0) };
    case "other clicks": {
      const changed = body.slice();
      viewOf(changed).setBigInt64(rowAt(good, damage.place).clicksAt, damage.clicks, true);
      return { ...good, body: changed };
    }
    case "a long string": {
      const string = good.run === null ? damage.string : 0;
      const letters = new Uint8Array(STRING_BYTES_MAX[string]! + damage.beyondBytes).fill(0x61);
      const strings = [0, 1, 2, 3].map((i) => (i === string ? letters : new Uint8Array(0)));
      return withStrings(good, damage.place, keyOf(...strings.slice(0, good.run === null ? 4 : 1)));
    }
    case "a length written long": {
      // One letter, whose length of 1 is written in two bytes.
      const [string, count] = good.run === null ? [damage.string, 4] : [0, 1];
      const strings = Array.from({ length: count }, (_, i) =>
        i === string ? [0x81, 0, 0x61] : [0],
      );
      return withStrings(good, damage.place, Uint8Array.from(strings.flat()));
    }
    case "too long":
      return {
        ...good,
        body: Buffer.concat([body, new Uint8Array(BLOCK_BODY_BYTES_MAX + 1 - body.length)]),
      };
  }
}

function rowAt({ run, body }: SnapshotChunk, place: number): RowPlace {
  const places = run === null ? windowPlaces(body) : runPlaces(body);
  return places[Math.floor(place * places.length)]!;
}

function withStrings(chunk: SnapshotChunk, place: number, strings: Uint8Array): SnapshotChunk {
  const { stringsAt, clicksAt } = rowAt(chunk, place);
  const { body } = chunk;
  return {
    ...chunk,
    body: Buffer.concat([body.subarray(0, stringsAt), strings, body.subarray(clicksAt)]),
  };
}

/** The chunks with one that contradicts them; undefined when there is none to make it of. */
export function contradictingChunks(
  chunks: readonly SnapshotChunk[],
  { trouble, chunk }: Contradiction,
  unknownRun: number,
  unknownWindowSeconds: number,
): SnapshotChunk[] | undefined {
  const at = Math.floor(chunk * chunks.length);
  const good = chunks[at];
  if (good === undefined) return undefined;
  switch (trouble) {
    case "a chunk twice":
      return chunks.toSpliced(at, 0, good);
    case "an unknown run": {
      const run = chunks.find((other) => other.run !== null);
      return run && chunks.toSpliced(at, 0, { ...run, run: unknownRun });
    }
    case "an unknown window": {
      const window = chunks.find((other) => other.run === null);
      if (window === undefined) return undefined;
      const body = window.body.slice();
      viewOf(body).setUint32(0, unknownWindowSeconds, true);
      return chunks.toSpliced(at, 0, { ...window, body });
    }
    case "a click more in a run": {
      const changedAt = chunks.findIndex((other) => other.run !== null);
      if (changedAt < 0) return undefined;
      const changed = chunks[changedAt]!;
      const body = changed.body.slice();
      const { clicksAt } = runPlaces(body)[0]!;
      viewOf(body).setBigInt64(clicksAt, viewOf(body).getBigInt64(clicksAt, true) + 1n, true);
      return chunks.with(changedAt, { ...changed, body });
    }
  }
}
