/** How the embedded ClickHouse is started: by the local stack, and by tests that need only it. */
import { fileURLToPath } from "node:url";
import { DEFAULT_USER } from "../embedded/credentials.ts";
import type { User } from "../embedded/credentials.ts";
import { inheritedEnvironment } from "./config.ts";
import { CLICKHOUSE_READY_MS_MAX } from "./limits.ts";
import type { LaunchSpec } from "./stack-process.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const MAIN = fileURLToPath(new URL("../embedded/main.ts", import.meta.url));

/** @param user the one user it answers; in its environment, because everybody sees a command line */
export function clickhouseLaunch(port: number, dataDirectory: string, user: User): LaunchSpec {
  return {
    command: process.execPath,
    arguments: [MAIN, "--port", String(port), "--data", dataDirectory],
    environment: {
      ...inheritedEnvironment(),
      CLICKHOUSE_USER: user.name,
      CLICKHOUSE_PASSWORD: user.password,
    },
    workingDirectory: ROOT,
    readyMsMax: CLICKHOUSE_READY_MS_MAX,
    // Its own word, not an answer on the port: another program might have taken that in between.
    isReady: async (log) => log().includes("clickhouse ready on "),
  };
}

/** The URL as our own clients use it. It holds the password: never shown. */
export function withUser(url: string, user: User): string {
  const full = new URL(url);
  // The default user without a password is who asks without a name.
  if (user.name === DEFAULT_USER.name && user.password === "") return url;
  full.username = encodeURIComponent(user.name);
  full.password = encodeURIComponent(user.password);
  return full.href;
}
