/**
 * One commit for all requests in flight: while a commit waits for the disk, the next group forms. It
 * lingers a little for others, because a commit is a written row, and rows are what costs most.
 *
 * `add` and `settled` are called in the same turn of the event loop as the dedup decision, so a
 * duplicate always waits for the commit that holds its first sight.
 */
import { joinBytes } from "../../wire/cursor.ts";
import type { CountedRejections, RejectionKind } from "../../wire/rejected-click.ts";
import type { Chain, JournalEntry } from "./storage.ts";

/** What is committed together. */
export interface Group {
  readonly pieces: Readonly<Record<Chain, GroupPiece[]>>;
  /** By kind; each becomes one row. */
  readonly counted: Map<string, CountedRejections>;
  /** In the pieces, by chain. */
  readonly rowCounts: Record<Chain, number>;
  /** When its first request began to wait, milliseconds since 1970. */
  sinceMs: number;
}

function newGroup(): Group {
  return {
    pieces: { clicks: [], rejected: [] },
    counted: new Map(),
    rowCounts: { clicks: 0, rejected: 0 },
    sinceMs: 0,
  };
}

export interface GroupCommitParts {
  /**
   * Makes a group durable; when it throws, the object must not go on living. It takes note of the group in the same
   * turn: what is added later is for the next.
   */
  commit(group: Group): Promise<void>;
  /** Resolves when a group has waited for others long enough. */
  linger(): Promise<void>;
  /** A group of so many pieces (one for a request, mostly), or of so many clicks, does not wait for others. */
  readonly fullPieces: number;
  readonly fullClicks: number;
  nowMs(): number;
}

export interface GroupPiece extends JournalEntry {
  /** May be a view of its batch. */
  readonly bytes: Uint8Array;
}

export class GroupCommit {
  #forming = newGroup();
  #current: Promise<void> | null = null;
  #next: Promise<void> | null = null;
  readonly #parts: GroupCommitParts;
  #full = newSignal();

  constructor(parts: GroupCommitParts) {
    this.#parts = parts;
  }

  add(chain: Chain, piece: GroupPiece): void {
    const { pieces, rowCounts } = this.#forming;
    const pieceCount = pieces[chain].push(piece);
    rowCounts[chain] += piece.rowCount;
    const { fullPieces, fullClicks } = this.#parts;
    if (pieceCount >= fullPieces || rowCounts[chain] >= fullClicks) this.#full.give();
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
    this.#forming.sinceMs = this.#parts.nowMs();
    const lingered = Promise.race([this.#parts.linger(), this.#full.given]);
    // Also without a commit before it: requests that arrive in this turn join the group.
    await (before ?? Promise.resolve());
    await lingered;
    const group = this.#forming;
    this.#forming = newGroup();
    this.#full = newSignal();
    this.#current = this.#next;
    this.#next = null;
    await this.#parts.commit(group);
    if (this.#next === null) this.#current = null;
  }
}

function newSignal(): { readonly given: Promise<void>; readonly give: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { given: promise, give: resolve };
}

/** Joins pieces to journal rows of at most `messageBytesMax` bytes in a message, in order. */
export function journalRowsOf(
  pieces: readonly GroupPiece[],
  messageBytesMax: number,
): JournalEntry[] {
  const out: JournalEntry[] = [];
  let from = 0;
  while (from < pieces.length) {
    let to = from;
    let messageByteCount = 0;
    while (
      to < pieces.length &&
      messageByteCount + pieces[to]!.messageByteCount <= messageBytesMax
    ) {
      messageByteCount += pieces[to]!.messageByteCount;
      to++;
    }
    if (to === from) {
      const { messageByteCount: byteCount } = pieces[from]!;
      throw new Error(`a piece of ${byteCount} bytes does not fit a journal row`);
    }
    out.push(joined(pieces.slice(from, to), messageByteCount));
    from = to;
  }
  return out;
}

function joined(pieces: readonly GroupPiece[], messageByteCount: number): JournalEntry {
  const sumOf = (size: (piece: GroupPiece) => number) =>
    pieces.reduce((sum, piece) => sum + size(piece), 0);
  const fingerprints = new Uint32Array(sumOf((piece) => piece.fingerprints.length));
  let at = 0;
  for (const piece of pieces) {
    fingerprints.set(piece.fingerprints, at);
    at += piece.fingerprints.length;
  }
  const bytes = joinBytes(pieces.map((piece) => piece.bytes));
  const rowCount = sumOf((piece) => piece.rowCount);
  return { rowCount, bytes, messageByteCount, fingerprints };
}
