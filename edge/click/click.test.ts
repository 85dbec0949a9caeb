/** From bytes to typed clicks: the pure part of the door. The time policy has stamp.test.ts. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { reader, writer } from "../../wire/cursor.ts";
import { clicksOf } from "../../tests/helpers/raw-rows.ts";
import { skipRejectedClick } from "../../wire/rejected-click.ts";
import { shardOf } from "../../wire/routing.ts";
import { sortIntoBatches } from "./batches.ts";
import { classify } from "./classify.ts";
import { isRejection, parseClick } from "./parse-click.ts";
import { parseEnvelope } from "./parse-envelope.ts";
import type { Envelope } from "./parse-envelope.ts";

const NOW = 1_800_000_000_000;
const good = { click_id: "i1.c1", ad_id: "ad-1", timestamp: NOW };

describe("a click", () => {
  test("with its three fields is typed; unknown fields are ignored", () => {
    const click = parseClick({ ...good, user_id: "ü", more: [1] });
    expect(click).toMatchObject({ clickId: "i1.c1", adId: "ad-1", claimedTimeMs: NOW });
    expect(isRejection(click)).toBe(false);
  });

  const bad: readonly (readonly [string, unknown, string, string])[] = [
    ["null", null, "not_an_object", ""],
    ["a list", [good], "not_an_object", ""],
    ["no id", { ...good, click_id: undefined }, "missing", "click_id"],
    ["a number for an id", { ...good, click_id: 7 }, "wrong_type", "click_id"],
    ["an empty id", { ...good, click_id: "" }, "empty", "click_id"],
    ["65 characters of id", { ...good, click_id: "x".repeat(65) }, "too_long", "click_id"],
    ["a control character", { ...good, click_id: "a\u0000b" }, "bad_characters", "click_id"],
    ["a letter beyond ASCII", { ...good, ad_id: "ä" }, "bad_characters", "ad_id"],
    ["no ad", { ...good, ad_id: null }, "missing", "ad_id"],
    ["no timestamp", { ...good, timestamp: undefined }, "missing", "timestamp"],
    ["a text timestamp", { ...good, timestamp: "2026-01-01" }, "wrong_type", "timestamp"],
    ["seconds", { ...good, timestamp: NOW / 1_000 }, "timestamp_in_seconds", "timestamp"],
    ["a negative timestamp", { ...good, timestamp: -1 }, "bad_timestamp", "timestamp"],
    ["not a number", { ...good, timestamp: Number.NaN }, "bad_timestamp", "timestamp"],
    ["a huge timestamp", { ...good, timestamp: 1e300 }, "bad_timestamp", "timestamp"],
    ["a list for a user", { ...good, user_id: [] }, "wrong_type", "user_id"],
    ["129 bytes of user", { ...good, user_id: "ü".repeat(65) }, "too_long", "user_id"],
  ];
  test.each(bad)("with %s is rejected by code and field", (_, value, code, field) => {
    expect(parseClick(value)).toMatchObject({ code, field });
  });

  test("never throws, whatever JSON it is", () => {
    fc.assert(fc.property(fc.jsonValue(), (value) => typeof parseClick(value) === "object"));
  });
});

describe("an envelope", () => {
  test("is a batch, or one click", () => {
    expect(parseEnvelope(JSON.stringify({ sent_at: NOW, clicks: [good] }))).toMatchObject({
      sentAtMs: NOW,
      clicks: [good],
    });
    expect(parseEnvelope(JSON.stringify(good))).toMatchObject({ sentAtMs: null, clicks: [good] });
  });

  test("with a clock that is no number has no clock", () => {
    expect(parseEnvelope(JSON.stringify({ sent_at: "noon", clicks: [good] }))).toMatchObject({
      sentAtMs: null,
    });
  });

  test.each([
    ["{", 400, "not_json"],
    ["[]", 400, "wrong_shape"],
    ["7", 400, "wrong_shape"],
    ["{}", 400, "wrong_shape"],
    [`{"clicks":{}}`, 400, "wrong_shape"],
    [`{"clicks":[]}`, 400, "empty_batch"],
    [JSON.stringify({ clicks: Array.from({ length: 1_001 }, () => 0) }), 413, "too_many_clicks"],
  ])("%.20s is refused with %i %s", (text, status, code) => {
    expect(parseEnvelope(text)).toMatchObject({ status, code });
  });
});

describe("sorting into batches", () => {
  const envelopeOf = (clicks: unknown[]) =>
    parseEnvelope(JSON.stringify({ sent_at: NOW, clicks })) as Envelope;
  const facts = {
    receivedAtMs: NOW,
    sentAtMs: NOW,
    sender: { country: "KR", ip: "::1" },
    classified: classify("Googlebot/2.1"),
    shards: 4,
  };

  test("every good click is in its shard's batch with its place, every bad one in clicks_rejected's form", () => {
    const clicks = [
      ...Array.from({ length: 50 }, (_, i) => ({ ...good, click_id: `i${i}.c` })),
      { nothing: 1 },
      7,
    ];
    const { batches, rejections } = sortIntoBatches(envelopeOf(clicks), facts);
    const places = batches.flatMap((b) => b.places).toSorted((a, b) => a - b);
    expect(places).toEqual(Array.from({ length: 50 }, (_, i) => i));
    expect(rejections[50]).toMatchObject({ code: "missing" });
    expect(rejections[51]).toMatchObject({ code: "not_an_object" });
    for (const batch of batches) {
      const packed = clicksOf(batch.clicks);
      expect(packed).toHaveLength(batch.places.length);
      for (const [i, place] of batch.places.entries()) {
        expect(packed[i]).toMatchObject({
          clickId: `i${place}.c`,
          country: "KR",
          invalidReason: "bot",
        });
        expect(shardOf(packed[i]!.clickId, 4)).toBe(batch.shard);
      }
    }
    const rejected = batches.filter((b) => b.rejectedEnds.length > 0);
    expect(rejected).toHaveLength(1);
    const c = reader(rejected[0]!.rejectedRows);
    skipRejectedClick(c);
    skipRejectedClick(c);
    expect(c.at).toBe(rejected[0]!.rejectedRows.length);
  });

  test("room that other requests have used changes nothing, however large they were", () => {
    const room = writer(100);
    for (const count of [1, 300, 2]) {
      const envelope = envelopeOf(
        Array.from({ length: count }, (_, i) => ({ ...good, click_id: `i${i}.c` })),
      );
      expect(sortIntoBatches(envelope, facts, room)).toEqual(sortIntoBatches(envelope, facts));
    }
    expect(room.bytes.length).toBeGreaterThan(100);
  });

  test("rejected clicks alone find a shard too", () => {
    const { batches } = sortIntoBatches(envelopeOf([1, 2]), facts);
    expect(batches).toHaveLength(1);
    expect(batches[0]!.rejectedEnds).toHaveLength(2);
  });
});

test("devices and bots are told by the user agent", () => {
  const phone =
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 Mobile/15E148 Safari/604.1";
  expect(classify(phone)).toMatchObject({ device: "mobile", invalidReason: "" });
  expect(
    classify(
      "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36",
    ),
  ).toMatchObject({ device: "desktop" });
  expect(
    classify("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"),
  ).toMatchObject({ invalidReason: "bot" });
  expect(classify(null)).toMatchObject({ device: "other", invalidReason: "" });
  expect(classify("x".repeat(5_000)).userAgent).toHaveLength(256);
});
