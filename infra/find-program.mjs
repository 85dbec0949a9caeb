// @ts-check
/**
 * Where programs are looked for. Plain JavaScript without dependencies: set-up runs it on Node 20 with
 * nothing installed, and the stack runs it too, so that both find the same program.
 */
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

/** Where set-up unpacks Debian's package when the machine has no nats-server. */
export const NATS_SERVER_DIRECTORY = fileURLToPath(
  new URL("../.clickmill/tools/nats-server", import.meta.url),
);

/**
 * @param {string} name
 * @param {readonly string[]} directories
 * @returns {string | undefined} the first file of that name that may be executed
 */
export function findProgram(name, directories) {
  return directories
    .filter((directory) => directory !== "")
    .map((directory) => join(directory, name))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

/**
 * @param {string | undefined} path the environment's PATH
 * @returns {string | undefined}
 */
export function findNatsServer(path) {
  return findProgram("nats-server", [
    ...(path ?? "").split(delimiter),
    // Debian's place, which is not in every user's PATH; then those of an install by hand and of Homebrew.
    "/usr/sbin",
    "/usr/local/bin",
    "/opt/homebrew/bin",
    join(NATS_SERVER_DIRECTORY, "usr/sbin"),
  ]);
}
