/** The dedup index over the object's own SQLite, against a plain map of buckets. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RESEND_ERROR_MS_MAX } from "../../wire/limits.ts";
import { DEDUP_BUCKET_MS, DEDUP_PAGE_IDS_MAX, DEDUP_SEGMENT_IDS } from "../limits.ts";
import { bucketOf, DedupIndex, limitAfterDropping } from "./dedup-index.ts";
import { DedupStorage } from "./dedup-storage.ts";
import { withSql } from "./fixtures.ts";
import { IdFilter } from "./id-filter.ts";
import { pageHas, pagesOf } from "./sealed-pages.ts";

const hour = DEDUP_BUCKET_MS;
const agree = <Value>(index: Value, model: Value) => expect(index).toBe(model);

/** Fingerprints that are spread like hashes, by number: odd multipliers give each number another. */
const lanes = (n: number): [low: number, high: number] => [
  Math.imul(n + 1, 0x9e37_79b1) >>> 0,
  Math.imul(n + 1, 0x85eb_ca6b) >>> 0,
];

const has = (index: DedupIndex, low: number, high: number) =>
  index.openHas(low, high) || index.sealedHave(Uint32Array.of(low, high))[0] === 1;

describe("the dedup index", () => {
  test("knows what was added and nothing else, over seals, drops and restarts", async () => {
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.integer({ min: 0, max: 400 }) },
      { weight: 1, arbitrary: fc.constant("seal" as const) },
      { weight: 1, arbitrary: fc.constant("drop" as const) },
      { weight: 1, arbitrary: fc.constant("restart" as const) },
      { weight: 2, arbitrary: fc.constant("an hour" as const) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 200 }), (steps) =>
        withSql((sql) => {
          const create = () => new DedupIndex(new DedupStorage(sql), 5 * hour);
          let index = create();
          let nowMs = 100 * hour;
          let open = new Set<number>();
          let sealed: { bucket: number; ids: Set<number> }[] = [];
          const seal = () => {
            index.seal(nowMs);
            if (open.size > 0) sealed.push({ bucket: bucketOf(nowMs), ids: open });
            open = new Set();
          };
          const known = (n: number) => open.has(n) || sealed.some(({ ids }) => ids.has(n));
          for (const what of steps) {
            if (what === "an hour") nowMs += hour;
            else if (what === "seal") seal();
            else if (what === "drop") {
              const bucket = index.bucketToDrop(nowMs, 0);
              const gone = sealed.filter((s) => (s.bucket + 1) * hour <= nowMs - 5 * hour);
              agree(bucket, gone.at(-1)?.bucket ?? null);
              if (bucket !== null) index.drop(bucket);
              sealed = sealed.filter((s) => !gone.includes(s));
            } else if (what === "restart") {
              index = create();
              for (const n of open) index.add(...lanes(n), nowMs);
            } else {
              agree(has(index, ...lanes(what)), known(what));
              if (!sealed.some(({ ids }) => ids.has(what))) {
                agree(index.add(...lanes(what), nowMs), !open.has(what));
                open.add(what);
              }
            }
            expect(index.size).toBe(open.size + sealed.reduce((sum, { ids }) => sum + ids.size, 0));
          }
          for (let n = 0; n <= 400; n++) expect(has(index, ...lanes(n))).toBe(known(n));
        }),
      ),
      { numRuns: 40 },
    );
  });

  test("finds each of many ids in its page, and the fingerprint of zeros", async () => {
    await withSql((sql) => {
      const index = new DedupIndex(new DedupStorage(sql), 24 * hour);
      const count = 3 * DEDUP_PAGE_IDS_MAX;
      for (let n = 0; n < count; n++) index.add(...lanes(n), 0);
      index.add(0, 0, 0);
      index.seal(0);
      expect(sql.first("SELECT count(*) AS pages FROM dedup_pages")).toEqual({ pages: 4 });
      expect(has(index, 0, 0)).toBe(true);
      // Asked for together, those that are there among those that are not.
      const asked = Array.from({ length: 4 * count }, (_, i) => (i * 7) % (4 * count));
      const held = index.sealedHave(Uint32Array.from(asked.flatMap((n) => lanes(n))));
      expect([...held]).toEqual(asked.map((n) => (n < count ? 1 : 0)));
    });
  });

  test("a page holds 16 KB at most", () => {
    expect(DEDUP_PAGE_IDS_MAX * 8).toBeLessThanOrEqual(16 * 1024);
  });

  test("the open segment is sealed when its hour is over or when it is large, and belongs to the later hour", async () => {
    await withSql((sql) => {
      const storage = new DedupStorage(sql);
      const index = new DedupIndex(storage, 24 * hour);
      expect(index.sealDue(200 * hour)).toBe(false);
      index.add(1, 1, 100 * hour);
      expect(index.sealDue(101 * hour - 1)).toBe(false);
      expect(index.sealDue(101 * hour)).toBe(true);
      index.seal(101 * hour);
      expect(storage.segments().map(({ bucket }) => bucket)).toEqual([101]);
      // A clock that jumps back must not make a bucket that goes too soon.
      index.add(2, 2, 90 * hour);
      index.seal(90 * hour);
      expect(storage.segments().map(({ bucket }) => bucket)).toEqual([101, 101]);
      index.add(3, 3, 102 * hour);
      index.seal(90 * hour);
      expect(storage.segments()[0]!.bucket).toBe(102);
      for (let n = 0; n < DEDUP_SEGMENT_IDS; n++) index.add(n, 4, 101 * hour);
      expect(index.sealDue(101 * hour)).toBe(true);
    });
  });

  test("without room the oldest bucket goes, but not while that would refuse clicks of this moment", async () => {
    await withSql((sql) => {
      const index = new DedupIndex(new DedupStorage(sql), 24 * hour, 3);
      for (const low of [1, 2]) index.add(low, 1, 100 * hour);
      index.seal(100 * hour);
      index.add(3, 1, 101 * hour);
      index.seal(101 * hour);
      expect(index.isFull).toBe(true);
      expect(index.bucketToDrop(101 * hour + 60_000, 0)).toBeNull();
      expect(index.bucketToDrop(limitAfterDropping(100) - 1, 1)).toBeNull();
      expect(index.bucketToDrop(limitAfterDropping(100), 1)).toBe(100);
      index.drop(100);
      expect([has(index, 1, 1), has(index, 3, 1), index.isFull]).toEqual([false, true, false]);
      expect(index.bucketToDrop(limitAfterDropping(101) - 1, 1_000)).toBeNull();
      expect(index.bucketToDrop(limitAfterDropping(101), 1_000)).toBe(101);
    });
  });

  test("a dropped bucket leaves nothing in storage", async () => {
    await withSql((sql) => {
      const index = new DedupIndex(new DedupStorage(sql), 24 * hour);
      for (const bucket of [100, 101]) {
        for (let n = 0; n < 5_000; n++) index.add(...lanes(n + bucket * 5_000), bucket * hour);
        index.seal(bucket * hour);
      }
      const pages = () => sql.first<{ n: number }>("SELECT count(*) AS n FROM dedup_pages")!.n;
      expect(pages()).toBe(6);
      index.drop(100);
      expect(pages()).toBe(3);
      expect(has(index, ...lanes(100 * 5_000))).toBe(false);
      expect(has(index, ...lanes(101 * 5_000))).toBe(true);
      index.drop(101);
      expect([pages(), index.size, index.segmentCount]).toEqual([0, 0, 0]);
    });
  });

  test("a click received in a dropped bucket is before the limit that its dropping sets, with every error that its event time may have", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 4e12 }),
        fc.integer({ min: -1e12, max: RESEND_ERROR_MS_MAX }),
        (receivedAtMs, errorMs) => {
          expect(receivedAtMs + errorMs).toBeLessThan(limitAfterDropping(bucketOf(receivedAtMs)));
        },
      ),
    );
  });
});

describe("pages of sealed ids", () => {
  const pair = fc.tuple(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 0, max: 6 }));

  test("hold every id, in order, and what has one high lane stands in one page", () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(pair, { selector: ([low, high]) => `${low} ${high}`, minLength: 1 }),
        fc.integer({ min: 1, max: 8 }),
        (pairs, idCountMax) => {
          const sorted = pairs.toSorted((a, b) => a[1] - b[1] || a[0] - b[0]);
          const pages = pagesOf(Uint32Array.from(sorted.flat()), idCountMax);
          expect(pages.flatMap(({ fingerprints }) => [...fingerprints])).toEqual(sorted.flat());
          const highs = pages.map(({ fingerprints }) =>
            [...fingerprints].filter((_, i) => i % 2 === 1),
          );
          expect(pages.map(({ firstHigh }) => firstHigh)).toEqual(highs.map((of) => of[0]));
          highs.forEach((of, i) => {
            expect(of.length <= idCountMax || new Set(of).size === 1).toBe(true);
            expect(highs[i - 1] ?? []).not.toContain(of[0]);
          });
          for (const { fingerprints } of pages) {
            const inPage = new Set<string>();
            for (let i = 0; i < fingerprints.length; i += 2) {
              inPage.add(`${fingerprints[i]} ${fingerprints[i + 1]}`);
            }
            for (let low = 0; low <= 20; low++) {
              for (let high = 0; high <= 6; high++) {
                expect(pageHas(fingerprints, low, high)).toBe(inPage.has(`${low} ${high}`));
              }
            }
          }
        },
      ),
      { numRuns: 100 },
    );
  });
});

describe("the filter of a sealed segment", () => {
  test("has every id, and of others at most 3 in 1,000", () => {
    const random = (seed: number) => {
      // Mulberry32: any spread will do that is not the filter's own.
      let state = seed;
      return () => {
        state = (state + 0x6d2b_79f5) | 0;
        let t = Math.imul(state ^ (state >>> 15), 1 | state);
        t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
        return (t ^ (t >>> 14)) >>> 0;
      };
    };
    const next = random(1);
    const ids = Uint32Array.from({ length: 2 * 50_000 }, next);
    const filter = IdFilter.over(ids);
    for (let i = 0; i < ids.length; i += 2) {
      expect(filter.mayHave(ids[i]!, ids[i + 1]!)).toBe(true);
    }
    let hits = 0;
    for (let i = 0; i < 100_000; i++) if (filter.mayHave(next(), next())) hits++;
    expect(hits).toBeLessThan(300);
    // As stored and read again.
    const again = new IdFilter(new Uint32Array(filter.words));
    expect(again.mayHave(ids[0]!, ids[1]!)).toBe(true);
  });
});
