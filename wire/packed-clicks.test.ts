/** Packs: their bytes, written down by hand, and what becomes of them. Rows made of them stand in rows.test.ts. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { LONGEST_CLICK } from "../tests/helpers/longest-rows.ts";
import { clicksOf } from "../tests/helpers/raw-rows.ts";
import { CursorError, reader, textOf, utf8, writer, written } from "./cursor.ts";
import {
  CLICK_ID_AT,
  eventTimeAt,
  newClickSpans,
  newPack,
  openPack,
  packClick,
  packOf,
  placesOf,
  unpackClick,
  walkClick,
} from "./packed-clicks.ts";
import type { CountedTime, RequestFields, SentFields } from "./packed-clicks.ts";
import { newRawClickSpans, UNIT_BYTES } from "./raw-click.ts";

const REQUEST: RequestFields = {
  receivedAtMs: 1_000,
  account: "acc",
  country: "DE",
  device: "tv",
  invalidReason: "bot",
  keyId: "k",
  ip: "::1",
  userAgent: utf8("UA"),
  sentAtMs: 256,
  skewMs: 744,
};
type ClickFields = SentFields & CountedTime;
const CLICK: ClickFields = {
  eventTimeMs: -1,
  timeSource: "skew_corrected",
  clickId: "i.1",
  adId: "ad",
  userId: "ü",
  claimedTimeMs: 4_294_967_296,
};

function packed(request: RequestFields, clicks: readonly ClickFields[]): Uint8Array {
  const c = newPack(request);
  for (const click of clicks) packClick(c, click, click);
  return written(c).slice();
}

/** Each click's own bytes. */
function ownBytes(bytes: Uint8Array): Uint8Array[] {
  const c = reader(bytes);
  const pack = openPack(c);
  const spans = newClickSpans();
  return Array.from({ length: pack.clickCount }, () => {
    walkClick(c, spans);
    return bytes.subarray(spans.start, spans.end);
  });
}

const click: fc.Arbitrary<ClickFields> = fc.record({
  eventTimeMs: fc.maxSafeInteger(),
  timeSource: fc.constantFrom("client", "skew_corrected", "server"),
  clickId: fc.stringMatching(/^[ -~]{1,64}$/),
  adId: fc.stringMatching(/^[ -~]{1,64}$/),
  userId: fc.oneof(fc.string({ maxLength: 128 }), fc.string({ unit: "binary", maxLength: 32 })),
  claimedTimeMs: fc.maxSafeInteger(),
});
const request: fc.Arbitrary<RequestFields> = fc.record({
  receivedAtMs: fc.maxSafeInteger(),
  account: fc.stringMatching(/^[ -~]{1,64}$/),
  country: fc.constantFrom("DE", "XX"),
  device: fc.stringMatching(/^[a-z]{0,16}$/),
  invalidReason: fc.stringMatching(/^[a-z]{0,32}$/),
  keyId: fc.stringMatching(/^[ -~]{0,64}$/),
  ip: fc.stringMatching(/^[0-9:]{0,45}$/),
  userAgent: fc.uint8Array({ maxLength: 256 }).map((bytes) => Uint8Array.from(bytes)),
  sentAtMs: fc.option(fc.maxSafeInteger()),
  skewMs: fc.option(fc.maxSafeInteger()),
});
const clicks = fc.array(click, { maxLength: 8 });

test("golden bytes of a pack with one click", () => {
  expect(Buffer.from(packed(REQUEST, [CLICK])).toString("hex")).toBe(
    [
      "01000000", // one click
      "1b000000", // of 27 bytes: 8 + 1 + 4 + 3 + 3 + 8
      "e803000000000000", // received_at 1000
      "03616363", // account acc
      "024445", // country DE
      "027476", // device tv
      "03626f74", // invalid_reason bot
      "016b", // key_id k
      "033a3a31", // ip ::1
      "025541", // user_agent UA
      "000001000000000000", // sent_at 256
      "00e802000000000000", // skew_ms 744
      "ffffffffffffffff", // event_time -1
      "02", // skew_corrected
      "03692e31", // click_id i.1
      "026164", // ad_id ad
      "02c3bc", // user_id ü
      "0000000001000000", // claimed_time 2^32
    ].join(""),
  );
});

test("a pack says what it holds before a click is looked at, and how long its rows will be", () => {
  fc.assert(
    fc.property(request, clicks, (common, own) => {
      const bytes = packed(common, own);
      const c = reader(bytes);
      const pack = openPack(c);
      expect(pack).toMatchObject({
        clickCount: own.length,
        skewMs: common.skewMs,
        invalidReason: common.invalidReason,
      });
      expect(pack.bytes).toEqual(bytes);
      const spans = newClickSpans();
      const places = placesOf(pack);
      expect(places.starts).toHaveLength(own.length + 1);
      expect(places.starts.at(-1)).toBe(bytes.length);
      const rows = writer(pack.rowsByteCount);
      for (const [i, each] of own.entries()) {
        walkClick(c, spans);
        expect([places.starts[i], places.starts[i]! + CLICK_ID_AT, places.clickIdEnds[i]]).toEqual([
          spans.start,
          spans.clickIdStart,
          spans.clickIdEnd,
        ]);
        expect(eventTimeAt(c, spans.start)).toBe(each.eventTimeMs);
        expect(textOf(bytes.subarray(spans.clickIdStart + 1, spans.clickIdEnd))).toBe(each.clickId);
        const rowStart = rows.at;
        unpackClick(rows, new Uint8Array(UNIT_BYTES), pack, c, spans, newRawClickSpans());
        expect(rows.at - rowStart).toBe(pack.commonByteCount + spans.end - spans.start);
      }
      expect([c.at, rows.at]).toEqual([bytes.length, pack.rowsByteCount]);
    }),
  );
});

test("packs behind one another are read one by one", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(request, clicks), { maxLength: 4 }), (requests) => {
      const bytes = Uint8Array.from(requests.flatMap(([common, own]) => [...packed(common, own)]));
      expect(clicksOf(bytes)).toMatchObject(
        requests.flatMap(([common, own]) =>
          own.map((each) => ({ ...common, ...each, userId: utf8(each.userId) })),
        ),
      );
    }),
  );
});

test("a pack of some of a pack's clicks is as if the others had never been in it", () => {
  fc.assert(
    fc.property(request, clicks, fc.infiniteStream(fc.boolean()), (common, own, taken) => {
      const bytes = packed(common, own);
      const places = [...own.keys()].filter(() => taken.next().value);
      const bytesOf = ownBytes(bytes);
      const some = packOf(
        openPack(reader(bytes)),
        places.map((place) => bytesOf[place]!),
      );
      expect(some).toEqual(
        packed(
          common,
          places.map((place) => own[place]!),
        ),
      );
    }),
  );
});

test("a pack that is cut off anywhere throws a CursorError before a click is read", () => {
  const longest = { ...LONGEST_CLICK, userId: textOf(LONGEST_CLICK.userId) };
  const bytes = packed(longest, [longest, longest]);
  for (let length = 0; length < bytes.length; length++) {
    expect(() => openPack(reader(bytes.subarray(0, length)))).toThrow(CursorError);
  }
});

test("a click whose lengths lead out of the bytes throws a CursorError", () => {
  const bytes = packed(REQUEST, [CLICK]);
  const { clicksStart } = openPack(reader(bytes));
  // The lengths of click_id, ad_id and user_id.
  for (const offset of [9, 13, 16]) {
    const broken = bytes.slice();
    broken[clicksStart + offset] = 127;
    const c = reader(broken);
    openPack(c);
    expect(() => walkClick(c, newClickSpans())).toThrow(CursorError);
  }
});

test("a pack whose numbers are not its clicks' is refused before any of them is taken", () => {
  const bytes = packed(REQUEST, [CLICK, CLICK]);
  const places = (offset: number, change: number) => {
    const wrong = Uint8Array.from([...bytes, 0]);
    wrong[offset]! += change;
    return () => placesOf(openPack(reader(wrong)));
  };
  // Clicks, and their bytes.
  for (const [offset, change] of [
    [0, 1],
    [0, -1],
    [0, 200],
    [2, 100],
    [4, 1],
    [4, -1],
  ] as const) {
    expect(places(offset, change), `${change} at ${offset}`).toThrow(CursorError);
  }
  expect(places(0, 0)).not.toThrow();
});
