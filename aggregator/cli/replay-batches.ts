/** Gathers a replay's clicks into batches: what an SDK would send in one request. */

/** As in an SDK: small enough for one request on a phone, large enough that the request costs little. */
export const BATCH_CLICKS = 100;
/** A click waits no longer than this for others, as the SDK's own timer has it. */
export const LINGER_MS = 250;
/** Senders (country and user agent) with an open batch; beyond, the oldest is sent as it is. */
export const SENDERS_MAX = 1_000;

/** A click as the edge takes it. */
export interface OutgoingClick {
  readonly click_id: string;
  readonly ad_id: string;
  readonly timestamp: number;
  readonly user_id?: string;
}

/** Clicks of one sender: what is in headers is the same for the whole request. */
export interface OutgoingBatch {
  readonly country: string;
  readonly userAgent: string;
  readonly clicks: OutgoingClick[];
  /** Each click's line in the log. */
  readonly lines: number[];
  readonly openedMs: number;
}

export class ReplayBatches {
  /** In the order of opening. */
  private readonly open = new Map<string, OutgoingBatch>();

  /** Adds a click; returns the batches that are to be sent now. */
  add(
    sender: { readonly country: string; readonly userAgent: string },
    click: OutgoingClick,
    line: number,
    nowMs: number,
  ): OutgoingBatch[] {
    const key = `${sender.country} ${sender.userAgent}`;
    const ready: OutgoingBatch[] = [];
    let batch = this.open.get(key);
    if (batch === undefined) {
      const oldest = this.open.size >= SENDERS_MAX ? this.open.entries().next().value : undefined;
      if (oldest !== undefined) {
        this.open.delete(oldest[0]);
        ready.push(oldest[1]);
      }
      const { country, userAgent } = sender;
      batch = { country, userAgent, clicks: [], lines: [], openedMs: nowMs };
      this.open.set(key, batch);
    }
    batch.clicks.push(click);
    batch.lines.push(line);
    if (batch.clicks.length >= BATCH_CLICKS) {
      this.open.delete(key);
      ready.push(batch);
    }
    return ready;
  }

  /** The batches that were opened at or before `openedMs`; Infinity for all. */
  take(openedMs: number): OutgoingBatch[] {
    const ready: OutgoingBatch[] = [];
    for (const [key, batch] of this.open) {
      if (batch.openedMs > openedMs) break;
      this.open.delete(key);
      ready.push(batch);
    }
    return ready;
  }
}
