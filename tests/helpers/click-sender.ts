/** Posts just the clicks it is given, once, and keeps the book: for tests that choose every request themselves. */
import { shardOf } from "../../wire/routing.ts";
import type { ClickStatus, IngestAnswer } from "../../wire/ingest.ts";
import { Ledger } from "../traffic/ledger.ts";

export interface Click {
  readonly click_id: string;
  readonly ad_id: string;
  readonly timestamp: number;
  readonly user_id?: string;
}

export class ClickSender {
  readonly ledger = new Ledger();
  readonly #url: string;
  readonly #shards: number;
  #made = 0;

  /** @param url the edge, without path */
  constructor(url: string, shards: number) {
    this.#url = url;
    this.#shards = shards;
  }

  /** New clicks, on 50 ads. @param shard where they go; by default, to each in turn */
  make(count: number, shard?: number, userId?: string): Click[] {
    return Array.from({ length: count }, () => {
      const number = this.#made++;
      return {
        click_id: `${installationOf(shard ?? number % this.#shards, this.#shards)}.${number}`,
        ad_id: `ad-${number % 50}`,
        timestamp: Date.now(),
        ...(userId === undefined ? {} : { user_id: userId }),
      };
    });
  }

  /** Sends new clicks. */
  async sendNew(count: number, shard?: number): Promise<ClickStatus[]> {
    return this.send(this.make(count, shard));
  }

  /** Sends clicks that must be rejected: they name no ad. They are not in the ledger. */
  async sendBroken(count: number): Promise<ClickStatus[]> {
    return this.#post(
      this.make(count).map((click) => ({ ...click, ad_id: 7 })),
      "clickmill-test",
    );
  }

  /**
   * Sends them as one request.
   *
   * @param hangUp ends the connection, answered or not
   * @returns their fates, in their order
   * @throws for any other answer than 202: a shard in trouble is no reason for one
   */
  async send(
    clicks: readonly Click[],
    userAgent = "clickmill-test",
    hangUp?: AbortSignal,
  ): Promise<ClickStatus[]> {
    const indexes = clicks.map((click) =>
      this.ledger.enter({
        clickId: click.click_id,
        adId: click.ad_id,
        claimedMs: click.timestamp,
        clockOffsetMs: 0,
        stampsSentAt: true,
        good: true,
      }),
    );
    this.ledger.sent(clicks.length);
    const startMs = performance.now();
    const fates = await this.#post(clicks, userAgent, hangUp);
    const attemptMs = performance.now() - startMs;
    for (const [place, index] of indexes.entries()) {
      this.ledger.attempted(index, attemptMs);
      this.ledger.answered(index, fates[place]!);
    }
    return fates;
  }

  async #post(
    clicks: readonly unknown[],
    userAgent: string,
    hangUp?: AbortSignal,
  ): Promise<ClickStatus[]> {
    const response = await fetch(`${this.#url}/v1/clicks`, {
      method: "POST",
      headers: { "content-type": "application/json", "user-agent": userAgent },
      body: JSON.stringify({ sent_at: Date.now(), clicks }),
      signal: hangUp ?? null,
    });
    const text = await response.text();
    if (response.status !== 202) throw new Error(`${response.status}: ${text}`);
    const { results } = JSON.parse(text) as IngestAnswer;
    return results.map(({ status }) => status);
  }
}

const installations = new Map<string, string>();

/** An installation whose clicks go to that shard. */
function installationOf(shard: number, shards: number): string {
  const key = `${shard} ${shards}`;
  let name = installations.get(key);
  for (let i = 0; name === undefined; i++) {
    if (shardOf(`sender${i}`, shards) === shard) name = `sender${i}`;
  }
  installations.set(key, name);
  return name;
}
