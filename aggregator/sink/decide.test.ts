/** The sinks' decisions: what makes one insert, what is in doubt, where reading goes on. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decidePosition } from "./decide-position.ts";
import { missingUnits, placeUnit } from "./decide-units.ts";
import { planBatch } from "./plan-batch.ts";
import type { Batchable } from "./plan-batch.ts";
import { trimBoundary } from "./trimmer.ts";
import { tokenText } from "./unit.ts";
import type { Reached, Unit } from "./unit.ts";

const limits = { bytesMax: 100, unitsMax: 4, lingerMs: 1_000 };
const m = (byteCount: number, brokerTimeMs: number, day = 1, repeated = false) => ({
  brokerTimeMs,
  unit: { body: { length: byteCount }, day },
  repeated,
});
const tick = (brokerTimeMs: number) => ({ brokerTimeMs, unit: null, repeated: false });

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

  test("has the same units however far the reader has read, and wherever an earlier life had stopped", () => {
    const message = fc.record({
      pauseMs: fc.integer({ min: 0, max: 700 }),
      byteCount: fc.integer({ min: 0, max: 60 }),
      what: fc.constantFrom("unit", "unit", "tick", "repeat"),
      day: fc.integer({ min: 1, max: 2 }),
    });
    fc.assert(
      fc.property(
        fc.array(message, { maxLength: 40 }),
        fc.integer({ min: 1, max: 7 }),
        (list, stride) => {
          let timeMs = 0;
          const stream = list.map(({ pauseMs, byteCount, what, day }, index) => {
            timeMs += pauseMs;
            const read =
              what === "tick" ? tick(timeMs) : m(byteCount, timeMs, day, what === "repeat");
            return { ...read, index };
          });
          const all = batches(stream, stream.length + 1);
          expect(batches(stream, stride)).toEqual(all);
          for (const [i, batch] of all.entries()) {
            const rest = stream.slice(batch.at(-1)! + 1);
            expect(batches(rest, stride)).toEqual(all.slice(i + 1));
          }
        },
      ),
    );
  });
});

/** The units of each batch by index, when `stride` messages are read at a time; as the sink does it. */
function batches(stream: readonly (Batchable & { index: number })[], stride: number): number[][] {
  const waiting: (Batchable & { index: number })[] = [];
  const found: number[][] = [];
  for (let read = 0; read < stream.length; read += stride) {
    waiting.push(...stream.slice(read, read + stride));
    for (;;) {
      while (waiting[0] !== undefined && (waiting[0].unit === null || waiting[0].repeated))
        waiting.shift();
      const count = planBatch(waiting, limits);
      if (count === null) break;
      found.push(waiting.splice(0, count).flatMap((w) => (w.unit === null ? [] : w.index)));
    }
  }
  return found;
}

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
    numberText: String(number),
    number,
    chunk: 0,
    complete: true,
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
  const at = (number: number, chunk = 0, complete = true): Reached => ({ number, chunk, complete });
  const holeOf = (u: Unit, reached?: Reached) => {
    const place = placeUnit(u, reached);
    return place.kind === "fresh" ? (place.hole?.detail ?? "none") : "repeated";
  };

  test("in order are fresh; at or before what was reached they are repeated", () => {
    expect(holeOf(unit("a", 3, 2), at(2))).toBe("none");
    expect(holeOf(unit("a", 2, 1), at(2))).toBe("repeated");
    expect(holeOf(unit("a", 1, 0), at(2))).toBe("repeated");
    expect(holeOf(unit("b", 1, 0))).toBe("none");
  });

  test("a hole is named and nothing waits for it", () => {
    expect(holeOf(unit("a", 5, 4), at(2))).toBe("a:5:0 follows 2.0, it says 4.0");
  });

  test("a first number that follows another is a hole too", () => {
    expect(holeOf(unit("a", 5, 4))).toContain("follows 0.0");
    expect(holeOf(unit("a", 5, 0))).toBe("none");
  });

  test("chunks follow each other, and an emission the last chunk of the one before", () => {
    const chunk = (n: number, i: number) =>
      unit("p", n, null, {
        chunk: i,
        ...(i === 0 ? {} : { previous: { number: n, chunk: i - 1 } }),
      });
    expect(holeOf(chunk(1, 0))).toBe("none");
    expect(holeOf(chunk(1, 1), at(1, 0, false))).toBe("none");
    expect(holeOf(chunk(2, 0), at(1, 1))).toBe("none");
    expect(holeOf(chunk(2, 0), at(1, 1, false))).toContain("1.1, which is not its last chunk");
    expect(holeOf(chunk(3, 0), at(1, 0))).toContain("follows 1.0");
    expect(holeOf(chunk(1, 2), at(1, 0, false))).toContain("it says 1.1");
    expect(holeOf(chunk(1, 0), at(1, 1))).toBe("repeated");
  });

  test("only what the table does not have is missing", () => {
    const units = [unit("a", 1, 0), unit("a", 2, 1)];
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
    expect(decidePosition(stored, { ...stream, there: null })).toEqual({
      sequence: 51,
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
  });
});

describe("trimming", () => {
  const safe = [1, 2, 3].map((n) => ({ sequence: n * 10, brokerTimeMs: n * 1_000 }));

  test("goes through the newest safe point that is older than what is kept", () => {
    expect(trimBoundary(safe, 4_000, 2_000, 0)).toBe(20);
    expect(trimBoundary(safe, 2_000, 2_000, 0)).toBeNull();
  });

  test("keeps nothing for replay when there is little room", () => {
    expect(trimBoundary(safe, 4_000, 3_600_000, 0.6)).toBe(30);
    expect(trimBoundary([], 4_000, 0, 1)).toBeNull();
  });
});
