/** A flush's messages: what they hold, and that they are the same bytes whenever they are made. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeBlock, isFault, WIRE_VERSION } from "../../wire/block.ts";
import { reader, utf8 } from "../../wire/cursor.ts";
import { readPartial } from "../../wire/partial.ts";
import { readRawClick } from "../../wire/raw-click.ts";
import { partitionOf } from "../../wire/routing.ts";
import { journalEntry, packOfClicks } from "./fixtures.ts";
import { assertAsRecorded, makeFlush, recipeOf } from "./flush-blocks.ts";
import type { FlushRecipe } from "./flush-blocks.ts";
import type { FlushRecord, JournalRow } from "./storage.ts";
import { hashText } from "../../wire/hash.ts";

const T = 1_800_000_000_000;
const identity = { shard: 3, epoch: "abcdefgh", fingerprintKey: new Uint8Array(16).fill(5) };
const recipe: FlushRecipe = {
  chain: "clicks",
  flush: 7,
  wireVersion: WIRE_VERSION,
  windowSeconds: 60,
  partitions: 2,
  flushedOn: 20_000,
  previousOn: (subject) => (subject.startsWith("clicks.raw") ? 6 : 2),
};

function journalRow(
  number: number,
  clicks: readonly (readonly [id: string, ad: string, ms: number])[],
): JournalRow {
  const pack = packOfClicks(
    clicks.map(([clickId, adId, ms]) => ({ clickId, adId, eventTimeMs: T + ms })),
  );
  return { number, ...journalEntry([pack], identity.fingerprintKey) };
}

const ads = Array.from({ length: 20 }, (_, i) => `ad-${i}`);
const journal = () => [
  journalRow(
    1,
    ads.map((ad, i) => [`a.${i}`, ad, i * 1_000]),
  ),
  journalRow(
    2,
    ads.map((ad, i) => [`b.${i}`, ad, 70_000]),
  ),
];

function decoded(bytes: Uint8Array) {
  const block = decodeBlock(bytes);
  if (isFault(block)) throw new Error(block.reason);
  return block;
}

test("every raw row carries its unit, in journal order", () => {
  const [raw] = makeFlush(recipe, identity, journal());
  const block = decoded(raw!.bytes);
  expect(block).toMatchObject({
    rows: 40,
    origin: { kind: "raw", shard: 3, epoch: "abcdefgh", flush: 7, previous: 6 },
  });
  const c = reader(block.body);
  for (let i = 0; i < 40; i++) {
    expect(readRawClick(c)).toMatchObject({
      flush: 7,
      flushedOn: 20_000,
      shard: 3,
      epoch: "abcdefgh",
      clickId: i < 20 ? `a.${i}` : `b.${i - 20}`,
    });
  }
  expect(c.at).toBe(block.body.length);
});

test("partials count every click once, in the partition of its ad", () => {
  const [, ...partials] = makeFlush(recipe, identity, journal());
  const counts = new Map<string, number>();
  for (const message of partials) {
    const block = decoded(message.bytes);
    if (block.origin.kind !== "partial") throw new Error(block.origin.kind);
    expect(block.origin).toMatchObject({ previous: 2, partitions: 2, windowSeconds: 60 });
    const c = reader(block.body);
    for (let i = 0; i < block.rows; i++) {
      const row = readPartial(c);
      const ad = utf8(row.adId);
      expect(partitionOf(reader(ad).view, 0, ad.length, 2)).toBe(block.origin.partition);
      counts.set(`${row.windowStartSeconds} ${row.adId}`, row.clicks);
    }
  }
  // The first journal row lies in one minute, the second in the next.
  expect([...counts.values()].reduce((a, b) => a + b)).toBe(40);
  expect(counts.get(`${T / 1_000} ad-0`)).toBe(1);
  expect(counts.get(`${T / 1_000 + 60} ad-0`)).toBe(1);
});

test("a flush made again from its record is the same, byte for byte, under changed settings too", () => {
  const messages = makeFlush(recipe, identity, journal());
  const record: FlushRecord = {
    ...recipe,
    from: 1,
    to: 2,
    sealedAtMs: T,
    newestBySubject: {},
    report: "",
    messages: messages.map((m) => ({
      subject: m.subject,
      previous: m.previous,
      hash: hashText(m.hash),
    })),
  };
  const again = makeFlush(recipeOf(record), identity, journal());
  expect(again).toEqual(messages);
  assertAsRecorded(record, again);
  const other = makeFlush({ ...recipe, windowSeconds: 10 }, identity, journal());
  expect(() => assertAsRecorded(record, other)).toThrow(/its record says/);
});

test("the hash of ids does not depend on the clicks' order", () => {
  const idsHash = (rows: JournalRow[]) => {
    const { origin } = decoded(makeFlush(recipe, identity, rows)[0]!.bytes);
    return origin.kind === "raw" ? origin.idsHash : null;
  };
  const [a, b] = journal();
  expect(idsHash([a!, b!])).toBe(idsHash([b!, a!]));
  expect(idsHash([a!])).not.toBe(idsHash([b!]));
});

test("a journal row whose count is not its rows' is an impossible state", () => {
  const [row] = journal();
  for (const rowCount of [19, 21]) {
    const fingerprints = new Uint32Array(2 * rowCount);
    expect(() => makeFlush(recipe, identity, [{ ...row!, rowCount, fingerprints }])).toThrow(
      `counts ${rowCount} rows of ${row!.messageByteCount} bytes, its packs hold 20 of ${row!.messageByteCount}`,
    );
  }
  for (const messageByteCount of [row!.messageByteCount - 1, row!.messageByteCount + 1]) {
    expect(() => makeFlush(recipe, identity, [{ ...row!, messageByteCount }])).toThrow(
      `counts 20 rows of ${messageByteCount} bytes, its packs hold 20 of ${row!.messageByteCount}`,
    );
  }
});

test("a journal row with a pack that ends elsewhere than it says is an impossible state", () => {
  const [row] = journal();
  const bytes = row!.bytes.slice();
  // Its clicks' bytes: the next pack would begin one byte later, were there one.
  bytes[4]! += 1;
  const messageByteCount = row!.messageByteCount + 1;
  expect(() =>
    makeFlush(recipe, identity, [
      { ...row!, bytes: Uint8Array.from([...bytes, 0]), messageByteCount },
    ]),
  ).toThrow(/ends at/);
});

test("a journal row that has not an id for each click is an impossible state", () => {
  const [row] = journal();
  const fingerprints = row!.fingerprints.subarray(2);
  expect(() => makeFlush(recipe, identity, [{ ...row!, fingerprints }])).toThrow(
    /ids of 19 rows of 20/,
  );
});

const anyClick = fc.record({
  clickId: fc.integer({ min: 0, max: 1_000_000 }).map((n) => `install.${n}`),
  // Few enough to meet again, some the beginnings of others.
  adId: fc.oneof(fc.stringMatching(/^[ab]{1,4}$/), fc.stringMatching(/^[ -~]{1,64}$/)),
  eventTimeMs: fc.integer({ min: 0, max: 400_000 }).map((ms) => T + ms),
});
const request = fc
  .tuple(
    fc.array(anyClick, { minLength: 1, maxLength: 20 }),
    fc.record({
      country: fc.constantFrom("KR", "US"),
      device: fc.constantFrom("mobile", "other"),
      invalidReason: fc.constantFrom("", "bot"),
    }),
  )
  .map(([clicks, sender]) => ({ clicks, sender }));
/** Requests that share a commit. */
const commit = fc.array(request, { minLength: 1, maxLength: 4 });

test("a flush of any clicks is what a plain sum over them says, in order of first sight", () => {
  fc.assert(
    fc.property(
      fc.array(commit, { minLength: 1, maxLength: 4 }),
      fc.constantFrom(1, 10, 60),
      fc.integer({ min: 1, max: 5 }),
      fc.uint8Array({ minLength: 16, maxLength: 16 }),
      (commits, windowSeconds, partitions, fingerprintKey) => {
        const rows = commits.map((requests, i) => {
          const packs = requests.map(({ clicks, sender }) => packOfClicks(clicks, sender));
          return { number: i + 1, ...journalEntry(packs, fingerprintKey) };
        });
        const counts = new Map<string, number>();
        const all = commits
          .flat()
          .flatMap(({ clicks, sender }) => clicks.map((each) => ({ ...each, ...sender })));
        for (const click of all) {
          const ad = utf8(click.adId);
          const key = JSON.stringify([
            partitionOf(reader(ad).view, 0, ad.length, partitions),
            Math.floor(click.eventTimeMs / 1_000 / windowSeconds) * windowSeconds,
            click.adId,
            click.country,
            click.device,
            click.invalidReason,
          ]);
          counts.set(key, (counts.get(key) ?? 0) + 1);
        }
        let ids = 0n;
        for (const { fingerprints } of rows) {
          for (const id of new BigUint64Array(fingerprints.slice().buffer)) ids += id;
        }

        const of = { ...recipe, windowSeconds, partitions };
        const [raw, ...partials] = makeFlush(of, { ...identity, fingerprintKey }, rows).map(
          ({ bytes }) => decoded(bytes),
        );
        expect(raw!.origin).toMatchObject({ kind: "raw", idsHash: BigInt.asUintN(64, ids) });
        const found = partials.flatMap(({ origin, rows: count, body }) => {
          if (origin.kind !== "partial") throw new Error(origin.kind);
          const c = reader(body);
          let sum = 0;
          const entries = Array.from({ length: count }, () => {
            const { windowStartSeconds, clicks, ...key } = readPartial(c);
            sum += clicks;
            const names = [key.adId, key.country, key.device, key.invalidReason];
            return [JSON.stringify([origin.partition, windowStartSeconds, ...names]), clicks];
          });
          expect([c.at, sum]).toEqual([body.length, origin.clicks]);
          return entries;
        });
        const partitionIn = (key: string) => (JSON.parse(key) as [number])[0];
        expect(found).toEqual([...counts].toSorted(([a], [b]) => partitionIn(a) - partitionIn(b)));
      },
    ),
  );
});
