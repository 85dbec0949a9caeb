/** The sinks' decisions: what makes one insert, what is in doubt, where reading goes on. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decidePosition } from "./decide-position.ts";
import { missingUnits, orderUnits } from "./decide-units.ts";
import { planBatch } from "./plan-batch.ts";
import { trimBoundary } from "./trimmer.ts";
import { tokenText } from "./unit.ts";
import type { Unit } from "./unit.ts";

const limits = { bytesMax: 100, unitsMax: 4, lingerMs: 1_000 };
const m = (byteCount: number, brokerTimeMs: number, day = 1) => ({
  brokerTimeMs,
  unit: { body: { length: byteCount }, day },
});
const tick = (brokerTimeMs: number) => ({ brokerTimeMs, unit: null });

describe("a batch", () => {
  test("ends only by what follows it in the stream: a later message, or a tick", () => {
    expect(planBatch([m(10, 5_000), m(10, 5_999)], limits)).toBeNull();
    expect(planBatch([m(10, 5_000), m(10, 5_999), m(10, 6_000)], limits)).toBe(2);
    expect(planBatch([m(10, 5_000), tick(5_500), m(10, 5_999), tick(6_000)], limits)).toBe(3);
    expect(planBatch([tick(1), tick(9_000), m(10, 9_001), tick(10_001)], limits)).toBe(3);
  });

  test("ends before a message beyond its bytes, its units or its day", () => {
    expect(planBatch([m(60, 5_000), m(40, 5_000), m(1, 5_000)], limits)).toBe(2);
    expect(
      planBatch(
        [1, 2, 3, 4, 5].map(() => m(1, 5_000)),
        limits,
      ),
    ).toBe(4);
    expect(planBatch([m(1, 5_000), m(1, 5_000, 2)], limits)).toBe(1);
    expect(planBatch([m(500, 5_000), m(1, 5_000)], limits)).toBe(1);
  });

  test("of nothing, or of ticks, is nothing", () => {
    expect(planBatch([], limits)).toBeNull();
    expect(planBatch([tick(1), tick(99_000)], limits)).toBeNull();
  });

  test("has the same units however far the reader has read, and from every batch's end on", () => {
    const message = fc.tuple(
      fc.integer({ min: 0, max: 700 }),
      fc.integer({ min: 0, max: 60 }),
      fc.boolean(),
      fc.integer({ min: 1, max: 2 }),
    );
    fc.assert(
      fc.property(
        fc.array(message, { maxLength: 40 }),
        fc.integer({ min: 1, max: 7 }),
        (list, stride) => {
          let timeMs = 0;
          const stream = list.map(([pause, bytes, isTick, day]) => {
            timeMs += pause;
            return isTick ? tick(timeMs) : m(bytes, timeMs, day);
          });
          const ends = (step: number) => {
            const found: number[] = [];
            let from = 0;
            for (
              let read = 0;
              read <= stream.length;
              read = Math.min(stream.length, read + step) || 1
            ) {
              for (
                let count = planBatch(stream.slice(from, read), limits);
                count !== null;
                count = planBatch(stream.slice(from, read), limits)
              ) {
                from += count;
                found.push(from);
              }
              if (read === stream.length) break;
            }
            return found;
          };
          expect(ends(stride)).toEqual(ends(stream.length + 1));
        },
      ),
    );
  });
});

function unit(
  producer: string,
  number: number,
  previous: number | null,
  more: Partial<Unit> = {},
): Unit {
  const key = `${producer}:${number}:${more.chunk ?? 0}`;
  return {
    producer,
    key,
    number,
    chunk: 0,
    previous: previous === null ? null : { number: previous, chunk: 0 },
    day: 1,
    rows: 5,
    body: new Uint8Array(1),
    hash: 1n,
    message: {
      subject: "s",
      sequence: 1,
      brokerTimeMs: 0,
      id: key,
      data: new Uint8Array(0),
      pending: 0,
    },
    ledgerRow: new Uint8Array(0),
    ...more,
  };
}

describe("units", () => {
  test("in order are fresh; at or before the known number they are repeated, also within a batch", () => {
    const units = [unit("a", 3, 2), unit("a", 2, 1), unit("b", 1, 0), unit("b", 1, 0)];
    const order = orderUnits(units, new Map([["a", { number: 2, chunk: 0 }]]));
    expect(order.fresh).toEqual([units[0], units[2]]);
    expect(order.repeated).toEqual([units[1], units[3]]);
    expect(order.holes).toEqual([]);
  });

  test("a hole is named and nothing waits for it", () => {
    const order = orderUnits([unit("a", 5, 4)], new Map([["a", { number: 2, chunk: 0 }]]));
    expect(order.fresh).toHaveLength(1);
    expect(order.holes).toMatchObject([
      { alarm: "hole", detail: expect.stringContaining("2.0, it says 4.0") },
    ]);
  });

  test("a first number that follows another is a hole too", () => {
    expect(orderUnits([unit("a", 5, 4)], new Map()).holes).toHaveLength(1);
    expect(orderUnits([unit("a", 5, 0)], new Map()).holes).toHaveLength(0);
  });

  test("chunks follow each other, and emissions do", () => {
    const chunk = (n: number, i: number) =>
      unit("p", n, i === 0 ? null : n, {
        chunk: i,
        previous: i === 0 ? null : { number: n, chunk: i - 1 },
      });
    const good = [chunk(1, 0), chunk(1, 1), chunk(2, 0)];
    expect(orderUnits(good, new Map())).toMatchObject({ fresh: good, holes: [] });
    expect(orderUnits([chunk(1, 0), chunk(3, 0)], new Map()).holes).toHaveLength(1);
    expect(orderUnits([chunk(1, 0), chunk(1, 2)], new Map()).holes).toHaveLength(1);
  });

  test("only what the table does not have is missing, once", () => {
    const units = [unit("a", 1, 0), unit("a", 2, 1), unit("a", 2, 1), unit("a", 3, 2, { rows: 0 })];
    expect(missingUnits(units, new Map([["a:1:0", 5]]))).toEqual({
      missing: [units[1]],
      damaged: [],
    });
  });

  test("a unit that is there with other rows is never inserted again, and reported", () => {
    const result = missingUnits([unit("a", 1, 0)], new Map([["a:1:0", 4]]));
    expect(result.missing).toEqual([]);
    expect(result.damaged).toMatchObject([{ alarm: "unit_damaged" }]);
  });

  test("the token is the units and their rows, wherever they stand in the stream", () => {
    const here = unit("a", 1, 0);
    const there = { ...here, message: { ...here.message, sequence: 99, brokerTimeMs: 7 } };
    expect(tokenText([there])).toBe(tokenText([here]));
    expect(tokenText([{ ...here, rows: 6 }])).not.toBe(tokenText([here]));
  });
});

describe("a position", () => {
  const stored = { sequence: 50, messageId: "m50", timeMs: 5_000 };
  const stream = { firstSequence: 1, lastSequence: 80, there: { id: "m50", brokerTimeMs: 5_000 } };

  test("is believed when the stream still says the same there", () => {
    expect(decidePosition(stored, stream)).toEqual({ sequence: 51, lost: null });
    expect(decidePosition(null, stream)).toEqual({ sequence: 1, lost: null });
  });

  test("behind what was trimmed goes on with what is left", () => {
    expect(decidePosition(stored, { ...stream, firstSequence: 60, there: null })).toEqual({
      sequence: 60,
      lost: null,
    });
  });

  test("that the stream contradicts is lost: everything is read again", () => {
    expect(
      decidePosition(stored, { ...stream, there: { id: "other", brokerTimeMs: 5_000 } }),
    ).toMatchObject({ sequence: 1, lost: expect.stringContaining("m50") });
    expect(
      decidePosition(stored, { ...stream, there: { id: "m50", brokerTimeMs: 5_001 } }),
    ).toMatchObject({ sequence: 1, lost: expect.any(String) });
    expect(decidePosition(stored, { ...stream, lastSequence: 40, there: null })).toMatchObject({
      sequence: 1,
      lost: expect.stringContaining("beyond"),
    });
    expect(decidePosition(stored, { ...stream, there: null })).toMatchObject({
      sequence: 1,
      lost: expect.stringContaining("nothing stands"),
    });
  });
});

test("a stream is trimmed through the newest safe message that is older than what is kept", () => {
  const safe = [1, 2, 3].map((n) => ({ sequence: n * 10, brokerTimeMs: n * 1_000 }));
  expect(trimBoundary(safe, 4_001, 2_000)).toMatchObject({ sequence: 20 });
  expect(trimBoundary(safe, 2_000, 2_000)).toBeNull();
});
