/** Where clicks go. */
import fc from "fast-check";
import { expect, test } from "vitest";
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
