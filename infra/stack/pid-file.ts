/** Says who runs a stack on a state directory, so that no second one does and reset keeps off. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { StackError } from "./stack-error.ts";

const FILE = "stack.pid";

/** @throws StackError when another living process holds the directory. */
export function takePidFile(stateDirectory: string): void {
  mkdirSync(stateDirectory, { recursive: true });
  const file = join(stateDirectory, FILE);
  // Two attempts: the second after a dead holder's file was removed.
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      writeFileSync(file, identity(process.pid), { flag: "wx" });
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
  const pid = Number.parseInt(text, 10);
  return Number.isInteger(pid) && isAlive(pid) && identity(pid) === text ? pid : undefined;
}

/** The pid, and on Linux its start time too: pids are used again, in containers soon. */
function identity(pid: number): string {
  const fields = procStat(pid);
  return fields === undefined ? `${pid}\n` : `${pid} ${fields[19]}\n`;
}

function isAlive(pid: number): boolean {
  // A zombie still takes signals; containers without an init keep them.
  if (procStat(pid)?.[0] === "Z") return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** The fields of /proc/<pid>/stat from the state on: [0] is the state, [19] the start time. */
function procStat(pid: number): string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The program's name, in parentheses, may hold spaces and parentheses itself.
    return text.slice(text.lastIndexOf(")") + 2).split(" ");
  } catch {
    return undefined;
  }
}
