/** A reader that stops says so until somebody listens; every other failure ends the process. */
import { expect, test } from "vitest";
import type { Alarm } from "../alarm.ts";
import { ReaderStop, runStoppable } from "./reader-stop.ts";

const AT = { subject: "clicks.raw.1", sequence: 17, id: "id" };

/** Aborts at the third alarm. */
function parts() {
  const raised: [string, Alarm][] = [];
  const stop = new AbortController();
  const alarms = {
    raise(reader: string, alarm: Alarm) {
      raised.push([reader, alarm]);
      if (raised.length === 3) stop.abort();
    },
    settled: () => Promise.resolve(),
  };
  return { raised, alarms, signal: stop.signal };
}

test("the same alarm is raised again and again, until the process is asked to stop", async () => {
  const p = parts();
  await runStoppable("raw sink", p, () => Promise.reject(new ReaderStop(AT, "wire version 99")), 1);
  expect(p.raised).toHaveLength(3);
  expect(new Set(p.raised.map((r) => JSON.stringify(r))).size).toBe(1);
  expect(p.raised[0]).toMatchObject([
    "raw sink",
    {
      alarm: "reader_stopped",
      subject: "clicks.raw.1",
      messageId: "id",
      detail: expect.stringMatching(
        /^stopped before sequence 17: wire version 99; upgrade this aggregator \(/,
      ),
    },
  ]);
});

test("another failure is thrown on, and an end is an end", async () => {
  const p = parts();
  await expect(
    runStoppable("raw sink", p, () => Promise.reject(new Error("impossible"))),
  ).rejects.toThrow("impossible");
  await runStoppable("raw sink", p, () => Promise.resolve());
  expect(p.raised).toEqual([]);
});
