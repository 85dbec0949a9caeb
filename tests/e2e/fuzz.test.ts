/** A short fuzz run over HTTP against the whole stack: every answer is right, and the tables agree. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { differences, fuzzOverHttp } from "../fuzz/over-http.ts";
import { startTestStack } from "../helpers/test-stack.ts";
import type { TestStack } from "../helpers/test-stack.ts";
import { Random } from "../traffic/random.ts";

const RUN_MS = 5_000;

let t: TestStack;
beforeAll(async () => {
  t = await startTestStack("fuzz");
});
afterAll(() => t?.stop());

test("no body makes the edge fail, and what it said of each click and request is in the tables", async () => {
  const seed = Date.now() % 1_000_000;
  const run = await fuzzOverHttp({
    url: t.stack.urls.edge,
    random: new Random(seed),
    timeMs: RUN_MS,
    bodiesMin: 1_000,
  });
  const { serverErrors, crashes, book } = run;
  expect({ seed, serverErrors, crashes }).toEqual({ seed, serverErrors: 0, crashes: [] });
  expect(book.accepted).toBeGreaterThan(100);
  expect(book.refused.size).toBeGreaterThan(8);
  expect({ seed, differences: await differences(book, t.client) }).toEqual({
    seed,
    differences: [],
  });
});
