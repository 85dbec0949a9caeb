/** The shard's decisions without its shell: sets, buckets, flush plans, proofs, groups. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodeBlock } from "../../wire/block.ts";
import { FingerprintSet } from "./fingerprint-set.ts";
import {
  decideAttached,
  decideProof,
  isLate,
  planFlush,
  publishedByMs,
  readNewest,
} from "./flush-plan.ts";
import { GroupCommit, journalRowsOf } from "./group-commit.ts";
import type { Group } from "./group-commit.ts";
import { RejectedAllowance } from "./rejected-allowance.ts";

describe("a fingerprint set", () => {
  test("holds what was added and nothing else", () => {
    const lane = fc.oneof(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 0xffff_ffff }));
    fc.assert(
      fc.property(
        fc.array(fc.tuple(lane, lane), { maxLength: 3_000 }),
        fc.array(fc.tuple(lane, lane)),
        (ids, others) => {
          const set = new FingerprintSet();
          const plain = new Set<string>();
          const name = (low: number, high: number) =>
            `${low} ${low === 0 && high === 0 ? 1 : high}`;
          for (const [low, high] of ids) {
            expect(set.has(low, high)).toBe(plain.has(name(low, high)));
            expect(set.add(low, high)).toBe(!plain.has(name(low, high)));
            plain.add(name(low, high));
          }
          for (const [low, high] of [...ids, ...others])
            expect(set.has(low, high)).toBe(plain.has(name(low, high)));
          expect(set.size).toBe(plain.size);
        },
      ),
      { numRuns: 30 },
    );
  });

  test("is sorted as its 64-bit numbers are, hashes or not", () => {
    const hash = fc.integer({ min: 0, max: 0xffff_ffff });
    // Crowds, which hashes are not: more than a bucket sorts by itself.
    const crowd = fc.constantFrom(0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff);
    const pair = fc.oneof(fc.tuple(hash, hash), fc.tuple(hash, crowd), fc.tuple(crowd, crowd));
    fc.assert(
      fc.property(fc.array(pair, { maxLength: 2_000 }), (pairs) => {
        const set = new FingerprintSet();
        for (const [low, high] of pairs) if (!set.has(low, high)) set.add(low, high);
        const numbers = (lanes: Uint32Array) => [...new BigUint64Array(lanes.slice().buffer)];
        const held = new Set(
          pairs.map(([low, high]) => {
            const stored = low === 0 && high === 0 ? 1 : high;
            return (BigInt(stored) << 32n) | BigInt(low);
          }),
        );
        expect(numbers(set.sorted())).toEqual([...BigUint64Array.from(held).toSorted()]);
      }),
      { numRuns: 60 },
    );
  });
});

describe("a flush", () => {
  test("takes as many rows as fit a message, and at least one", () => {
    const sizes = [40, 40, 40].map((byteCount, i) => ({ number: i + 7, byteCount }));
    expect(planFlush(sizes, 100)).toBe(8);
    expect(planFlush(sizes, 120)).toBe(9);
    expect(planFlush(sizes, 10)).toBe(7);
    expect(planFlush([], 10)).toBeNull();
  });

  const at = (epoch: string, flush: number) => ({ kind: "flush", epoch, flush }) as const;
  const unproven = [1, 2, 3].map((flush) => ({
    flush,
    to: flush * 10,
    publishedByMs: flush * 1_000,
  }));

  test("leaves the journal when it is old and the broker has it or a later one", () => {
    const newest = at("e", 2);
    expect(decideProof(unproven, 2_500, 1_000, "e", newest)).toEqual({
      kind: "proven",
      flush: 1,
      through: 10,
    });
    expect(decideProof(unproven, 3_000, 1_000, "e", newest)).toEqual({
      kind: "proven",
      flush: 2,
      through: 20,
    });
    expect(decideProof(unproven, 1_500, 1_000, "e", newest)).toEqual({ kind: "wait" });
  });

  test("counts as published when it was sealed, or when it was late the last time", () => {
    const late = { through: 5, atMs: 90_000 };
    const byMs = (flush: number, sealedAtMs: number) =>
      publishedByMs({ flush, sealedAtMs }, late, 10_000);
    expect([byMs(5, 20_000), byMs(6, 95_000), byMs(6, 20_000)]).toEqual([91_000, 96_000, 21_000]);
    expect([isLate(20_000, 21_000, 10_000), isLate(20_000, 21_001, 10_000)]).toEqual([false, true]);
  });

  test("is not proven by what is not ours on the shard's subject", () => {
    const flush = { shard: 1, epoch: "abcdefgh", flush: 7, previous: 6, flushedOn: 1 };
    const raw = encodeBlock({ kind: "raw", ...flush, idsHash: 1n }, 0, new Uint8Array(0)).bytes;
    expect(readNewest(raw, "raw")).toEqual({ kind: "flush", epoch: "abcdefgh", flush: 7 });
    expect(readNewest(raw, "rejected")).toEqual({ kind: "foreign" });
    expect(readNewest(raw.subarray(1), "raw")).toEqual({ kind: "foreign" });
    expect(readNewest(new Uint8Array(0), "raw")).toEqual({ kind: "foreign" });
    expect(readNewest(null, "raw")).toEqual({ kind: "none" });
  });

  test("is published again from the first that the broker lost", () => {
    expect(decideProof(unproven, 9_000, 1_000, "e", at("e", 1))).toEqual({
      kind: "publish_again",
      fromFlush: 2,
    });
    expect(decideProof(unproven, 9_000, 1_000, "e", { kind: "none" })).toEqual({
      kind: "publish_again",
      fromFlush: 1,
    });
    expect(decideProof(unproven, 9_000, 1_000, "e", at("other", 9))).toEqual({
      kind: "publish_again",
      fromFlush: 1,
    });
  });
});

function groupCommit(
  commit: (group: Group) => Promise<void>,
  { linger = () => Promise.resolve(), fullPieces = Infinity, fullClicks = Infinity } = {},
): GroupCommit {
  return new GroupCommit({ commit, linger, fullPieces, fullClicks, nowMs: () => 7 });
}

const turn = () => new Promise((resolve) => setTimeout(resolve, 0));

describe("what the subject has", () => {
  const at = (epoch: string, flush: number) => ({ kind: "flush", epoch, flush }) as const;

  test("is as believed, or further: the answer was lost", () => {
    const fine = { publishedThrough: 7, fenced: true, lost: false };
    expect(decideAttached(at("e", 7), "e", 7, 3, false)).toEqual(fine);
    expect(decideAttached(at("e", 8), "e", 7, 3, false)).toEqual(fine);
  });

  test("ends before what was acknowledged: the tail is published again", () => {
    const lost = { fenced: true, lost: true };
    // Flush 5 again too: its raw message is there, its others may not be.
    expect(decideAttached(at("e", 5), "e", 7, 3, false)).toEqual({ ...lost, publishedThrough: 4 });
    expect(decideAttached(at("e", 4), "e", 7, 3, false)).toEqual({ ...lost, publishedThrough: 3 });
    expect(decideAttached(at("e", 3), "e", 7, 3, false)).toEqual({ ...lost, publishedThrough: 3 });
    // Proven flushes have left the journal: there is nothing to publish again before them.
    expect(decideAttached(at("e", 1), "e", 7, 3, false)).toEqual({ ...lost, publishedThrough: 3 });
    expect(decideAttached(at("other", 9), "e", 7, 3, false)).toEqual({
      ...lost,
      publishedThrough: 3,
    });
    expect(decideAttached({ kind: "none" }, "e", 7, 3, false)).toEqual({
      ...lost,
      publishedThrough: 3,
    });
  });

  test("is another storage's, and later than ours: it says nothing, and what is done is not begun anew", () => {
    const fine = { publishedThrough: 7, fenced: true, lost: false };
    expect(decideAttached(at("other", 9), "e", 7, 3, true)).toEqual(fine);
    // Ours, and a broker that lost the tail: others may have used its sequences again.
    const lost = { publishedThrough: 4, fenced: true, lost: true };
    expect(decideAttached(at("e", 5), "e", 7, 3, true)).toEqual(lost);
  });

  test("was trimmed, or is new: nothing is lost", () => {
    const fine = { fenced: true, lost: false };
    expect(decideAttached({ kind: "none" }, "e", 7, 7, false)).toEqual({
      ...fine,
      publishedThrough: 7,
    });
    expect(decideAttached({ kind: "none" }, "e", 0, 0, false)).toEqual({
      ...fine,
      publishedThrough: 0,
    });
  });

  test("is not ours: it proves nothing, and there is no fence", () => {
    const unknown = { publishedThrough: 7, fenced: false, lost: false };
    expect(decideAttached({ kind: "foreign" }, "e", 7, 3, false)).toEqual(unknown);
  });
});

describe("group commit", () => {
  const piece = (n: number, rowCount = 1) => ({
    rowCount,
    bytes: new Uint8Array(n).fill(n),
    messageByteCount: 2 * n,
    fingerprints: new Uint32Array(2 * rowCount).fill(n),
  });
  const numbersOf = (group: Group) => group.pieces.clicks.map(({ bytes }) => bytes.length);

  test("requests of one turn share a commit; the next group forms while it runs", async () => {
    const groups: number[][] = [];
    const release: (() => void)[] = [];
    const commit = groupCommit(async (group: Group) => {
      groups.push(numbersOf(group));
      await new Promise<void>((resolve) => release.push(resolve));
    });
    commit.add("clicks", piece(1));
    const first = commit.settled();
    commit.add("clicks", piece(2));
    const second = commit.settled();
    await Promise.resolve();
    await Promise.resolve();
    expect(groups).toEqual([[1, 2]]);
    commit.add("clicks", piece(3));
    const third = commit.settled();
    let thirdIsDone = false;
    void third.then(() => (thirdIsDone = true));
    release[0]!();
    await Promise.all([first, second]);
    expect(thirdIsDone).toBe(false);
    release[1]!();
    await third;
    expect(groups).toEqual([[1, 2], [3]]);
  });

  test("a duplicate, which adds nothing, waits for the commit that holds its first sight", async () => {
    let release!: () => void;
    const commit = groupCommit(() => new Promise<void>((resolve) => (release = resolve)));
    commit.add("clicks", piece(1));
    void commit.settled();
    await Promise.resolve();
    await Promise.resolve();
    let answered = false;
    const duplicate = commit.settled().then(() => (answered = true));
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(answered).toBe(false);
    release();
    await duplicate;
    await commit.settled();
  });

  test("a group waits for others as long as it lingers, or until it is full", async () => {
    const groups: number[][] = [];
    let lingered!: () => void;
    const commit = groupCommit(async (group) => void groups.push(numbersOf(group)), {
      linger: () => new Promise((resolve) => (lingered = resolve)),
      fullClicks: 3,
    });
    const waits = async (n: number) => {
      commit.add("clicks", piece(n));
      const settled = commit.settled();
      await turn();
      return settled;
    };
    const first = waits(1);
    const second = waits(2);
    await turn();
    expect(groups).toEqual([]);
    lingered();
    await Promise.all([first, second]);
    expect(groups).toEqual([[1, 2]]);
    await Promise.all([3, 4, 5].map(waits));
    expect(groups).toEqual([
      [1, 2],
      [3, 4, 5],
    ]);
  });

  test.each<[what: string, full: object, first: ReturnType<typeof piece>]>([
    ["its clicks", { fullClicks: 10, fullPieces: 3 }, piece(1, 9)],
    ["its pieces", { fullClicks: 10, fullPieces: 2 }, piece(1)],
  ])("a group is full by %s", async (_, full, first) => {
    const groups: number[][] = [];
    const commit = groupCommit(async (group) => void groups.push(numbersOf(group)), {
      linger: () => new Promise(() => undefined),
      ...full,
    });
    commit.add("clicks", first);
    const settled = commit.settled();
    await turn();
    expect(groups).toEqual([]);
    commit.add("clicks", piece(2));
    await settled;
    expect(groups).toEqual([[1, 2]]);
  });

  test("a group is joined to journal rows that fit a message, in order", () => {
    const pieces = [piece(3, 2), piece(4), piece(5)];
    expect(journalRowsOf(pieces, 16)).toEqual([
      {
        rowCount: 3,
        bytes: Uint8Array.of(3, 3, 3, 4, 4, 4, 4),
        messageByteCount: 14,
        fingerprints: Uint32Array.of(3, 3, 3, 3, 4, 4),
      },
      piece(5),
    ]);
    expect(() => journalRowsOf(pieces, 9)).toThrow(/10 bytes/);
  });
});

describe("what is kept of rejected clicks", () => {
  const limits = { atOnceMax: 3, everyMs: 1_000, keysMax: 2 };
  const takes = (allowance: RejectedAllowance, key: string, nowMs: number, count: number) =>
    Array.from({ length: count }, () => allowance.take(key, nowMs)).filter(Boolean).length;

  test("is bounded at once and over time, for each key alone", () => {
    const allowance = new RejectedAllowance(limits);
    expect(takes(allowance, "a", 0, 10)).toBe(3);
    expect(takes(allowance, "b", 0, 10)).toBe(3);
    expect(takes(allowance, "a", 999, 10)).toBe(0);
    expect(takes(allowance, "a", 2_500, 10)).toBe(2);
    expect(takes(allowance, "a", 1_000_000, 10)).toBe(3);
  });

  test("is not more when the clock jumps back, and less for nobody when keys are forgotten", () => {
    const allowance = new RejectedAllowance(limits);
    expect(takes(allowance, "a", 5_000, 3)).toBe(3);
    expect(takes(allowance, "a", 0, 10)).toBe(0);
    expect(takes(allowance, "b", 0, 1)).toBe(1);
    expect(takes(allowance, "c", 0, 1)).toBe(1);
    // "a" asked longest ago, and is new again.
    expect(takes(allowance, "a", 0, 10)).toBe(3);
  });

  test("any sequence keeps at most the burst and what time has earned", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 700 }), { maxLength: 200 }), (pauses) => {
        const allowance = new RejectedAllowance(limits);
        let nowMs = 0;
        let kept = 0;
        for (const pause of pauses) {
          nowMs += pause;
          if (allowance.take("a", nowMs)) kept++;
        }
        expect(kept).toBeLessThanOrEqual(limits.atOnceMax + nowMs / limits.everyMs);
      }),
    );
  });

  test("the others are one number of each kind in a commit", async () => {
    const groups: Group[] = [];
    const commit = groupCommit(async (group) => void groups.push(group));
    const kind = { account: "a", keyId: "k", code: "missing", field: "ad_id" };
    commit.count(kind, 1);
    commit.count(kind, 5);
    commit.count({ ...kind, field: "click_id" }, 1);
    await commit.settled();
    expect([...groups[0]!.counted.values()]).toEqual([
      { ...kind, count: 6 },
      { ...kind, field: "click_id", count: 1 },
    ]);
  });
});
