/** The migrations against the engine: they make exactly the tables that wire/columns.ts says. */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ClickHouseLogLevel, createClient } from "@clickhouse/client";
import type { ClickHouseClient } from "@clickhouse/client";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startEmbeddedClickHouse } from "../../tests/helpers/embedded-clickhouse.ts";
import type { EmbeddedClickHouse } from "../../tests/helpers/embedded-clickhouse.ts";
import { TABLES } from "../../wire/columns.ts";
import type { TableName } from "../../wire/columns.ts";
import { migrate, MigrationError } from "./migrate.ts";

const MIGRATIONS = new URL("migrations/", import.meta.url).pathname;
const WITH_INSERTED_AT = ["ad_clicks_1m", "clicks_raw", "clicks_rejected", "flushes", "emissions"];

let clickhouse: EmbeddedClickHouse;
let client: ClickHouseClient;
let scratch: string;
beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "clickmill-migrations-"));
  clickhouse = await startEmbeddedClickHouse();
  client = createClient({ url: clickhouse.url, log: { level: ClickHouseLogLevel.OFF } });
});
afterAll(async () => {
  await client?.close();
  await clickhouse?.stop();
  rmSync(scratch, { recursive: true, force: true });
});

async function rowsOf<Row>(query: string): Promise<Row[]> {
  const answer = await client.query({
    query,
    format: "JSONEachRow",
    clickhouse_settings: { print_pretty_type_names: 0 },
  });
  return answer.json<Row>();
}

describe("migrate", () => {
  test("applies every file in order, and nothing the second time", async () => {
    const applied = await migrate(client, "twice");
    expect(applied.map(({ name }) => name)).toEqual(readdirSync(MIGRATIONS).toSorted());
    expect(await migrate(client, "twice")).toEqual([]);
  });

  test("makes every table with the columns of the wire, in their order", async () => {
    await migrate(client, "compared");
    for (const table of Object.keys(TABLES) as TableName[]) {
      // oxlint-disable-next-line no-await-in-loop
      const described = await rowsOf<{ name: string; type: string }>(
        `DESCRIBE TABLE compared.${table}`,
      );
      const expected = TABLES[table].map(({ name, type }) => ({ name, type }));
      if (WITH_INSERTED_AT.includes(table)) {
        expected.push({ name: "inserted_at", type: "DateTime64(3, 'UTC')" });
      }
      expect({ table, columns: described.map(({ name, type }) => ({ name, type })) }).toEqual({
        table,
        columns: expected,
      });
    }
  });

  test("gives every table of rows a deduplication window and syncs its parts", async () => {
    await migrate(client, "windows");
    const tables = await rowsOf<{ name: string; create_table_query: string }>(
      `SELECT name, create_table_query FROM system.tables
       WHERE database = 'windows' AND engine LIKE '%MergeTree' AND name != 'migrations'`,
    );
    expect(tables.map(({ name }) => name).toSorted()).toEqual(Object.keys(TABLES).toSorted());
    for (const { create_table_query } of tables) {
      expect(create_table_query).toContain("non_replicated_deduplication_window = 10000");
      expect(create_table_query).toContain("fsync_after_insert = 1");
      expect(create_table_query).toContain("fsync_part_directory = 1");
    }
  });

  test("refuses a file that was changed after it had been applied, and names it", async () => {
    const directory = join(scratch, "changed");
    cpSync(MIGRATIONS, directory, { recursive: true });
    await migrate(client, "changed", directory);
    writeFileSync(join(directory, "0002_counts.sql"), "SELECT 1");
    const again = migrate(client, "changed", directory);
    await expect(again).rejects.toThrow(MigrationError);
    await expect(again).rejects.toThrow(/0002_counts\.sql has been changed since it was applied/);
  });

  test("goes on from the start of a file whose run was cut off", async () => {
    const directory = join(scratch, "cut-off");
    cpSync(MIGRATIONS, directory, { recursive: true });
    const broken = join(directory, `000${readdirSync(MIGRATIONS).length + 1}_more.sql`);
    writeFileSync(broken, "CREATE TABLE IF NOT EXISTS more (a Int8) ENGINE = Memory; SELECT nope;");
    await expect(migrate(client, "cut_off", directory)).rejects.toThrow(/nope/);
    writeFileSync(broken, "CREATE TABLE IF NOT EXISTS more (a Int8) ENGINE = Memory; SELECT 1;");
    expect(await migrate(client, "cut_off", directory)).toHaveLength(1);
  });

  test("takes no table away but the one that nothing had written", () => {
    const replacing = readdirSync(MIGRATIONS).filter((file) =>
      /\b(REPLACE|DROP|TRUNCATE)\s+TABLE\b/i.test(readFileSync(join(MIGRATIONS, file), "utf8")),
    );
    expect(replacing).toEqual(["0005_top_ads.sql"]);
  });

  test("makes the lists of top ads anew where they were lists of minutes", async () => {
    const directory = join(scratch, "minutes");
    cpSync(MIGRATIONS, directory, { recursive: true });
    rmSync(join(directory, "0005_top_ads.sql"));
    await migrate(client, "minutes", directory);
    const columns = async () =>
      (await rowsOf<{ name: string }>("DESCRIBE TABLE minutes.top_ads")).map(({ name }) => name);
    expect(await columns()).toContain("minutes");
    await migrate(client, "minutes");
    expect(await columns()).toEqual(TABLES.top_ads.map(({ name }) => name));
  });

  test("goes where it is told, whatever database the client has", async () => {
    const other = createClient({ url: clickhouse.url, database: "system" });
    expect((await migrate(other, "elsewhere")).length).toBeGreaterThan(0);
    const tables = await client.query({
      query: "SELECT count() > 5 AS there FROM system.tables WHERE database = 'elsewhere'",
      format: "JSONEachRow",
    });
    expect(await tables.json()).toEqual([{ there: 1 }]);
    await other.close();
  });
});

describe("an insert into the tables", () => {
  test("is one part in ad_clicks_1m, and the same token twice is one insert", async () => {
    await migrate(client, "parts");
    const values = Array.from({ length: 50_000 }, (_, i) => ({
      window_start: "2026-11-20 10:00:00",
      ad_id: `ad${i}`,
      clicks: 2,
      origin: i % 2 ? "late" : "on_time",
      emitted_on: "2026-11-20",
    }));
    const insert = () =>
      client.insert({
        table: "parts.ad_clicks_1m",
        values,
        columns: ["window_start", "ad_id", "clicks", "origin", "emitted_on"],
        format: "JSONEachRow",
        clickhouse_settings: {
          async_insert: 0,
          insert_deduplicate: 1,
          insert_deduplication_token: "unit",
          deduplicate_blocks_in_dependent_materialized_views: 1,
          max_insert_block_size: "10000000",
          min_insert_block_size_rows: "10000000",
          min_insert_block_size_bytes: "1073741824",
        },
      });
    await insert();
    await insert();
    const found = await rowsOf(
      `SELECT toUInt32((SELECT sum(clicks) FROM parts.ad_clicks_1m)) AS clicks, toUInt32(count()) AS parts
       FROM system.parts WHERE database = 'parts' AND table = 'ad_clicks_1m'`,
    );
    expect(found).toEqual([{ clicks: 100_000, parts: 1 }]);
  });
});

describe("the views", () => {
  test("answer without knowing about deltas", async () => {
    await migrate(client, "views");
    const insert = (rows: string) =>
      client.command({
        query: `INSERT INTO views.ad_clicks_1m
          (window_start, ad_id, country, device, invalid_reason, clicks, origin, emission, emitted_on)
          VALUES ${rows}`,
      });
    await insert(
      `('2026-11-20 10:00:00', 'ad', 'DE', 'phone', '', 5, 'on_time', 1, '2026-11-20'),
       ('2026-11-20 10:00:00', 'ad', 'DE', 'phone', 'bot', 2, 'on_time', 1, '2026-11-20'),
       ('2026-11-20 10:00:00', 'gone', 'DE', 'phone', '', 4, 'on_time', 1, '2026-11-20'),
       ('2026-11-20 10:01:00', 'ad', 'DE', 'phone', '', 1, 'on_time', 1, '2026-11-20')`,
    );
    await insert(
      `('2026-11-20 10:00:00', 'ad', 'DE', 'phone', '', 3, 'late', 2, '2026-12-01'),
       ('2026-11-20 10:00:00', 'gone', 'DE', 'phone', '', -4, 'recalculated', 2, '2026-12-01')`,
    );
    const counts =
      "toInt32(clicks_gross) AS gross, toInt32(clicks_valid) AS valid, toInt32(clicks_late) AS late";
    expect(
      await rowsOf(`SELECT ad_id, ${counts} FROM views.ad_counts
                    WHERE window_start = '2026-11-20 10:00:00'`),
    ).toEqual([{ ad_id: "ad", gross: 10, valid: 8, late: 3 }]);
    for (const view of ["ad_counts_hourly", "ad_counts_daily"]) {
      // oxlint-disable-next-line no-await-in-loop
      expect(await rowsOf(`SELECT ad_id, ${counts} FROM views.${view}`)).toEqual([
        { ad_id: "ad", gross: 11, valid: 9, late: 3 },
      ]);
    }
    expect(
      await rowsOf("SELECT invalid_reason, toInt32(clicks) AS clicks FROM views.invalid_counts"),
    ).toEqual([{ invalid_reason: "bot", clicks: 2 }]);
  });
});
