/** What a sink takes for a unit, and what it does not. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LONGEST_CLICK, LONGEST_REJECTED } from "../../tests/helpers/longest-rows.ts";
import { encodeBlock } from "../../wire/block.ts";
import type { Origin } from "../../wire/block.ts";
import {
  reserve,
  utf8,
  writer,
  writeBytes,
  writeI64,
  writeString,
  writeU32,
  written,
} from "../../wire/cursor.ts";
import { RAW_CLICK_BYTES_MAX, unitBytes } from "../../wire/raw-click.ts";
import { writeRawClick } from "../../tests/helpers/raw-rows.ts";
import { REJECTED_CLICK_BYTES_MAX, writeRejectedClick } from "../../wire/rejected-click.ts";
import { RESULT_BYTES_MAX, resultTail } from "../../wire/result.ts";
import { readUnit } from "./read-unit.ts";
import { RAW_SINK, REJECTED_SINK, RESULT_SINK } from "./unit.ts";
import type { SinkKind } from "./unit.ts";

const FLUSH = { shard: 4095, epoch: "abcdefgh", flush: 7, previous: 6, flushedOn: 20_000 };
const RAW: Origin = { kind: "raw", ...FLUSH, idsHash: 1n };
const REJECTED: Origin = { kind: "rejected", ...FLUSH };
const UNIT = { job: "", partitions: 2, partition: 1, emission: 9, emittedOn: 20_000 };
const RESULT: Origin = {
  kind: "result",
  partitions: UNIT.partitions,
  partition: UNIT.partition,
  emission: UNIT.emission,
  emittedOn: UNIT.emittedOn,
  chunk: 1,
  chunks: 2,
  emissionHash: 1n,
  emissionRows: 4,
  emissionClicks: 4,
  watermarkMs: 0,
  closedThroughSeconds: 0,
  producers: [],
};

/** `rows` rows as their producers write them. */
function rawRows(rows: number, unit = unitBytes(FLUSH)): Uint8Array {
  const c = writer();
  for (let i = 0; i < rows; i++) {
    const start = c.at;
    reserve(c, RAW_CLICK_BYTES_MAX);
    writeRawClick(c, {
      ...LONGEST_CLICK,
      ...(i % 2 === 0 ? {} : { sentAtMs: null, skewMs: null }),
    });
    c.bytes.set(unit, start);
  }
  return written(c);
}
function rejectedRows(rows: number): Uint8Array {
  const c = writer();
  for (let i = 0; i < rows; i++) {
    const start = c.at;
    reserve(c, REJECTED_CLICK_BYTES_MAX);
    writeRejectedClick(c, LONGEST_REJECTED);
    c.bytes.set(unitBytes(FLUSH), start);
  }
  return written(c);
}
function resultRows(rows: number, chunk = 1, originCode = 2): Uint8Array {
  const c = writer();
  for (let i = 0; i < rows; i++) {
    reserve(c, RESULT_BYTES_MAX);
    writeU32(c, 60);
    for (const text of ["ad", "KR", "mobile", ""]) writeString(c, utf8(text));
    writeI64(c, -1);
    c.bytes[c.at++] = originCode;
    writeBytes(c, resultTail(UNIT, chunk));
  }
  return written(c);
}

function read(sink: SinkKind, data: Uint8Array) {
  return readUnit(
    sink,
    { subject: "s", sequence: 5, brokerTimeMs: 1, id: "id", data, pending: 0 },
    "2026",
  );
}
const KINDS: readonly (readonly [string, SinkKind, Origin, (rows: number) => Uint8Array])[] = [
  ["raw", RAW_SINK, RAW, rawRows],
  ["rejected", REJECTED_SINK, REJECTED, rejectedRows],
  ["result", RESULT_SINK, RESULT, (rows) => resultRows(rows)],
];

describe.each(KINDS)("a %s block", (_, sink, origin, rowsOf) => {
  const reasonOf = (rows: number, body: Uint8Array) => {
    const reading = read(sink, encodeBlock(origin, rows, body).bytes);
    return reading.kind === "broken" ? reading.reason : reading.kind;
  };

  test("with the rows that it promises is a unit", () => {
    expect(reasonOf(3, rowsOf(3))).toBe("unit");
    expect(reasonOf(0, new Uint8Array(0))).toBe("unit");
  });

  test("with a row more or fewer, or a byte, is none", () => {
    expect(reasonOf(2, rowsOf(3))).toMatch(/bytes follow the last of 2 rows/);
    expect(reasonOf(4, rowsOf(3))).toMatch(/^rows: row 3: cut off/);
    expect(reasonOf(3, rowsOf(3).subarray(1))).toMatch(/^rows: /);
    expect(reasonOf(3, rowsOf(3).slice(0, -1))).toMatch(/^rows: row 2: /);
  });

  test("of anything else is none, and reading it never throws", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 400 }),
        fc.integer({ min: 1, max: 3 }),
        (body, rows) => {
          expect(reasonOf(rows, body)).toMatch(/^rows: /);
        },
      ),
    );
  });

  test("in another stream does not belong there", () => {
    for (const [, other] of KINDS) {
      if (other === sink) continue;
      expect(read(other, encodeBlock(origin, 1, rowsOf(1)).bytes)).toMatchObject({
        kind: "broken",
        reason: `a ${origin.kind} block does not belong in ${other.stream}`,
      });
    }
  });
});

describe("rows that ClickHouse would take, and never find or read again", () => {
  test("carry another unit than their block", () => {
    const other = rawRows(1, unitBytes({ ...FLUSH, flush: 8 }));
    expect(read(RAW_SINK, encodeBlock(RAW, 1, other).bytes)).toMatchObject({
      reason: "rows: row 0: another unit's",
    });
    expect(read(RESULT_SINK, encodeBlock(RESULT, 1, resultRows(1, 0)).bytes)).toMatchObject({
      reason: "rows: row 0: another unit's",
    });
  });

  test("have a code that no enum knows: a later version's, at which the reader stops", () => {
    const body = rawRows(2).slice();
    body[36] = 9;
    expect(read(RAW_SINK, encodeBlock(RAW, 2, body).bytes)).toEqual({
      kind: "unknown_version",
      reason: "rows: row 0: time source 9 is unknown",
    });
    expect(read(RESULT_SINK, encodeBlock(RESULT, 1, resultRows(1, 1, 0)).bytes)).toEqual({
      kind: "unknown_version",
      reason: "rows: row 0: origin 0 is unknown",
    });
  });

  test("have such a code, and are broken besides: no version's", () => {
    const body = rawRows(2).slice();
    body[36] = 9;
    for (const [rows, bytes] of [
      [1, body],
      [3, body],
      [2, body.slice(0, -1)],
    ] as const) {
      expect(read(RAW_SINK, encodeBlock(RAW, rows, bytes).bytes)).toMatchObject({ kind: "broken" });
    }
    expect(read(RESULT_SINK, encodeBlock(RESULT, 1, resultRows(1, 0, 0)).bytes)).toMatchObject({
      kind: "broken",
      reason: "rows: row 0: another unit's",
    });
  });
});

test("a tick is no unit, and garbage is broken", () => {
  const tick = encodeBlock({ kind: "tick" }, 0, new Uint8Array(0)).bytes;
  expect(read(RAW_SINK, tick)).toEqual({ kind: "tick" });
  expect(read(RAW_SINK, new Uint8Array(0))).toMatchObject({ kind: "broken" });
});
