/** A short fuzz run over HTTP against the whole stack: every answer is right, and the tables agree. */
import { request } from "node:http";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { REFUSED_BODY_BYTES_MAX } from "../../edge/limits.ts";
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

test.each<[string, Record<string, string>, number]>([
  ["that says its length", { "content-type": "application/json" }, 413],
  ["in chunks", { "content-type": "application/json", "transfer-encoding": "chunked" }, 413],
  ["of a type that is not read", { "content-type": "image/png" }, 415],
])(
  "whoever sends a body of several megabytes hears why it is refused: one %s",
  async (_, headers, status) => {
    for (const bytes of [BODY_BYTES_MAX + 1, 2 * BODY_BYTES_MAX, REFUSED_BODY_BYTES_MAX]) {
      for (let time = 0; time < 10; time++) {
        // oxlint-disable-next-line no-await-in-loop -- one after the other, on connections that are kept
        const answered = await postedByNode(headers, Buffer.alloc(bytes, " "));
        expect({ bytes, time, answered }).toEqual({ bytes, time, answered: status });
      }
    }
  },
);

/** The status of the answer, if the connection does not break before. */
function postedByNode(headers: Record<string, string>, body: Buffer): Promise<number> {
  const length = "transfer-encoding" in headers ? {} : { "content-length": body.length };
  return new Promise((resolve, reject) => {
    const sending = request(
      `${t.stack.urls.edge}/v1/clicks`,
      { method: "POST", headers: { ...headers, ...length } },
      (response) => {
        response.resume();
        response.once("end", () => resolve(response.statusCode!));
      },
    );
    sending.once("error", reject);
    sending.end(body);
  });
}
