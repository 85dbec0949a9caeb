/** Says who runs a stack on a state directory, so that no second one does and reset keeps off. */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { livingProcess, processIdentity } from "../process-identity.mjs";
import { StackError } from "./stack-error.ts";

const FILE = "stack.pid";
/** `<profile>/<name>` is the deepest that a stack's state lies; one more, and far from the engine's thousands of files. */
const STATE_DEPTH_MAX = 3;

/** @throws StackError when another living process holds the directory. */
export function takePidFile(stateDirectory: string): void {
  mkdirSync(stateDirectory, { recursive: true });
  const file = join(stateDirectory, FILE);
  // Two attempts: the second after a dead holder's file was removed.
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      writeFileSync(file, processIdentity(process.pid), { flag: "wx" });
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      const holder = holderOf(stateDirectory);
      if (holder !== undefined) {
        throw new StackError(`${stateDirectory} is in use by a running stack (process ${holder})`);
      }
      rmSync(file, { force: true });
    }
  }
  throw new StackError(`${file} could not be taken: two stacks are starting at once`);
}

/** Removes everything in the directory but the pid file; only for who has taken it. */
export function clearState(stateDirectory: string): void {
  for (const name of readdirSync(stateDirectory)) {
    if (name !== FILE) rmSync(join(stateDirectory, name), { recursive: true, force: true });
  }
}

export function releasePidFile(stateDirectory: string): void {
  rmSync(join(stateDirectory, FILE), { force: true });
}

/** The living process that runs a stack on the directory. */
export function holderOf(stateDirectory: string): number | undefined {
  let text: string;
  try {
    text = readFileSync(join(stateDirectory, FILE), "utf8");
  } catch {
    return undefined;
  }
  return livingProcess(text);
}

export interface Holder {
  readonly directory: string;
  readonly pid: number;
}

/** Stacks that run on the directory or on one below it: a test stack lives in `test/<name>`. */
export function holdersBelow(directory: string, depthMax = STATE_DEPTH_MAX): Holder[] {
  const pid = holderOf(directory);
  const own = pid === undefined ? [] : [{ directory, pid }];
  if (depthMax === 0) return own;
  const names = subdirectories(directory);
  return [...own, ...names.flatMap((name) => holdersBelow(join(directory, name), depthMax - 1))];
}

function subdirectories(directory: string): string[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  } catch {
    // Not there, or a file, or gone since it was listed.
    return [];
  }
}
