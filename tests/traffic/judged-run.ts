/** A run from the first click to the verdict: traffic, progress, the wait for the counts, the comparison. */
import { createWriteStream } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as delay } from "node:timers/promises";
import type { ClickHouseClient } from "@clickhouse/client";
import { ProgressLine, progressText } from "./progress.ts";
import { readArrived, readTopAds } from "./read-verdict.ts";
import type { Arrived, TopAd } from "./read-verdict.ts";
import { provesNothing, settledVerdict } from "./settled-verdict.ts";
import { startTraffic } from "./traffic.ts";
import type { TrafficOptions } from "./traffic.ts";
import { differenceLines, verdictJson, verdictLines } from "./verdict-report.ts";
import type { Verdict } from "./verdict.ts";

const POLL_MS = 1_000;
const TOP_ADS = 10;

/** The table must hold nothing but this run: every other click would be a difference. */
export interface JudgedRun {
  readonly traffic: TrafficOptions;
  readonly client: ClickHouseClient;
  readonly windowSeconds: number;
  /** Where every difference is written, if there is one; null for nowhere. */
  readonly differencesFile: string | null;
}

/** Prints everything, the JSON line last. True only if every count is right. */
export async function judgedRun(run: JudgedRun): Promise<boolean> {
  const startMs = performance.now();
  const progress = new ProgressLine(process.stdout);
  const traffic = startTraffic(run.traffic);
  const state: { sending: boolean; arrived: Arrived | null } = { sending: true, arrived: null };

  function show(arrived: Arrived | null): void {
    // The last known, while ClickHouse gives no answer.
    state.arrived = arrived ?? state.arrived;
    const counts = traffic.ledger.counts();
    progress.show(progressText(performance.now() - startMs, counts, state.arrived, Date.now()));
  }

  const polls = (async () => {
    while (state.sending) {
      show(await readArrived(run.client).catch(() => null));
      await delay(POLL_MS);
    }
  })();
  const report = await traffic.done.finally(() => {
    state.sending = false;
  });
  await polls;

  const { ledger } = traffic;
  const { client, windowSeconds } = run;
  const verdict = await settledVerdict({ client, ledger, windowSeconds, onArrived: show });
  const final = await readArrived(client);
  show(final);
  progress.end();

  console.log(`\n${topAdsTable(await readTopAds(client, TOP_ADS))}\n`);
  console.log(verdictLines(verdict, ledger).join("\n"));
  if (!verdict.clean && run.differencesFile !== null) {
    await writeDifferences(verdict, run.differencesFile);
    console.log(`\nEvery difference is in ${run.differencesFile}`);
  }
  if (report.behindMsMax > 1_000) {
    console.log(
      `\nThe traffic fell up to ${Math.round(report.behindMsMax / 1_000)} s behind its plan: this machine does not take ${run.traffic.rate} clicks/s.`,
    );
  }
  for (const reason of report.gaveUp)
    console.log(`\nSome clicks had to be given up for a while: ${reason}`);
  const nothing = provesNothing(ledger.counts());
  if (nothing !== null) console.log(`\nThis run proves nothing: ${nothing}.`);
  console.log(`\n${verdictJson(verdict, ledger, final.counted, final.late)}`);
  return verdict.clean && nothing === null;
}

/** Line by line: a hundred thousand of each kind may be kept. */
export async function writeDifferences(verdict: Verdict, file: string): Promise<void> {
  await pipeline(Readable.from(differenceLines(verdict)), createWriteStream(file));
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
