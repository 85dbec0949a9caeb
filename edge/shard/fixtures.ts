/** For tests of the shard: an object's own SQLite, calls and packs as the Worker makes them, and journal rows of them. */
import { env, runInDurableObject } from "cloudflare:test";
import { reader, utf8, writer, written } from "../../wire/cursor.ts";
import {
  newClickSpans,
  newPack,
  openPack,
  packClick,
  walkClick,
} from "../../wire/packed-clicks.ts";
import type { RequestFields } from "../../wire/packed-clicks.ts";
import { writeBatch } from "../click/batch-bytes.ts";
import type { ShardBatch } from "../click/batches.ts";
import type { Env } from "../config.ts";
import { Fingerprints } from "./fingerprints.ts";
import { journalRowsOf } from "./group-commit.ts";
import type { ClickShard } from "./shard.ts";
import { CountedSql } from "./sql.ts";
import type { JournalEntry } from "./storage.ts";

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

/** What `accept` is called with. */
export function callOf(batches: readonly ShardBatch[]): Uint8Array {
  const c = writer();
  for (const batch of batches) writeBatch(c, batch);
  return written(c).slice();
}

export interface FixtureClick {
  readonly clickId: string;
  readonly adId: string;
  /** Milliseconds since 1970. */
  readonly eventTimeMs: number;
}

/** A request's clicks (wire/packed-clicks.ts). */
export function packOfClicks(
  clicks: readonly FixtureClick[],
  request: Partial<RequestFields> = {},
): Uint8Array {
  const c = newPack({
    receivedAtMs: clicks[0]?.eventTimeMs ?? 0,
    account: "default",
    country: "KR",
    device: "mobile",
    invalidReason: "",
    keyId: "none",
    ip: "::1",
    userAgent: utf8("agent"),
    sentAtMs: null,
    skewMs: null,
    ...request,
  });
  for (const { clickId, adId, eventTimeMs } of clicks) {
    const click = { clickId, adId, userId: "ü", claimedTimeMs: eventTimeMs };
    packClick(c, click, { eventTimeMs, timeSource: "client" });
  }
  return written(c).slice();
}

/** What a commit of these packs writes to the journal; ids as a shard with this key has them. */
export function journalEntry(
  packs: readonly Uint8Array[],
  fingerprintKey = new Uint8Array(16),
): JournalEntry {
  const of = new Fingerprints(fingerprintKey);
  const pieces = packs.map((bytes) => {
    const c = reader(bytes);
    const pack = openPack(c);
    const click = newClickSpans();
    const lanes = Array.from({ length: pack.clickCount }, () => {
      walkClick(c, click);
      const id = of.of(pack.account, bytes, click.clickIdStart, click.clickIdEnd);
      return [id[0]!, id[1]!];
    });
    return {
      bytes,
      rowCount: pack.clickCount,
      messageByteCount: pack.rowsByteCount,
      fingerprints: Uint32Array.from(lanes.flat()),
    };
  });
  return journalRowsOf(pieces, Infinity)[0]!;
}
