/** The ledger counts what was sent and what was answered, each once. */
import { expect, test } from "vitest";
import { ATTEMPT_MS_NOTED_MAX, Ledger } from "./ledger.ts";

const entry = (clickId: string, good = true) => ({
  clickId,
  adId: `ad-${clickId.length}`,
  claimedMs: 1_000,
  clockOffsetMs: -5,
  stampsSentAt: true,
  good,
});

test("accepted counts ids, duplicates and rejections count answers", () => {
  const ledger = new Ledger();
  const a = ledger.enter(entry("a"));
  const b = ledger.enter(entry("b"));
  ledger.sent(4);
  ledger.answered(a, "accepted");
  ledger.answered(a, "duplicate");
  ledger.answered(b, "duplicate");
  ledger.answered(b, "duplicate");
  ledger.answered(-1, "rejected");
  expect(ledger.counts()).toEqual({
    sent: 4,
    accepted: 2,
    duplicates: 3,
    rejected: 1,
    unavailable: 0,
    unanswered: 0,
  });
});

test("a good id is unanswered until a final answer; unavailable is none", () => {
  const ledger = new Ledger();
  const a = ledger.enter(entry("a"));
  ledger.enter(entry("broken", false));
  expect(ledger.counts().unanswered).toBe(1);
  ledger.answered(a, "unavailable");
  expect(ledger.counts()).toMatchObject({ unanswered: 1, unavailable: 1, accepted: 0 });
  ledger.answered(a, "duplicate");
  expect(ledger.counts().unanswered).toBe(0);
});

test("an id keeps its index and its content", () => {
  const ledger = new Ledger();
  const a = ledger.enter(entry("a"));
  expect(ledger.enter(entry("a"))).toBe(a);
  expect(ledger.size).toBe(1);
  expect(() => ledger.enter({ ...entry("a"), adId: "other" })).toThrow("two contents");
  expect(() => ledger.enter({ ...entry("a"), claimedMs: 2 })).toThrow("two contents");
});

test("accepted twice is remembered, in whatever order the answers came", () => {
  const ledger = new Ledger();
  const a = ledger.enter(entry("a"));
  const b = ledger.enter(entry("b"));
  for (const status of ["accepted", "duplicate", "accepted"] as const) ledger.answered(a, status);
  for (const status of ["duplicate", "accepted"] as const) ledger.answered(b, status);
  expect([ledger.isAcceptedTwice(a), ledger.isAcceptedTwice(b)]).toEqual([true, false]);
});

test("the longest attempt of an id is kept, up to a limit", () => {
  const ledger = new Ledger();
  const a = ledger.enter(entry("a"));
  expect(ledger.attemptMsMaxOf(a)).toBe(0);
  for (const attemptMs of [3, 900.2, 20]) ledger.attempted(a, attemptMs);
  expect(ledger.attemptMsMaxOf(a)).toBe(901);
  ledger.attempted(a, 1e9);
  ledger.attempted(-1, 5);
  expect(ledger.attemptMsMaxOf(a)).toBe(ATTEMPT_MS_NOTED_MAX);
});

test("entries survive growth", () => {
  const ledger = new Ledger();
  for (let i = 0; i < 20_000; i++) {
    const stampsSentAt = i % 2 === 1;
    ledger.enter({ ...entry(`id-${i}`), adId: `ad-${i % 100}`, claimedMs: i, stampsSentAt });
    ledger.attempted(i, i);
  }
  const index = ledger.indexOf("id-9999");
  expect([ledger.adOf(index), ledger.claimedMsOf(index), ledger.isGood(index)]).toEqual([
    "ad-99",
    9_999,
    true,
  ]);
  expect(ledger.clockOffsetMsOf(index)).toBe(-5);
  expect([ledger.stampsSentAt(index), ledger.attemptMsMaxOf(index)]).toEqual([true, 9_999]);
  expect(ledger.stampsSentAt(index - 1)).toBe(false);
  expect(ledger.indexOf("id-20000")).toBe(-1);
  expect([...ledger.entries()].length).toBe(20_000);
});
