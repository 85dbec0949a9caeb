/** The embedded server's settings from the environment: a password has no place on a command line. */
import { DEFAULT_USER } from "./credentials.ts";
import type { User } from "./credentials.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** The one user who may ask: by default a server's own default user, without a password. */
export function readUser(environment: Environment = process.env): User {
  return {
    name: environment["CLICKHOUSE_USER"] || DEFAULT_USER.name,
    password: environment["CLICKHOUSE_PASSWORD"] ?? DEFAULT_USER.password,
  };
}
