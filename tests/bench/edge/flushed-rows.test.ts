/** Rows that are missing, too many or rejected are found, on a real nats-server. */
import { jetstream } from "@nats-io/jetstream";
import type { JetStreamClient } from "@nats-io/jetstream";
import { headers } from "@nats-io/nats-core";
import type { NatsConnection } from "@nats-io/nats-core";
import { connect } from "@nats-io/transport-node";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { encodeBlock } from "../../../wire/block.ts";
import type { FlushOrigin } from "../../../wire/block.ts";
import { encodeReport, REPORT_HEADER, REPORT_SKEW_BOUNDS_MS } from "../../../wire/report.ts";
import type { ShardReport } from "../../../wire/report.ts";
import { rawSubject, rejectedSubject } from "../../../wire/subjects.ts";
import { startNatsServer } from "../../helpers/nats-server.ts";
import type { StartedNatsServer } from "../../helpers/nats-server.ts";
import { FlushedRows } from "./flushed-rows.ts";

/** One test waits for a row in vain; all others have theirs within milliseconds, on a busy machine too. */
const WAIT_MS_MAX = 1_000;

let server: StartedNatsServer;
let connection: NatsConnection;
let js: JetStreamClient;
let flushed: FlushedRows;
let flush = 0;

beforeAll(async () => {
  server = await startNatsServer("");
  connection = await connect({ servers: server.host });
  js = jetstream(connection);
  flushed = await FlushedRows.open(server.host, WAIT_MS_MAX);
});
afterEach(() => flushed.forget());
afterAll(async () => {
  await flushed.close();
  await connection.close();
  await server.stop();
});

test("rows are counted over all blocks, those of a second wait too", async () => {
  await publishRaw(3);
  await publishRaw(4);
  await flushed.until(7);
  await publishRaw(5);
  await flushed.until(12);
  await flushed.until(12);
  await expect(flushed.expectNoMore(12)).resolves.toBeUndefined();
});

test("rows that come while they are waited for are counted", async () => {
  const waiting = flushed.until(2);
  await publishRaw(2);
  await expect(waiting).resolves.toBeUndefined();
});

test("rows that do not come are missed", async () => {
  await publishRaw(3);
  await expect(flushed.until(4)).rejects.toThrow("4 clicks were accepted, CLICKS_RAW holds 3");
});

test("rows too many are found, in the block that was waited for and after it", async () => {
  await publishRaw(3);
  await expect(flushed.until(2)).rejects.toThrow("2 clicks were accepted, CLICKS_RAW holds 3");
  await publishRaw(1);
  await expect(flushed.expectNoMore(3)).rejects.toThrow("CLICKS_RAW holds 4");
});

test("a rejected click is found: none was sent that could be", async () => {
  const origin = { kind: "rejected", ...flushOrigin(), flushedOn: 20_000 } as const;
  await js.publish(rejectedSubject(1), encodeBlock(origin, 2, new Uint8Array(9)).bytes);
  await expect(flushed.expectNoMore(0)).rejects.toThrow("CLICKS_REJECTED holds 2 rows");
});

test("what is no block is found", async () => {
  await js.publish(rawSubject(1), new Uint8Array(3));
  await expect(flushed.until(1)).rejects.toThrow("3 bytes are no block");
});

test("reports are kept, and messages without one are nothing wrong", async () => {
  const report = { ...REPORT, accepted: 2, rowsWritten: 5 };
  await publishRaw(2, encodeReport(report));
  await publishRaw(1);
  await publishRaw(1, "another version's");
  await flushed.until(4);
  expect(flushed.reports).toEqual([report]);
  await flushed.forget();
  expect(flushed.reports).toEqual([]);
});

test("what was forgotten is not counted again", async () => {
  await publishRaw(9);
  await flushed.forget();
  await flushed.expectNoMore(0);
  await publishRaw(1);
  await expect(flushed.until(1)).resolves.toBeUndefined();
});

async function publishRaw(rows: number, report?: string): Promise<void> {
  const origin = { kind: "raw", ...flushOrigin(), flushedOn: 20_000, idsHash: 1n } as const;
  const { bytes } = encodeBlock(origin, rows, new Uint8Array(rows));
  const withReport = headers();
  if (report !== undefined) withReport.set(REPORT_HEADER, report);
  await js.publish(rawSubject(1), bytes, { headers: withReport });
}

function flushOrigin(): FlushOrigin {
  return { shard: 1, epoch: "abcdefgh", flush: ++flush, previous: flush - 1 };
}

const REPORT: ShardReport = {
  sinceMs: 1,
  atMs: 2,
  accepted: 0,
  duplicate: 0,
  unavailable: 0,
  rejected: {},
  invalid: {},
  skew: Array.from({ length: REPORT_SKEW_BOUNDS_MS.length + 1 }, () => 0),
  withoutClock: 0,
  journalBytes: 0,
  rejectedJournalBytes: 0,
  commits: 0,
  commitMsMean: 0,
  commitMsMax: 0,
  flushMs: 0,
  flushFailures: 0,
  dedupIds: 0,
  dedupSegments: 0,
  dedupBytes: 0,
  acceptFromMs: 0,
  rowsWritten: 0,
};
