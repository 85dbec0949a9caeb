/**
 * Sliding windows at their size: ads that each have clicks in every minute, one minute after the other
 * through one kernel, and the lists compared with clicks that are counted here.
 */
import { utf8, writer, writeString, written } from "../../wire/cursor.ts";
import { BLOCK_BODY_BYTES_MAX } from "../../wire/limits.ts";
import { PARTIAL_BYTES_MAX, writePartial } from "../../wire/partial.ts";
import { KERNEL_BYTES_MAX, SLIDING_WINDOWS, TOP_COUNT_MAX } from "../../wasm/limits.ts";
import { Random } from "../traffic/random.ts";
import { median } from "./bench-case.ts";
import type { PartialBlock } from "./case-blocks.ts";
import { adIdOf, drawClicks, WINDOW_SECONDS } from "./cases.ts";
import { expectedTop, topFaults } from "./expected-top.ts";
import { clocked } from "./group-by.ts";
import { closeThrough, ingestAll, topOf } from "./kernel-work.ts";
import type { MeasuredKernel } from "./kernel-work.ts";

/** The longest sliding window: so many runs are held, one for each minute. */
export const MINUTES = SLIDING_WINDOWS.at(-1)!;
/** Then, with every close, one minute enters every sum and another one leaves it. These closes are timed. */
const MORE_MINUTES = 5;
const TOP_CALLS = 5;
const START_SECONDS = 1_800_000_000;
const AD_ID_BYTES = 11;
/** The ad of rank r has HOT_CLICKS / r clicks more in a minute (Zipf's law): a list is not all equals. */
const HOT_CLICKS = 100_000;

export interface SlidingOutcome {
  readonly ads: number;
  readonly minutes: number;
  readonly bytesPerAdMinute: number;
  readonly kernelBytes: number;
  readonly kernelBytesMax: number;
  readonly closeMsMedian: number;
  /** By the number of windows. */
  readonly topMs: Readonly<Record<string, number>>;
  /** What was wrong, in words. */
  readonly faults: readonly string[];
}

/** @param settle called between what is timed */
export async function slideOver(
  kernel: MeasuredKernel,
  ads: number,
  seed: number,
  settle: () => Promise<void>,
): Promise<SlidingOutcome> {
  const faults: string[] = [];
  const rows = new MinuteRows(ads, seed);
  const closeMs: number[] = [];
  for (let minute = 0; minute < MINUTES + MORE_MINUTES; minute++) {
    const clicks = rows.setMinute(minute);
    ingestAll(kernel, rows.blocks);
    // oxlint-disable-next-line no-await-in-loop -- one minute after the other
    if (minute >= MINUTES) await settle();
    const { seconds, result } = clocked(() => closeThrough(kernel, endOf(minute)));
    if (minute >= MINUTES) closeMs.push(seconds * 1_000);
    const closed = result.reduce((sum, chunk) => sum + chunk.clicks, 0);
    if (closed !== clicks) faults.push(`minute ${minute}: ${closed} clicks of ${clicks}`);
  }
  await settle();
  const topMs = Object.fromEntries(
    SLIDING_WINDOWS.map((windows) => [windows, timeTop(kernel, windows)]),
  );
  faults.push(...faultsOfLists(kernel, rows));
  const { linearMemoryBytes, runBytes, runRows } = kernel.figures();
  if (linearMemoryBytes > KERNEL_BYTES_MAX) {
    faults.push(`${linearMemoryBytes} bytes, more than ${KERNEL_BYTES_MAX}`);
  }
  if (runRows < ads * MINUTES) faults.push(`runs of ${runRows} rows, not ${ads * MINUTES}`);
  return {
    ads,
    minutes: MINUTES,
    bytesPerAdMinute: runBytes / runRows,
    kernelBytes: linearMemoryBytes,
    kernelBytesMax: KERNEL_BYTES_MAX,
    closeMsMedian: median(closeMs),
    topMs,
    faults,
  };
}

function timeTop(kernel: MeasuredKernel, windows: number): number {
  topOf(kernel, windows);
  return median(
    Array.from({ length: TOP_CALLS }, () => clocked(() => topOf(kernel, windows)).seconds * 1_000),
  );
}

/** Every list against clicks that are drawn again, from the newest minute back. */
function faultsOfLists(kernel: MeasuredKernel, rows: MinuteRows): string[] {
  const last = MINUTES + MORE_MINUTES - 1;
  const clicks = new Float64Array(rows.ads);
  const faults: string[] = [];
  for (let windows = 1; windows <= MINUTES; windows++) {
    rows.eachClicks(last - windows + 1, (ad, count) => (clicks[ad]! += count));
    if (!SLIDING_WINDOWS.includes(windows)) continue;
    const ads = expectedTop(clicks, (ad) => adIdOf(ad, AD_ID_BYTES), TOP_COUNT_MAX);
    const expected = { windows, windowEndSeconds: endOf(last), ads };
    faults.push(...topFaults(topOf(kernel, windows), expected));
  }
  return faults;
}

function endOf(minute: number): number {
  return START_SECONDS + (minute + 1) * WINDOW_SECONDS;
}

/** Blocks with one row of each ad, in which a minute changes the window and the clicks. */
class MinuteRows {
  readonly ads: number;
  readonly blocks: readonly PartialBlock[];
  readonly #seed: number;
  readonly #views: readonly DataView[];
  readonly #rowBytes: number;
  readonly #blockRows: number;

  constructor(ads: number, seed: number) {
    this.ads = ads;
    this.#seed = seed;
    const row = writer(PARTIAL_BYTES_MAX);
    writePartial(row, 0, keyOf(0), 1);
    this.#rowBytes = row.at;
    this.#blockRows = Math.floor(BLOCK_BODY_BYTES_MAX / this.#rowBytes);
    const blocks: PartialBlock[] = [];
    for (let ad = 0; ad < ads; ad += this.#blockRows) {
      const rows = Math.min(this.#blockRows, ads - ad);
      const c = writer(rows * this.#rowBytes);
      for (let i = 0; i < rows; i++) writePartial(c, 0, keyOf(ad + i), 1);
      blocks.push({ body: written(c), rows });
    }
    this.blocks = blocks;
    this.#views = blocks.map(
      ({ body }) => new DataView(body.buffer, body.byteOffset, body.byteLength),
    );
  }

  /** Returns the clicks of all ads in this minute. */
  setMinute(minute: number): number {
    let sum = 0;
    this.eachClicks(minute, (ad, clicks) => {
      const view = this.#views[Math.floor(ad / this.#blockRows)]!;
      const at = (ad % this.#blockRows) * this.#rowBytes;
      view.setUint32(at, START_SECONDS + minute * WINDOW_SECONDS, true);
      view.setUint32(at + this.#rowBytes - 4, clicks, true);
      sum += clicks;
    });
    return sum;
  }

  /** The clicks of every ad in a minute; the same at every call. */
  eachClicks(minute: number, tell: (ad: number, clicks: number) => void): void {
    const random = new Random(this.#seed * 1_000 + minute);
    for (let ad = 0; ad < this.ads; ad++) {
      tell(ad, drawClicks(random) + Math.floor(HOT_CLICKS / (ad + 1)));
    }
  }
}

/** Of the same length for every ad. */
function keyOf(ad: number): Uint8Array {
  const key = writer(PARTIAL_BYTES_MAX);
  for (const text of [adIdOf(ad, AD_ID_BYTES), "KR", "mobile", ""]) writeString(key, utf8(text));
  return written(key);
}
