/**
 * One commit for all requests in flight: while a commit waits for the disk, the next group forms.
 *
 * `add` and `settled` are called in the same turn of the event loop as the dedup decision, so a
 * duplicate always waits for the commit that holds its first sight.
 */
import type { CountedRejections, RejectionKind } from "../../wire/rejected-click.ts";
import type { Chain } from "./storage.ts";

/** What is committed together. */
export interface Group {
  readonly pieces: Readonly<Record<Chain, GroupPiece[]>>;
  /** By kind; each becomes one row. */
  readonly counted: Map<string, CountedRejections>;
}

export function newGroup(): Group {
  return { pieces: { clicks: [], rejected: [] }, counted: new Map() };
}

export interface GroupPiece {
  /** One row's bytes (a view of its batch). */
  readonly row: Uint8Array;
  /** Lanes of the id's fingerprint; 0 for rejected clicks, whose ids nobody looks up. */
  readonly low: number;
  readonly high: number;
}

export class GroupCommit {
  #forming = newGroup();
  #current: Promise<void> | null = null;
  #next: Promise<void> | null = null;
  readonly #commit: (group: Group) => Promise<void>;

  /** @param commit makes a group durable; when it throws, the object must not go on living */
  constructor(commit: (group: Group) => Promise<void>) {
    this.#commit = commit;
  }

  add(chain: Chain, piece: GroupPiece): void {
    this.#forming.pieces[chain].push(piece);
  }

  /** Rejections that leave their number only. */
  count({ account, keyId, code, field }: RejectionKind, count: number): void {
    const { counted } = this.#forming;
    const name = JSON.stringify([account, keyId, code, field]);
    const before = counted.get(name)?.count ?? 0;
    counted.set(name, { account, keyId, code, field, count: before + count });
  }

  /** Resolves when everything added so far is durable. */
  settled(): Promise<void> {
    const { pieces, counted } = this.#forming;
    if (pieces.clicks.length === 0 && pieces.rejected.length === 0 && counted.size === 0)
      return this.#current ?? Promise.resolve();
    this.#next ??= this.#run(this.#current);
    return this.#next;
  }

  async #run(before: Promise<void> | null): Promise<void> {
    // Also without a commit before it: requests that arrive in this turn join the group.
    await (before ?? Promise.resolve());
    const group = this.#forming;
    this.#forming = newGroup();
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
