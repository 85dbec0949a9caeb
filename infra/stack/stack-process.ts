/** One process of the stack: started, watched until ready, killed, stopped and started again. */
import type { ChildProcess } from "node:child_process";
import { closeSync, openSync, readSync, statSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { spawnChild } from "./children.ts";
import type { Environment } from "./config.ts";
import {
  HEALTH_REQUEST_MS_MAX,
  LOG_TAIL_BYTES,
  LOG_TAIL_LINES,
  READY_POLL_MS,
  STOP_MS_MAX,
  UNASKED_EXIT_GRACE_MS,
} from "./limits.ts";
import { StackError } from "./stack-error.ts";

export interface ProcessExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A process of a running stack. After a restart `pid` and `exited` are the new life's. */
export interface ManagedProcess {
  readonly name: string;
  readonly pid: number;
  readonly logFile: string;
  readonly exited: Promise<ProcessExit>;
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>;
  /** SIGTERM, after STOP_MS_MAX SIGKILL; resolves when it is gone. */
  stop(): Promise<void>;
  /**
   * Starts it again on the same ports and state, after kill(), stop() or a death of its own; resolves
   * when it is ready.
   *
   * @param overrides environment (aggregator) or text bindings (edge) of this one life only
   */
  restart(overrides?: Readonly<Record<string, string>>): Promise<void>;
}

export interface LaunchSpec {
  readonly command: string;
  readonly arguments: readonly string[];
  readonly environment: Environment;
  readonly workingDirectory: string;
  readonly readyMsMax: number;
  /** Asked again and again; `log` is what this life has written so far. */
  readonly isReady: (log: () => string) => Promise<boolean>;
}

export class StackProcess implements ManagedProcess {
  readonly name: string;
  readonly logFile: string;
  readonly #launch: (overrides: Readonly<Record<string, string>>) => LaunchSpec;
  readonly #onUnaskedExit: (error: StackError) => void;
  #child: ChildProcess | undefined;
  #exited: Promise<ProcessExit> = Promise.resolve({ code: null, signal: null });
  /** Set before we end it ourselves; its exit is then nobody's failure. */
  #askedToEnd = false;
  #running = false;

  constructor(
    name: string,
    logFile: string,
    launch: (overrides: Readonly<Record<string, string>>) => LaunchSpec,
    onUnaskedExit: (error: StackError) => void,
  ) {
    this.name = name;
    this.logFile = logFile;
    this.#launch = launch;
    this.#onUnaskedExit = onUnaskedExit;
  }

  get pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined) throw new StackError(`${this.name} was never started`);
    return pid;
  }

  get exited(): Promise<ProcessExit> {
    return this.#exited;
  }

  async start(overrides: Readonly<Record<string, string>> = {}): Promise<void> {
    if (this.#running) throw new StackError(`${this.name} is still running`);
    const spec = this.#launch(overrides);
    const logDescriptor = openSync(this.logFile, "a");
    const logStart = statSync(this.logFile).size;
    let child: ChildProcess;
    try {
      child = spawnChild({ ...spec, logDescriptor });
    } finally {
      closeSync(logDescriptor);
    }
    this.#child = child;
    this.#askedToEnd = false;
    this.#running = true;
    let ready = false;
    this.#exited = new Promise<ProcessExit>((resolve) => {
      const end = (exit: ProcessExit) => {
        this.#running = false;
        resolve(exit);
        if (ready && !this.#askedToEnd) void this.#reportUnaskedExit(child, exit);
      };
      child.once("exit", (code, signal) => end({ code, signal }));
      child.once("error", () => end({ code: null, signal: null }));
    });
    await this.#untilReady(spec, logStart);
    ready = true;
    // It may have died since it said so; then its exit came before the line above, and is reported here.
    if (!this.#running) void this.#reportUnaskedExit(child, await this.#exited);
  }

  /**
   * A life that got ready and died before we looked was ready: who started it to die at a failpoint
   * waits for `exited` next.
   */
  async #untilReady(spec: LaunchSpec, logStart: number): Promise<void> {
    const log = () => readFrom(this.logFile, logStart);
    const deadlineMs = performance.now() + spec.readyMsMax;
    do {
      // Before the log: all that a dead process has written is in it.
      const wasRunning = this.#running;
      if (await spec.isReady(log)) return;
      if (!wasRunning) {
        throw new StackError(this.#describe("ended before it was ready", await this.#exited));
      }
      await sleep(READY_POLL_MS);
    } while (performance.now() < deadlineMs);
    await this.kill();
    throw new StackError(
      this.#describe(`was not ready within ${spec.readyMsMax / 1_000} s`, undefined),
    );
  }

  /** From here on its exit is nobody's failure, whoever brings it about. */
  expectEnd(): void {
    this.#askedToEnd = true;
  }

  async kill(): Promise<void> {
    this.expectEnd();
    if (this.#running) this.#child?.kill("SIGKILL");
    await this.#exited;
  }

  async stop(): Promise<void> {
    this.expectEnd();
    if (!this.#running) return;
    this.#child?.kill("SIGTERM");
    const timer = setTimeout(() => this.#child?.kill("SIGKILL"), STOP_MS_MAX);
    await this.#exited;
    clearTimeout(timer);
  }

  async restart(overrides: Readonly<Record<string, string>> = {}): Promise<void> {
    await this.start(overrides);
  }

  async #reportUnaskedExit(child: ChildProcess, exit: ProcessExit): Promise<void> {
    await sleep(UNASKED_EXIT_GRACE_MS);
    if (this.#askedToEnd || this.#child !== child) return;
    this.#onUnaskedExit(new StackError(this.#describe("ended unasked", exit)));
  }

  #describe(what: string, exit: ProcessExit | undefined): string {
    const how =
      exit === undefined
        ? ""
        : exit.signal !== null
          ? ` (${exit.signal})`
          : exit.code !== null
            ? ` (exit code ${exit.code})`
            : " (it could not be started)";
    const size = statSync(this.logFile).size;
    const lines = readFrom(this.logFile, Math.max(0, size - LOG_TAIL_BYTES))
      .trimEnd()
      .split("\n")
      .slice(-LOG_TAIL_LINES);
    return `${this.name} ${what}${how}. The end of ${this.logFile}:\n  ${lines.join("\n  ")}`;
  }
}

/** Whether a GET answers 200; a refused connection is a no. */
export async function answersOk(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(HEALTH_REQUEST_MS_MAX) });
    await response.body?.cancel();
    return response.status === 200;
  } catch {
    return false;
  }
}

function readFrom(file: string, offset: number): string {
  const descriptor = openSync(file, "r");
  try {
    const bytes = Buffer.alloc(Math.max(0, statSync(file).size - offset));
    return bytes.toString("utf8", 0, readSync(descriptor, bytes, 0, bytes.length, offset));
  } finally {
    closeSync(descriptor);
  }
}
