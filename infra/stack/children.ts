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
 * Linux sends SIGKILL to the child when its parent is gone (prctl PR_SET_PDEATHSIG, through setpriv of
 * util-linux, which then becomes the program itself: same pid). This holds for kill -9 of the parent
 * too. Strictly it is the death of the thread that spawned, so do not spawn from a worker thread that
 * ends. Elsewhere the exit handler below has to do.
 */
function hasDeathSignal(): boolean {
  deathSignal ??=
    process.platform === "linux" &&
    spawnSync("setpriv", ["--pdeathsig", "KILL", "true"], { stdio: "ignore" }).status === 0;
  return deathSignal;
}

/** Children stay in our process group: a terminal's Ctrl-C, and a signal to the group, reach them. */
export function spawnChild(spec: ChildSpec): ChildProcess {
  if (!watchingExit) {
    watchingExit = true;
    // "exit" also comes after an uncaught exception; only synchronous work is possible in it.
    process.on("exit", killAllChildren);
  }
  const [command, prefix] = hasDeathSignal()
    ? ["setpriv", ["--pdeathsig", "KILL", spec.command]]
    : [spec.command, []];
  const child = spawn(command, [...prefix, ...spec.arguments], {
    cwd: spec.workingDirectory,
    env: spec.environment,
    stdio: ["ignore", spec.logDescriptor, spec.logDescriptor],
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
