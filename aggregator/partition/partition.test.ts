/** When an emission is published, and what is said about it. */
import { expect, test } from "vitest";
import { ownRaw } from "../../tests/helpers/set-aside-fixtures.ts";
import { resultSubject } from "../../wire/subjects.ts";
import type { Alarm } from "../alarm.ts";
import { NEWEST_PASSED_MAX } from "../limits.ts";
import { createLog } from "../ops/log.ts";
import { StreamFake } from "../../tests/helpers/stream-fake.ts";
import { makeEmission } from "./emission.ts";
import { EmissionPublisher } from "./partition.ts";

const SUBJECT = resultSubject(2, 1);
const FACTS = { partitions: 2, partition: 1, emittedOn: 20_000, producers: [] };
const emission = (number: number) =>
  makeEmission({ ...FACTS, number, watermarkMs: number, closedThroughSeconds: number }, []);
const bytesOf = (number: number) => emission(number).messages[0]!.bytes;
const foreign = ownRaw(1_795_420_042_721).bytes;

function parts(stream: StreamFake) {
  const raised: Alarm[] = [];
  const stop = new AbortController();
  const publisher = new EmissionPublisher({
    partitions: 2,
    partition: 1,
    js: stream.js,
    manager: stream.manager,
    alarms: { raise: (_, alarm) => raised.push(alarm), settled: () => Promise.resolve() },
    log: createLog("silent"),
    signal: stop.signal,
    reached: () => undefined,
  });
  return { publisher, raised, stop };
}

test("a hole is an alarm once the emission behind it is there", async () => {
  const stream = new StreamFake();
  const { publisher, raised } = parts(stream);
  await publisher.publish(emission(3));
  expect(raised).toMatchObject([
    { alarm: "hole", detail: "nothing is there before emission 3.0", subject: SUBJECT },
  ]);
});

test("a fence that is lost to the emission before leaves no hole, and no alarm", async () => {
  const stream = new StreamFake();
  stream.add(SUBJECT, bytesOf(1));
  const { publisher, raised } = parts(stream);
  stream.racedBy = bytesOf(2);
  await publisher.publish(emission(3));
  expect(raised).toEqual([]);
  expect(stream.sequences()).toEqual([1, 2, 3]);
});

test("nothing is published while nobody knows what is newest, and it is once that is known", async () => {
  const stream = new StreamFake();
  stream.add(SUBJECT, bytesOf(1));
  for (let i = 0; i < NEWEST_PASSED_MAX; i++) stream.add(SUBJECT, foreign);
  const before = stream.sequences();
  const { publisher, raised, stop } = parts(stream);
  // Asked to stop, it gives up; otherwise it would go on asking.
  stop.abort();
  await expect(publisher.publish(emission(2))).rejects.toThrow(/are not its partition's/);
  expect(stream.sequences()).toEqual(before);
  const later = parts(stream);
  const published = later.publisher.publish(emission(2));
  await stream.manager.streams.deleteMessage("RESULTS", before[5]!);
  await published;
  expect(stream.sequences()).toHaveLength(before.length);
  expect([...raised, ...later.raised]).toEqual([]);
});
