/**
 * What the two sides of linear memory agree on: limits, codes, and a number that changes with them.
 *
 * `wasm/generate.ts` writes `kernelConstants()` to `assembly/constants.generated.ts`, so the compiled
 * kernel and TypeScript have one source. The kernel carries LAYOUT_VERSION, and wasm-kernel.ts refuses
 * one that was built from other constants.
 */
import { ORIGIN } from "../wire/columns.ts";
import { reader, utf8 } from "../wire/cursor.ts";
import { hash32 } from "../wire/hash.ts";
import {
  AD_ID_BYTES_MAX,
  BLOCK_BODY_BYTES_MAX,
  COUNTRY_BYTES_MAX,
  DEVICE_BYTES_MAX,
  INVALID_REASON_BYTES_MAX,
} from "../wire/limits.ts";
import { PARTIAL_BYTES_MAX, PARTIAL_KEY_BYTES_MAX } from "../wire/partial.ts";
import { RESULT_BYTES_MAX, RESULT_TAIL_BYTES_MAX } from "../wire/result.ts";
import { SLIDING_WINDOWS_MAX, TOP_COUNT_MAX } from "./limits.ts";

/** window_start, four empty strings, clicks. */
export const PARTIAL_BYTES_MIN = 4 + 4 + 4;

/** Rows that fit a block: the size of the kernel's row index. */
export const BLOCK_ROWS_MAX = Math.floor(BLOCK_BODY_BYTES_MAX / PARTIAL_BYTES_MIN);

/** What can be wrong with a block, in words; the code is the place in this list, 0 is no fault. */
const FAULTS = {
  none: "",
  cut_off: "the row is cut off",
  long_length: "a string's length takes more than one byte",
  long_ad_id: `ad_id is longer than ${AD_ID_BYTES_MAX} bytes`,
  long_country: `country is longer than ${COUNTRY_BYTES_MAX} bytes`,
  long_device: `device is longer than ${DEVICE_BYTES_MAX} bytes`,
  long_invalid_reason: `invalid_reason is longer than ${INVALID_REASON_BYTES_MAX} bytes`,
  no_clicks: "clicks is 0",
  left_over: "bytes are left over after the last row",
  long_block: `the block is longer than ${BLOCK_BODY_BYTES_MAX} bytes`,
  many_clicks: "clicks are beyond 2^53",
  out_of_memory: "out of memory: the kernel's limit leaves no room for the block",
} as const;
export type Fault = keyof typeof FAULTS;

export function faultReason(fault: Fault): string {
  return FAULTS[fault];
}

export function faultOf(code: number): Fault {
  const fault = (Object.keys(FAULTS) as Fault[])[code];
  if (fault === undefined) throw new Error(`fault ${code} is unknown`);
  return fault;
}

/** The reason of an outcome that is no fault of the block's: an empty kernel may have room for it. */
export const OUT_OF_MEMORY_REASON = faultReason("out_of_memory");

const CONSTANTS: Readonly<Record<string, number>> = {
  AD_ID_BYTES_MAX,
  COUNTRY_BYTES_MAX,
  DEVICE_BYTES_MAX,
  INVALID_REASON_BYTES_MAX,
  PARTIAL_KEY_BYTES_MAX,
  BLOCK_BODY_BYTES_MAX,
  BLOCK_ROWS_MAX,
  RESULT_TAIL_BYTES_MAX,
  TOP_COUNT_MAX,
  SLIDING_WINDOWS_MAX,
  ORIGIN_ON_TIME: ORIGIN.on_time,
  ORIGIN_LATE: ORIGIN.late,
  ...Object.fromEntries(
    Object.keys(FAULTS).map((fault, code) => [`FAULT_${fault.toUpperCase()}`, code]),
  ),
};

const lines = Object.entries(CONSTANTS).map(
  ([name, value]) => `export const ${name}: u32 = ${value};\n`,
);

/** 32 bits of the constants' text: built from other constants, built for another layout. */
export const LAYOUT_VERSION = hashOf(lines.join(""));

/** The text of assembly/constants.generated.ts. */
export function kernelConstants(): string {
  return [
    "/** Limits and codes of wire/ and wasm/layout.ts, for the kernel. Written by wasm/generate.ts: do not edit. */\n",
    ...lines,
    `export const LAYOUT_VERSION: u32 = ${LAYOUT_VERSION};\n`,
  ].join("");
}

function hashOf(text: string): number {
  const { bytes, view } = reader(utf8(text));
  return hash32(view, 0, bytes.length);
}

/** The kernel reads a length as one byte, and sizes its copies by these. */
if (
  Math.max(AD_ID_BYTES_MAX, COUNTRY_BYTES_MAX, DEVICE_BYTES_MAX, INVALID_REASON_BYTES_MAX) >= 128
) {
  throw new Error("a string of a key must have a length of one byte");
}
if (BLOCK_BODY_BYTES_MAX < Math.max(PARTIAL_BYTES_MAX, RESULT_BYTES_MAX)) {
  throw new Error("a block must have room for a row");
}
