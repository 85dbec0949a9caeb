/** Where `migrate.ts` finds its database, when it is run by itself. */

export interface MigrateConfig {
  readonly url: string;
  readonly database: string;
}

/** @throws Error that says what is wrong with the environment */
export function readMigrateConfig(): MigrateConfig {
  const url = process.env["CLICKHOUSE_URL"] ?? "";
  const database = process.env["CLICKHOUSE_DATABASE"] ?? "clickmill";
  if (!URL.canParse(url))
    throw new Error("CLICKHOUSE_URL must be a URL such as http://127.0.0.1:8123");
  return { url, database };
}
