/** The poster against an edge that loses, breaks, delays and refuses. */
import { afterEach, describe, expect, test } from "vitest";
import { startFakeEdge } from "../../tests/helpers/fake-edge.ts";
import type { Behaviour, FakeEdge } from "../../tests/helpers/fake-edge.ts";
import type { ClickResult } from "../../wire/ingest.ts";
import { backoffMs, createPoster, isRetryable, readAnswer, retryAfterMs } from "./poster.ts";
import type { PosterOptions } from "./poster.ts";

const QUICK = { backoffMsMin: 1, backoffMsMax: 5, attemptTimeoutMs: 500 };
let edge: FakeEdge | null = null;

afterEach(async () => {
  await edge?.close();
  edge = null;
});

function clicks(count: number) {
  return Array.from({ length: count }, (_, i) => ({
    click_id: `a.${i}`,
    ad_id: "ad",
    timestamp: Date.now(),
  }));
}

async function post(
  behave: (request: number) => Behaviour,
  count = 3,
  options: Partial<PosterOptions> = {},
) {
  edge = await startFakeEdge(behave);
  const answers: (ClickResult["status"] | undefined)[][] = [];
  const sent: (readonly number[])[] = [];
  const outcome = await createPoster({ url: edge.url, ...QUICK, ...options }).post({
    clicks: clicks(count),
    headers: { "user-agent": "a phone" },
    sentAt: Date.now,
    onSent: (positions) => {
      sent.push(positions);
      answers.push([]);
    },
    onAnswer: (position, result) => {
      answers.at(-1)![position] = result.status;
    },
  });
  return { outcome, answers, sent };
}

const first = (behaviour: Behaviour) => (request: number) =>
  request === 0 ? behaviour : ({ kind: "answer" } as const);

describe("a batch is sent until every click has its fate", () => {
  test("an answer at once ends it, and the sender's headers arrive", async () => {
    const { outcome, sent } = await post(() => ({ kind: "answer" }));
    expect(outcome).toEqual({ open: [], reason: null });
    expect(sent).toEqual([[0, 1, 2]]);
    expect(edge!.taken.get("a.0")!.userAgent).toBe("a phone");
  });

  test.for<Behaviour>([{ kind: "break_after" }, { kind: "cut" }, { kind: "late", ms: 2_000 }])(
    "a lost answer ($kind) makes it send the same clicks again, and they are duplicates",
    async (behaviour) => {
      const { outcome, answers } = await post(first(behaviour));
      expect(outcome.open).toEqual([]);
      expect(answers).toEqual([[], ["duplicate", "duplicate", "duplicate"]]);
      expect(edge!.taken.size).toBe(3);
    },
  );

  test.for<Behaviour>([
    { kind: "break_before" },
    { kind: "status", status: 503 },
    { kind: "status", status: 429 },
    { kind: "status", status: 500 },
  ])("a request that was not taken ($kind $status) is sent again", async (behaviour) => {
    const { answers } = await post(first(behaviour));
    expect(answers).toEqual([[], ["accepted", "accepted", "accepted"]]);
  });

  test("exactly the clicks answered unavailable are sent again", async () => {
    const { outcome, sent, answers } = await post(
      first({ kind: "unavailable", places: (place) => place % 2 === 1 }),
      5,
    );
    expect(outcome.open).toEqual([]);
    expect(sent).toEqual([
      [0, 1, 2, 3, 4],
      [1, 3],
    ]);
    expect(answers[1]).toEqual([undefined, "accepted", undefined, "accepted"]);
    expect([...edge!.taken.keys()].toSorted()).toEqual(["a.0", "a.1", "a.2", "a.3", "a.4"]);
  });

  test("sent_at is stamped anew on every attempt", async () => {
    await post((request) => (request < 3 ? { kind: "break_before" } : { kind: "answer" }), 1, {
      backoffMsMin: 20,
      backoffMsMax: 20,
    });
    const stamps = edge!.requests.map((request) => request.sentAt as number);
    expect(stamps).toHaveLength(4);
    expect(stamps).toEqual([...new Set(stamps)].toSorted((a, b) => a - b));
  });

  test("how long each attempt took is told, of a lost one too", async () => {
    edge = await startFakeEdge((request) =>
      request === 0 ? { kind: "late", ms: 5_000 } : { kind: "late", ms: 60 },
    );
    const ended: [readonly number[], number][] = [];
    await createPoster({ url: edge.url, ...QUICK, attemptTimeoutMs: 200 }).post({
      clicks: clicks(2),
      headers: {},
      sentAt: Date.now,
      onSent: () => {},
      onEnded: (positions, attemptMs) => ended.push([positions, attemptMs]),
      onAnswer: () => {},
    });
    expect(ended.map(([positions]) => positions)).toEqual([
      [0, 1],
      [0, 1],
    ]);
    expect(ended[0]![1]).toBeGreaterThan(190);
    expect(ended[1]![1]).toBeGreaterThan(50);
    expect(ended[1]![1]).toBeLessThan(190);
  });

  test("Retry-After is waited for", async () => {
    await post(first({ kind: "status", status: 503, headers: { "retry-after": "1" } }), 1);
    const [one, two] = edge!.requests;
    expect(two!.atMs - one!.atMs).toBeGreaterThan(950);
  });
});

describe("it ends, and says why", () => {
  test("attempts without progress are bounded, and progress starts the count again", async () => {
    const bounded = await post(() => ({ kind: "status", status: 503 }), 2, { attemptsMax: 4 });
    expect(bounded.outcome.open).toEqual([0, 1]);
    expect(bounded.outcome.reason).toMatch(/gave up after 4 attempts in a row; the last: HTTP 503/);
    await edge!.close();
    // Every second attempt takes one click of six: never 3 in a row without progress.
    const slow = await post(
      (request) =>
        request % 2 === 0
          ? { kind: "status", status: 503 }
          : { kind: "unavailable", places: (place) => place > 0 },
      6,
      { attemptsMax: 3 },
    );
    expect(slow.outcome.open).toEqual([]);
  });

  test("a refusal for good is not tried again", async () => {
    const { outcome, sent } = await post(() => ({ kind: "status", status: 413 }));
    expect(outcome.open).toEqual([0, 1, 2]);
    expect(outcome.reason).toBe("HTTP 413: not now");
    expect(sent).toHaveLength(1);
  });

  test("nothing listening is said in the network's words", async () => {
    const poster = createPoster({ url: "http://127.0.0.1:9", ...QUICK, attemptsMax: 2 });
    const outcome = await poster.post({
      clicks: clicks(1),
      headers: {},
      sentAt: null,
      onSent: () => {},
      onAnswer: () => {},
    });
    expect(outcome.reason).toMatch(/ECONNREFUSED|bad port/);
  });

  test("stop ends waits and attempts under way at once", async () => {
    edge = await startFakeEdge(() => ({ kind: "late", ms: 5_000 }));
    const poster = createPoster({ url: edge.url, attemptTimeoutMs: 60_000 });
    const startMs = performance.now();
    setTimeout(() => poster.stop("enough"), 50);
    const outcome = await poster.post({
      clicks: clicks(2),
      headers: {},
      sentAt: null,
      onSent: () => {},
      onAnswer: () => {},
    });
    expect(outcome).toEqual({ open: [0, 1], reason: "enough" });
    expect(performance.now() - startMs).toBeLessThan(1_000);
  });
});

test("room() holds the producer back while as many posts as allowed are under way", async () => {
  edge = await startFakeEdge(() => ({ kind: "late", ms: 100 }));
  const poster = createPoster({ url: edge.url, postsMax: 2 });
  const send = () =>
    poster.post({
      clicks: clicks(1),
      headers: {},
      sentAt: Date.now,
      onSent: () => {},
      onAnswer: () => {},
    });
  const startMs = performance.now();
  const posts: Promise<unknown>[] = [];
  for (let i = 0; i < 5; i++) {
    await poster.room();
    posts.push(send());
  }
  // The fifth had to wait for two rounds of two.
  expect(performance.now() - startMs).toBeGreaterThan(190);
  await Promise.all(posts);
});

test("waits double up to the cap, the upper half by chance", () => {
  const limits = { msMin: 100, msMax: 5_000 };
  expect([1, 2, 3, 7, 30].map((failures) => backoffMs(failures, limits, 0))).toEqual([
    50, 100, 200, 2_500, 2_500,
  ]);
  expect(backoffMs(1, limits, 0.999)).toBe(100);
});

test("Retry-After is seconds or a date, capped, and nonsense is nothing", () => {
  const nowMs = Date.UTC(2026, 10, 1);
  expect(retryAfterMs("2", nowMs)).toBe(2_000);
  expect(retryAfterMs(new Date(nowMs + 3_000).toUTCString(), nowMs)).toBe(3_000);
  expect(retryAfterMs(new Date(nowMs - 3_000).toUTCString(), nowMs)).toBe(0);
  expect(retryAfterMs("86400", nowMs)).toBe(30_000);
  expect(retryAfterMs("soon", nowMs)).toBeNull();
  expect(retryAfterMs(null, nowMs)).toBeNull();
});

test("only what may fare better later is tried again", () => {
  expect([408, 425, 429, 500, 502, 503, 504].every(isRetryable)).toBe(true);
  expect([200, 301, 400, 401, 404, 405, 413, 415].some(isRetryable)).toBe(false);
});

test("an answer without a fate for every click is no edge's answer", () => {
  expect(readAnswer('{"results":[]}', 1).kind).toBe("refused");
  expect(readAnswer('{"results":[{"status":"maybe"}]}', 1).kind).toBe("refused");
  expect(readAnswer("null", 1).kind).toBe("refused");
  expect(readAnswer('{"results":[{"status":"acc', 1).kind).toBe("lost");
  expect(readAnswer('{"results":[{"click_id":"a","status":"accepted"}]}', 1).kind).toBe("answered");
});
