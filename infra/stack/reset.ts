/** `npm run reset`: clears the state of every local stack, but keeps what set-up has built or fetched. */
import { readdirSync, rmSync } from "node:fs";
import { join, relative } from "node:path";
import { CLICKMILL_DIRECTORY } from "./config.ts";
import { holdersBelow } from "./pid-file.ts";

/** infra/setup.mjs owns these, and may be at work on them. */
const KEPT = new Set(["tools", "edge-bundle", "edge-bundle.new", "setup.lock"]);

const directories = listDirectories().filter((name) => !KEPT.has(name));
const running = directories
  .flatMap((name) => holdersBelow(join(CLICKMILL_DIRECTORY, name)))
  .map(({ directory, pid }) => {
    const name = relative(CLICKMILL_DIRECTORY, directory);
    return `a stack runs on .clickmill/${name} (process ${pid})`;
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
