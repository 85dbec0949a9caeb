/** What of a batch is committed: the accepted clicks, all of them, in pieces that fit. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { clicksOf } from "../../tests/helpers/raw-rows.ts";
import { reader } from "../../wire/cursor.ts";
import { openPack, placesOf } from "../../wire/packed-clicks.ts";
import { acceptedPieces } from "./accepted-clicks.ts";
import { FATE } from "./fate.ts";
import { packOfClicks } from "./fixtures.ts";

const packOfLengths = (lengths: readonly number[]) =>
  openPack(
    reader(
      packOfClicks(
        lengths.map((length, i) => ({
          clickId: `i.${i}`,
          adId: "a".repeat(length),
          eventTimeMs: 1_800_000_000_000 + i,
        })),
      ),
    ),
  );
const lanesOf = (places: readonly number[]) => Uint32Array.from(places.flatMap((i) => [i, 2 * i]));
const ALL = Number.MAX_SAFE_INTEGER;

test("a batch that is accepted whole is committed as it came", () => {
  const pack = packOfLengths([3, 4]);
  const fingerprints = lanesOf([0, 1]);
  const fates = new Uint8Array(2).fill(FATE.accepted);
  expect(acceptedPieces(pack, placesOf(pack), fates, fingerprints, pack.rowsByteCount)).toEqual([
    { bytes: pack.bytes, rowCount: 2, messageByteCount: pack.rowsByteCount, fingerprints },
  ]);
});

test("a batch of which nothing is accepted is not committed", () => {
  const fates = Uint8Array.of(FATE.duplicate, FATE.tooOld, FATE.unavailable);
  const pack = packOfLengths([1, 1, 1]);
  expect(acceptedPieces(pack, placesOf(pack), fates, lanesOf([]), ALL)).toEqual([]);
});

test("a batch that is accepted whole and too large for a message is committed in pieces", () => {
  const pack = packOfLengths([3, 4, 5]);
  const fates = new Uint8Array(3).fill(FATE.accepted);
  const max = pack.rowsByteCount - 1;
  const pieces = acceptedPieces(pack, placesOf(pack), fates, lanesOf([0, 1, 2]), max);
  expect(pieces.map(({ rowCount }) => rowCount)).toEqual([2, 1]);
  expect(Math.max(...pieces.map(({ messageByteCount }) => messageByteCount))).toBeLessThan(max);
});

test("each accepted click is in one piece, in order, with its id; no piece is larger than a message", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 1, max: 64 }), fc.constantFrom(...Object.values(FATE))), {
        minLength: 1,
        maxLength: 30,
      }),
      // A row here has some 110 bytes and its ad id.
      fc.integer({ min: 200, max: 2_000 }),
      (clicks, bytesMax) => {
        const pack = packOfLengths(clicks.map(([length]) => length));
        const fates = clicks.map(([, fate]) => fate);
        const accepted = fates.flatMap((fate, i) => (fate === FATE.accepted ? [i] : []));
        const pieces = acceptedPieces(
          pack,
          placesOf(pack),
          Uint8Array.from(fates),
          lanesOf(accepted),
          bytesMax,
        );
        expect(
          pieces.flatMap(({ bytes }) => clicksOf(bytes).map(({ clickId }) => clickId)),
        ).toEqual(accepted.map((i) => `i.${i}`));
        expect(pieces.flatMap(({ fingerprints }) => [...fingerprints])).toEqual([
          ...lanesOf(accepted),
        ]);
        for (const { bytes, rowCount, messageByteCount } of pieces) {
          const { clickCount, rowsByteCount } = openPack(reader(bytes));
          expect([rowCount, messageByteCount]).toEqual([clickCount, rowsByteCount]);
          expect(messageByteCount).toBeLessThanOrEqual(bytesMax);
        }
      },
    ),
  );
});
