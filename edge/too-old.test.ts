/** What a shard still remembers, and what is too old for it: real requests, inside workerd. */
import { env, runInDurableObject, SELF } from "cloudflare:test";
import { beforeAll, describe, expect, test } from "vitest";
import type { ClickResult, IngestAnswer } from "../wire/ingest.ts";
import { SMALL_SKEW_MS_MAX, TIMESTAMP_MS_MAX } from "../wire/limits.ts";
import { clicksOf } from "../tests/helpers/raw-rows.ts";
import type { RawClick } from "../wire/raw-click.ts";
import { shardOf } from "../wire/routing.ts";
import type { Env } from "./config.ts";
import type { ClickShard } from "./shard/shard.ts";

const DAY = 86_400_000;
const YEAR = 365 * DAY;
/** All clicks of this file go to one shard. */
const INSTALL = "too-old";
let unique = 0;
const clickAt = (timestamp: number) => ({
  click_id: `${INSTALL}.${unique++}`,
  ad_id: "ad",
  timestamp,
});

/** What this file knows of a shard's tables. */
const tables = {
  acceptFromMs: (sql: SqlStorage) =>
    sql.exec<{ value: number }>("SELECT value FROM meta WHERE name = 'accept_from_ms'").one().value,
  setAcceptFromMs: (sql: SqlStorage, value: number) =>
    void sql.exec("UPDATE meta SET value = ? WHERE name = 'accept_from_ms'", value),
  accepted: (sql: SqlStorage) =>
    sql
      .exec<{ bytes: ArrayBuffer }>("SELECT bytes FROM journal_clicks")
      .toArray()
      .flatMap(({ bytes }) => clicksOf(new Uint8Array(bytes))),
  rejectedText: (sql: SqlStorage) =>
    sql
      .exec<{ bytes: ArrayBuffer }>("SELECT bytes FROM journal_rejected")
      .toArray()
      .map(({ bytes }) => new TextDecoder("latin1").decode(bytes))
      .join(""),
};

function stub(): DurableObjectStub<ClickShard> {
  const { SHARD_OBJECTS } = env as unknown as Env;
  return SHARD_OBJECTS.get(SHARD_OBJECTS.idFromName(`shard-${shardOf(`${INSTALL}.0`, 4)}`));
}

const inShard = <T>(work: (sql: SqlStorage) => T): Promise<T> =>
  runInDurableObject(stub(), (_, state) => work(state.storage.sql));

/** @param aheadMs by how much the device's clock is ahead when it sends */
async function send(click: object, aheadMs = 0): Promise<ClickResult> {
  const response = await SELF.fetch("https://edge/v1/clicks", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ sent_at: Date.now() + aheadMs, clicks: [click] }),
  });
  expect(response.status).toBe(202);
  const { results } = await response.json<IngestAnswer>();
  expect(results).toHaveLength(1);
  return results[0]!;
}

async function rowOf(clickId: string): Promise<RawClick> {
  const rows = (await inShard(tables.accepted)).filter((row) => row.clickId === clickId);
  expect(rows).toHaveLength(1);
  return rows[0]!;
}

// The shard's life, and its limit, begin with its first click.
beforeAll(async () => void (await send(clickAt(Date.now()))));

describe("too old", () => {
  test("is a click by a good clock from before the limit, to the millisecond", async () => {
    const limitMs = await inShard(tables.acceptFromMs);
    expect(limitMs).toBeLessThan(Date.now() - DAY + 60_000);
    expect(await send(clickAt(limitMs - 1))).toMatchObject({
      status: "rejected",
      code: "too_old",
      field: "timestamp",
    });
    expect((await send(clickAt(limitMs))).status).toBe("accepted");
  });

  test("is kept as rejected with the bytes that were sent", async () => {
    const click = { ...clickAt(Date.now() - 2 * DAY), more: `mark${unique++}` };
    expect((await send(click)).code).toBe("too_old");
    expect(await inShard(tables.rejectedText)).toContain(JSON.stringify(click));
    expect((await inShard(tables.accepted)).map((row) => row.clickId)).not.toContain(
      click.click_id,
    );
  });

  test("is not the same click by a clock that is as far behind: it is corrected into what is remembered", async () => {
    const clickedMs = Date.now() - 60_000;
    const click = clickAt(clickedMs - 2 * DAY);
    expect((await send(click)).code).toBe("too_old");
    expect((await send(click, -2 * DAY)).status).toBe("accepted");
    const row = await rowOf(click.click_id);
    expect(row).toMatchObject({ claimedTimeMs: click.timestamp, timeSource: "skew_corrected" });
    // True to the flight of this request.
    expect(row.eventTimeMs).toBeGreaterThanOrEqual(clickedMs);
    expect(row.eventTimeMs).toBeLessThan(clickedMs + SMALL_SKEW_MS_MAX);
    expect((await send(click, -2 * DAY)).status).toBe("duplicate");
  });

  test("is a click that seems new by a clock that is years ahead", async () => {
    const click = clickAt(Date.now() + 3 * YEAR - 2 * DAY);
    expect((await send(click, 3 * YEAR)).code).toBe("too_old");
  });

  test.each([
    ["30 years ahead", 30 * YEAR],
    ["30 years behind", -30 * YEAR],
    ["11 s ahead", 11_000],
    ["11 s behind", -11_000],
  ])("is no click of this minute, by a clock that is %s", async (_, aheadMs) => {
    const clickedMs = Date.now() - 5_000;
    const click = clickAt(clickedMs + aheadMs);
    expect((await send(click, aheadMs)).status).toBe("accepted");
    const { eventTimeMs, skewMs, sentAtMs, receivedAtMs } = await rowOf(click.click_id);
    expect(eventTimeMs).toBeGreaterThanOrEqual(clickedMs);
    expect(eventTimeMs).toBeLessThan(clickedMs + SMALL_SKEW_MS_MAX);
    expect(skewMs).toBe(receivedAtMs - sentAtMs!);
  });

  test("is what lies before 1970 after its correction", async () => {
    const click = clickAt(0);
    expect((await send(click, TIMESTAMP_MS_MAX - Date.now() - 60_000)).code).toBe("too_old");
  });

  test.each([
    ["is to come", () => Date.now() + YEAR],
    ["stands at the end of time", () => TIMESTAMP_MS_MAX],
  ])("is no click whose timestamp %s: it counts at the receipt", async (_, timestamp) => {
    const click = clickAt(timestamp());
    expect((await send(click)).status).toBe("accepted");
    const row = await rowOf(click.click_id);
    expect(row).toMatchObject({ timeSource: "server", claimedTimeMs: click.timestamp });
    expect(row.eventTimeMs).toBe(row.receivedAtMs);
  });
});

describe("an accepted click that is sent again", () => {
  test("is a duplicate, also when it says an older time now", async () => {
    const click = clickAt(Date.now());
    expect((await send(click)).status).toBe("accepted");
    const older = { ...click, timestamp: click.timestamp - 2 * DAY };
    expect((await send(older)).status).toBe("duplicate");
    expect((await send(click, -2 * DAY)).status).toBe("duplicate");
  });

  test("is a duplicate as long as it is remembered, also when the limit has risen above its time", async () => {
    const click = clickAt(Date.now() - 10_000);
    const unknown = clickAt(click.timestamp);
    expect((await send(click)).status).toBe("accepted");
    const before = await inShard(tables.acceptFromMs);
    await inShard((sql) => tables.setAcceptFromMs(sql, Date.now() - 5_000));
    // Its next life reads the limit.
    const aborted = runInDurableObject(stub(), (_, state) => state.abort("the test says so"));
    await expect(aborted).rejects.toThrow(/the test says so/);
    expect((await send(click)).status).toBe("duplicate");
    expect((await send(unknown)).code).toBe("too_old");
    expect(
      (await inShard(tables.accepted)).filter((row) => row.clickId === click.click_id),
    ).toHaveLength(1);
    await inShard((sql) => tables.setAcceptFromMs(sql, before));
  });
});
