/** What is done with a set-aside message, and how it is shown. */
import { describe, expect, test } from "vitest";
import {
  garbage,
  ofVersion,
  ownPartial,
  ownRaw,
  ownRejected,
  ownResult,
} from "../../tests/helpers/set-aside-fixtures.ts";
import { encodeBlock, WIRE_VERSION } from "../../wire/block.ts";
import { hashText } from "../../wire/hash.ts";
import type { StreamName } from "../../wire/subjects.ts";
import { AGAIN_SUBJECTS, STREAM_SUBJECTS } from "../../wire/subjects.ts";
import type { Letter } from "../source/dead-letters.ts";
import { decideRetry, sequenceOf, streamNamed } from "./dead-letter.ts";
import { faultNow } from "./dead-letter-fault.ts";
import { headJson, hexDump, letterFacts, letterTable, letterText } from "./dead-letter-text.ts";

const NOW_MS = 1_795_420_042_721;

function letter(stream: StreamName | null, data: Uint8Array, sequence = 17): Letter {
  return {
    head: {
      sequence,
      setAsideMs: NOW_MS,
      stream,
      fromSubject: "clicks.raw.0",
      fromSequence: "123",
      reason: "checksum differs",
      byteCount: data.length,
      keptByteCount: data.length,
    },
    headers: [["Clickmill-Reason", "checksum differs"]],
    data,
  };
}
const raw = ownRaw(NOW_MS);
const result = ownResult(NOW_MS, 4);

describe("a retry", () => {
  test.each([
    ["CLICKS_RAW", raw, "clicks.raw.again", "4000-setaside:1@17"],
    ["CLICKS_REJECTED", ownRejected(NOW_MS), "clicks.rejected.again", "4000-setaside:1@17"],
    ["RESULTS", result, "results.again", "9.3:4.0@17"],
  ] as const)(
    "of what is read now goes back into %s, on a subject of its own",
    (stream, block, subject, number) => {
      // The ledger compares the end of the id with the block's hash.
      expect(decideRetry(letter(stream, block.bytes))).toMatchObject({
        kind: "publish",
        subject,
        id: `${subject}:${number}:${hashText(block.hash)}`,
      });
      const captured = STREAM_SUBJECTS[stream].some((pattern) =>
        new RegExp(
          `^${pattern.replaceAll(".", "\\.").replaceAll("*", "[^.]+").replace(">", ".+")}$`,
        ).test(subject),
      );
      expect(captured).toBe(true);
    },
  );

  test("has another id for another copy, and the same for the same", () => {
    const idOf = (sequence: number) => {
      const decision = decideRetry(letter("CLICKS_RAW", raw.bytes, sequence));
      return decision.kind === "publish" ? decision.id : null;
    };
    expect(idOf(17)).toBe(idOf(17));
    expect(idOf(17)).not.toBe(idOf(18));
  });

  test("of what is still not readable is refused with the reason", () => {
    for (const bytes of [...Object.values(garbage(raw, result)), ofVersion(raw.bytes, 99)]) {
      const decision = decideRetry(letter("CLICKS_RAW", bytes));
      expect(decision).toMatchObject({
        kind: "refuse",
        reason: expect.stringMatching(/^still not readable: ./),
      });
    }
  });

  test("of partial counts is refused in words, and so is what belongs nowhere", () => {
    const partial = ownPartial(NOW_MS, 2, 0, 60).bytes;
    const reasonOf = (l: Letter) => {
      const decision = decideRetry(l);
      return decision.kind === "refuse" ? decision.reason : "";
    };
    expect(reasonOf(letter("CLICKS_PARTIAL", partial))).toContain("recalculation from raw");
    expect(reasonOf(letter(null, raw.bytes))).toContain("no stream of ours");
    expect(reasonOf(letter("SET_ASIDE", raw.bytes))).toContain("nobody reads SET_ASIDE");
    const tick = encodeBlock({ kind: "tick" }, 0, new Uint8Array(0)).bytes;
    expect(reasonOf(letter("CLICKS_RAW", tick))).toContain("tick");
    expect(AGAIN_SUBJECTS.CLICKS_PARTIAL).toBeUndefined();
  });
});

describe("what is wrong with it now", () => {
  const factsOf = (l: Letter) => letterFacts(l, faultNow(l));
  test("is asked of the code of today", () => {
    expect(faultNow(letter("CLICKS_RAW", raw.bytes))).toBeNull();
    expect(faultNow(letter("RESULTS", raw.bytes))).toBe("a raw block does not belong in RESULTS");
    expect(faultNow(letter("CLICKS_PARTIAL", raw.bytes.subarray(1)))).not.toBeNull();
    expect(faultNow(letter(null, new Uint8Array(3)))).toBe("3 bytes are no block");
  });

  test("is asked of a partition for partial counts: rows, kind, place and settings", () => {
    const partial = ownPartial(NOW_MS, 2, 1, 60);
    const fault = (bytes: Uint8Array, fromSubject = "clicks.partial.2.1") => {
      const l = letter("CLICKS_PARTIAL", bytes);
      return faultNow({ ...l, head: { ...l.head, fromSubject } });
    };
    expect(fault(partial.bytes)).toBeNull();
    expect(fault(partial.bytes, "clicks.partial.2.0")).toBe("it is for partition 1 of 2");
    expect(fault(partial.bytes, "elsewhere")).toBe("no partition reads its subject");
    expect(fault(raw.bytes)).toBe("a raw block does not belong on clicks.partial.2.1");
    for (const [name, bytes] of Object.entries(garbage(partial, raw))) {
      expect([name, fault(bytes)]).toEqual([name, expect.any(String)]);
    }
    expect(fault(garbage(partial, raw)["no rows under a right checksum"]!)).toMatch(
      /^rows: .* at byte \d/,
    );
  });

  test("is that its end is not kept, where it was longer than any of ours", () => {
    const l = letter("CLICKS_RAW", raw.bytes);
    const cut = { ...l, head: { ...l.head, byteCount: 1_048_576 } };
    const reason = `1048576 bytes are no block, and only the first ${raw.bytes.length} are kept`;
    expect(faultNow(cut)).toBe(reason);
    expect(decideRetry(cut)).toEqual({ kind: "refuse", reason: `still not readable: ${reason}` });
    const text = letterText(cut, reason, 16);
    expect(text).toContain(
      `bytes       16 of 1048576, of which the first ${raw.bytes.length} are kept`,
    );
    expect(letterTable([cut.head], 140)).toContain("  1048576  ");
    expect(headJson(cut.head)).toMatchObject({ bytes: 1_048_576, bytes_kept: raw.bytes.length });
  });

  test("is told with what the bytes say of themselves, as far as they can be read", () => {
    const [bytes] = [garbage(raw, result)["one bit of the body"]!];
    expect(factsOf(letter("CLICKS_RAW", bytes))).toMatchObject({
      fault: "checksum differs",
      prefix: { version: WIRE_VERSION, kind: "1 (raw)", rows: 2, body_bytes: raw.body.length },
      origin: { kind: "raw", shard: 4_000, epoch: "setaside", flush: 1, idsHash: hashText(5n) },
    });
    expect(factsOf(letter("CLICKS_RAW", new Uint8Array(9)))).toMatchObject({
      prefix: null,
      origin: null,
    });
    const later = factsOf(letter("CLICKS_RAW", ofVersion(raw.bytes, 99)));
    expect(later).toMatchObject({ prefix: { version: 99 }, origin: null });
    expect(() => JSON.stringify(factsOf(letter("RESULTS", result.bytes)))).not.toThrow();
  });

  test("is text that writes nothing to a terminal", () => {
    const nasty = "a\u001b[2Jb\nc";
    const l = letter("CLICKS_RAW", raw.bytes);
    const text = letterText(
      { ...l, head: { ...l.head, reason: nasty, fromSubject: nasty }, headers: [["x", nasty]] },
      nasty,
      64,
    );
    expect(text).not.toContain("\u001b");
    expect(text).toContain("a?[2Jb?c");
    expect(text).toContain(`bytes       64 of ${raw.bytes.length}`);
    expect(letterTable([{ ...l.head, reason: nasty }], 200)).not.toContain("\u001b");
  });
});

test("a table is as wide as the terminal, and a reason keeps a few words", () => {
  const { head } = letter("CLICKS_RAW", raw.bytes);
  const heads = [head, { ...head, sequence: 1_000_000, reason: "x".repeat(500) }];
  for (const width of [100, 140]) {
    const lines = letterTable(heads, width).split("\n");
    expect(lines).toHaveLength(3);
    expect(Math.max(...lines.map((l) => l.length))).toBe(width);
  }
  expect(letterTable(heads, 10)).toContain(`${"x".repeat(19)}…`);
  expect(letterTable([head], 140)).toContain(
    `      17  2026-11-23 07:47:22  clicks.raw.0  123   ${raw.bytes.length}  checksum differs`,
  );
});

test("a hex dump names offsets, sixteen bytes a line", () => {
  const bytes = Uint8Array.from([...Buffer.from("Clickmill\n"), 0, 255, 1, 2, 3, 4, 5]);
  expect(hexDump(bytes).split("\n")).toEqual([
    "000000  43 6c 69 63 6b 6d 69 6c  6c 0a 00 ff 01 02 03 04  Clickmill.......",
    `000010  05${" ".repeat(48)}.`,
  ]);
});

test("sequences and streams are named exactly", () => {
  expect(["1", "17", "0", "-1", "1.5", "1e3", " 1", ""].map(sequenceOf)).toEqual([
    1,
    17,
    null,
    null,
    null,
    null,
    null,
    null,
  ]);
  expect(["CLICKS_RAW", "results", "SET_ASIDE", "raw"].map(streamNamed)).toEqual([
    "CLICKS_RAW",
    "RESULTS",
    null,
    null,
  ]);
});
