/** `npm run reset`: clears the state of every local stack, but keeps what set-up has built or fetched. */
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { CLICKMILL_DIRECTORY } from "./config.ts";
import { holderOf } from "./pid-file.ts";

/** infra/setup.mjs owns these. */
const KEPT = new Set(["tools", "edge-bundle", "setup.lock"]);

const directories = listDirectories().filter((name) => !KEPT.has(name));
const running = directories.flatMap((name) => {
  const pid = holderOf(join(CLICKMILL_DIRECTORY, name));
  return pid === undefined ? [] : [`a stack runs on .clickmill/${name} (process ${pid})`];
});
if (running.length > 0) {
  console.error(`${running.join("\n")}\nStop it first; nothing was cleared.`);
  process.exit(1);
}
for (const name of directories) {
  rmSync(join(CLICKMILL_DIRECTORY, name), { recursive: true, force: true });
  console.log(`cleared .clickmill/${name}`);
}
if (directories.length === 0) console.log("nothing to clear");

function listDirectories(): string[] {
  try {
    return readdirSync(CLICKMILL_DIRECTORY);
  } catch {
    return [];
  }
}
