/** Text as bytes, by either way. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { utf8 } from "./cursor.ts";

test("utf8 says what the platform's encoder says, of short and long, plain and broken text", () => {
  const texts = fc.oneof(
    fc.stringMatching(/^[ -~]{0,70}$/),
    fc.string({ unit: "binary", maxLength: 70 }),
    fc.string({ unit: fc.constantFrom("a", "\u007F", "\u0080", "é", "한", "\uD83D", "\uDE00") }),
  );
  fc.assert(
    fc.property(texts, (text) => {
      expect(utf8(text)).toEqual(new TextEncoder().encode(text));
    }),
  );
});
