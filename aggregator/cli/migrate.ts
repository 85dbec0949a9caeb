/** `clickmill migrate`: brings a ClickHouse database to this version's tables, and says what it did. */
import { ClickHouseLogLevel, createClient } from "@clickhouse/client";
import { Command } from "commander";
import { migrate, MigrationError, migrationState } from "../../infra/clickhouse/migrate.ts";
import type { MigrationState } from "../../infra/clickhouse/migrate.ts";
import { MIGRATION_MS_MAX } from "../../infra/stack/limits.ts";
import { shownUrl } from "../config-url.ts";
import { cliConfig } from "./config.ts";
import { reasonOf } from "./reason-of.ts";
import { CommandFailure } from "./usage-error.ts";

interface Flags {
  readonly dryRun?: true;
  readonly json?: true;
}

export function migrateCommand(): Command {
  return new Command("migrate")
    .description(
      "Bring ClickHouse's tables to this version: apply the migrations that are missing.",
    )
    .option("--dry-run", "say what would be applied, and write nothing")
    .option("--json", "print the result as one line of JSON")
    .addHelpText("after", HELP)
    .action(run);
}

const HELP = `
Each migration is applied once, in order; one that was changed after it was applied stops everything. A
database that does not exist is made. The local stack does this by itself at every start.

Environment, with its defaults:
  CLICKHOUSE_URL       http://127.0.0.1:8123 (the port: CLICKMILL_PORT_CLICKHOUSE); http://user:password@host:port
  CLICKHOUSE_DATABASE  clickmill

Exit code 0: everything is there. 1: it could not be done. 2: wrong usage or settings.

Examples:
  clickmill migrate --dry-run
  CLICKHOUSE_URL=https://clickhouse.example:8443 clickmill migrate --json`;

async function run(flags: Flags): Promise<void> {
  const { clickhouseUrl, clickhouseDatabase: database } = cliConfig();
  const client = createClient({
    url: clickhouseUrl,
    request_timeout: MIGRATION_MS_MAX,
    log: { level: ClickHouseLogLevel.OFF },
  });
  try {
    const state = await migrationState(client, database);
    const applied = flags.dryRun ? [] : (await migrate(client, database)).map(({ name }) => name);
    // What another run has applied between the two looks is there as well.
    const missing = flags.dryRun ? state.missing : [];
    const there = [...state.there, ...state.missing].filter(
      (name) => !applied.includes(name) && !missing.includes(name),
    );
    const result = { there, applied, missing, newer: state.newer };
    console.log(
      flags.json
        ? JSON.stringify({ database, dry_run: flags.dryRun === true, ...result })
        : inWords(
            `database ${database} at ${shownUrl(clickhouseUrl)}`,
            result,
            flags.dryRun === true,
          ),
    );
  } catch (error) {
    const why = error instanceof MigrationError ? error.message : reasonOf(error);
    throw new CommandFailure(
      `cannot migrate database ${database} at ${shownUrl(clickhouseUrl)}: ${why}`,
      { cause: error },
    );
  } finally {
    await client.close();
  }
}

function inWords(
  where: string,
  result: MigrationState & { readonly applied: readonly string[] },
  isDryRun: boolean,
): string {
  const { there, applied, missing, newer } = result;
  const nothing = missing.length + applied.length === 0;
  const sum = nothing
    ? "Nothing to apply."
    : isDryRun
      ? `${missing.length} to apply; nothing was written.`
      : `${applied.length} applied.`;
  return [
    where,
    ...listed("there", there),
    ...listed("applied", applied),
    ...listed("would apply", missing),
    ...listed("newer than us", newer),
    sum,
  ].join("\n");
}

function listed(label: string, names: readonly string[]): string[] {
  return names.map((name) => `  ${label.padEnd(14)}${name}`);
}
