/** One process's life: ready, dead, asked to end or not. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { inheritedEnvironment } from "./config.ts";
import { UNASKED_EXIT_GRACE_MS } from "./limits.ts";
import type { StackError } from "./stack-error.ts";
import { StackProcess } from "./stack-process.ts";

let directory: string;
let started: StackProcess | undefined;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "clickmill-process-"));
});
afterEach(async () => {
  await started?.kill();
  rmSync(directory, { recursive: true });
});

/** @param script of the first life; `overrides.script` is a later one's. */
function node(script: string): { process: StackProcess; unasked: StackError[] } {
  const unasked: StackError[] = [];
  const launch = (overrides: Readonly<Record<string, string>>) => ({
    command: process.execPath,
    arguments: ["-e", overrides["script"] ?? script],
    environment: inheritedEnvironment(),
    workingDirectory: directory,
    readyMsMax: 10_000,
    isReady: async (log: () => string) => log().includes("ready"),
  });
  started = new StackProcess("it", join(directory, "it.log"), launch, (error) =>
    unasked.push(error),
  );
  return { process: started, unasked };
}

const STAYS = "console.log('ready'); setInterval(() => {}, 1000)";
const DIES = "console.log('ready'); process.kill(process.pid, 'SIGKILL')";

describe("a process that dies", () => {
  test("before it is ready fails its start, with the end of its log", async () => {
    const { process } = node("console.log('no port'); process.exit(3)");
    await expect(process.start()).rejects.toThrow(/ended before it was ready.*code 3.*no port/s);
  });

  test("as soon as it is ready was ready, and its exit is there to be read", async () => {
    const { process, unasked } = node(STAYS);
    await process.start();
    await process.kill();
    await process.restart({ script: DIES });
    expect((await process.exited).signal).toBe("SIGKILL");
    await expect.poll(() => unasked.map(String).join("")).toContain("ended unasked (SIGKILL)");
    await process.restart();
  });

  test("after it was told that its end is expected is nobody's failure", async () => {
    const { process: it, unasked } = node(STAYS);
    await it.start();
    it.expectEnd();
    process.kill(it.pid, "SIGKILL");
    await it.exited;
    await sleep(2 * UNASKED_EXIT_GRACE_MS);
    expect(unasked).toEqual([]);
  });
});
