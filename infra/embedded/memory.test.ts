/** Large data must not pass through the memory of the process; what the engine needs is its own. */
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { createClient } from "@clickhouse/client";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startEmbeddedClickHouse } from "../../tests/helpers/embedded-clickhouse.ts";
import type { EmbeddedClickHouse } from "../../tests/helpers/embedded-clickhouse.ts";
import { residentBytes } from "../../tests/helpers/resident-bytes.ts";

const MEGABYTE = 1_000_000;
/** What the process would grow by if its memory held the data. */
const TRANSFER_BYTES = 300 * MEGABYTE;
/** Before it: until the engine's and Node's pools of memory are as large as they get. */
const WARM_UP_BYTES = 100 * MEGABYTE;
/** Measured: 5 to 95 MB, and no more for transfers of 1 GB. */
const GROWTH_BYTES_MAX = TRANSFER_BYTES / 2;

let clickhouse: EmbeddedClickHouse;
beforeAll(async () => {
  clickhouse = await startEmbeddedClickHouse();
});
afterAll(() => clickhouse?.stop());

/** By how much the process has grown at most, looked at again and again while `transfer` runs. */
async function growthOf(transfer: (byteCount: number) => Promise<void>): Promise<number> {
  await transfer(WARM_UP_BYTES);
  const before = await residentBytes(clickhouse.pid);
  let most = before;
  const ended = new AbortController();
  const watching = (async () => {
    while (!ended.signal.aborted) {
      // oxlint-disable-next-line no-await-in-loop -- looked at again and again
      most = Math.max(most, await residentBytes(clickhouse.pid));
      // oxlint-disable-next-line no-await-in-loop
      await sleep(5);
    }
  })();
  await transfer(TRANSFER_BYTES).finally(() => ended.abort());
  await watching;
  return most - before;
}

/** Rows of 100 bytes in RowBinary. */
function rows(byteCount: number): Readable {
  const piece = Buffer.alloc(MEGABYTE);
  for (let at = 0; at < piece.length; at += 100) {
    piece.writeUInt32LE(at, at);
    piece[at + 4] = 95;
    piece.fill(97, at + 5, at + 100);
  }
  const pieces = Array.from({ length: byteCount / MEGABYTE }, () => piece);
  return Readable.from(pieces, { objectMode: false });
}

test("an INSERT of 300 MB grows the process by less than half of it", async () => {
  const client = createClient({ url: clickhouse.url });
  // A table that keeps nothing, in blocks of 8,192 rows: what grows then is not the engine.
  await client.command({ query: "CREATE TABLE nothing (a UInt32, b String) ENGINE = Null" });
  const growth = await growthOf(async (byteCount) => {
    const { stream, summary } = await client.exec({
      query: "INSERT INTO nothing FORMAT RowBinary",
      values: rows(byteCount),
      clickhouse_settings: {
        max_insert_block_size: "8192",
        min_insert_block_size_rows: "8192",
        min_insert_block_size_bytes: "0",
      },
    });
    await stream.resume().toArray();
    expect(Number(summary?.written_rows)).toBe(byteCount / 100);
  });
  await client.close();
  expect(growth).toBeLessThan(GROWTH_BYTES_MAX);
});

test.each(["JSONEachRow", "JSON"])(
  "a SELECT of 300 MB as %s grows the process by less than half of it",
  async (format) => {
    const growth = await growthOf(async (byteCount) => {
      const sql = `SELECT number, repeat('a', 80) AS text FROM numbers(${byteCount / 100}) FORMAT ${format}`;
      const answer = await fetch(clickhouse.url, { method: "POST", body: sql });
      let received = 0;
      for await (const chunk of answer.body!) received += chunk.length;
      expect(received).toBeGreaterThan(byteCount);
    });
    expect(growth).toBeLessThan(GROWTH_BYTES_MAX);
  },
);
