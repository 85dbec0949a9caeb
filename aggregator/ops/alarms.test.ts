/** Alarms on their way to the repair list. */
import { pino } from "pino";
import { expect, test } from "vitest";
import { createAlarms } from "./alarms.ts";

const alarm = (subject: string) => ({ alarm: "hole", subject, messageId: "id", detail: "why" });

test("the same alarm waits once while the repair list is away, and is sent again when it is raised again", async () => {
  const sent: string[] = [];
  const back = Promise.withResolvers<void>();
  const alarms = createAlarms({
    log: pino({ level: "silent" }),
    signal: new AbortController().signal,
    nowMs: () => 0,
    insert: async (_, token) => {
      await back.promise;
      sent.push(token);
    },
    isPassing: () => false,
  });
  for (const subject of ["a", "b", "a", "a"]) alarms.raise("sink", alarm(subject));
  back.resolve();
  await alarms.settled();
  expect(sent).toHaveLength(2);
  alarms.raise("sink", alarm("a"));
  await alarms.settled();
  // Under the same token, by which the table knows it.
  expect([sent.length, new Set(sent).size]).toEqual([3, 2]);
});
