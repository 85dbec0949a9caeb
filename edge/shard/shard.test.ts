/** The shard inside workerd, without NATS: nothing that was answered is forgotten, and nothing waits for the broker. */
import { env, runInDurableObject, SELF } from "cloudflare:test";
import { describe, expect, test } from "vitest";
import type { IngestAnswer } from "../../wire/ingest.ts";
import { shardOf } from "../../wire/routing.ts";
import type { Env } from "../config.ts";
import { REJECTED_JOURNAL_BYTES_MAX } from "../limits.ts";
import { setShardCount } from "./fixtures.ts";
import type { ClickShard } from "./shard.ts";

let unique = 0;
/** Clicks of one installation: all in one shard. */
function clicks(count: number, install = `test${unique++}`) {
  return Array.from({ length: count }, (_, i) => ({
    click_id: `${install}.${i}`,
    ad_id: `ad${i % 3}`,
    timestamp: Date.now(),
  }));
}

async function post(body: unknown): Promise<Response> {
  return SELF.fetch("https://edge/v1/clicks", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
}

async function answer(body: unknown): Promise<IngestAnswer> {
  const response = await post(body);
  expect(response.status).toBe(202);
  return response.json();
}

function stubOf(clickId: string): DurableObjectStub<ClickShard> {
  const { SHARD_OBJECTS } = env as unknown as Env;
  return SHARD_OBJECTS.get(SHARD_OBJECTS.idFromName(`shard-${shardOf(clickId, 4)}`));
}

describe("fates", () => {
  test("first sights are accepted, resends are duplicates, in the order sent", async () => {
    const batch = clicks(5);
    const first = await answer({ sent_at: Date.now(), clicks: batch });
    expect(first).toMatchObject({ accepted: 5, duplicate: 0, rejected: 0, unavailable: 0 });
    expect(first.results.map((r) => r.click_id)).toEqual(batch.map((c) => c.click_id));
    expect(await answer({ sent_at: Date.now(), clicks: batch.toReversed() })).toMatchObject({
      accepted: 0,
      duplicate: 5,
    });
  });

  test("an id twice in one batch is accepted once", async () => {
    const [click] = clicks(1);
    const { results } = await answer({ clicks: [click, { ...click, ad_id: "another" }] });
    expect(results.map((r) => r.status)).toEqual(["accepted", "duplicate"]);
  });

  test("concurrent copies are accepted once", async () => {
    const batch = clicks(20);
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => answer({ sent_at: Date.now(), clicks: batch })),
    );
    expect(answers.reduce((sum, a) => sum + a.accepted, 0)).toBe(20);
    expect(answers.reduce((sum, a) => sum + a.duplicate, 0)).toBe(140);
  });

  test("good clicks beside bad ones are accepted, and the bad ones say why", async () => {
    const [good] = clicks(1);
    const { results, ...counts } = await answer({ clicks: [{ ad_id: "a" }, good, 7] });
    expect(counts).toEqual({ accepted: 1, duplicate: 0, rejected: 2, unavailable: 0 });
    expect(results).toMatchObject([
      { click_id: null, status: "rejected", code: "missing", field: "click_id" },
      { status: "accepted" },
      { click_id: null, status: "rejected", code: "not_an_object" },
    ]);
  });

  test("a click from before what the shard remembers is too old, and kept as rejected", async () => {
    const install = `test${unique++}`;
    const [old] = clicks(1, install);
    const dayMs = 86_400_000;
    const sentAt = Date.now();
    const body = { sent_at: sentAt, clicks: [{ ...old, timestamp: sentAt - 2 * dayMs }] };
    expect((await answer(body)).results).toMatchObject([{ status: "rejected", code: "too_old" }]);
    const kept = await runInDurableObject(stubOf(old!.click_id), (_, state) => {
      const rows = state.storage.sql
        .exec<{ bytes: ArrayBuffer }>("SELECT bytes FROM journal_rejected")
        .toArray();
      return rows.map((row) => new TextDecoder().decode(row.bytes)).join("");
    });
    expect(kept).toContain("too_old");
    expect(kept).toContain(old!.click_id);
  });
});

describe("a journal of rejected clicks that is full", () => {
  const kept = (clickId: string) =>
    runInDurableObject(stubOf(clickId), (_, state) =>
      state.storage.sql
        .exec<{ bytes: ArrayBuffer }>("SELECT bytes FROM journal_rejected ORDER BY number")
        .toArray()
        .map((row) => new TextDecoder("latin1").decode(row.bytes)),
    );

  test("leaves clicks that could be applied again with their sender, counts the others, and takes good ones", async () => {
    const [good, another, old] = clicks(3);
    await answer({ clicks: [good] });
    const stub = stubOf(good!.click_id);
    await runInDurableObject(stub, async (_, state) => {
      state.storage.sql.exec(
        `INSERT INTO journal_rejected (number, row_count, byte_count, message_byte_count, fingerprints, bytes)
         SELECT coalesce(max(number), 0) + 1, 0, ?, 0, x'', x'' FROM journal_rejected`,
        REJECTED_JOURNAL_BYTES_MAX,
      );
      await state.storage.sync();
    });
    // Its next life reads how full it is.
    await expect(
      runInDurableObject(stub, (_, state) => state.abort("the test says so")),
    ).rejects.toThrow(/the test says so/);
    const sentAt = Date.now();
    const { results } = await answer({
      sent_at: sentAt,
      clicks: [
        another,
        { ...old, timestamp: sentAt - 2 * 86_400_000 },
        { ...old, click_id: `${old!.click_id}x`, ad_id: "" },
      ],
    });
    expect(results.map(({ status, code }) => [status, code])).toEqual([
      ["accepted", undefined],
      ["unavailable", undefined],
      ["rejected", "empty"],
    ]);
    const rows = await kept(good!.click_id);
    expect(rows.join("")).not.toContain("too_old");
    expect(rows.at(-1)).toContain("empty");
    expect(rows.at(-1)).not.toContain(old!.click_id);
    await runInDurableObject(stubOf(good!.click_id), (_, state) => {
      state.storage.sql.exec("UPDATE journal_rejected SET byte_count = 0 WHERE row_count = 0");
    });
  });
});

describe("rule 3: no id in memory that is not in storage", () => {
  test("every accepted click is in the journal when its answer is out", async () => {
    const batch = clicks(30);
    await answer({ sent_at: Date.now(), clicks: batch });
    const journal = await runInDurableObject(stubOf(batch[0]!.click_id), (_, state) => {
      const rows = state.storage.sql
        .exec<{ bytes: ArrayBuffer; byte_count: number }>(
          "SELECT bytes, byte_count FROM journal_clicks",
        )
        .toArray();
      // What the journal's limit is measured by.
      for (const row of rows) expect(row.byte_count).toBe(row.bytes.byteLength);
      return rows.map((row) => new TextDecoder("latin1").decode(row.bytes)).join("");
    });
    for (const { click_id } of batch) expect(journal).toContain(click_id);
  });

  test("an alarm stands behind the journal", async () => {
    const batch = clicks(1);
    await answer({ clicks: batch });
    const alarm = await runInDurableObject(stubOf(batch[0]!.click_id), (_, state) =>
      state.storage.getAlarm(),
    );
    expect(alarm).not.toBeNull();
  });

  test("after an abort the shard still knows every id", async () => {
    const batch = clicks(10);
    await answer({ clicks: batch });
    const stub = stubOf(batch[0]!.click_id);
    await expect(
      runInDurableObject(stub, (_, state) => state.abort("the test says so")),
    ).rejects.toThrow(/the test says so/);
    expect(await answer({ clicks: batch })).toMatchObject({ accepted: 0, duplicate: 10 });
  });

  test("a shard count that changed without ACCEPT_SINCE is refused as unavailable, and loses nothing", async () => {
    const batch = clicks(1);
    await answer({ clicks: batch });
    await setShardCount(stubOf(batch[0]!.click_id), 5);
    expect(
      await answer({
        clicks: clicks(1, batch[0]!.click_id.split(".")[0]).map((c) => ({
          ...c,
          click_id: `${c.click_id}x`,
        })),
      }),
    ).toMatchObject({
      unavailable: 1,
    });
    await setShardCount(stubOf(batch[0]!.click_id), 4);
  });
});
