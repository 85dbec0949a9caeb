/** Traffic over real HTTP, against an edge in this process that loses, delays and refuses. */
import { afterEach, expect, test } from "vitest";
import { startFakeEdge } from "../helpers/fake-edge.ts";
import type { Behaviour, FakeEdge } from "../helpers/fake-edge.ts";
import { Random } from "./random.ts";
import { startTraffic } from "./traffic.ts";
import { Judge } from "./verdict.ts";

const SETTINGS = { rate: 1_500, seconds: 2, ads: 50, seed: 11, name: "t" };
const QUICK = { backoffMsMin: 5, backoffMsMax: 50, attemptTimeoutMs: 1_000 };
let edge: FakeEdge | null = null;

afterEach(async () => {
  await edge?.close();
  edge = null;
});

function judge(ledger: ConstructorParameters<typeof Judge>[0], taken: FakeEdge["taken"]) {
  const judged = new Judge(ledger);
  for (const row of taken.values()) judged.rawRow(row);
  return judged.verdict();
}

test("every good click ends up at the edge once, whatever the network does", async () => {
  const random = new Random(1);
  edge = await startFakeEdge((): Behaviour => {
    const chance = random.next();
    if (chance < 0.03) return { kind: "break_before" };
    if (chance < 0.06) return { kind: "break_after" };
    if (chance < 0.08) return { kind: "cut" };
    if (chance < 0.1) return { kind: "status", status: 503 };
    if (chance < 0.15) return { kind: "unavailable", places: (place) => place % 3 === 0 };
    return chance < 0.17 ? { kind: "late", ms: 1_200 } : { kind: "answer" };
  });
  const { ledger, done } = startTraffic({ ...SETTINGS, url: edge.url, poster: QUICK });
  const report = await done;
  const counts = ledger.counts();
  expect(report.gaveUp).toEqual([]);
  expect(counts.unanswered).toBe(0);
  expect(counts.accepted).toBe(edge.taken.size);
  // 1 % of 3,000 is broken.
  expect(counts.accepted).toBeGreaterThan(2_900);
  expect(counts.accepted).toBeLessThan(3_000);
  expect(counts.duplicates).toBeGreaterThan(50);
  expect(counts.rejected).toBeGreaterThan(5);
  expect(counts.unavailable).toBeGreaterThan(0);
  expect(counts.sent).toBeGreaterThan(3_000);
  const verdict = judge(ledger, edge.taken);
  expect(verdict.listed).toEqual([]);
  expect(verdict).toMatchObject({ lost: 0, double: 0 });
  expect(Object.values(verdict.rowsByTimeSource).every((rows) => rows > 0)).toBe(true);
  expect(new Set([...edge.taken.values()].map((click) => click.country)).size).toBeGreaterThan(5);
});

test("an edge that is away for longer than an SDK's patience gets everything in the end", async () => {
  edge = await startFakeEdge((request) =>
    request > 20 && request < 60 ? { kind: "status", status: 503 } : { kind: "answer" },
  );
  const { ledger, done } = startTraffic({
    ...SETTINGS,
    rate: 500,
    seconds: 1,
    url: edge.url,
    poster: { ...QUICK, attemptsMax: 2 },
  });
  const report = await done;
  expect(report.gaveUp[0]).toMatch(/gave up after 2 attempts/);
  expect(ledger.counts().unanswered).toBe(0);
  expect(judge(ledger, edge.taken)).toMatchObject({ lost: 0, double: 0 });
});

test("an edge that forgets a click it has answered is found out", async () => {
  edge = await startFakeEdge();
  const { ledger, done } = startTraffic({ ...SETTINGS, rate: 300, seconds: 1, url: edge.url });
  await done;
  const [first] = edge.taken.keys();
  const forgetful = new Map(edge.taken);
  forgetful.delete(first!);
  expect(judge(ledger, forgetful)).toMatchObject({ lost: 1, double: 0, clean: false });
});

test("an edge that puts its own time on every click is found out", async () => {
  edge = await startFakeEdge();
  const { ledger, done } = startTraffic({ ...SETTINGS, rate: 300, seconds: 1, url: edge.url });
  await done;
  expect(judge(ledger, edge.taken).listed).toEqual([]);
  const stamped = new Map(
    [...edge.taken].map(([id, row]) => [id, { ...row, timeSource: "server" as const }]),
  );
  const verdict = judge(ledger, stamped);
  expect(verdict.figures.wrong_time_source).toBeGreaterThan(250);
  expect(verdict).toMatchObject({ lost: 0, double: 0, clean: false });
});

test("stop ends it soon", async () => {
  edge = await startFakeEdge(() => ({ kind: "status", status: 503 }));
  const traffic = startTraffic({ ...SETTINGS, seconds: 600, url: edge.url });
  const startMs = performance.now();
  setTimeout(() => traffic.stop(), 100);
  await traffic.done;
  expect(performance.now() - startMs).toBeLessThan(2_000);
});
