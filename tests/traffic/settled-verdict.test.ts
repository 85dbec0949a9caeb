/** When the wait for the counts ends, and when a verdict counts for nothing. */
import { expect, test } from "vitest";
import { Ledger } from "./ledger.ts";
import { isAllThere, provesNothing } from "./settled-verdict.ts";

function counts(answers: readonly ("accepted" | "rejected" | null)[]) {
  const ledger = new Ledger();
  answers.forEach((answer, i) => {
    const index = ledger.enter({
      clickId: `c.${i}`,
      adId: "ad",
      claimedMs: 1,
      clockOffsetMs: 0,
      stampsSentAt: true,
      good: true,
    });
    if (answer !== null) ledger.answered(index, answer);
  });
  return ledger.counts();
}

test("a run without an accepted click, or with one unanswered, proves nothing", () => {
  expect(provesNothing(counts([]))).toBe("no click was accepted");
  expect(provesNothing(counts(["rejected"]))).toBe("no click was accepted");
  expect(provesNothing(counts(["accepted", null, null]))).toBe(
    "2 good clicks never got a final answer",
  );
  expect(provesNothing(counts(["accepted", "rejected"]))).toBeNull();
});

test("all is there when raw has every accepted id and the counts have every row of raw", () => {
  const two = counts(["accepted", "accepted"]);
  const arrived = (rawRows: number, counted: number) => ({
    rawRows,
    counted,
    late: 0,
    closedThroughSeconds: 0,
  });
  expect(isAllThere(two, null)).toBe(false);
  expect(isAllThere(two, arrived(1, 1))).toBe(false);
  expect(isAllThere(two, arrived(2, 1))).toBe(false);
  expect(isAllThere(two, arrived(3, 2))).toBe(false);
  expect(isAllThere(two, arrived(2, 2))).toBe(true);
});
