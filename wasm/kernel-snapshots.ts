/** A state and its rows, as tests of dumping and restoring write them. */
import { expect } from "vitest";
import { utf8, writeBytes, writer, writeU32, writeU64, writeU8, written } from "../wire/cursor.ts";
import { minute, W } from "./kernel-checks.ts";
import { adKey } from "./kernel-rows.ts";
import type { Kernel, KernelState } from "./kernel.ts";
import { SLIDING_WINDOWS } from "./limits.ts";

/** A row of an open window, written here once more, value by value. */
export function windowRow(window: number, key: Uint8Array, clicks: bigint): Uint8Array {
  const c = writer(1_024);
  writeU32(c, window);
  writeBytes(c, key);
  writeU64(c, clicks);
  return written(c);
}

/** A row of a run, written here once more, value by value. */
export function runRow(adId: string, clicks: bigint): Uint8Array {
  const c = writer(1_024);
  writeU8(c, adId.length);
  writeBytes(c, utf8(adId));
  writeU64(c, clicks);
  return written(c);
}

export function bodyOf(...rows: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(rows));
}

export const NEW: KernelState = {
  slidingWindows: SLIDING_WINDOWS,
  closedThroughSeconds: 0,
  windowSeconds: 0,
  runsMade: 0,
  windows: [],
  runs: [],
};
export const RUN = { number: 1, windowStartSeconds: W, rows: 2, clicks: 12, untrackedClicks: 0 };
/** Two rows in an open window, two in each of two runs. */
export const STATE: KernelState = {
  ...NEW,
  closedThroughSeconds: minute(1),
  windowSeconds: 60,
  runsMade: 5,
  windows: [{ windowStartSeconds: minute(1), rows: 2 }],
  runs: [RUN, { ...RUN, number: 4 }],
};
export const WINDOW_ROWS = [
  windowRow(minute(1), adKey("a"), 1n),
  windowRow(minute(1), adKey("b", "FR", "desktop", "bot"), 2n),
];
export const RUN_ROWS = [runRow("a", 5n), runRow("bc", 7n)];

export function completeWindows(kernel: Kernel): void {
  expect(kernel.restoreWindows(bodyOf(...WINDOW_ROWS), 2)).toEqual({ ok: true, clicks: 3 });
}

export function completeRuns(kernel: Kernel): void {
  for (const number of [4, 1]) {
    expect(kernel.restoreRun(number, bodyOf(...RUN_ROWS), 2)).toEqual({ ok: true, clicks: 12 });
  }
}

/** Restores all rows of STATE. */
export function complete(kernel: Kernel): void {
  completeWindows(kernel);
  completeRuns(kernel);
}

/** Whether it throws an Error of ours, with words: not what a mistake in the kernel itself would throw. */
export function isBug(call: () => unknown): boolean {
  try {
    call();
  } catch (error) {
    return error instanceof Error && error.constructor === Error && error.message !== "";
  }
  return false;
}
