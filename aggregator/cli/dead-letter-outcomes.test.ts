/** What becomes of set-aside messages while others send them back or drop them too. */
import { expect, test } from "vitest";
import { ownRaw } from "../../tests/helpers/set-aside-fixtures.ts";
import type { DeadLetters, Letter } from "../source/dead-letters.ts";
import { dropEach, headsOf, retryEach, sequencesThere } from "./dead-letter-outcomes.ts";
import type { RetryOutcome } from "./dead-letter-outcomes.ts";

const raw = ownRaw(1_795_420_042_721).bytes;

function letter(sequence: number, data: Uint8Array): Letter {
  return {
    head: {
      sequence,
      setAsideMs: 0,
      stream: "CLICKS_RAW",
      fromSubject: "clicks.raw.0",
      fromSequence: "1",
      reason: "",
      byteCount: data.length,
      keptByteCount: data.length,
    },
    headers: [],
    data,
  };
}

/** SET_ASIDE with these. @param onPublish what somebody else does while we wait for the broker */
function setAside(held: Map<number, Uint8Array>, onPublish = () => {}) {
  const published: string[] = [];
  const letters: DeadLetters = {
    list: (limit, _, after) => {
      const left = [...held].filter(([sequence]) => sequence > after);
      const page = left.slice(0, limit).map(([sequence, data]) => letter(sequence, data).head);
      return Promise.resolve({ letters: page, more: left.length - page.length });
    },
    get: (sequence) => {
      const data = held.get(sequence);
      return Promise.resolve(data === undefined ? null : letter(sequence, data));
    },
    publish: (_, id) => {
      onPublish();
      const isNew = !published.includes(id);
      published.push(id);
      return Promise.resolve(isNew);
    },
    remove: (sequence) => Promise.resolve(held.delete(sequence)),
    close: () => Promise.resolve(),
  };
  return { letters, published };
}
async function outcomesOf(retried: AsyncIterable<RetryOutcome>): Promise<RetryOutcome[]> {
  const outcomes: RetryOutcome[] = [];
  for await (const outcome of retried) outcomes.push(outcome);
  return outcomes;
}
const broken = Uint8Array.of(1);
const held = () => new Map([17, 18, 19].map((sequence) => [sequence, raw]));

test("a sequence that is named twice is taken once", async () => {
  const { letters, published } = setAside(held());
  const { heads, unknown } = await headsOf(letters, [17, 17, 99, 18, 99]);
  expect([heads.map((h) => h.sequence), unknown]).toEqual([[17, 18], [99]]);
  const outcomes = await outcomesOf(
    retryEach(
      letters,
      heads.map((h) => h.sequence),
    ),
  );
  expect(outcomes.map((o) => o.outcome)).toEqual(["sent_back", "sent_back"]);
  expect(published).toHaveLength(2);
  expect(await dropEach(letters, [19, 19])).toEqual({ dropped: [19], gone: [] });
});

test("one that somebody else takes meanwhile is gone, and the others are sent back", async () => {
  const there = held();
  const { letters, published } = setAside(there, () => there.delete(18));
  const outcomes = await outcomesOf(retryEach(letters, [17, 18, 19]));
  expect(outcomes.map((o) => [o.sequence, o.outcome])).toEqual([
    [17, "sent_back"],
    [18, "gone"],
    [19, "sent_back"],
  ]);
  expect(published).toHaveLength(2);
});

test("one that is taken between publishing and deleting says so", async () => {
  const there = held();
  const { letters } = setAside(there, () => there.clear());
  const [outcome] = await outcomesOf(retryEach(letters, [17]));
  expect(outcome).toMatchObject({
    outcome: "sent_back",
    detail: expect.stringContaining("somebody else has taken it from SET_ASIDE meanwhile"),
  });
});

test("all that stand there are taken, what is refused stays, and what comes meanwhile waits", async () => {
  const there = new Map([...held(), [20, broken]]);
  let next = 100;
  const { letters } = setAside(there, () => there.set(next++, raw));
  const outcomes = await outcomesOf(retryEach(letters, sequencesThere(letters)));
  expect(outcomes.map((o) => [o.sequence, o.outcome])).toEqual([
    [17, "sent_back"],
    [18, "sent_back"],
    [19, "sent_back"],
    [20, "refused"],
  ]);
  expect([...there.keys()]).toEqual([20, 100, 101, 102]);
});

test("a drop tells what it has dropped from what was gone already", async () => {
  const { letters } = setAside(held());
  expect(await dropEach(letters, [17, 99, 18])).toEqual({ dropped: [17, 18], gone: [99] });
});
