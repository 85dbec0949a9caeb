/** Where clicks go. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { CLICK_ID_BYTES_MAX } from "./limits.ts";
import { homes, shardOf } from "./routing.ts";

/** Few letters, so that ids begin alike; dots anywhere. */
const clickId = fc.stringMatching(/^[ab.]{1,5}$/);

test("the homes of a request's clicks are those that each id has alone", () => {
  fc.assert(
    fc.property(fc.array(clickId), fc.integer({ min: 1, max: 4_096 }), (ids, shards) => {
      const home = homes(shards);
      expect(ids.map((id) => home(id))).toEqual(ids.map((id) => shardOf(id, shards)));
    }),
    { numRuns: 500 },
  );
});

test("an id of any length and letters has a home: what is rejected goes somewhere, too", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 700, size: "max" }), (id) => {
      const home = shardOf(id, 64);
      expect(home).toBeGreaterThanOrEqual(0);
      expect(home).toBeLessThan(64);
      expect(homes(64)(id)).toBe(home);
    }),
  );
  expect(shardOf("x".repeat(100_000), 64)).toBe(shardOf("x".repeat(CLICK_ID_BYTES_MAX), 64));
});
