/** One request, several shards, some of them in trouble: every click has its fate, and sending again is safe. */
import { createExecutionContext, env, runInDurableObject, SELF } from "cloudflare:test";
import { describe, expect, test, vi } from "vitest";
import type { ClickResult, ClickStatus, IngestAnswer } from "../wire/ingest.ts";
import { clicksOf } from "../tests/helpers/raw-rows.ts";
import { shardOf } from "../wire/routing.ts";
import { isProblem } from "./click/parse-envelope.ts";
import type { Env } from "./config.ts";
import { ingest, sortRequest } from "./ingest.ts";
import { JOURNAL_BYTES_MAX, SHARD_ANSWER_MS_MAX } from "./limits.ts";
import { setShardCount } from "./shard/fixtures.ts";
import type { ClickShard } from "./shard/shard.ts";

const SHARDS = 4;
const URL = "https://edge/v1/clicks";
const { SHARD_OBJECTS } = env as unknown as Env;

/** What this file knows of a shard's tables. */
const tables = {
  /** A journal row that is as large as the journal may be, and holds nothing. */
  fill: (sql: SqlStorage) =>
    void sql.exec(
      `INSERT INTO journal_clicks (number, row_count, byte_count, message_byte_count, fingerprints, bytes)
       SELECT coalesce(max(number), 0) + 1, 0, ?, 0, x'', x'' FROM journal_clicks`,
      JOURNAL_BYTES_MAX,
    ),
  empty: (sql: SqlStorage) =>
    void sql.exec("UPDATE journal_clicks SET byte_count = 0 WHERE row_count = 0"),
  newestNumber: (sql: SqlStorage) =>
    sql.exec<{ newest: number | null }>("SELECT max(number) AS newest FROM journal_clicks").one()
      .newest ?? 0,
  /** Ids of all accepted clicks, as often as they stand there. */
  acceptedIds: (sql: SqlStorage) =>
    sql
      .exec<{ bytes: ArrayBuffer }>("SELECT bytes FROM journal_clicks")
      .toArray()
      .flatMap(({ bytes }) => clicksOf(new Uint8Array(bytes)).map(({ clickId }) => clickId)),
};

const stubOf = (shard: number): DurableObjectStub<ClickShard> =>
  SHARD_OBJECTS.get(SHARD_OBJECTS.idFromName(`shard-${shard}`));

const inShard = <T>(shard: number, work: (sql: SqlStorage) => T): Promise<T> =>
  runInDurableObject(stubOf(shard), (_, state) => work(state.storage.sql));

/** The shard's next life begins with what is in its storage. */
async function abort(shard: number): Promise<void> {
  await expect(
    runInDurableObject(stubOf(shard), (_, state) => state.abort("the test says so")),
  ).rejects.toThrow(/the test says so/);
}

interface SentClick {
  readonly click_id: string;
  readonly ad_id: string;
  readonly timestamp: number;
}

let unique = 0;
/** The prefix of clicks that all go to `shard`. */
function installOf(shard: number): string {
  for (;;) {
    const install = `split${unique++}`;
    if (shardOf(`${install}.0`, SHARDS) === shard) return install;
  }
}

/** Three clicks for each shard, in turns, so that no shard's clicks stand together. */
function clicksForAll(): SentClick[] {
  const installs = Array.from({ length: SHARDS }, (_, shard) => installOf(shard));
  return [0, 1, 2].flatMap((n) =>
    installs.map((install) => ({
      click_id: `${install}.${n}`,
      ad_id: `ad${n}`,
      timestamp: Date.now(),
    })),
  );
}

const isOf = (shard: number) => (click: { readonly click_id: string | null }) =>
  shardOf(click.click_id!, SHARDS) === shard;

/** Counts that do not agree with the results, or results that are not in the order sent, fail here. */
function checked(answer: IngestAnswer, clicks: readonly SentClick[]): readonly ClickResult[] {
  const { results, ...counts } = answer;
  expect(results.map((result) => result.click_id)).toEqual(clicks.map((click) => click.click_id));
  const countOf = (status: ClickStatus) => results.filter((r) => r.status === status).length;
  expect(counts).toEqual({
    accepted: countOf("accepted"),
    duplicate: countOf("duplicate"),
    rejected: countOf("rejected"),
    unavailable: countOf("unavailable"),
  });
  return results;
}

async function send(clicks: readonly SentClick[]): Promise<readonly ClickResult[]> {
  const response = await SELF.fetch(URL, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ sent_at: Date.now(), clicks }),
  });
  expect(response.status).toBe(202);
  return checked(await response.json<IngestAnswer>(), clicks);
}

const statusesOf = (results: readonly ClickResult[]) => results.map((result) => result.status);

/** Where in all journals these clicks stand: once each, in their shard. */
async function expectOnceEach(clicks: readonly SentClick[]): Promise<void> {
  const wanted = new Set(clicks.map((click) => click.click_id));
  const journals = await Promise.all(
    Array.from({ length: SHARDS }, (_, shard) => inShard(shard, tables.acceptedIds)),
  );
  for (const [shard, ids] of journals.entries()) {
    expect(ids.filter((id) => wanted.has(id)).toSorted()).toEqual(
      clicks
        .filter(isOf(shard))
        .map((click) => click.click_id)
        .toSorted(),
    );
  }
}

/** Lets `shard` die in its next commit of clicks, before or after the disk has it. */
function dieInCommit(shard: number, when: "before" | "after"): Promise<void> {
  return runInDurableObject(stubOf(shard), (_, state) => {
    const { storage } = state;
    const sync = storage.sync.bind(storage);
    const newest = tables.newestNumber(storage.sql);
    storage.sync = async () => {
      // A flush is no commit of clicks.
      if (tables.newestNumber(storage.sql) === newest) return sync();
      if (when === "after") await sync();
      state.abort("the test says so");
      throw new Error("aborted");
    };
  });
}

interface Trouble {
  readonly name: string;
  readonly begin: (shard: number) => Promise<void>;
  readonly end: (shard: number) => Promise<void>;
  /** Until it is ended; or it was over when the request had its answer. */
  readonly lasts: boolean;
  /** The unavailable ones, sent again: what their shard has done with them in its trouble. */
  readonly resent: ClickStatus;
}

const troubles: readonly Trouble[] = [
  {
    name: "whose journal is full",
    begin: async (shard) => {
      await inShard(shard, tables.fill);
      await abort(shard);
    },
    end: async (shard) => {
      await inShard(shard, tables.empty);
      await abort(shard);
    },
    lasts: true,
    resent: "accepted",
  },
  {
    name: "that was given another shard count",
    begin: (shard) => setShardCount(stubOf(shard), SHARDS + 1),
    end: (shard) => setShardCount(stubOf(shard), SHARDS),
    lasts: true,
    resent: "accepted",
  },
  {
    name: "that dies before its commit is on disk",
    begin: (shard) => dieInCommit(shard, "before"),
    end: () => Promise.resolve(),
    lasts: false,
    resent: "accepted",
  },
  {
    name: "that dies when its commit is on disk and nobody was told",
    begin: (shard) => dieInCommit(shard, "after"),
    end: () => Promise.resolve(),
    lasts: false,
    resent: "duplicate",
  },
];

/** The shard in trouble is the request's first, whose batch carries the rejected clicks too, or another. */
const cases = troubles.flatMap((trouble) =>
  [0, 2].map((shard) => [trouble.name, shard, trouble] as const),
);

describe.each(cases)("a batch over four shards, with one %s (shard %i)", (_, shard, trouble) => {
  /** Every shard knows who it is. */
  const warmUp = async () =>
    expect(statusesOf(await send(clicksForAll()))).toEqual(Array(3 * SHARDS).fill("accepted"));

  test("is taken by the others; the clicks of that one are unavailable; sent again, each is counted once", async () => {
    await warmUp();
    const clicks = clicksForAll();
    const inTrouble = isOf(shard);
    await trouble.begin(shard);
    const first = await send(clicks);
    expect(statusesOf(first)).toEqual(
      clicks.map((click) => (inTrouble(click) ? "unavailable" : "accepted")),
    );
    await trouble.end(shard);

    const unavailable = clicks.filter((__, i) => first[i]!.status === "unavailable");
    expect(statusesOf(await send(unavailable))).toEqual(unavailable.map(() => trouble.resent));
    expect(statusesOf(await send(clicks))).toEqual(clicks.map(() => "duplicate"));
    await expectOnceEach(clicks);
  });

  test("may be sent again whole, and backwards, also while the trouble lasts", async () => {
    await warmUp();
    const clicks = clicksForAll();
    const inTrouble = isOf(shard);
    await trouble.begin(shard);
    const { lasts, resent } = trouble;
    const backwards = clicks.toReversed();
    await send(clicks);
    const during = lasts ? "unavailable" : resent;
    expect(statusesOf(await send(backwards))).toEqual(
      backwards.map((click) => (inTrouble(click) ? during : "duplicate")),
    );
    await trouble.end(shard);
    const after = lasts ? resent : "duplicate";
    expect(statusesOf(await send(clicks))).toEqual(
      clicks.map((click) => (inTrouble(click) ? after : "duplicate")),
    );
    expect(statusesOf(await send(clicks))).toEqual(clicks.map(() => "duplicate"));
    await expectOnceEach(clicks);
  });

  test("says of rejected clicks that they are unavailable when the shard that keeps them is that one", async () => {
    await warmUp();
    const clicks = clicksForAll();
    const bad = { click_id: "bad.1", ad_id: "", timestamp: Date.now() };
    const sent = [...clicks.slice(0, 5), bad, ...clicks.slice(5)];
    await trouble.begin(shard);
    const results = await send(sent);
    // A full journal of clicks has room for rejected ones: their quota is their own.
    const isKept = shard !== 0 || trouble.name === "whose journal is full";
    expect(results[5]!.status).toBe(isKept ? "rejected" : "unavailable");
    await trouble.end(shard);
    expect((await send([bad]))[0]!.status).toBe("rejected");
  });
});

test("a shard whose journal is full still knows what it has accepted", async () => {
  const [full] = troubles;
  const known = clicksForAll();
  await send(known);
  await full!.begin(1);
  const more = clicksForAll();
  const results = await send([...known, ...more]);
  expect(statusesOf(results)).toEqual([
    ...known.map(() => "duplicate"),
    ...more.map((click) => (isOf(1)(click) ? "unavailable" : "accepted")),
  ]);
  await full!.end(1);
  expect(statusesOf(await send(more.filter(isOf(1))))).toEqual([
    "accepted",
    "accepted",
    "accepted",
  ]);
  await expectOnceEach([...known, ...more]);
});

test("a shard that answers too late has its clicks unavailable, and has taken them: sent again they are duplicates", async () => {
  const slowShard = 1;
  const slowName = SHARD_OBJECTS.idFromName(`shard-${slowShard}`).toString();
  const decided: Promise<unknown>[] = [];
  const held = Promise.withResolvers<void>();
  const namespace = {
    idFromName: (name: string) => SHARD_OBJECTS.idFromName(name),
    get: (id: DurableObjectId) => ({
      accept: async (batch: Parameters<ClickShard["accept"]>[0]) => {
        const deciding = SHARD_OBJECTS.get(id).accept(batch);
        decided.push(deciding);
        const answer = await deciding;
        if (id.toString() === slowName) await held.promise;
        return answer;
      },
    }),
  };
  const slowEnv = { ...env, SHARD_OBJECTS: namespace } as unknown as Env;
  const clicks = clicksForAll();
  const body = JSON.stringify({ sent_at: Date.now(), clicks });
  const sorted = sortRequest(new Request(URL), slowEnv, body, Date.now());
  if (isProblem(sorted)) throw new Error(sorted.detail);

  // Shards are asked in the order of their first clicks, with a timer for each, before `ingest` first waits; their own timers stay real.
  const giveUps: { readonly fire: () => void; readonly delayMs: number | undefined }[] = [];
  const timers = vi
    .spyOn(globalThis, "setTimeout")
    .mockImplementation((fire: () => void, delayMs?: number) => {
      giveUps.push({ fire, delayMs });
      return 0;
    });
  const asked = ingest(slowEnv, createExecutionContext(), sorted);
  timers.mockRestore();
  expect(giveUps.map(({ delayMs }) => delayMs)).toEqual(Array(SHARDS).fill(SHARD_ANSWER_MS_MAX));

  // It has taken its clicks, and only then is given up; the others are waited for.
  await Promise.all(decided);
  giveUps[slowShard]!.fire();
  const results = checked(await asked, clicks);
  held.resolve();
  expect(decided).toHaveLength(SHARDS);
  expect(statusesOf(results)).toEqual(
    clicks.map((click) => (isOf(slowShard)(click) ? "unavailable" : "accepted")),
  );
  const unavailable = clicks.filter(isOf(slowShard));
  expect(statusesOf(await send(unavailable))).toEqual(unavailable.map(() => "duplicate"));
  expect(statusesOf(await send(clicks))).toEqual(clicks.map(() => "duplicate"));
  await expectOnceEach(clicks);
});
