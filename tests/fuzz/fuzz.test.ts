/** A short fuzz run of the parser, and faults that a run must find. */
import { createServer } from "node:http";
import type { RequestListener, Server } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, test } from "vitest";
import { Random } from "../traffic/random.ts";
import { makeRequest } from "./fuzz-request.ts";
import { fuzzInProcess, passDoor } from "./in-process.ts";
import { fuzzOverHttp } from "./over-http.ts";

const RUN_MS = 3_000;

describe("the parser", () => {
  test("turns thousands of changed bodies into rows or reasons, and keeps nothing", async () => {
    const seed = Date.now() % 1_000_000;
    const run = await fuzzInProcess(new Random(seed), RUN_MS, 3_000);
    expect({ seed, crashes: run.crashes }).toEqual({ seed, crashes: [] });
    expect(run.bodies).toBeGreaterThanOrEqual(3_000);
    expect(run.grownBytes).toBeLessThan(2 * 1024 ** 2);
  });

  test("sees whole answers and refusals of every kind", async () => {
    const random = new Random(1);
    const seen = new Set<string>();
    for (let i = 0; i < 3_000; i++) {
      const { changes, headers, body } = makeRequest(random, 1_800_000_000_000);
      for (const change of changes) seen.add(change);
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      await passDoor({ changes, headers, body });
    }
    expect([...seen].toSorted()).toMatchInlineSnapshot(`
      [
        "a bomb",
        "a field less",
        "a key twice",
        "a piece twice",
        "a token more",
        "an element twice",
        "another element",
        "another encoding",
        "another number",
        "another sender",
        "another time",
        "another type",
        "another value",
        "as latin1",
        "as mark",
        "as utf16le",
        "bits flipped",
        "bytes after gzip",
        "bytes cut off",
        "bytes of chance",
        "cut off",
        "deep nesting",
        "escapes for letters",
        "gzip",
        "gzip cut off",
        "gzip twice",
        "gzip with bits flipped",
        "no gzip",
        "nothing but chance",
        "space around",
        "too long",
        "two documents",
        "two members",
        "without its start",
      ]
    `);
  });

  test("is the same for the same seed", () => {
    const bodies = (seed: number) => {
      const random = new Random(seed);
      return Array.from({ length: 200 }, () => makeRequest(random, 0).body);
    };
    expect(bodies(7)).toEqual(bodies(7));
    expect(bodies(7)).not.toEqual(bodies(8));
  });

  test("that throws, or keeps what it was given, is found", async () => {
    const kept: Uint8Array[] = [];
    const run = await fuzzInProcess(new Random(1), 200, 600, async ({ body, changes }) => {
      kept.push(new Uint8Array(20_000).fill(body.length));
      if (changes.includes("gzip cut off")) throw new Error("planted");
    });
    expect(run.crashes.length).toBeGreaterThan(0);
    expect(run.crashes[0]!.error).toBe("Error: planted");
    expect(run.grownBytes).toBeGreaterThan(2 * 1024 ** 2);
    expect(kept).toHaveLength(run.bodies);
  });
});

describe("an edge", () => {
  const PROBLEM = {
    type: "about:blank",
    title: "too large",
    code: "too_large",
    detail: "send less",
  };
  const answer = (status: number, body: unknown): RequestListener => {
    return (request, response) => {
      request.resume().on("end", () => {
        response.writeHead(status).end(JSON.stringify(body));
      });
    };
  };
  test.each<[string, RequestListener, "serverErrors" | "crashCount"]>([
    ["that answers 500", answer(500, {}), "serverErrors"],
    ["that hangs up", (request) => void request.socket.destroy(), "crashCount"],
    ["whose problem names another status", answer(400, { ...PROBLEM, status: 413 }), "crashCount"],
    [
      "that does not say what to do",
      answer(400, { ...PROBLEM, status: 400, detail: "no" }),
      "crashCount",
    ],
    [
      "whose tally is not its results'",
      answer(202, { accepted: 2, duplicate: 0, rejected: 0, unavailable: 0, results: [] }),
      "crashCount",
    ],
    [
      "that rejects without a reason",
      answer(202, {
        accepted: 0,
        duplicate: 0,
        rejected: 1,
        unavailable: 0,
        results: [{ click_id: "a", status: "rejected" }],
      }),
      "crashCount",
    ],
  ])("%s is found", async (_, listener, figure) => {
    const server = await listening(listener);
    try {
      const { port } = server.address() as AddressInfo;
      const url = `http://127.0.0.1:${port}`;
      const run = await fuzzOverHttp({ url, random: new Random(1), timeMs: 10, bodiesMin: 20 });
      expect(run[figure]).toBe(run.bodies);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });
});

async function listening(listener: RequestListener): Promise<Server> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}
