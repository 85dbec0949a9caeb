/** Sealed ids as they lie in storage: pages of sorted fingerprints. */

/** A page's fingerprints, pairs of lanes, low first; and where it begins: the high lane of its first. */
export interface SealedPage {
  readonly firstHigh: number;
  readonly fingerprints: Uint32Array;
}

/**
 * Cuts sorted fingerprints into pages of at most `idCountMax`. Fingerprints with the same high lane are in one
 * page, or a page could not be found by it (a page of nothing but one high lane may be longer: hashes do not do that).
 *
 * @param sorted pairs of lanes, ascending by high lane
 */
export function pagesOf(sorted: Uint32Array, idCountMax: number): SealedPage[] {
  const pages: SealedPage[] = [];
  const idCount = sorted.length / 2;
  const highAt = (id: number) => sorted[2 * id + 1]!;
  let from = 0;
  while (from < idCount) {
    let to = Math.min(from + idCountMax, idCount);
    while (to < idCount && to > from && highAt(to) === highAt(to - 1)) to--;
    if (to === from) {
      do to++;
      while (to < idCount && highAt(to) === highAt(from));
    }
    pages.push({ firstHigh: highAt(from), fingerprints: sorted.subarray(2 * from, 2 * to) });
    from = to;
  }
  return pages;
}

/** Whether a page holds a fingerprint: binary search. */
export function pageHas(page: Uint32Array, low: number, high: number): boolean {
  let from = 0;
  let to = page.length / 2;
  while (from < to) {
    const middle = (from + to) >>> 1;
    const middleHigh = page[2 * middle + 1]!;
    if (middleHigh < high || (middleHigh === high && page[2 * middle]! < low)) from = middle + 1;
    else to = middle;
  }
  return page[2 * from] === low && page[2 * from + 1] === high;
}
