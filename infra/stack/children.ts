/** Starts child processes so that none outlives its parent, however the parent ends. */
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import type { Environment } from "./config.ts";

export interface ChildSpec {
  readonly command: string;
  readonly arguments: readonly string[];
  readonly environment: Environment;
  readonly workingDirectory: string;
  /** For stdout and stderr: a file, so that a busy parent never blocks its children. */
  readonly logDescriptor: number;
}

const alive = new Set<ChildProcess>();
let watchingExit = false;
let deathSignal: boolean | undefined;

/**
 * A command that Linux ends with SIGKILL when its parent is gone (prctl PR_SET_PDEATHSIG, through setpriv
 * of util-linux, which then becomes the program itself: same pid). This holds for kill -9 of the parent
 * too. Strictly it is the death of the thread that spawned, so do not spawn from a worker thread that
 * ends. Where there is no setpriv, the command is unchanged.
 */
export function endingWithParent(
  command: string,
  commandArguments: readonly string[],
): [command: string, arguments: string[]] {
  return hasDeathSignal()
    ? ["setpriv", ["--pdeathsig", "KILL", command, ...commandArguments]]
    : [command, [...commandArguments]];
}

function hasDeathSignal(): boolean {
  deathSignal ??=
    process.platform === "linux" &&
    spawnSync("setpriv", ["--pdeathsig", "KILL", "true"], { stdio: "ignore" }).status === 0;
  return deathSignal;
}

/**
 * With the death signal a child has a process group of its own, so that a terminal's Ctrl-C reaches only
 * us, and we stop the children in our order. Without it, children stay in our group: a Ctrl-C, and a
 * signal to the group, reach them, and the exit handler does the rest.
 */
export function spawnChild(spec: ChildSpec): ChildProcess {
  if (!watchingExit) {
    watchingExit = true;
    // "exit" also comes after an uncaught exception; only synchronous work is possible in it.
    process.on("exit", killAllChildren);
  }
  const child = spawn(...endingWithParent(spec.command, spec.arguments), {
    cwd: spec.workingDirectory,
    env: spec.environment,
    stdio: ["ignore", spec.logDescriptor, spec.logDescriptor],
    detached: hasDeathSignal(),
  });
  alive.add(child);
  child.once("exit", () => alive.delete(child));
  child.once("error", () => alive.delete(child));
  return child;
}

/** SIGKILL to every child that still runs, at once. */
export function killAllChildren(): void {
  for (const child of alive) child.kill("SIGKILL");
}
