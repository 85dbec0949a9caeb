/**
 * What the simulated installations know: every click id they sent, and every fate they were told.
 * The verdict compares it with what the tables say. No I/O.
 */
import type { ClickStatus } from "../../wire/ingest.ts";

/** Bits of an entry's fates. */
const ACCEPTED = 1;
const DUPLICATE = 2;
const REJECTED = 4;
const UNAVAILABLE = 8;
const ACCEPTED_TWICE = 16;
const BIT: Readonly<Record<ClickStatus, number>> = {
  accepted: ACCEPTED,
  duplicate: DUPLICATE,
  rejected: REJECTED,
  unavailable: UNAVAILABLE,
};

const ENTRIES_FIRST = 4_096;

function larger<T extends { set(from: T): void }>(to: T, from: T): T {
  to.set(from);
  return to;
}

export interface LedgerCounts {
  /** Clicks in requests that were started, resends included. */
  readonly sent: number;
  /** Distinct ids ever answered `accepted` or `duplicate`: both say that it is safe. */
  readonly accepted: number;
  /** Answers. */
  readonly duplicates: number;
  /** Answers. */
  readonly rejected: number;
  /** Answers. */
  readonly unavailable: number;
  /** Good ids without a final answer so far. */
  readonly unanswered: number;
}

export interface Entry {
  readonly clickId: string;
  readonly adId: string;
  readonly claimedMs: number;
  readonly clockOffsetMs: number;
  /** Whether its installation sends `sent_at`. */
  readonly stampsSentAt: boolean;
  readonly good: boolean;
}

/** Longer attempts are noted as so long: two bytes an id, four times the poster's patience. */
export const ATTEMPT_MS_NOTED_MAX = 65_535;

/** About 150 bytes an id: two million fit in 300 MB. */
export class Ledger {
  private readonly indexes = new Map<string, number>();
  private readonly adIndexes = new Map<string, number>();
  private readonly ads: string[] = [];
  private ad = new Uint32Array(ENTRIES_FIRST);
  private claimed = new Float64Array(ENTRIES_FIRST);
  private offset = new Float64Array(ENTRIES_FIRST);
  private stamps = new Uint8Array(ENTRIES_FIRST);
  private good = new Uint8Array(ENTRIES_FIRST);
  private attemptMsMax = new Uint16Array(ENTRIES_FIRST);
  private fates = new Uint8Array(ENTRIES_FIRST);
  private sentCount = 0;
  private acceptedCount = 0;
  private duplicateCount = 0;
  private rejectedCount = 0;
  private unavailableCount = 0;
  private unansweredCount = 0;

  get size(): number {
    return this.indexes.size;
  }

  /** The index of an id, which is entered if it is new. An id must not come with two contents. */
  enter(entry: Entry): number {
    const known = this.indexes.get(entry.clickId);
    if (known !== undefined) {
      if (this.claimed[known] !== entry.claimedMs || this.adOf(known) !== entry.adId) {
        throw new Error(`${entry.clickId} was sent with two contents`);
      }
      return known;
    }
    const index = this.indexes.size;
    if (index === this.ad.length) this.grow();
    this.indexes.set(entry.clickId, index);
    this.ad[index] = this.internAd(entry.adId);
    this.claimed[index] = entry.claimedMs;
    this.offset[index] = entry.clockOffsetMs;
    this.stamps[index] = entry.stampsSentAt ? 1 : 0;
    this.good[index] = entry.good ? 1 : 0;
    if (entry.good) this.unansweredCount++;
    return index;
  }

  /** A request with so many clicks has been started. */
  sent(clicks: number): void {
    this.sentCount += clicks;
  }

  /**
   * A request with this click took so long, from before it was stamped to its end.
   *
   * @param index -1 for a click whose id cannot be read
   */
  attempted(index: number, attemptMs: number): void {
    if (index < 0) return;
    const noted = Math.min(ATTEMPT_MS_NOTED_MAX, Math.ceil(attemptMs));
    if (noted > this.attemptMsMax[index]!) this.attemptMsMax[index] = noted;
  }

  /** @param index -1 for a click whose id cannot be read: it is counted only */
  answered(index: number, status: ClickStatus): void {
    if (status === "duplicate") this.duplicateCount++;
    if (status === "rejected") this.rejectedCount++;
    if (status === "unavailable") this.unavailableCount++;
    if (index < 0) return;
    const before = this.fates[index]!;
    let after = before | BIT[status];
    if (status === "accepted" && (before & ACCEPTED) !== 0) after |= ACCEPTED_TWICE;
    this.fates[index] = after;
    const isSafe = (fates: number) => (fates & (ACCEPTED | DUPLICATE)) !== 0;
    const isFinal = (fates: number) => isSafe(fates) || (fates & REJECTED) !== 0;
    if (!isSafe(before) && isSafe(after)) this.acceptedCount++;
    if (this.good[index] === 1 && !isFinal(before) && isFinal(after)) this.unansweredCount--;
  }

  counts(): LedgerCounts {
    return {
      sent: this.sentCount,
      accepted: this.acceptedCount,
      duplicates: this.duplicateCount,
      rejected: this.rejectedCount,
      unavailable: this.unavailableCount,
      unanswered: this.unansweredCount,
    };
  }

  /** -1 for an id that was never sent. */
  indexOf(clickId: string): number {
    return this.indexes.get(clickId) ?? -1;
  }

  adOf(index: number): string {
    return this.ads[this.ad[index]!]!;
  }

  claimedMsOf(index: number): number {
    return this.claimed[index]!;
  }

  clockOffsetMsOf(index: number): number {
    return this.offset[index]!;
  }

  /** The longest request with this click, at most ATTEMPT_MS_NOTED_MAX. */
  attemptMsMaxOf(index: number): number {
    return this.attemptMsMax[index]!;
  }

  stampsSentAt(index: number): boolean {
    return this.stamps[index] === 1;
  }

  isGood(index: number): boolean {
    return this.good[index] === 1;
  }

  /** Ever answered `accepted` or `duplicate`. */
  isSafe(index: number): boolean {
    return (this.fates[index]! & (ACCEPTED | DUPLICATE)) !== 0;
  }

  /** Ever answered `rejected`. */
  isRejected(index: number): boolean {
    return (this.fates[index]! & REJECTED) !== 0;
  }

  /** `accepted` for more than one of its transmissions: the edge took it for new twice. */
  isAcceptedTwice(index: number): boolean {
    return (this.fates[index]! & ACCEPTED_TWICE) !== 0;
  }

  /** All ids with their indexes, in the order of entering. */
  entries(): IterableIterator<[string, number]> {
    return this.indexes.entries();
  }

  private internAd(adId: string): number {
    let index = this.adIndexes.get(adId);
    if (index === undefined) {
      index = this.ads.length;
      this.ads.push(adId);
      this.adIndexes.set(adId, index);
    }
    return index;
  }

  private grow(): void {
    const size = this.ad.length * 2;
    this.ad = larger(new Uint32Array(size), this.ad);
    this.claimed = larger(new Float64Array(size), this.claimed);
    this.offset = larger(new Float64Array(size), this.offset);
    this.stamps = larger(new Uint8Array(size), this.stamps);
    this.good = larger(new Uint8Array(size), this.good);
    this.attemptMsMax = larger(new Uint16Array(size), this.attemptMsMax);
    this.fates = larger(new Uint8Array(size), this.fates);
  }
}
