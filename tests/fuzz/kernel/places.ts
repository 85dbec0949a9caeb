/** Where rows and their values lie in bodies: blocks, results, snapshots and lists, limits aside. */
import type { TestRow } from "../../../wasm/kernel-rows.ts";

const KEY_STRINGS = 4;

export interface PlacedRow extends TestRow {
  readonly end: number;
}

/** The rows at the start of a block that are whole. */
export function blockRows(body: Uint8Array): PlacedRow[] {
  const view = viewOf(body);
  const rows: PlacedRow[] = [];
  for (let at = 0; at < body.length;) {
    const keyEnd = endOfStrings(body, at + 4, KEY_STRINGS);
    if (keyEnd + 4 > body.length) break;
    const end = keyEnd + 4;
    rows.push({
      window: view.getUint32(at, true),
      key: body.slice(at + 4, keyEnd),
      clicks: view.getUint32(keyEnd, true),
      end,
    });
    at = end;
  }
  return rows;
}

export interface RowPlace {
  readonly at: number;
  /** Where its strings begin. */
  readonly stringsAt: number;
  /** Where its clicks begin, and its strings end. */
  readonly clicksAt: number;
  readonly end: number;
}

/** The rows of a chunk of results (wire/result.ts). */
export function resultPlaces(body: Uint8Array): RowPlace[] {
  return placesOf(body, 4, KEY_STRINGS, (clicksAt) => {
    const jobAt = clicksAt + 8 + 1;
    return jobAt + 1 + body[jobAt]! + 2 + 2 + 8 + 4 + 2;
  });
}

/** The rows of a chunk of open windows (wire/snapshot.ts). */
export function windowPlaces(body: Uint8Array): RowPlace[] {
  return placesOf(body, 4, KEY_STRINGS, (clicksAt) => clicksAt + 8);
}

/** The rows of a chunk of a run (wire/snapshot.ts). */
export function runPlaces(body: Uint8Array): RowPlace[] {
  return placesOf(body, 0, 1, (clicksAt) => clicksAt + 8);
}

export interface RunRow {
  readonly adId: Uint8Array;
  readonly clicks: number;
}

export function runRows(body: Uint8Array): RunRow[] {
  const view = viewOf(body);
  return runPlaces(body).map(({ at, clicksAt }) => ({
    adId: body.slice(at + 1, clicksAt),
    clicks: Number(view.getBigInt64(clicksAt, true)),
  }));
}

export function viewOf(body: Uint8Array): DataView {
  return new DataView(body.buffer, body.byteOffset, body.byteLength);
}

/** The body with its first two rows exchanged; as it is when there is but one. */
export function firstTwoSwapped(body: Uint8Array, places: readonly RowPlace[]): Uint8Array {
  const [first, second] = places;
  if (second === undefined) return body;
  return Buffer.concat([
    body.subarray(first!.end, second.end),
    body.subarray(0, first!.end),
    body.subarray(second.end),
  ]);
}

function placesOf(
  body: Uint8Array,
  stringsOffset: number,
  strings: number,
  endAfter: (clicksAt: number) => number,
): RowPlace[] {
  const places: RowPlace[] = [];
  for (let at = 0; at < body.length;) {
    const clicksAt = endOfStrings(body, at + stringsOffset, strings);
    const end = endAfter(clicksAt);
    places.push({ at, stringsAt: at + stringsOffset, clicksAt, end });
    at = end;
  }
  return places;
}

function endOfStrings(body: Uint8Array, from: number, strings: number): number {
  let at = from;
  for (let i = 0; i < strings; i++) at += 1 + (body[at] ?? body.length);
  return at;
}
