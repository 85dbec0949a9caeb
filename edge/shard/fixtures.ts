/** For tests of the shard: an object's own SQLite, and rows as the Worker makes them. */
import { env, runInDurableObject } from "cloudflare:test";
import { reserve, utf8, writer, written } from "../../wire/cursor.ts";
import { RAW_CLICK_BYTES_MAX, writeRawClick } from "../../wire/raw-click.ts";
import type { Env } from "../config.ts";
import type { ClickShard } from "./shard.ts";
import { CountedSql } from "./sql.ts";

let scratch = 0;

/** Gives an empty SQLite to `body`; `state` is its object's. */
export async function withSql<Result>(
  body: (sql: CountedSql, state: DurableObjectState) => Result | Promise<Result>,
): Promise<Result> {
  const { SHARD_OBJECTS } = env as unknown as Env;
  const stub = SHARD_OBJECTS.get(SHARD_OBJECTS.idFromName(`scratch-${scratch++}`));
  return runInDurableObject(stub, (_, state) => body(new CountedSql(state.storage.sql), state));
}

/** The count of shards that one believes in: stored, and read by its next life. */
export async function setShardCount(
  stub: DurableObjectStub<ClickShard>,
  count: number,
): Promise<void> {
  await runInDurableObject(stub, async (_, { storage }) => {
    storage.sql.exec("UPDATE meta SET value = ? WHERE name = 'shards'", count);
    await storage.sync();
  });
  await runInDurableObject(stub, (_, state) => state.abort("another shard count")).catch(
    () => undefined,
  );
}

export interface FixtureClick {
  readonly clickId: string;
  readonly adId: string;
  /** Milliseconds since 1970. */
  readonly eventTimeMs: number;
  readonly account?: string;
  readonly country?: string;
  readonly device?: string;
  readonly invalidReason?: string;
}

/** clicks_raw rows with empty units. */
export function rawRows(shard: number, clicks: readonly FixtureClick[]): Uint8Array {
  const c = writer();
  for (const { clickId, adId, eventTimeMs, ...click } of clicks) {
    reserve(c, RAW_CLICK_BYTES_MAX);
    writeRawClick(c, {
      shard,
      receivedAtMs: eventTimeMs,
      eventTimeMs,
      timeSource: "client",
      account: click.account ?? "default",
      clickId,
      adId,
      country: click.country ?? "KR",
      device: click.device ?? "mobile",
      invalidReason: click.invalidReason ?? "",
      keyId: "none",
      userId: utf8("ü"),
      ip: "::1",
      userAgent: utf8("agent"),
      claimedTimeMs: eventTimeMs,
      sentAtMs: null,
      skewMs: null,
    });
  }
  return written(c).slice();
}
