/** The fence: what one instance does about another's emissions, and about its own of before. */
import { expect, test } from "vitest";
import { decidePublish } from "./decide-publish.ts";
import type { NewestResult } from "./decide-publish.ts";

const newest = (emission: number, chunk: number, chunks = 3, emissionHash = 7n): NewestResult => ({
  emission,
  chunk,
  chunks,
  emissionHash,
});
const mine = (number: number, hash = 7n) => ({ number, hash });

test("the first chunk of the next emission follows the last of the one before", () => {
  expect(decidePublish(mine(6), 0, newest(5, 2))).toEqual({
    kind: "publish",
    hole: null,
  });
});

test("the first emission of all expects an empty subject", () => {
  expect(decidePublish(mine(1), 0, null)).toEqual({ kind: "publish", hole: null });
});

test("an emission made again is skipped as far as it is there, and completed", () => {
  expect(decidePublish(mine(4), 1, newest(5, 0))).toEqual({ kind: "skip" });
  expect(decidePublish(mine(5), 0, newest(5, 0))).toEqual({ kind: "skip" });
  expect(decidePublish(mine(5), 1, newest(5, 0))).toEqual({
    kind: "publish",
    hole: null,
  });
});

test("the same number with another hash is never published over", () => {
  expect(decidePublish(mine(5, 8n), 1, newest(5, 0))).toMatchObject({ kind: "differs" });
});

test("what is missing before an emission is named, and nothing waits for it", () => {
  expect(decidePublish(mine(7), 0, newest(5, 2))).toMatchObject({
    kind: "publish",
    hole: expect.stringContaining("7.0 follows 5.2"),
  });
  expect(decidePublish(mine(6), 0, newest(5, 1))).toMatchObject({
    kind: "publish",
    hole: expect.stringContaining("5.1 of 3"),
  });
  expect(decidePublish(mine(3), 0, null)).toMatchObject({
    kind: "publish",
    hole: expect.stringContaining("nothing"),
  });
});
