/** The wait for the counts, and then the comparison: one piece for the demo and for the end-to-end tests. */
import { setTimeout as delay } from "node:timers/promises";
import type { ClickHouseClient } from "@clickhouse/client";
import type { Ledger, LedgerCounts } from "./ledger.ts";
import { readArrived, readVerdict } from "./read-verdict.ts";
import type { Arrived } from "./read-verdict.ts";
import type { Verdict } from "./verdict.ts";

const POLL_MS = 500;
/**
 * After the last answer a click may lie 10 s in the future, then come the grace (5 s), a tick and the
 * sinks: under 20 s; and a process that was killed or away has to catch up. Nearly four times that;
 * its window adds itself.
 */
const ARRIVAL_MS_MAX = 75_000;
/** When the counts agree: what would double them has so long to appear. */
const SETTLED_MS = 3_000;

export interface SettledOptions {
  readonly client: ClickHouseClient;
  /** Of traffic that is done. */
  readonly ledger: Ledger;
  readonly windowSeconds: number;
  /** After every look at the tables; null when ClickHouse gave no answer. */
  readonly onArrived?: (arrived: Arrived | null) => void;
}

/** Waits, bounded, until every click of the ledger is in raw and counted; then compares. */
export async function settledVerdict(options: SettledOptions): Promise<Verdict> {
  const { client, ledger, windowSeconds } = options;
  const deadlineMs = performance.now() + ARRIVAL_MS_MAX + windowSeconds * 1_000;
  for (;;) {
    // ClickHouse may be busy or restarting meanwhile; the verdict will insist.
    const arrived = await readArrived(client).catch(() => null);
    options.onArrived?.(arrived);
    if (isAllThere(ledger.counts(), arrived) || performance.now() > deadlineMs) break;
    await delay(POLL_MS);
  }
  await delay(SETTLED_MS);
  return readVerdict(client, ledger, windowSeconds);
}

export function isAllThere(counts: LedgerCounts, arrived: Arrived | null): boolean {
  return (
    arrived !== null && arrived.rawRows >= counts.accepted && arrived.counted >= arrived.rawRows
  );
}

/** Why even a clean verdict proves nothing, in words; null where it does. */
export function provesNothing(counts: LedgerCounts): string | null {
  if (counts.accepted === 0) return "no click was accepted";
  if (counts.unanswered > 0) return `${counts.unanswered} good clicks never got a final answer`;
  return null;
}
