/** What a trim leaves in the stream. */
import { expect, test } from "vitest";
import { OWN_PARTITIONS, ownRaw, ownResult } from "../../tests/helpers/set-aside-fixtures.ts";
import { encodeBlock } from "../../wire/block.ts";
import { resultSubject } from "../../wire/subjects.ts";
import { NEWEST_PASSED_MAX } from "../limits.ts";
import { createLog } from "../ops/log.ts";
import { StreamFake } from "../../tests/helpers/stream-fake.ts";
import { Trimmer } from "./trimmer.ts";

const NOW_MS = 1_795_420_042_721;
const SUBJECT = resultSubject(OWN_PARTITIONS, 3);
const result = ownResult(NOW_MS).bytes;
const raw = ownRaw(NOW_MS).bytes;

function trimmer(stream: StreamFake): Trimmer {
  return new Trimmer({
    stream: "RESULTS",
    manager: stream.manager,
    keepMs: 0,
    log: createLog("silent"),
    signal: new AbortController().signal,
    nowMs: () => NOW_MS,
  });
}
async function trimmed(stream: StreamFake, through: number): Promise<number[]> {
  const t = trimmer(stream);
  t.safeThrough(through, NOW_MS);
  await t.trim();
  return stream.sequences();
}

test("the newest of the subject's own producer stays, whatever stands behind it", async () => {
  const stream = new StreamFake();
  stream.add(SUBJECT, result);
  const newest = stream.add(SUBJECT, result);
  // A result of another partition, and what is no result at all.
  const foreign = stream.add(resultSubject(OWN_PARTITIONS, 4), result);
  const behind = [stream.add(SUBJECT, raw), stream.add(SUBJECT, new Uint8Array(3))];
  expect(await trimmed(stream, behind[1]!)).toEqual([newest, foreign, ...behind]);
});

test("another partition's result on the subject is not taken for its newest", async () => {
  const stream = new StreamFake();
  const { origin, rows, body } = ownResult(NOW_MS, 9);
  if (origin.kind !== "result") throw new Error("no result");
  const ours = stream.add(SUBJECT, result);
  const foreign = stream.add(SUBJECT, encodeBlock({ ...origin, partition: 4 }, rows, body).bytes);
  expect(await trimmed(stream, foreign)).toEqual([ours, foreign]);
});

test("behind too much that is not its own, only that goes, a round at a time, until it is found", async () => {
  const stream = new StreamFake();
  stream.add(SUBJECT, result);
  const newest = stream.add(SUBJECT, result);
  for (let i = 0; i < 2 * NEWEST_PASSED_MAX; i++) stream.add(SUBJECT, raw);
  const last = stream.sequences().at(-1)!;
  const lengths: number[] = [];
  for (let round = 0; round < 4; round++) lengths.push((await trimmed(stream, last)).length);
  // The first result goes once the newest one is found.
  expect(lengths).toEqual([NEWEST_PASSED_MAX + 3, 4, 3, 3]);
  expect(stream.sequences()[0]).toBe(newest);
  expect(stream.sequences().at(-1)).toBe(last);
});
