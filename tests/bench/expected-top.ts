/** The list of top ads that the bench comes to by itself, from clicks that it kept, and what is wrong with a kernel's. */
import { readTop } from "../../wire/top.ts";
import type { RowChunk } from "../../wasm/kernel.ts";

export interface ExpectedTop {
  readonly windows: number;
  readonly windowEndSeconds: number;
  readonly ads: readonly { readonly adId: string; readonly clicks: number }[];
}

/**
 * The `count` ads with the most clicks, ads of equal counts by id.
 *
 * @param clicks of each ad, 0 for none
 * @param idOf in ASCII: the order of such texts is that of their bytes
 */
export function expectedTop(
  clicks: Float64Array,
  idOf: (ad: number) => string,
  count: number,
): ExpectedTop["ads"] {
  const least = clicks.toSorted().at(-Math.min(count, clicks.length)) ?? 0;
  const ads: { adId: string; clicks: number }[] = [];
  for (let ad = 0; ad < clicks.length; ad++) {
    if (clicks[ad]! > 0 && clicks[ad]! >= least) ads.push({ adId: idOf(ad), clicks: clicks[ad]! });
  }
  return ads.toSorted((a, b) => b.clicks - a.clicks || (a.adId < b.adId ? -1 : 1)).slice(0, count);
}

/** Where a list is wrong first, in words; none when it is right. */
export function topFaults(list: RowChunk, expected: ExpectedTop): string[] {
  const name = `top of ${expected.windows} windows`;
  const rows = readTop(list.body);
  if (rows.length !== list.rows || rows.length !== expected.ads.length) {
    return [`${name}: ${list.rows} rows, in bytes ${rows.length}, not ${expected.ads.length}`];
  }
  const { windows, windowEndSeconds } = expected;
  for (const [index, row] of rows.entries()) {
    const wanted = {
      windowEndSeconds,
      windows,
      rank: index + 1,
      ...expected.ads[index]!,
      untrackedClicks: 0,
    };
    for (const field of Object.keys(wanted) as (keyof typeof wanted)[]) {
      if (row[field] === wanted[field]) continue;
      return [`${name}: ${field} of rank ${index + 1} is ${row[field]}, not ${wanted[field]}`];
    }
  }
  const clicks = rows.reduce((sum, row) => sum + row.clicks, 0);
  return clicks === list.clicks ? [] : [`${name}: ${list.clicks} clicks, in rows ${clicks}`];
}
