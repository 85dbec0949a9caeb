/** A run from the first click to the verdict: traffic, progress, the wait for the counts, the comparison. */
import { setTimeout as delay } from "node:timers/promises";
import type { ClickHouseClient } from "@clickhouse/client";
import { ProgressLine, progressText } from "./progress.ts";
import { readArrived, readTopAds, readVerdict } from "./read-verdict.ts";
import type { Arrived, TopAd } from "./read-verdict.ts";
import { startTraffic } from "./traffic.ts";
import type { TrafficOptions } from "./traffic.ts";
import { verdictJson, verdictLines } from "./verdict-report.ts";

const POLL_MS = 1_000;
/**
 * After the last answer: a click may lie 10 s in the future, its window ends up to a window later,
 * then come the grace (5 s), a tick and the sinks. A minute is twice that with 10 s windows; longer
 * windows add themselves.
 */
const ARRIVAL_MS_MAX = 60_000;
/** When the counts agree: what would double them has so long to appear. */
const SETTLED_MS = 3_000;
const TOP_ADS = 10;

/** The table must hold nothing but this run: every other click would be a difference. */
export interface JudgedRun {
  readonly traffic: TrafficOptions;
  readonly client: ClickHouseClient;
  readonly windowSeconds: number;
}

/** Prints everything, the JSON line last. True only if every count is right. */
export async function judgedRun(run: JudgedRun): Promise<boolean> {
  const startMs = performance.now();
  const progress = new ProgressLine(process.stdout);
  const traffic = startTraffic(run.traffic);
  const state: { sending: boolean; arrived: Arrived | null } = { sending: true, arrived: null };

  async function poll(): Promise<void> {
    // ClickHouse may be busy or restarting meanwhile; the verdict will insist.
    state.arrived = await readArrived(run.client).catch(() => state.arrived);
    const counts = traffic.ledger.counts();
    progress.show(progressText(performance.now() - startMs, counts, state.arrived, Date.now()));
  }

  const polls = (async () => {
    while (state.sending) {
      await poll();
      await delay(POLL_MS);
    }
  })();
  const report = await traffic.done.finally(() => {
    state.sending = false;
  });
  await polls;

  const deadlineMs = performance.now() + ARRIVAL_MS_MAX + run.windowSeconds * 1_000;
  while (
    performance.now() < deadlineMs &&
    !isAllThere(traffic.ledger.counts().accepted, state.arrived)
  ) {
    await delay(POLL_MS);
    await poll();
  }
  await delay(SETTLED_MS);
  const verdict = await readVerdict(run.client, traffic.ledger, run.windowSeconds);
  const final = await readArrived(run.client);
  const counts = traffic.ledger.counts();
  progress.show(progressText(performance.now() - startMs, counts, final, Date.now()));
  progress.end();

  console.log(`\n${topAdsTable(await readTopAds(run.client, TOP_ADS))}\n`);
  console.log(verdictLines(verdict, traffic.ledger).join("\n"));
  if (report.behindMsMax > 1_000) {
    console.log(
      `\nThe traffic fell up to ${Math.round(report.behindMsMax / 1_000)} s behind its plan: this machine does not take ${run.traffic.rate} clicks/s.`,
    );
  }
  for (const reason of report.gaveUp)
    console.log(`\nSome clicks had to be given up for a while: ${reason}`);
  console.log(`\n${verdictJson(verdict, traffic.ledger, final.counted, final.late)}`);
  return verdict.clean && counts.unanswered === 0 && counts.accepted > 0;
}

function isAllThere(accepted: number, arrived: Arrived | null): boolean {
  return arrived !== null && arrived.rawRows >= accepted && arrived.counted >= arrived.rawRows;
}

function topAdsTable(ads: readonly TopAd[]): string {
  const header = ["top ads", "clicks", "valid", "late", "countries"];
  const rows = ads.map((ad) => [
    ad.adId,
    ...[ad.clicks, ad.valid, ad.late, ad.countries].map((n) => n.toLocaleString("en-US")),
  ]);
  const widths = header.map((name, i) =>
    Math.max(name.length, ...rows.map((row) => row[i]!.length)),
  );
  return [header, ...rows]
    .map((row) =>
      row
        .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
        .join("  "),
    )
    .join("\n");
}
