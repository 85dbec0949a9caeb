/** A short fuzz run over HTTP against the whole stack: every answer is right, and the tables agree. */
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { BODY_BYTES_MAX } from "../../wire/limits.ts";
import { differences, fuzzOverHttp } from "../fuzz/over-http.ts";
import { residentBytes } from "../helpers/resident-bytes.ts";
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

test("gzip that would be 900 MB, sixteen times at once, is refused before it has grown", async () => {
  const bomb = gzipSync(Buffer.alloc(900_000_000), { level: 9 });
  expect(bomb.length).toBeLessThan(BODY_BYTES_MAX);
  const { pid } = t.stack.processes.edge;
  const before = await residentBytes(pid);
  const statuses = await Promise.all(
    Array.from({ length: 16 }, async () => {
      const headers = { "content-type": "application/json", "content-encoding": "gzip" };
      const url = `${t.stack.urls.edge}/v1/clicks`;
      const response = await fetch(url, { method: "POST", headers, body: bomb });
      await response.text();
      return response.status;
    }),
  );
  expect(new Set(statuses)).toEqual(new Set([413]));
  // Half of one of them; 140 MB were seen for all.
  expect((await residentBytes(pid)) - before).toBeLessThan(450_000_000);
});
