/**
 * The verdict in three steps: what the installations know against what the tables say. No I/O: rows
 * come in one by one, and a loss is never netted against a double.
 *
 * (i) the ids ever answered `accepted` or `duplicate` are exactly the ids in clicks_raw, each once;
 * (ii) those rows' counts per (ad, window, invalid reason) equal `sum(clicks)` in ad_clicks_1m;
 * (iii) each click's time comes from the source that its installation's clock calls for, and where the
 *       client's time stood, the event time is the ledger's.
 */
import type { TimeSource } from "../../wire/columns.ts";
import { SMALL_SKEW_MS_MAX } from "../../wire/limits.ts";
import { FAR_OFF_MS_MIN, SLIGHTLY_OFF_MS_MAX } from "./installations.ts";
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
  /** A good clock did not stand, a bad one did, or one was believed that was never told. */
  | "wrong_time_source"
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
  /** Ids and keys that differ, by kind; a key may differ by many clicks. */
  readonly differences: Readonly<Record<DifferenceKind, number>>;
  /** Every difference, of each kind the first LISTED_OF_A_KIND_MAX, in the order of finding. */
  readonly listed: readonly Difference[];
}

/**
 * Differences of each kind that are kept one by one; the figures have all of them. About 200 bytes
 * each: 20 MB a kind, so that even several kinds at once are less than the ledger. Of each kind, so
 * that a flood of one does not hide another.
 */
export const LISTED_OF_A_KIND_MAX = 100_000;

/**
 * A click whose request took longer may be corrected in good faith: the edge sees a skew of up to the
 * clock's error and the time that the request was under way. Up to 7 s it cannot pass the edge's
 * tolerance with the clocks we call good; 2 s less, because a request that was cut off may be read a
 * little after its end.
 */
export const STALL_MS = 5_000;
if (STALL_MS + SLIGHTLY_OFF_MS_MAX >= SMALL_SKEW_MS_MAX) {
  throw new Error("without a stall, a good clock must stay within the edge's tolerance");
}

const KINDS: readonly DifferenceKind[] = [
  "lost_id",
  "double_id",
  "foreign_id",
  "wrong_ad",
  "lost_count",
  "double_count",
  "wrong_time_source",
  "wrong_event_time",
  "accepted_twice",
  "good_rejected",
  "broken_accepted",
];

function zeroOfEachKind(): Record<DifferenceKind, number> {
  return Object.fromEntries(KINDS.map((kind) => [kind, 0])) as Record<DifferenceKind, number>;
}

interface KeyPair {
  raw: number;
  counted: number;
}

export class Judge {
  private readonly ledger: Ledger;
  /** Rows in raw by ledger index; more than 255 copies of one id stay 255 in the list, not in the sum. */
  private readonly rowsOfId: Uint8Array;
  private readonly keys = new Map<string, KeyPair>();
  private readonly figures = zeroOfEachKind();
  private readonly differences = zeroOfEachKind();
  private readonly listed: Difference[] = [];
  private readonly byTimeSource: Record<TimeSource, number> = {
    client: 0,
    skew_corrected: 0,
    server: 0,
  };
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
    const source = expectedSource(this.ledger, index);
    if (source !== null && row.timeSource !== source) {
      this.differ(
        "wrong_time_source",
        1,
        `${row.clickId}: time source ${row.timeSource}, ${source} was due (${clockText(this.ledger, index)})`,
      );
    }
    const claimedMs = this.ledger.claimedMsOf(index);
    if (row.timeSource === "client" && row.eventTimeMs !== claimedMs) {
      this.differ(
        "wrong_event_time",
        1,
        `${row.clickId}: event time ${iso(row.eventTimeMs)}, the client's was ${iso(claimedMs)} (${clockText(this.ledger, index)})`,
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
      differences: this.differences,
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
    if (++this.differences[kind] <= LISTED_OF_A_KIND_MAX) this.listed.push({ kind, what });
  }
}

/** The source that the edge's time policy owes a click; null where a stalled request leaves it open. */
function expectedSource(ledger: Ledger, index: number): TimeSource | null {
  if (!ledger.stampsSentAt(index)) return "server";
  if (ledger.attemptMsMaxOf(index) > STALL_MS) return null;
  const errorMs = Math.abs(ledger.clockOffsetMsOf(index));
  if (errorMs <= SLIGHTLY_OFF_MS_MAX) return "client";
  return errorMs >= FAR_OFF_MS_MIN ? "skew_corrected" : null;
}

function clockText(ledger: Ledger, index: number): string {
  return (
    `its clock is ${ledger.clockOffsetMsOf(index)} ms off${ledger.stampsSentAt(index) ? "" : ", and not told"}; ` +
    `its longest request took ${ledger.attemptMsMaxOf(index)} ms`
  );
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
