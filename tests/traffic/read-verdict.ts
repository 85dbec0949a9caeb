/** Reads what the tables say, a page at a time, and lets the judge compare it with a ledger. */
import type { ClickHouseClient } from "@clickhouse/client";
import type { TimeSource } from "../../wire/columns.ts";
import type { Ledger } from "./ledger.ts";
import { Judge } from "./verdict.ts";
import type { KeyCount, Verdict } from "./verdict.ts";

/** Rows of one answer: the embedded server holds an answer whole, ~60 bytes a row. */
const PAGE_ROWS = 200_000;

/** What arrived so far. */
export interface Arrived {
  readonly rawRows: number;
  readonly counted: number;
  readonly late: number;
  /** End of the newest closed window in seconds since 1970; 0 before the first emission. */
  readonly closedThroughSeconds: number;
}

export interface TopAd {
  readonly adId: string;
  readonly clicks: number;
  readonly valid: number;
  readonly late: number;
  readonly countries: number;
}

/** @param windowSeconds as the stack counts */
export async function readVerdict(
  client: ClickHouseClient,
  ledger: Ledger,
  windowSeconds: number,
): Promise<Verdict> {
  const judge = new Judge(ledger);
  // Seconds as numbers, so that no session time zone or text format can come between.
  const rawPages = await pages(client, "SELECT count() FROM clicks_raw");
  for (let page = 0; page < rawPages; page++) {
    await eachRow(
      client,
      `SELECT click_id, ad_id, toUnixTimestamp64Milli(event_time), toString(time_source)
       FROM clicks_raw WHERE cityHash64(click_id) % ${rawPages} = ${page}`,
      (row) => {
        const [clickId, adId, eventTime, timeSource] = row as [string, string, Cell, TimeSource];
        judge.rawRow({ clickId, adId, eventTimeMs: Number(eventTime), timeSource });
      },
    );
  }
  await eachCount(
    client,
    `SELECT ad_id, intDiv(toUnixTimestamp64Milli(event_time), ${windowSeconds * 1_000}) * ${windowSeconds} AS window_seconds,
            toString(invalid_reason), count()
     FROM clicks_raw`,
    rawPages,
    (row) => judge.rawCount(row),
  );
  await eachCount(
    client,
    `SELECT ad_id, toUnixTimestamp(window_start) AS window_seconds, toString(invalid_reason), sum(clicks)
     FROM ad_clicks_1m`,
    await pages(client, "SELECT count() FROM ad_clicks_1m"),
    (row) => judge.countedClicks(row),
  );
  return judge.verdict();
}

async function eachCount(
  client: ClickHouseClient,
  select: string,
  pageCount: number,
  take: (row: KeyCount) => void,
): Promise<void> {
  for (let page = 0; page < pageCount; page++) {
    await eachRow(
      client,
      `${select} WHERE cityHash64(ad_id) % ${pageCount} = ${page} GROUP BY ad_id, window_seconds, invalid_reason`,
      (row) => {
        const [adId, window, invalidReason, clicks] = row as [string, Cell, string, Cell];
        take({ adId, windowStartSeconds: Number(window), invalidReason, clicks: Number(clicks) });
      },
    );
  }
}

async function pages(client: ClickHouseClient, countQuery: string): Promise<number> {
  let rows = 0;
  await eachRow(client, countQuery, ([count = 0]) => {
    rows = Number(count);
  });
  return Math.max(1, Math.ceil(rows / PAGE_ROWS));
}

export async function readArrived(client: ClickHouseClient): Promise<Arrived> {
  const numbers = async (query: string): Promise<number[]> => {
    let row: number[] = [];
    await eachRow(client, query, (cells) => {
      row = cells.map(Number);
    });
    return row;
  };
  const [counted = 0, late = 0] = await numbers(
    "SELECT sum(clicks), sumIf(clicks, origin = 'late') FROM ad_clicks_1m",
  );
  const [rawRows = 0] = await numbers("SELECT count() FROM clicks_raw");
  const [closedThroughSeconds = 0] = await numbers(
    "SELECT toUnixTimestamp(max(closed_through)) FROM emissions",
  );
  return { rawRows, counted, late, closedThroughSeconds };
}

export async function readTopAds(client: ClickHouseClient, count: number): Promise<TopAd[]> {
  const ads: TopAd[] = [];
  await eachRow(
    client,
    `SELECT ad_id, sum(clicks) AS total, sumIf(clicks, invalid_reason = ''), sumIf(clicks, origin = 'late'),
            uniqExact(country)
     FROM ad_clicks_1m GROUP BY ad_id ORDER BY total DESC, ad_id LIMIT ${count}`,
    (row) => {
      const [clicks = 0, valid = 0, late = 0, countries = 0] = row.slice(1).map(Number);
      ads.push({ adId: String(row[0]), clicks, valid, late, countries });
    },
  );
  return ads;
}

/** 64-bit numbers may come as text. */
type Cell = string | number;

async function eachRow(
  client: ClickHouseClient,
  query: string,
  take: (row: readonly Cell[]) => void,
): Promise<void> {
  const answer = await client.query({ query, format: "JSONCompactEachRow" });
  for await (const rows of answer.stream()) {
    for (const row of rows) take(row.json());
  }
}
