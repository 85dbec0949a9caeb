/** A rejected click keeps the bytes that were sent, whatever stands around them. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { clickTexts } from "./click-texts.ts";

const texts = (body: string, count: number) => {
  const textOf = clickTexts(body);
  return Array.from({ length: count }, (_, place) => textOf(place));
};

test.each<[string, string, string[]]>([
  ["one click is the whole body", `{"click_id":7}`, [`{"click_id":7}`]],
  [
    "elements of every kind",
    `{"clicks":[ 1 ,"a,]\\"", [ ] ,{"x":[1,{}]},null]}`,
    ["1", `"a,]\\""`, "[ ]", `{"x":[1,{}]}`, "null"],
  ],
  ["space of every kind", '\r\n{\t"sent_at" :\n1 ,"clicks"\t: [\n-1e9\r] }', ["-1e9"]],
  ["a key written with escapes", `{"\\u0063licks":[true]}`, ["true"]],
  ["of repeated keys the last", `{"clicks":[1],"clicks":[2,3]}`, ["2", "3"]],
  [
    "clicks inside other values are not ours",
    `{"a":{"clicks":[9]},"b":"clicks","clicks":[1]}`,
    ["1"],
  ],
  ["numbers that JSON.parse changes", `{"clicks":[1e999,-0,0.10]}`, ["1e999", "-0", "0.10"]],
  ["repeated keys of a click", `{"clicks":[{"a":1,"a":2}]}`, [`{"a":1,"a":2}`]],
])("%s", (_, body, expected) => {
  expect(texts(body, expected.length)).toEqual(expected);
  expect(() => clickTexts(body)(expected.length)).toThrow(/there is no click/);
});

test("nesting beyond any stack", () => {
  const deep = `${"[".repeat(200_000)}${"]".repeat(200_000)}`;
  expect(texts(`{"clicks":[${deep},1]}`, 2)).toEqual([deep, "1"]);
});

test("for any JSON, each text parses to the element at its place", () => {
  const space = fc.constantFrom("", " ", "\n\t", "\r");
  fc.assert(
    fc.property(
      fc.array(fc.jsonValue()),
      fc.dictionary(fc.string(), fc.jsonValue()),
      fc.dictionary(fc.string(), fc.jsonValue()),
      space,
      fc.nat(3),
      (clicks, before, after, gap, indent) => {
        const members = [...Object.entries(before), ["clicks", clicks], ...Object.entries(after)];
        const body = `${gap}{${members
          .filter(([key], place) => key !== "clicks" || place === Object.keys(before).length)
          .map(
            ([key, value]) =>
              `${gap}${JSON.stringify(key)}${gap}:${JSON.stringify(value, null, indent)}${gap}`,
          )
          .join(",")}}${gap}`;
        const parsed = (JSON.parse(body) as { clicks: unknown[] }).clicks;
        expect(texts(body, parsed.length).map((t) => JSON.parse(t) as unknown)).toEqual(parsed);
      },
    ),
    { numRuns: 500 },
  );
});
