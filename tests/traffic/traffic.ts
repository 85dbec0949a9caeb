/** Sends the planned traffic over real HTTP at its planned times, and writes the ledger. */
import { setTimeout as delay } from "node:timers/promises";
import { ATTEMPT_TIMEOUT_MS, createPoster } from "../../aggregator/cli/poster.ts";
import type { Fetch, PostBatch, Poster, PosterOptions } from "../../aggregator/cli/poster.ts";
import { SMALL_SKEW_MS_MAX } from "../../wire/limits.ts";
import { FAR_OFF_MS_MIN } from "./installations.ts";
import { Ledger } from "./ledger.ts";
import { lossyFetch } from "./lossy-fetch.ts";
import { planTraffic } from "./plan.ts";
import type { Fault, PlannedBatch, PlannedClick, TrafficSettings } from "./plan.ts";

/** Batches under way, the backlog of the open loop: ~20 clicks each. Beyond, the traffic falls behind. */
const BATCHES_UNDER_WAY_MAX = 256;
/** At the end, what has no answer yet is sent again so many times, each with all the poster's patience. */
const FINAL_ROUNDS_MAX = 3;
/** A timer is no finer than this. */
const TIMER_MS = 2;

if (FAR_OFF_MS_MIN - ATTEMPT_TIMEOUT_MS <= SMALL_SKEW_MS_MAX) {
  throw new Error("a clock that is far off must stay beyond the edge's tolerance in every request");
}

export interface TrafficOptions extends TrafficSettings {
  /** The edge, without path. */
  readonly url: string;
  readonly fetch?: Fetch;
  /** Patience of the installations; tests make it short. */
  readonly poster?: Omit<PosterOptions, "url" | "fetch">;
}

export interface TrafficReport {
  /** How far the traffic was behind its plan at worst, ms: more than some hundred is not the rate asked for. */
  readonly behindMsMax: number;
  /** Reasons of batches that were given up, the distinct ones; the final rounds have tried them again. */
  readonly gaveUp: readonly string[];
}

export interface Traffic {
  readonly ledger: Ledger;
  readonly done: Promise<TrafficReport>;
  /** Ends at once; `done` resolves soon. */
  stop(): void;
}

/** A batch with clicks that have no final answer. */
interface Leftover {
  readonly batch: PlannedBatch;
  readonly clicks: readonly PlannedClick[];
}

export function startTraffic(options: TrafficOptions): Traffic {
  const ledger = new Ledger();
  const poster = createPoster({
    postsMax: BATCHES_UNDER_WAY_MAX,
    ...options.poster,
    ...(options.fetch === undefined ? {} : { fetch: options.fetch }),
    url: options.url,
  });
  const stopping = new AbortController();
  return {
    ledger,
    done: run(options, ledger, poster, stopping.signal),
    stop() {
      stopping.abort();
      poster.stop("the traffic was stopped");
    },
  };
}

async function run(
  options: TrafficOptions,
  ledger: Ledger,
  poster: Poster,
  signal: AbortSignal,
): Promise<TrafficReport> {
  const startMs = Date.now();
  const reasons = new Set<string>();
  let leftovers: Leftover[] = [];
  let behindMsMax = 0;
  let failure: unknown = null;
  const underWay = new Set<Promise<void>>();

  function keep(sending: Promise<void>): void {
    const kept = sending.finally(() => underWay.delete(kept));
    underWay.add(kept);
  }

  async function send(
    batch: PlannedBatch,
    clicks: readonly PlannedClick[],
    faults: readonly Fault[],
  ) {
    try {
      const outcome = await poster.post(toPost(batch, clicks, faults, ledger, options.fetch));
      if (outcome.open.length === 0) return;
      reasons.add(outcome.reason ?? "");
      // Broken clicks may stay open: nobody waits for their fate.
      const open = outcome.open.map((position) => clicks[position]!).filter((click) => click.good);
      if (open.length > 0) leftovers.push({ batch, clicks: open });
    } catch (error) {
      failure ??= error;
    }
  }

  async function sendAgain(batch: PlannedBatch, afterMs: number) {
    await delay(afterMs);
    await send(batch, batch.clicks, []);
  }

  for (const batch of planTraffic(options, startMs)) {
    const waitMs = startMs + batch.dueMs - Date.now();
    if (waitMs > TIMER_MS) await delay(waitMs, undefined, { signal }).catch(() => {});
    await poster.room();
    if (signal.aborted || failure !== null) break;
    behindMsMax = Math.max(behindMsMax, Date.now() - startMs - batch.dueMs);
    // Not awaited: an open loop, which room() bounds.
    keep(send(batch, batch.clicks, batch.faults));
    if (batch.againAfterMs !== null) keep(sendAgain(batch, batch.againAfterMs));
  }
  await Promise.all(underWay);
  for (let round = 0; round < FINAL_ROUNDS_MAX && !signal.aborted; round++) {
    const again = leftovers;
    leftovers = [];
    for (const { batch, clicks } of again) {
      await poster.room();
      keep(send(batch, clicks, []));
    }
    await Promise.all(underWay);
  }
  if (failure !== null) throw failure;
  return { behindMsMax, gaveUp: [...reasons] };
}

function toPost(
  batch: PlannedBatch,
  clicks: readonly PlannedClick[],
  faults: readonly Fault[],
  ledger: Ledger,
  inner: Fetch | undefined,
): PostBatch {
  const { installation } = batch;
  const indexes = clicks.map((click) =>
    click.clickId === null
      ? -1
      : ledger.enter({
          clickId: click.clickId,
          adId: click.adId,
          claimedMs: click.claimedMs,
          clockOffsetMs: click.installation.clockOffsetMs,
          stampsSentAt: click.installation.stampsSentAt,
          good: click.good,
        }),
  );
  return {
    clicks: clicks.map((click) => click.body),
    headers: {
      "user-agent": installation.userAgent,
      "x-clickmill-country": installation.country,
    },
    sentAt: installation.stampsSentAt ? () => Date.now() + installation.clockOffsetMs : null,
    onSent: (positions) => ledger.sent(positions.length),
    onEnded: (positions, attemptMs) => {
      for (const position of positions) ledger.attempted(indexes[position]!, attemptMs);
    },
    onAnswer: (position, result) => ledger.answered(indexes[position]!, result.status),
    ...(faults.length > 0 ? { fetch: lossyFetch(faults, inner) } : {}),
  };
}
