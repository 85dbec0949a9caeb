/**
 * Brings a ClickHouse database to this version's tables: applies the files of `migrations/` in order,
 * each once, and refuses to go on when one that was applied has been changed since.
 *
 * ClickHouse has no transactions around DDL: a file whose run was cut off runs again from its start, so
 * its statements must bear that: IF NOT EXISTS; OR REPLACE for views, and for a table only while nothing writes it,
 * for it takes the rows away. Run beside itself it is harmless for the same reason.
 * Names that the database knows and this version does not are a newer version's; they are left alone.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { ClickHouseClient } from "@clickhouse/client";
import { splitStatements } from "./sql-scan.ts";

const MIGRATIONS_DIRECTORY = fileURLToPath(new URL("migrations/", import.meta.url));

export interface AppliedMigration {
  readonly name: string;
  /** SHA-256 of the file, in hex. */
  readonly checksum: string;
}

/** A migration that cannot be applied; nothing of it has been run. */
export class MigrationError extends Error {
  override name = "MigrationError";
}

/**
 * Applies what is missing and returns it, in order.
 *
 * @param client a database of its own does not matter: the request's header says which one is meant
 * @param database made when missing; letters, digits, underscores
 */
export async function migrate(
  client: ClickHouseClient,
  database: string,
  directory: string = MIGRATIONS_DIRECTORY,
): Promise<AppliedMigration[]> {
  requireName(database);
  // The header, because the client has no database per call.
  const http_headers = { "X-ClickHouse-Database": database };
  const command = (query: string) => client.command({ query, http_headers });
  const rowsOf = async <Row>(query: string): Promise<Row[]> =>
    (await client.query({ query, http_headers, format: "JSONEachRow" })).json<Row>();

  await client.command({ query: `CREATE DATABASE IF NOT EXISTS ${database}` });
  await command(`
    CREATE TABLE IF NOT EXISTS migrations
    (name String, checksum String, applied_at DateTime64(3, 'UTC') DEFAULT now64(3))
    ENGINE = MergeTree ORDER BY name
    SETTINGS fsync_after_insert = 1, fsync_part_directory = 1`);
  const known = await rowsOf<AppliedMigration>("SELECT DISTINCT name, checksum FROM migrations");
  const missing = missingMigrations(readMigrations(directory), known);
  for (const { name, checksum, script } of missing) {
    // oxlint-disable-next-line no-await-in-loop -- each statement stands on the one before
    for (const statement of splitStatements(script)) await command(statement);
    // oxlint-disable-next-line no-await-in-loop
    await client.insert({
      table: "migrations",
      columns: ["name", "checksum"],
      values: [{ name, checksum }],
      format: "JSONEachRow",
      http_headers,
      clickhouse_settings: { async_insert: 0 },
    });
  }
  return missing.map(({ name, checksum }) => ({ name, checksum }));
}

export interface MigrationState {
  /** Applied, and the same as this version's files. */
  readonly there: readonly string[];
  /** What `migrate` would apply, in order. */
  readonly missing: readonly string[];
  /** Applied by a newer version than this one. */
  readonly newer: readonly string[];
}

/**
 * What `migrate` would do; writes nothing. A database that does not exist has everything missing.
 *
 * @throws MigrationError when `migrate` would refuse
 */
export async function migrationState(
  client: ClickHouseClient,
  database: string,
  directory: string = MIGRATIONS_DIRECTORY,
): Promise<MigrationState> {
  requireName(database);
  const rowsOf = async <Row>(query: string): Promise<Row[]> =>
    (await client.query({ query, format: "JSONEachRow" })).json<Row>();
  const tables = await rowsOf(
    `SELECT name FROM system.tables WHERE database = '${database}' AND name = 'migrations'`,
  );
  const known =
    tables.length === 0
      ? []
      : await rowsOf<AppliedMigration>(
          `SELECT DISTINCT name, checksum FROM ${database}.migrations ORDER BY name`,
        );
  const files = readMigrations(directory);
  const missing = missingMigrations(files, known).map(({ name }) => name);
  const ours = files.map(({ name }) => name);
  return {
    there: ours.filter((name) => !missing.includes(name)),
    missing,
    newer: known.map(({ name }) => name).filter((name) => !ours.includes(name)),
  };
}

/** The name goes into statements as it is. */
function requireName(database: string): void {
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(database)) {
    throw new MigrationError(`${JSON.stringify(database)} is no name for a database`);
  }
}

interface Migration extends AppliedMigration {
  readonly script: string;
}

/** The files of a directory in order. Throws unless they are numbered 1, 2, 3, … without a gap. */
export function readMigrations(directory: string): Migration[] {
  const names = readdirSync(directory)
    .filter((name) => name.endsWith(".sql"))
    .toSorted();
  return names.map((name, index) => {
    if (!name.startsWith(`${String(index + 1).padStart(4, "0")}_`)) {
      throw new MigrationError(`${name} is not number ${index + 1}`);
    }
    const script = readFileSync(`${directory}/${name}`, "utf8");
    return { name, script, checksum: createHash("sha256").update(script).digest("hex") };
  });
}

/** Which files are to be applied. Throws when an applied one is not what it was, or comes late. */
export function missingMigrations(
  files: readonly Migration[],
  known: readonly AppliedMigration[],
): Migration[] {
  const checksums = new Map(known.map(({ name, checksum }) => [name, checksum]));
  for (const { name, checksum } of files) {
    const applied = checksums.get(name);
    if (applied !== undefined && applied !== checksum) {
      throw new MigrationError(
        `${name} has been changed since it was applied (${applied.slice(0, 12)} then, ` +
          `${checksum.slice(0, 12)} now): restore it and put the change into a new file`,
      );
    }
  }
  return files.filter(({ name }) => !checksums.has(name));
}
