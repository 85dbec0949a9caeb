/**
 * The verdict in three steps: what the installations know against what the tables say. No I/O: rows
 * come in one by one, and a loss is never netted against a double.
 *
 * (i) the ids ever answered `accepted` or `duplicate` are exactly the ids in clicks_raw, each once;
 * (ii) those rows' counts per (ad, window, invalid reason) equal `sum(clicks)` in ad_clicks_1m;
 * (iii) where the client's time stood, the event time is the ledger's.
 */
import type { TimeSource } from "../../wire/columns.ts";
import type { Ledger } from "./ledger.ts";

/** One row of clicks_raw. */
export interface RawRow {
  readonly clickId: string;
  readonly adId: string;
  readonly eventTimeMs: number;
  readonly timeSource: TimeSource;
}

/** A count per key, of raw rows or of ad_clicks_1m. */
export interface KeyCount {
  readonly adId: string;
  readonly windowStartSeconds: number;
  readonly invalidReason: string;
  readonly clicks: number;
}

export type DifferenceKind =
  /** Answered as safe, and not in raw. */
  | "lost_id"
  /** More than once in raw. */
  | "double_id"
  /** In raw, and either rejected or never sent. */
  | "foreign_id"
  /** In raw under another ad than the one clicked. */
  | "wrong_ad"
  /** Fewer counted than raw has. */
  | "lost_count"
  /** More counted than raw has. */
  | "double_count"
  | "wrong_event_time"
  /** The edge answered `accepted` more than once for one id. */
  | "accepted_twice"
  /** A click without fault was rejected. */
  | "good_rejected"
  /** A broken click was taken. */
  | "broken_accepted";

export interface Difference {
  readonly kind: DifferenceKind;
  readonly what: string;
}

export interface Verdict {
  /** No difference of any kind. */
  readonly clean: boolean;
  /** Step (i): ids that are missing; step (ii): clicks that are missing. Summed over ids and keys, nothing netted. */
  readonly lost: number;
  /** Step (i): rows too many; step (ii): clicks too many. */
  readonly double: number;
  readonly rawRows: number;
  readonly counted: number;
  readonly keys: number;
  /** Rows of step (iii) by the clock that they stand on. */
  readonly rowsByTimeSource: Readonly<Record<TimeSource, number>>;
  /** In raw, but no answer ever reached the client: allowed, both ways. */
  readonly unansweredButCounted: number;
  /** All differences by kind; zero where there is none. */
  readonly figures: Readonly<Record<DifferenceKind, number>>;
  /** Ids and keys that differ; a key may differ by many clicks. */
  readonly differenceCount: number;
  /** The first differences of each kind. */
  readonly listed: readonly Difference[];
}

/** Differences of each kind that are listed one by one; the figures have all of them. */
export const LISTED_OF_A_KIND_MAX = 50;

interface KeyPair {
  raw: number;
  counted: number;
}

export class Judge {
  private readonly ledger: Ledger;
  /** Rows in raw by ledger index; more than 255 copies of one id stay 255 in the list, not in the sum. */
  private readonly rowsOfId: Uint8Array;
  private readonly keys = new Map<string, KeyPair>();
  private readonly figures: Record<DifferenceKind, number> = {
    lost_id: 0,
    double_id: 0,
    foreign_id: 0,
    wrong_ad: 0,
    lost_count: 0,
    double_count: 0,
    wrong_event_time: 0,
    accepted_twice: 0,
    good_rejected: 0,
    broken_accepted: 0,
  };
  private readonly listed: Difference[] = [];
  private readonly byTimeSource: Record<TimeSource, number> = {
    client: 0,
    skew_corrected: 0,
    server: 0,
  };
  private readonly listedByKind = new Map<DifferenceKind, number>();
  private differenceCount = 0;
  private rawRows = 0;
  private counted = 0;

  constructor(ledger: Ledger) {
    this.ledger = ledger;
    this.rowsOfId = new Uint8Array(ledger.size);
  }

  /** Every row of clicks_raw, in any order. */
  rawRow(row: RawRow): void {
    this.rawRows++;
    this.byTimeSource[row.timeSource]++;
    const index = this.ledger.indexOf(row.clickId);
    if (index < 0) {
      this.differ("foreign_id", 1, `${row.clickId}: in raw, never sent`);
      return;
    }
    const rows = this.rowsOfId[index]!;
    if (rows < 255) this.rowsOfId[index] = rows + 1;
    if (rows > 0) {
      this.differ("double_id", 1, `${row.clickId}: in raw again (row ${rows + 1})`);
    } else if (!this.ledger.isGood(index)) {
      this.differ("foreign_id", 1, `${row.clickId}: in raw, but it was broken`);
    } else if (!this.ledger.isSafe(index) && this.ledger.isRejected(index)) {
      this.differ("foreign_id", 1, `${row.clickId}: in raw, but it was answered rejected`);
    }
    const adId = this.ledger.adOf(index);
    if (row.adId !== adId) {
      this.differ("wrong_ad", 1, `${row.clickId}: ad ${row.adId} in raw, ${adId} was clicked`);
    }
    const claimedMs = this.ledger.claimedMsOf(index);
    if (row.timeSource === "client" && row.eventTimeMs !== claimedMs) {
      this.differ(
        "wrong_event_time",
        1,
        `${row.clickId}: event time ${iso(row.eventTimeMs)}, the client's was ${iso(claimedMs)} (its clock is ${this.ledger.clockOffsetMsOf(index)} ms off)`,
      );
    }
  }

  /** How many raw rows a key has; each key once, or in parts. */
  rawCount(row: KeyCount): void {
    this.key(row).raw += row.clicks;
  }

  /** `sum(clicks)` of a key; each key once, or in parts. */
  countedClicks(row: KeyCount): void {
    this.counted += row.clicks;
    this.key(row).counted += row.clicks;
  }

  verdict(): Verdict {
    let unansweredButCounted = 0;
    for (const [clickId, index] of this.ledger.entries()) {
      const rows = this.rowsOfId[index]!;
      const safe = this.ledger.isSafe(index);
      if (safe && rows === 0) this.differ("lost_id", 1, `${clickId}: answered as safe, not in raw`);
      if (!safe && rows > 0 && !this.ledger.isRejected(index)) unansweredButCounted++;
      if (this.ledger.isAcceptedTwice(index)) {
        this.differ("accepted_twice", 1, `${clickId}: answered accepted more than once`);
      }
      if (this.ledger.isGood(index) && this.ledger.isRejected(index)) {
        this.differ("good_rejected", 1, `${clickId}: without fault, and rejected`);
      }
      if (!this.ledger.isGood(index) && safe) {
        this.differ("broken_accepted", 1, `${clickId}: broken, and taken`);
      }
    }
    for (const [key, { raw, counted }] of this.keys) {
      if (raw === counted) continue;
      const kind = raw > counted ? "lost_count" : "double_count";
      this.differ(
        kind,
        Math.abs(raw - counted),
        `${keyText(key)}: ${raw} in raw, ${counted} counted`,
      );
    }
    const f = this.figures;
    return {
      clean: Object.values(f).every((figure) => figure === 0),
      lost: f.lost_id + f.wrong_ad + f.lost_count,
      double: f.double_id + f.foreign_id + f.wrong_ad + f.double_count,
      rawRows: this.rawRows,
      counted: this.counted,
      keys: this.keys.size,
      rowsByTimeSource: this.byTimeSource,
      unansweredButCounted,
      figures: f,
      differenceCount: this.differenceCount,
      listed: this.listed,
    };
  }

  private key(row: KeyCount): KeyPair {
    const key = `${row.windowStartSeconds}\n${row.invalidReason}\n${row.adId}`;
    let pair = this.keys.get(key);
    if (pair === undefined) {
      pair = { raw: 0, counted: 0 };
      this.keys.set(key, pair);
    }
    return pair;
  }

  private differ(kind: DifferenceKind, size: number, what: string): void {
    this.figures[kind] += size;
    this.differenceCount++;
    const listedOfKind = this.listedByKind.get(kind) ?? 0;
    if (listedOfKind >= LISTED_OF_A_KIND_MAX) return;
    this.listedByKind.set(kind, listedOfKind + 1);
    this.listed.push({ kind, what });
  }
}

function keyText(key: string): string {
  const [window, reason, adId] = key.split("\n");
  return `${adId}, window ${iso(Number(window) * 1_000)}${reason === "" ? "" : `, ${reason}`}`;
}

function iso(timeMs: number): string {
  return Number.isFinite(timeMs) && Math.abs(timeMs) < 8.64e15
    ? new Date(timeMs).toISOString()
    : `${timeMs} ms`;
}
