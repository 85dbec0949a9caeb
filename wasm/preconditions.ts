/** What a caller of a kernel promises; both implementations assert it, because a wrong caller is our bug. */
import { BLOCK_BODY_BYTES_MAX } from "../wire/limits.ts";
import { RESULT_BYTES_MAX } from "../wire/result.ts";
import type { CloseRequest, EarlyRequest, KernelState, RunFacts, TopRequest } from "./kernel.ts";
import { SLIDING_WINDOW_MAX, SLIDING_WINDOWS_MAX, TOP_COUNT_MAX } from "./limits.ts";
import type { KernelLimits } from "./limits.ts";

const U32_MAX = 0xffff_ffff;

export function assertLimits(limits: KernelLimits): void {
  const { bytesMax, keysMax, windowsMax, adsMax, runRowsMax, slidingWindows } = limits;
  for (const [name, value] of Object.entries({
    bytesMax,
    keysMax,
    windowsMax,
    adsMax,
    runRowsMax,
  })) {
    if (!Number.isInteger(value) || value < 1 || value > U32_MAX) {
      throw new Error(`${name} is ${value}; 1 to ${U32_MAX} are possible`);
    }
  }
  const listed = `slidingWindows are [${slidingWindows.join(", ")}]`;
  if (slidingWindows.length > SLIDING_WINDOWS_MAX) {
    throw new Error(`${listed}: more than ${SLIDING_WINDOWS_MAX}`);
  }
  slidingWindows.forEach((windows, i) => {
    if (!Number.isInteger(windows) || windows < 1 || windows > SLIDING_WINDOW_MAX) {
      throw new Error(`${listed}: one is not of 1 to ${SLIDING_WINDOW_MAX} windows`);
    }
    if (i > 0 && windows <= slidingWindows[i - 1]!) throw new Error(`${listed}: not ascending`);
  });
}

export function assertRows(rows: number): void {
  if (!Number.isInteger(rows) || rows < 0 || rows > U32_MAX) {
    throw new Error(`${rows} is no number of rows`);
  }
}

export function assertRunNumber(number: number): void {
  if (!Number.isInteger(number) || number < 1 || number > U32_MAX) {
    throw new Error(`${number} is no number of a run`);
  }
}

/** @param closedThroughSecondsBefore the kernel's boundary until now */
export function assertEarlyRequest(
  request: EarlyRequest,
  closedThroughSecondsBefore: number,
): void {
  const { closedThroughSeconds, windowSeconds, chunkBytesMax } = request;
  assertSeconds(closedThroughSeconds);
  if (closedThroughSeconds < closedThroughSecondsBefore) {
    throw new Error(
      `closed through ${closedThroughSeconds} after closed through ${closedThroughSecondsBefore}`,
    );
  }
  assertSeconds(windowSeconds);
  if (windowSeconds === 0) throw new Error("a window of 0 seconds");
  // Then the start of the last SLIDING_WINDOW_MAX windows is a safe integer, too.
  if (!Number.isSafeInteger(windowSeconds * SLIDING_WINDOW_MAX)) {
    throw new Error(`a window of ${windowSeconds} seconds`);
  }
  assertChunkBytes(chunkBytesMax, RESULT_BYTES_MAX);
}

/** @param closedThroughSecondsBefore the kernel's boundary until now */
export function assertCloseRequest(
  request: CloseRequest,
  closedThroughSecondsBefore: number,
): void {
  assertEarlyRequest(request, closedThroughSecondsBefore);
  assertSeconds(request.lateThroughSeconds);
}

/** @param closedThroughSeconds the kernel's boundary: `window_end` of every row */
export function assertTopRequest(
  request: TopRequest,
  slidingWindows: readonly number[],
  closedThroughSeconds: number,
): void {
  const { windows, count } = request;
  if (!slidingWindows.includes(windows)) {
    throw new Error(`top ads of ${windows} windows; there are [${slidingWindows.join(", ")}]`);
  }
  if (!Number.isInteger(count) || count < 1 || count > TOP_COUNT_MAX) {
    throw new Error(`${count} top ads; 1 to ${TOP_COUNT_MAX} are possible`);
  }
  if (closedThroughSeconds > U32_MAX) {
    throw new Error(`top ads at ${closedThroughSeconds}, which does not fit 32 bits`);
  }
}

/** @param rowBytesMax greatest bytes of a row: the chunk must have room for one */
export function assertChunkBytes(chunkBytesMax: number, rowBytesMax: number): void {
  if (
    !Number.isInteger(chunkBytesMax) ||
    chunkBytesMax < rowBytesMax ||
    chunkBytesMax > BLOCK_BODY_BYTES_MAX
  ) {
    throw new Error(
      `chunks of ${chunkBytesMax} bytes; ${rowBytesMax} to ${BLOCK_BODY_BYTES_MAX} are possible`,
    );
  }
}

/**
 * That a kernel could have given this state.
 *
 * @param slidingWindows those of the kernel that is to go on from it
 */
export function assertState(state: KernelState, slidingWindows: readonly number[]): void {
  const { closedThroughSeconds, windowSeconds, runsMade, windows, runs } = state;
  if (state.slidingWindows.join() !== slidingWindows.join()) {
    throw nonsense(
      `sliding windows are [${state.slidingWindows.join(", ")}], ` +
        `this kernel's [${slidingWindows.join(", ")}]`,
    );
  }
  assertCount("closedThroughSeconds", closedThroughSeconds);
  assertCount("windowSeconds", windowSeconds);
  assertU32("runsMade", runsMade);
  if (!Number.isSafeInteger(windowSeconds * SLIDING_WINDOW_MAX)) {
    throw nonsense(`a window of ${windowSeconds} seconds`);
  }
  if (windowSeconds === 0 && (closedThroughSeconds > 0 || runsMade > 0)) {
    throw nonsense("closed windows of 0 seconds");
  }
  if (slidingWindows.length === 0 && runsMade > 0) {
    throw nonsense("runs without sliding windows");
  }
  let startBefore = -1;
  for (const { windowStartSeconds, rows } of windows) {
    assertStart(windowStartSeconds);
    if (windowStartSeconds <= startBefore) throw nonsense("windows are not ascending");
    startBefore = windowStartSeconds;
    assertU32("rows of a window", rows);
    if (rows === 0) throw nonsense(`window ${windowStartSeconds} without rows`);
  }
  const startMin = closedThroughSeconds - (slidingWindows.at(-1) ?? 0) * windowSeconds;
  let numberBefore = 0;
  for (const run of runs) {
    assertRun(run);
    if (run.number <= numberBefore) throw nonsense("runs are not ascending from 1");
    numberBefore = run.number;
    if (run.windowStartSeconds < startMin) {
      throw nonsense(`run ${run.number} of a window that no sliding window reaches`);
    }
  }
  if (numberBefore > runsMade) throw nonsense(`run ${numberBefore} of ${runsMade}`);
}

function assertRun({ number, windowStartSeconds, rows, clicks, untrackedClicks }: RunFacts): void {
  assertU32("number of a run", number);
  assertStart(windowStartSeconds);
  assertU32("rows of a run", rows);
  assertCount("clicks of a run", clicks);
  assertCount("untrackedClicks of a run", untrackedClicks);
  if (rows === 0 && untrackedClicks === 0) throw nonsense(`run ${number} of nothing`);
  if (clicks < rows || (rows === 0 && clicks > 0)) {
    throw nonsense(`run ${number} of ${clicks} clicks in ${rows} rows`);
  }
}

function assertSeconds(seconds: number): void {
  if (!Number.isSafeInteger(seconds) || seconds < 0) throw new Error(`${seconds} seconds`);
}

function assertCount(name: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) throw nonsense(`${name} is ${value}`);
}

function assertU32(name: string, value: number): void {
  assertCount(name, value);
  if (value > U32_MAX) throw nonsense(`${name} is ${value}`);
}

function assertStart(seconds: number): void {
  if (!Number.isInteger(seconds) || seconds < 0 || seconds > U32_MAX) {
    throw nonsense(`a window that starts at ${seconds}`);
  }
}

function nonsense(what: string): Error {
  return new Error(`a state that no kernel has: ${what}`);
}
