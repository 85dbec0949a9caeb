import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { clearState, holderOf, holdersBelow, releasePidFile, takePidFile } from "./pid-file.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "clickmill-pid-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

test("a second stack on the same directory is refused until the first lets go", () => {
  takePidFile(directory);
  expect(holderOf(directory)).toBe(process.pid);
  expect(() => takePidFile(directory)).toThrow(/in use by a running stack/);
  releasePidFile(directory);
  takePidFile(directory);
});

test("the file of a process that is gone is taken over", () => {
  // Beyond every system's greatest pid.
  writeFileSync(join(directory, "stack.pid"), "99999999 1\n");
  expect(holderOf(directory)).toBeUndefined();
  takePidFile(directory);
  expect(holderOf(directory)).toBe(process.pid);
});

test.runIf(process.platform === "linux")("a pid that was used again is not the holder", () => {
  writeFileSync(join(directory, "stack.pid"), `${process.pid} 1\n`);
  expect(holderOf(directory)).toBeUndefined();
});

test("a stack further down is found, a dead one is not", () => {
  takePidFile(join(directory, "test/whole-way"));
  mkdirSync(join(directory, "test/dead"));
  writeFileSync(join(directory, "test/dead/stack.pid"), "99999999 1\n");
  const holder = { directory: join(directory, "test/whole-way"), pid: process.pid };
  expect(holdersBelow(directory)).toEqual([holder]);
  expect(holdersBelow(join(directory, "nothing"))).toEqual([]);
});

test("clearing keeps the directory taken", () => {
  takePidFile(directory);
  mkdirSync(join(directory, "nats"));
  clearState(directory);
  expect(readdirSync(directory)).toEqual(["stack.pid"]);
  expect(holderOf(directory)).toBe(process.pid);
});
