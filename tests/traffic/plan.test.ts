/** The planned traffic: the same for the same seed, and as varied as it promises to be. */
import { describe, expect, test } from "vitest";
import { isRejection, parseClick } from "../../edge/click/parse-click.ts";
import { planTraffic } from "./plan.ts";
import type { PlannedBatch, PlannedClick, TrafficSettings } from "./plan.ts";
import { Random } from "./random.ts";
import { Zipf } from "./zipf.ts";

const START_MS = Date.UTC(2026, 10, 1);
const settings: TrafficSettings = { rate: 2_000, seconds: 10, ads: 500, seed: 7, name: "t" };
const plan = (over: Partial<TrafficSettings> = {}) => [
  ...planTraffic({ ...settings, ...over }, START_MS),
];

/** Batches and all their clicks, each transmission. */
function transmissions(batches: readonly PlannedBatch[]): PlannedClick[] {
  return batches.flatMap((batch) => batch.clicks);
}

function numbers(seed: number): number[] {
  const random = new Random(seed);
  return Array.from({ length: 5 }, () => random.next());
}

function share(part: number, whole: number): number {
  return part / whole;
}

describe("chance", () => {
  test("a seed gives the same numbers, another seed others", () => {
    expect(numbers(1)).toEqual(numbers(1));
    expect(numbers(1)).not.toEqual(numbers(2));
    expect(numbers(1)).not.toEqual(numbers(1 + 2 ** 32));
  });

  test("numbers are even over [0, 1)", () => {
    const random = new Random(3);
    const tenths = Array.from({ length: 10 }, () => 0);
    for (let i = 0; i < 100_000; i++) tenths[Math.floor(random.next() * 10)]!++;
    for (const count of tenths) expect(Math.abs(count - 10_000)).toBeLessThan(500);
  });
});

describe("Zipf", () => {
  test("the first ranks get what the law says", () => {
    const zipf = new Zipf(1_000, 1);
    const random = new Random(5);
    const counts = Array.from({ length: 1_000 }, () => 0);
    for (let i = 0; i < 200_000; i++) counts[zipf.rank(random.next())]!++;
    // The sum of 1/k over 1,000 is 7.485.
    expect(counts[0]! / 200_000).toBeCloseTo(1 / 7.485, 2);
    expect(counts[0]! / counts[1]!).toBeCloseTo(2, 0);
    expect(counts[999]).toBeGreaterThan(0);
  });

  test("every rank is in range, for one ad too", () => {
    expect(new Zipf(1).rank(0.999_999)).toBe(0);
    const zipf = new Zipf(3);
    expect([zipf.rank(0), zipf.rank(0.999_999_999)]).toEqual([0, 2]);
    expect(() => new Zipf(0)).toThrow("0 ads");
  });
});

describe("the plan", () => {
  const batches = plan();
  const all = transmissions(batches);
  const distinct = [...new Set(all)];

  test("follows from the seed alone", () => {
    expect(JSON.stringify(plan({ seconds: 1 }))).toBe(JSON.stringify(plan({ seconds: 1 })));
    expect(JSON.stringify(plan({ seconds: 1 }))).not.toBe(
      JSON.stringify(plan({ seconds: 1, seed: 8 })),
    );
  });

  test("makes as many new clicks as the rate asks for, evenly over the time", () => {
    expect(distinct).toHaveLength(20_000);
    expect(batches.at(-1)!.dueMs).toBeLessThan(10_000);
    const firstHalf = batches.filter((batch) => batch.dueMs < 5_000);
    expect(share(transmissions(firstHalf).length, all.length)).toBeCloseTo(0.5, 1);
  });

  test("ids are unique, and one id has one content", () => {
    const ids = distinct.filter((click) => click.good).map((click) => click.clickId);
    expect(new Set(ids).size).toBe(ids.length);
  });

  test("the edge's own parser takes every good click and rejects every broken one", () => {
    const wrong = distinct.filter((click) => {
      const parsed = parseClick(JSON.parse(JSON.stringify(click.body)));
      if (isRejection(parsed)) return click.good;
      return (
        !click.good ||
        parsed.clickId !== click.clickId ||
        parsed.adId !== click.adId ||
        parsed.claimedTimeMs !== click.claimedMs
      );
    });
    expect(wrong).toEqual([]);
  });

  test("about 1 % is malformed, in many ways", () => {
    const broken = distinct.filter((click) => !click.good);
    expect(share(broken.length, distinct.length)).toBeCloseTo(0.01, 2);
    const codes = new Set(
      broken.map((click) => {
        const parsed = parseClick(JSON.parse(JSON.stringify(click.body)));
        return isRejection(parsed) ? parsed.code : "";
      }),
    );
    expect(codes.size).toBeGreaterThanOrEqual(7);
  });

  test("about 5 % of batches lose answers, and clicks go along with later batches", () => {
    const faulty = batches.filter((batch) => batch.faults.length > 0);
    expect(share(faulty.length, batches.length)).toBeGreaterThan(0.03);
    expect(share(faulty.length, batches.length)).toBeLessThan(0.08);
    expect(batches.some((batch) => batch.faults.length === 2)).toBe(true);
    expect(batches.some((batch) => batch.againAfterMs !== null)).toBe(true);
    expect(share(all.length - distinct.length, distinct.length)).toBeGreaterThan(0.015);
    expect(
      batches.some((batch) => batch.clicks.some((c) => c.installation !== batch.installation)),
    ).toBe(true);
    expect(batches.some((batch) => new Set(batch.clicks).size < batch.clicks.length)).toBe(true);
  });

  test("batches are small and large, installations many and of many kinds", () => {
    const sizes = batches.map((batch) => batch.clicks.length);
    expect(Math.min(...sizes)).toBe(1);
    expect(Math.max(...sizes)).toBeGreaterThan(80);
    const installations = new Set(batches.map((batch) => batch.installation));
    expect(installations.size).toBeGreaterThan(400);
    expect(new Set([...installations].map((i) => i.country)).size).toBeGreaterThan(5);
    expect([...installations].some((i) => i.userAgent.includes("Googlebot"))).toBe(true);
    const offsets = [...installations].map((i) => Math.abs(i.clockOffsetMs));
    expect(offsets.some((ms) => ms > 0 && ms <= 3_000)).toBe(true);
    expect(offsets.some((ms) => ms > 365 * 86_400_000)).toBe(true);
    expect(offsets.some((ms) => ms > 3_000 && ms < 60_000)).toBe(false);
  });

  test("clicks are out of order, and some lie minutes back", () => {
    const ages = batches.flatMap((batch) =>
      batch.clicks
        .filter((click) => click.installation === batch.installation)
        .map(
          (click) => START_MS + batch.dueMs + batch.installation.clockOffsetMs - click.claimedMs,
        ),
    );
    expect(ages.some((ms) => ms > 5 * 60_000)).toBe(true);
    const outOfOrder = batches.some((batch) =>
      batch.clicks.some((click, i) => i > 0 && click.claimedMs < batch.clicks[i - 1]!.claimedMs),
    );
    expect(outOfOrder).toBe(true);
  });

  test("a click that another installation resends has two good clocks", () => {
    for (const batch of batches) {
      for (const click of batch.clicks) {
        if (click.installation === batch.installation) continue;
        for (const { clockOffsetMs, stampsSentAt } of [click.installation, batch.installation]) {
          expect(Math.abs(clockOffsetMs)).toBeLessThanOrEqual(3_000);
          expect(stampsSentAt).toBe(true);
        }
      }
    }
  });
});
