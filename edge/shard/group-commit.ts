/**
 * One commit for all requests in flight: while a commit waits for the disk, the next group forms.
 *
 * `add` and `settled` are called in the same turn of the event loop as the dedup decision, so a
 * duplicate always waits for the commit that holds its first sight.
 */

/** Rows that are committed together. */
export interface Group {
  /** Pieces of clicks_raw rows, each whole rows, with the fingerprints' lanes of each row. */
  readonly clicks: GroupPiece[];
  readonly rejected: GroupPiece[];
}

export interface GroupPiece {
  /** One row's bytes (a view of its batch). */
  readonly row: Uint8Array;
  readonly low: number;
  readonly high: number;
}

export class GroupCommit {
  #forming: Group = { clicks: [], rejected: [] };
  #current: Promise<void> | null = null;
  #next: Promise<void> | null = null;
  readonly #commit: (group: Group) => Promise<void>;

  /** @param commit makes a group durable; when it throws, the object must not go on living */
  constructor(commit: (group: Group) => Promise<void>) {
    this.#commit = commit;
  }

  addClick(piece: GroupPiece): void {
    this.#forming.clicks.push(piece);
  }

  addRejected(piece: GroupPiece): void {
    this.#forming.rejected.push(piece);
  }

  /** Resolves when everything added so far is durable. */
  settled(): Promise<void> {
    const empty = this.#forming.clicks.length === 0 && this.#forming.rejected.length === 0;
    if (empty) return this.#current ?? Promise.resolve();
    this.#next ??= this.#run(this.#current);
    return this.#next;
  }

  async #run(before: Promise<void> | null): Promise<void> {
    // Also without a commit before it: requests that arrive in this turn join the group.
    await (before ?? Promise.resolve());
    const group = this.#forming;
    this.#forming = { clicks: [], rejected: [] };
    this.#current = this.#next;
    this.#next = null;
    await this.#commit(group);
    if (this.#next === null) this.#current = null;
  }
}

/** Splits pieces into journal rows of at most `byteCountMax` bytes, in order. */
export function journalRowsOf(
  pieces: readonly GroupPiece[],
  byteCountMax: number,
): { rows: Uint8Array; fingerprints: Uint32Array }[] {
  const out: { rows: Uint8Array; fingerprints: Uint32Array }[] = [];
  let from = 0;
  while (from < pieces.length) {
    let to = from;
    let byteCount = 0;
    while (to < pieces.length && byteCount + pieces[to]!.row.length <= byteCountMax) {
      byteCount += pieces[to]!.row.length;
      to++;
    }
    if (to === from)
      throw new Error(`a row of ${pieces[from]!.row.length} bytes does not fit a journal row`);
    const rows = new Uint8Array(byteCount);
    const fingerprints = new Uint32Array(2 * (to - from));
    let at = 0;
    for (let i = from; i < to; i++) {
      const { row, low, high } = pieces[i]!;
      rows.set(row, at);
      at += row.length;
      fingerprints[2 * (i - from)] = low;
      fingerprints[2 * (i - from) + 1] = high;
    }
    out.push({ rows, fingerprints });
    from = to;
  }
  return out;
}
