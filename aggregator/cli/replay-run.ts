/** One replay: reads the log again, waits for each click's time, posts, and keeps the figures. */
import { createHash } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import type { ClickResult } from "../../wire/ingest.ts";
import { logClickId } from "./log-click.ts";
import type { LogClick, Mapping } from "./log-click.ts";
import { readLog } from "./log-file.ts";
import type { Log, Scan } from "./log-file.ts";
import { replayTimeMs } from "./log-time.ts";
import type { Pace } from "./log-time.ts";
import type { Poster } from "./poster.ts";
import { LINGER_MS, ReplayBatches } from "./replay-batches.ts";
import type { OutgoingBatch } from "./replay-batches.ts";

/** Timers are no finer than this; a click may leave so much before its time. */
const EARLY_MS_MAX = 5;
/** Bad rows and rejected clicks that the summary shows one by one; all are counted. */
export const LISTED_MAX = 20;

export interface ReplayFigures {
  /** Clicks sent, without those sent again. */
  clicks: number;
  accepted: number;
  duplicate: number;
  rejected: number;
  /** Good clicks without a final answer. */
  unanswered: number;
  badRows: number;
  /** Requests' clicks, with those sent again. */
  sent: number;
  /** How far behind the plan the last click was posted, ms. */
  behindMs: number;
  readonly rejectedByCode: Map<string, number>;
  /** First bad rows and rejected clicks, in words. */
  readonly listed: string[];
  /** Why the replay ended before the log did; null when it did not. */
  stopped: string | null;
  /** The log was not the same in both passes: what was sent is neither the old log nor the new one. */
  changed: boolean;
}

export function newFigures(): ReplayFigures {
  return {
    clicks: 0,
    accepted: 0,
    duplicate: 0,
    rejected: 0,
    unanswered: 0,
    badRows: 0,
    sent: 0,
    behindMs: 0,
    rejectedByCode: new Map(),
    listed: [],
    stopped: null,
    changed: false,
  };
}

export interface ReplayPlan {
  readonly log: Log;
  readonly mapping: Mapping;
  readonly scan: Scan;
  /** Null keeps the log's own times. */
  readonly pace: Pace | null;
}

/** Runs to the log's end, or until a click cannot be delivered or `signal` says stop. */
export async function runReplay(
  plan: ReplayPlan,
  poster: Poster,
  figures: ReplayFigures,
  signal: AbortSignal,
): Promise<void> {
  const { pace } = plan;
  const batches = new ReplayBatches();
  const deliveries = new Set<Promise<void>>();
  const stop = (reason: string) => {
    figures.stopped ??= reason;
    poster.stop(reason);
  };
  const onAbort = () => stop("interrupted");
  signal.addEventListener("abort", onAbort, { once: true });

  async function deliver(batch: OutgoingBatch): Promise<void> {
    const outcome = await poster.post(toPost(batch, figures));
    figures.unanswered += outcome.open.length;
    if (outcome.reason !== null) stop(outcome.reason);
  }

  async function send(ready: readonly OutgoingBatch[]): Promise<void> {
    for (const batch of ready) {
      await poster.room();
      figures.clicks += batch.clicks.length;
      // Side by side; room() bounds them.
      const delivery = deliver(batch).finally(() => deliveries.delete(delivery));
      deliveries.add(delivery);
    }
  }

  async function post(click: LogClick): Promise<void> {
    const timestamp = pace === null ? click.timeMs : replayTimeMs(pace, click.timeMs);
    if (pace !== null) {
      const earlyMs = timestamp - Date.now();
      if (earlyMs > LINGER_MS) await send(batches.take(Infinity));
      if (earlyMs > EARLY_MS_MAX) await delay(earlyMs, undefined, { signal }).catch(() => {});
    }
    const nowMs = Date.now();
    figures.behindMs = pace === null ? 0 : Math.max(0, nowMs - timestamp);
    const outgoing = {
      click_id: logClickId(plan.scan.contentHash, click.line),
      ad_id: click.adId,
      timestamp,
      ...(click.userId === null ? {} : { user_id: click.userId }),
    };
    await send(batches.add(click, outgoing, click.line, nowMs));
    await send(batches.take(nowMs - LINGER_MS));
  }

  const hash = createHash("sha256");
  try {
    for await (const part of readLog(plan.log, plan.mapping, (chunk) => hash.update(chunk))) {
      for (const item of part) {
        if (figures.stopped !== null) return;
        if ("bad" in item) {
          figures.badRows++;
          list(figures, `line ${item.line}: ${item.bad}`);
        } else {
          await post(item);
        }
      }
    }
    await send(batches.take(Infinity));
    figures.changed = hash.digest("hex") !== plan.scan.fileHash;
  } finally {
    await Promise.all(deliveries);
    signal.removeEventListener("abort", onAbort);
  }
}

function toPost(batch: OutgoingBatch, figures: ReplayFigures) {
  const headers: Record<string, string> = {};
  if (batch.country !== "") headers["x-clickmill-country"] = batch.country;
  if (batch.userAgent !== "") headers["user-agent"] = batch.userAgent;
  return {
    clicks: batch.clicks,
    headers,
    sentAt: Date.now,
    onSent: (positions: readonly number[]) => {
      figures.sent += positions.length;
    },
    onAnswer: (position: number, result: ClickResult) => {
      if (result.status === "unavailable") return;
      figures[result.status]++;
      if (result.status !== "rejected") return;
      const code = result.code ?? "unknown";
      figures.rejectedByCode.set(code, (figures.rejectedByCode.get(code) ?? 0) + 1);
      list(figures, `line ${batch.lines[position]!}: rejected, ${code}: ${result.message ?? ""}`);
    },
  };
}

function list(figures: ReplayFigures, text: string): void {
  if (figures.listed.length < LISTED_MAX) figures.listed.push(text);
}
