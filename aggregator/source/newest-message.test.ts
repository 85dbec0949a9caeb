/** What a subject's producer is known by, behind whatever else was published there. */
import { describe, expect, test } from "vitest";
import {
  garbage,
  OWN_PARTITIONS,
  OWN_SHARD,
  ofVersion,
  ownPartial,
  ownRaw,
  ownRejected,
  ownResult,
} from "../../tests/helpers/set-aside-fixtures.ts";
import { encodeBlock } from "../../wire/block.ts";
import {
  AGAIN_SUBJECTS,
  partialSubject,
  rawSubject,
  rejectedSubject,
  resultSubject,
} from "../../wire/subjects.ts";
import { NEWEST_PASSED_MAX } from "../limits.ts";
import { isOwn, newestMessage } from "./newest-message.ts";
import { StreamFake } from "../../tests/helpers/stream-fake.ts";

const NOW_MS = 1_795_420_042_721;
const raw = ownRaw(NOW_MS).bytes;
const rejected = ownRejected(NOW_MS).bytes;
const partial = ownPartial(NOW_MS, 2, 1, 60).bytes;
const result = ownResult(NOW_MS).bytes;
const tick = encodeBlock({ kind: "tick" }, 0, new Uint8Array(0)).bytes;
const RESULTS = resultSubject(OWN_PARTITIONS, 3);

describe("a subject's own", () => {
  const OWN = new Map([
    [rawSubject(OWN_SHARD), raw],
    [rejectedSubject(OWN_SHARD), rejected],
    [partialSubject(2, 1), partial],
    [RESULTS, result],
  ]);

  test("is a block of the producer that the subject names, and of no other", () => {
    for (const subject of OWN.keys()) {
      for (const [of, bytes] of OWN) expect(isOwn(subject, bytes)).toBe(of === subject);
      expect(isOwn(subject, tick)).toBe(false);
      expect(isOwn(subject, ofVersion(raw, 99))).toBe(true);
    }
    expect(isOwn(resultSubject(OWN_PARTITIONS, 4), result)).toBe(false);
    expect(isOwn(rawSubject(OWN_SHARD + 1), raw)).toBe(false);
  });

  test("is no garbage, on any subject", () => {
    const made = { ...garbage(ownResult(NOW_MS), ownRaw(NOW_MS)) };
    // Their prefix and origin are right: only who reads the rows can tell.
    delete made["no rows under a right checksum"];
    delete made["rows that swallow what follows"];
    for (const [name, bytes] of Object.entries(made)) {
      expect([name, isOwn(RESULTS, bytes)]).toEqual([name, false]);
    }
  });

  test("is any block where ticks go, and what was set aside goes back", () => {
    expect(isOwn("results.tick", tick)).toBe(true);
    expect(isOwn(AGAIN_SUBJECTS.RESULTS!, result)).toBe(true);
    expect(isOwn(AGAIN_SUBJECTS.RESULTS!, new Uint8Array(3))).toBe(false);
  });
});

describe("the newest of a subject", () => {
  const ask = (stream: StreamFake) => newestMessage(stream.manager, "RESULTS", RESULTS);

  test("is found behind what is not its own, however far the stream lies in between", async () => {
    const stream = new StreamFake();
    stream.add(RESULTS, result);
    const own = stream.add(RESULTS, result);
    const passed: number[] = [];
    for (let i = 0; i < 5; i++) {
      for (let n = 0; n < 300; n++) stream.add("results.tick", tick);
      passed.unshift(stream.add(RESULTS, raw));
    }
    stream.add("results.tick", tick);
    expect(await ask(stream)).toMatchObject({
      found: "own",
      own: { sequence: own },
      last: { sequence: passed[0] },
      passed,
    });
    expect(stream.asked).toBeLessThan(5 * 25);
  });

  test("is none where nothing is its own, and an empty subject has no message at all", async () => {
    const stream = new StreamFake();
    stream.add("results.tick", tick);
    expect(await ask(stream)).toBeNull();
    const sequence = stream.add(RESULTS, raw);
    expect(await ask(stream)).toMatchObject({ found: "none", last: { sequence } });
  });

  test("is unknown behind more than may be passed at a time, which bounds the requests", async () => {
    const stream = new StreamFake();
    stream.add(RESULTS, result);
    for (let i = 1; i < NEWEST_PASSED_MAX; i++) stream.add(RESULTS, raw);
    expect(await ask(stream)).toMatchObject({ found: "own", own: { sequence: 1 } });
    const last = stream.add(RESULTS, raw);
    expect(await ask(stream)).toMatchObject({ found: "unknown", last: { sequence: last } });
    for (let i = 0; i < 5_000; i++) stream.add(RESULTS, raw);
    stream.asked = 0;
    expect(await ask(stream)).toMatchObject({ found: "unknown" });
    expect(stream.asked).toBeLessThan(3 * NEWEST_PASSED_MAX);
  });
});
