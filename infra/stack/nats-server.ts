/** Finds the nats-server program that infra/setup.mjs has found or fetched. */
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { CLICKMILL_DIRECTORY, type Environment } from "./config.ts";
import { StackError } from "./stack-error.ts";

/** Debian puts nats-server into /usr/sbin, which is not in every user's PATH. setup.mjs looks at the same places. */
const MORE_DIRECTORIES = [
  "/usr/sbin",
  "/usr/local/bin",
  "/opt/homebrew/bin",
  join(CLICKMILL_DIRECTORY, "tools/nats-server/usr/sbin"),
];

export function findNatsServer(environment: Environment): string {
  const directories = (environment["PATH"] ?? "").split(delimiter).filter((path) => path !== "");
  for (const directory of [...directories, ...MORE_DIRECTORIES]) {
    const file = join(directory, "nats-server");
    try {
      accessSync(file, constants.X_OK);
      return file;
    } catch {
      // Not here.
    }
  }
  throw new StackError("nats-server is not installed: run `npm run setup`");
}
