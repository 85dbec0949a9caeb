/** A difference between what two kernels show, in words that fit a line. */
import { isDeepStrictEqual } from "node:util";
import type { RowChunk } from "../../../wasm/kernel.ts";

export class Difference extends Error {}

const DIFFERENCE_CHARACTERS_MAX = 300;

export function expectSame(what: string, mine: unknown, theirs: unknown): void {
  if (isDeepStrictEqual(mine, theirs)) return;
  throw new Difference(`${what}: ${inShort(mine)}, the reference has ${inShort(theirs)}`);
}

function inShort(value: unknown): string {
  return JSON.stringify(value).slice(0, DIFFERENCE_CHARACTERS_MAX);
}

export function expectSameChunk(what: string, mine: RowChunk, theirs: RowChunk): void {
  expectSame(`rows of ${what}`, mine.rows, theirs.rows);
  expectSame(`clicks of ${what}`, mine.clicks, theirs.clicks);
  expectSame(`bytes of ${what}`, mine.body.length, theirs.body.length);
  if (Buffer.compare(mine.body, theirs.body) === 0) return;
  const at = mine.body.findIndex((byte, i) => byte !== theirs.body[i]);
  expectSame(`byte ${at} of ${what}`, mine.body[at], theirs.body[at]);
}

export function expectSameChunks(
  what: string,
  mine: readonly RowChunk[],
  theirs: readonly RowChunk[],
): void {
  expectSame(`chunks of ${what}`, mine.length, theirs.length);
  for (const [i, chunk] of mine.entries()) {
    expectSameChunk(`chunk ${i} of ${what}`, chunk, theirs[i]!);
  }
}

/** Lists of strings that are sorted: the first that only one has. */
export function expectSameLines(
  what: string,
  mine: readonly string[],
  theirs: readonly string[],
): void {
  const at = mine.findIndex((line, i) => line !== theirs[i]);
  if (at >= 0) expectSame(`line ${at} of ${what}`, mine[at], theirs[at] ?? null);
  expectSame(`lines of ${what}`, mine.length, theirs.length);
}

/** States field by field and run by run, so that the difference fits the line. */
export function expectSameState(mine: object, theirs: object): void {
  for (const [field, value] of Object.entries(theirs)) {
    const found: unknown = mine[field as keyof typeof mine];
    if (Array.isArray(value) && Array.isArray(found)) {
      value.forEach((entry, i) => expectSame(`${field}[${i}] of state()`, found[i] ?? null, entry));
    }
    expectSame(`${field} of state()`, found, value);
  }
  expectSame("state()", mine, theirs);
}
