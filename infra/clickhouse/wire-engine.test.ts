/** The wire's rows against the engine: what the encoders write is what ClickHouse reads, field by field. */
import { Readable } from "node:stream";
import { ClickHouseLogLevel, createClient } from "@clickhouse/client";
import type { ClickHouseClient } from "@clickhouse/client";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startEmbeddedClickHouse } from "../../tests/helpers/embedded-clickhouse.ts";
import type { EmbeddedClickHouse } from "../../tests/helpers/embedded-clickhouse.ts";
import { LONGEST_CLICK, LONGEST_REJECTED } from "../../tests/helpers/longest-rows.ts";
import { encodeRow, insertStatement, TABLES } from "../../wire/columns.ts";
import type { CellValue, TableName } from "../../wire/columns.ts";
import {
  textOf,
  utf8,
  writeBytes,
  writeI64,
  writer,
  writeString,
  writeU16,
  writeU32,
  writeU8,
  written,
} from "../../wire/cursor.ts";
import type { Cursor } from "../../wire/cursor.ts";
import { REJECTED_BODY_BYTES_MAX } from "../../wire/limits.ts";
import { PARTIAL_KEY_BYTES_MAX } from "../../wire/partial.ts";
import { RAW_CLICK_BYTES_MAX, unitBytes } from "../../wire/raw-click.ts";
import { writeRawClick } from "../../tests/helpers/raw-rows.ts";
import { REJECTED_CLICK_BYTES_MAX, writeRejectedClick } from "../../wire/rejected-click.ts";
import { RESULT_BYTES_MAX, resultTail } from "../../wire/result.ts";
import { TOP_BYTES_MAX, topTail } from "../../wire/top.ts";
import { migrate } from "./migrate.ts";

type Row = Record<string, CellValue>;

let clickhouse: EmbeddedClickHouse;
let client: ClickHouseClient;
beforeAll(async () => {
  clickhouse = await startEmbeddedClickHouse();
  const log = { level: ClickHouseLogLevel.OFF };
  const admin = createClient({ url: clickhouse.url, log });
  await migrate(admin, "wire");
  await admin.close();
  client = createClient({ url: clickhouse.url, database: "wire", log });
});
afterAll(async () => {
  await client?.close();
  await clickhouse?.stop();
});

const SAFE_MAX = Number.MAX_SAFE_INTEGER;
const U64_MAX = 2n ** 64n - 1n;
const TEXT = "größe 😀\n\r\t\0'\"\\,";
/** Young enough for every TTL. */
const TODAY = Math.floor(Date.now() / 86_400_000);
const NOW_MS = Date.now();
const NOW_SECONDS = Math.floor(NOW_MS / 1000);
const LAST_SECOND = 2 ** 32 - 1;
/** 2299-12-31 23:59:59.999: where DateTime64 ends. */
const LAST_MS = 10_413_791_999_999;

const UNIT = { flush: SAFE_MAX, flushed_on: TODAY, shard: 65_535, epoch: "~epoch_~" };
const ROWS: Record<TableName, Row[]> = {
  clicks_raw: [
    {
      ...UNIT,
      received_at: NOW_MS,
      event_time: LAST_MS,
      time_source: "server",
      account: "",
      click_id: "",
      ad_id: "",
      country: "",
      device: "",
      invalid_reason: "",
      key_id: "",
      user_id: "",
      ip: "",
      user_agent: TEXT.repeat(100),
      claimed_time: 0,
      sent_at: null,
      skew_ms: null,
    },
    {
      ...UNIT,
      flush: 0,
      shard: 0,
      epoch: "\0".repeat(8),
      received_at: 1,
      event_time: 999,
      time_source: "skew_corrected",
      account: "a",
      click_id: "c",
      ad_id: TEXT,
      country: "DE",
      device: "phone",
      invalid_reason: "bot",
      key_id: "k",
      user_id: TEXT,
      ip: "::1",
      user_agent: "",
      claimed_time: -1,
      sent_at: NOW_MS,
      skew_ms: -SAFE_MAX,
    },
  ],
  ad_clicks_1m: [
    {
      window_start: LAST_SECOND - (LAST_SECOND % 60),
      ad_id: TEXT,
      country: "",
      device: "",
      invalid_reason: "",
      clicks: -SAFE_MAX,
      origin: "recalculated",
      job: TEXT,
      partitions: 65_535,
      partition: 65_534,
      emission: SAFE_MAX,
      chunk: 2 ** 32 - 1,
      emitted_on: TODAY,
    },
  ],
  clicks_rejected: [
    {
      ...UNIT,
      received_at: NOW_MS,
      account: "a",
      key_id: "k",
      code: "missing",
      field: "",
      message: TEXT,
      click_id: TEXT,
      ip: "",
      country: "KR",
      user_agent: TEXT,
      body: "\0\n".repeat(3000),
      body_bytes: 2 ** 32 - 1,
      sent_at: null,
      occurrences: 2 ** 32 - 1,
    },
  ],
  flushes: [
    {
      chain: "rejected",
      shard: 65_535,
      epoch: UNIT.epoch,
      flush: SAFE_MAX,
      previous: U64_MAX,
      clicks: 0,
      ids_hash: U64_MAX,
      block_hash: 2n ** 63n,
      stream_created: TEXT,
      sequence: U64_MAX,
      message_id: "",
      message_time: NOW_MS,
    },
  ],
  emissions: [
    emission(1, []),
    emission(2, [[65_535, UNIT.epoch, U64_MAX]]),
    emission(3, longList()),
  ],
  top_ads: [
    {
      window_end: NOW_SECONDS,
      windows: 65_535,
      rank: 1000,
      ad_id: TEXT,
      clicks: SAFE_MAX,
      untracked_clicks: 0,
      partitions: 1,
      partition: 0,
      emission: 0,
      emitted_on: TODAY,
    },
  ],
  ads: [{ ad_id: "", campaign: TEXT, advertiser: "", updated_at: NOW_MS }],
  repairs: [
    {
      noticed_at: NOW_MS,
      noticed_by: "sink",
      alarm: TEXT,
      subject: "",
      message_id: "",
      detail: TEXT,
    },
  ],
  reconciliation: [
    {
      run: TEXT,
      checked_at: NOW_MS,
      window_start: 0,
      raw_clicks: SAFE_MAX,
      counted_clicks: -SAFE_MAX,
      duplicate_ids: U64_MAX,
      verdict: "not_ready",
    },
  ],
};

function emission(number: number, producers: CellValue[][]): Row {
  return {
    partitions: 1024,
    partition: 1023,
    emission: number,
    chunk: 0,
    chunks: 1,
    rows: U64_MAX,
    emission_rows: U64_MAX,
    emission_clicks: -1,
    watermark: NOW_MS,
    closed_through: NOW_SECONDS,
    emission_hash: U64_MAX,
    producers,
    stream_created: "2026-11-23T00:00:00Z",
    sequence: 1,
    message_id: TEXT,
    message_time: NOW_MS,
  };
}
/** 8,192 producers: every shard in two epochs, more than one byte of length. */
function longList(): CellValue[][] {
  return Array.from({ length: 8192 }, (_, i) => [i % 4096, i < 4096 ? "epoch__1" : "epoch__2", i]);
}

/** Reads a column back in a form that no output format can bend: hex, or whole numbers as text. */
function exactly(name: string, type: string): string {
  if (type.startsWith("Array(Tuple(")) {
    return `arrayMap(p -> [toString(p.1), hex(p.2), toString(p.3)], ${name})`;
  }
  if (type.includes("DateTime64")) return `toString(toUnixTimestamp64Milli(${name}))`;
  if (type.startsWith("DateTime")) return `toString(toUnixTimestamp(${name}))`;
  if (type === "Date") return `toString(toUInt16(${name}))`;
  if (/String/.test(type)) return `hex(${name})`;
  return `toString(${name})`;
}
const inHex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex").toUpperCase();

function expected(value: CellValue, type: string): unknown {
  if (value === null) return null;
  if (Array.isArray(value)) {
    return value.map((item: readonly CellValue[]) => [
      String(item[0]),
      inHex(utf8(String(item[1]))),
      String(item[2]),
    ]);
  }
  return /String/.test(type) && !type.startsWith("Enum")
    ? inHex(utf8(String(value)))
    : String(value);
}

async function insert(table: TableName, bytes: Uint8Array): Promise<void> {
  const values = Readable.from([Buffer.from(bytes)], { objectMode: false });
  const { stream } = await client.exec({
    query: insertStatement(table),
    values,
    clickhouse_settings: { async_insert: 0 },
  });
  await stream.resume().toArray();
}

const order = (list: object[]) =>
  list.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));

/** What is in the table and what was written, in the same form and order. */
async function compare(table: TableName, rows: readonly Row[], where = "1") {
  const columns = TABLES[table];
  const query = `SELECT ${columns.map((c) => `${exactly(`t.${c.name}`, c.type)} AS ${c.name}_`).join(", ")}
                 FROM ${table} AS t WHERE ${where}`;
  const answer = await client.query({ query, format: "JSONEachRow" });
  const found = await answer.json<Record<string, unknown>>();
  const wanted = rows.map((row) =>
    Object.fromEntries(columns.map((c) => [`${c.name}_`, expected(row[c.name]!, c.type)])),
  );
  return { found: order(found), wanted: order(wanted) };
}

function encoded(byteCountMax: number, write: (c: Cursor) => void): Uint8Array {
  const c = writer(byteCountMax);
  write(c);
  return written(c);
}

test.each(Object.keys(TABLES) as TableName[])(
  "ClickHouse reads back what encodeRow wrote to %s",
  async (table) => {
    const c = writer();
    for (const row of ROWS[table]) encodeRow(c, TABLES[table], row);
    await insert(table, written(c));
    const { found, wanted } = await compare(table, ROWS[table]);
    expect(found).toEqual(wanted);
  },
);

test("ClickHouse reads back the longest raw clicks, with and without nulls", async () => {
  const clicks = [LONGEST_CLICK, { ...LONGEST_CLICK, sentAtMs: null, skewMs: null, clickId: "n" }];
  const bytes = encoded(2 * RAW_CLICK_BYTES_MAX, (c) => {
    for (const click of clicks) {
      const start = c.at;
      writeRawClick(c, click);
      c.bytes.set(
        unitBytes({ flush: 77, flushedOn: TODAY, shard: click.shard, epoch: "raw_unit" }),
        start,
      );
    }
  });
  await insert("clicks_raw", bytes);
  const rows = clicks.map((click) => ({
    flush: 77,
    flushed_on: TODAY,
    shard: click.shard,
    epoch: "raw_unit",
    received_at: click.receivedAtMs,
    event_time: click.eventTimeMs,
    time_source: click.timeSource,
    account: click.account,
    click_id: click.clickId,
    ad_id: click.adId,
    country: click.country,
    device: click.device,
    invalid_reason: click.invalidReason,
    key_id: click.keyId,
    user_id: textOf(click.userId),
    ip: click.ip,
    user_agent: textOf(click.userAgent),
    claimed_time: click.claimedTimeMs,
    sent_at: click.sentAtMs,
    skew_ms: click.skewMs,
  }));
  const { found, wanted } = await compare("clicks_raw", rows, "flush = 77");
  expect(found).toEqual(wanted);
});

test("ClickHouse reads back the longest rejected click, with the bytes that were kept", async () => {
  const bytes = encoded(REJECTED_CLICK_BYTES_MAX, (c) => writeRejectedClick(c, LONGEST_REJECTED));
  bytes.set(
    unitBytes({ flush: 78, flushedOn: TODAY, shard: LONGEST_REJECTED.shard, epoch: "rejected" }),
  );
  await insert("clicks_rejected", bytes);
  const body = Buffer.from(LONGEST_REJECTED.body);
  const query = `SELECT hex(body) AS body, body_bytes, hex(message) AS message, hex(click_id) AS click_id,
                        hex(user_agent) AS user_agent, code, field, account, key_id, ip, country, toUnixTimestamp64Milli(sent_at) AS sent_at, shard, epoch
                 FROM clicks_rejected WHERE flush = 78`;
  const answer = await client.query({ query, format: "JSONEachRow" });
  expect(await answer.json()).toEqual([
    {
      body: inHex(body.subarray(0, REJECTED_BODY_BYTES_MAX)),
      body_bytes: body.length,
      message: inHex(utf8(LONGEST_REJECTED.message)),
      click_id: inHex(utf8(LONGEST_REJECTED.clickId)),
      user_agent: inHex(LONGEST_REJECTED.userAgent),
      code: LONGEST_REJECTED.code,
      field: LONGEST_REJECTED.field,
      account: LONGEST_REJECTED.account,
      key_id: LONGEST_REJECTED.keyId,
      ip: LONGEST_REJECTED.ip,
      country: LONGEST_REJECTED.country,
      sent_at: LONGEST_REJECTED.sentAtMs,
      shard: LONGEST_REJECTED.shard,
      epoch: "rejected",
    },
  ]);
});

test("ClickHouse reads back a result made of a key's slice and a tail", async () => {
  const key = encoded(PARTIAL_KEY_BYTES_MAX, (c) => {
    for (const text of ["a".repeat(64), "T1", "d".repeat(16), "r".repeat(32)])
      writeString(c, utf8(text));
  });
  const unit = { job: "j".repeat(64), partitions: 7, partition: 6, emission: 79, emittedOn: TODAY };
  const bytes = encoded(RESULT_BYTES_MAX, (c) => {
    writeU32(c, 120);
    writeBytes(c, key);
    writeI64(c, -5);
    writeU8(c, 2);
    writeBytes(c, resultTail(unit, 3));
  });
  await insert("ad_clicks_1m", bytes);
  const row = {
    window_start: 120,
    ad_id: "a".repeat(64),
    country: "T1",
    device: "d".repeat(16),
    invalid_reason: "r".repeat(32),
    clicks: -5,
    origin: "late",
    job: unit.job,
    partitions: 7,
    partition: 6,
    emission: 79,
    chunk: 3,
    emitted_on: TODAY,
  };
  const { found, wanted } = await compare("ad_clicks_1m", [row], "emission = 79");
  expect(found).toEqual(wanted);
});

test("ClickHouse reads back a list of top ads made of rows and a tail", async () => {
  const unit = { job: "", partitions: 7, partition: 6, emission: 80, emittedOn: TODAY };
  const clicks = [SAFE_MAX, 1];
  const bytes = encoded(clicks.length * TOP_BYTES_MAX, (c) => {
    for (const [index, each] of clicks.entries()) {
      writeU32(c, NOW_SECONDS);
      writeU16(c, 1_440);
      writeU16(c, index + 1);
      writeString(c, utf8("a".repeat(64)));
      writeI64(c, each);
      writeI64(c, SAFE_MAX - 1);
      writeBytes(c, topTail(unit));
    }
  });
  await insert("top_ads", bytes);
  const rows = clicks.map((each, index) => ({
    window_end: NOW_SECONDS,
    windows: 1_440,
    rank: index + 1,
    ad_id: "a".repeat(64),
    clicks: each,
    untracked_clicks: SAFE_MAX - 1,
    partitions: 7,
    partition: 6,
    emission: 80,
    emitted_on: TODAY,
  }));
  const { found, wanted } = await compare("top_ads", rows, "emission = 80");
  expect(found).toEqual(wanted);
});
