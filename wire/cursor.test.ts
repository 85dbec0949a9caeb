/** Text as bytes, by either way. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { reader, readString, utf8, writer, writeText, written } from "./cursor.ts";

const texts = fc.oneof(
  fc.stringMatching(/^[ -~]{0,70}$/),
  fc.stringMatching(/^[ -~]{120,140}$/),
  fc.string({ unit: "binary", maxLength: 70 }),
  fc.string({ unit: fc.constantFrom("a", "\u007F", "\u0080", "é", "한", "\uD83D", "\uDE00") }),
);

test("utf8 says what the platform's encoder says, of short and long, plain and broken text", () => {
  fc.assert(
    fc.property(texts, (text) => {
      expect(utf8(text)).toEqual(new TextEncoder().encode(text));
    }),
  );
});

test("text that is written is its bytes with their length, wherever the cursor stands", () => {
  fc.assert(
    fc.property(fc.array(texts, { maxLength: 4 }), (list) => {
      const c = writer(4 * 1_024);
      for (const text of list) writeText(c, text);
      const read = reader(written(c));
      for (const text of list) expect(readString(read)).toEqual(new TextEncoder().encode(text));
      expect(read.at).toBe(read.bytes.length);
    }),
  );
});
