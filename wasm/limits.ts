/** The kernel's limits, each with its unit and the sum that chose it. */

/** Sliding windows are over the last so many closed windows: with windows of a minute, 1, 5, 15 and 60 minutes. */
export const SLIDING_WINDOWS: readonly number[] = [1, 5, 15, 60];
/** A run keeps one bit for each in which it counts; each costs 8 bytes an ad. */
export const SLIDING_WINDOWS_MAX = 8;
/** A day of minutes. */
export const SLIDING_WINDOW_MAX = 1_440;

/** The longest list of ads: 1,000 rows are about 100 KB, one message. */
export const TOP_COUNT_MAX = 1_000;

export interface KernelLimits {
  /** Linear memory, bytes: a block that would exceed it is refused whole. */
  readonly bytesMax: number;
  /** Keys in all open windows; one block more is taken before `isOverLimit` says so. */
  readonly keysMax: number;
  /** Open windows; one block more is taken. */
  readonly windowsMax: number;
  /** Ads that sliding windows tell apart: clicks of others are counted as untracked. */
  readonly adsMax: number;
  /** Rows of all runs together, one for each ad in each run: clicks of others are counted as untracked. */
  readonly runRowsMax: number;
  /** Ascending numbers of closed windows; none: no sliding windows. */
  readonly slidingWindows: readonly number[];
}

/** Half of what 32-bit pointers reach. Sliding windows take at most half of it (assembly/memory.ts), counts the rest. */
export const KERNEL_BYTES_MAX = 2 ** 31;

/** Measured: a key of the longest strings takes 152 bytes of table and record, one with an id of 11 bytes 45. */
const LONGEST_KEY_BYTES = 152;

export const KERNEL_LIMITS: KernelLimits = {
  bytesMax: KERNEL_BYTES_MAX,
  // What leaves early leaves at once, as one emission: 2,000,000 rows are 110 MB with ids of 11 bytes, 390 MB
  // at the longest, and a second of work. At the peak, 50,000 clicks/s, two open windows of a minute are
  // 6,000,000 keys at most in all partitions together: from three on, none gets there by traffic alone.
  keysMax: 2_000_000,
  // A shard takes clicks of the last 1,440 minutes: every one of them late, twice over.
  windowsMax: 3_000,
  // The 2,000,000 ads of today, with three years of growth by 30 %.
  adsMax: 4_000_000,
  // 2,000,000 ads in each of 60 minutes, and a quarter more that comes late: 2 to 3 bytes each.
  runRowsMax: 150_000_000,
  slidingWindows: SLIDING_WINDOWS,
};

if (KERNEL_LIMITS.keysMax * LONGEST_KEY_BYTES > KERNEL_BYTES_MAX / 4) {
  throw new Error("counts must fit their half of a kernel, while a table grows, too");
}
