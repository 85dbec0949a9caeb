/**
 * One row of a list of top ads in RowBinary: a top_ads row. The kernel writes it.
 *
 *     0 window_end u32         seconds since 1970, UTC: through where windows are closed
 *     4 windows u16            the list is over the last so many closed windows
 *     6 rank u16               from 1
 *     8 ad_id string
 *       clicks i64
 *       untracked_clicks i64   of ads beyond the kernel's limits, in these windows; 0: the list is exact
 *       tail: partitions u16, partition u16, emission u64, emitted_on u16
 *
 * The tail is the same for every row of a list.
 */
import {
  reader,
  readI64,
  readString,
  readU16,
  readU32,
  textOf,
  writeI64,
  writer,
  writeU16,
  written,
} from "./cursor.ts";
import { AD_ID_BYTES_MAX } from "./limits.ts";
import type { EmissionUnit } from "./result.ts";

export const TOP_TAIL_BYTES = 2 + 2 + 8 + 2;
export const TOP_BYTES_MAX = 4 + 2 + 2 + 1 + AD_ID_BYTES_MAX + 8 + 8 + TOP_TAIL_BYTES;

/** The bytes that end every row of a list. */
export function topTail(unit: EmissionUnit): Uint8Array {
  const c = writer(TOP_TAIL_BYTES);
  writeU16(c, unit.partitions);
  writeU16(c, unit.partition);
  writeI64(c, unit.emission);
  writeU16(c, unit.emittedOn);
  return written(c);
}

export interface TopRow {
  readonly windowEndSeconds: number;
  readonly windows: number;
  readonly rank: number;
  readonly adId: string;
  readonly clicks: number;
  readonly untrackedClicks: number;
  readonly partitions: number;
  readonly partition: number;
  readonly emission: number;
  readonly emittedOn: number;
}

/** All rows of a list as objects, for tests and tools. */
export function readTop(body: Uint8Array): TopRow[] {
  const c = reader(body);
  const rows: TopRow[] = [];
  while (c.at < body.length) {
    rows.push({
      windowEndSeconds: readU32(c),
      windows: readU16(c),
      rank: readU16(c),
      adId: textOf(readString(c)),
      clicks: readI64(c),
      untrackedClicks: readI64(c),
      partitions: readU16(c),
      partition: readU16(c),
      emission: readI64(c),
      emittedOn: readU16(c),
    });
  }
  return rows;
}
