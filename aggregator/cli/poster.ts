/**
 * Posts batches of clicks to the edge as a well-made SDK does. One implementation for `replay` and
 * for the simulated installations: what the tests prove is what users get.
 *
 * Resending anything is always safe, so a lost answer, a timeout and an edge that is away are all the
 * same: the clicks without an answer are sent again, later, with a new `sent_at`.
 */
import type { ClickResult, ClickStatus, IngestAnswer } from "../../wire/ingest.ts";

/** A phone on a bad network answers within seconds; the edge itself gives up on a shard after 10 s. */
export const ATTEMPT_TIMEOUT_MS = 15_000;
export const BACKOFF_MS_MIN = 100;
export const BACKOFF_MS_MAX = 5_000;
/** What a server may ask for with Retry-After; more would look like a hang. */
export const RETRY_AFTER_MS_MAX = 30_000;
/**
 * Attempts in a row that bring no click further. Six doublings from 100 ms and 24 waits of 2.5 to 5 s:
 * about 90 s, several restarts of every process between us and the click's safety.
 */
export const ATTEMPTS_MAX = 30;
/** Posts under way; with batches of 100 far more than the edge answers at once on one machine. */
export const POSTS_MAX = 64;

const STATUSES: readonly ClickStatus[] = ["accepted", "duplicate", "rejected", "unavailable"];

export interface PostBatch {
  /** As they go into the JSON; simulated installations send broken ones too. */
  readonly clicks: readonly unknown[];
  readonly headers: Readonly<Record<string, string>>;
  /** The sender's clock, read on every attempt; null sends no `sent_at`. */
  readonly sentAt: (() => number) | null;
  /** Called before each attempt with the positions in `clicks` that it carries. */
  readonly onSent: (positions: readonly number[]) => void;
  /**
   * Called after each attempt, answered or lost, with the time from before its `sent_at` was stamped
   * to its end: the edge took the clicks within it, if it did.
   */
  readonly onEnded?: (positions: readonly number[], attemptMs: number) => void;
  /** Called for each answered click, `unavailable` included. */
  readonly onAnswer: (position: number, result: ClickResult) => void;
  /** In place of the poster's own, to lose answers on purpose. */
  readonly fetch?: Fetch;
}

export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

export interface PostOutcome {
  /** Positions without a final answer; empty when all is well. */
  readonly open: readonly number[];
  /** Why they are open, in words; null when none is. */
  readonly reason: string | null;
}

export interface PosterOptions {
  /** The edge, without path. */
  readonly url: string;
  readonly fetch?: Fetch;
  readonly postsMax?: number;
  readonly attemptsMax?: number;
  readonly attemptTimeoutMs?: number;
  readonly backoffMsMin?: number;
  readonly backoffMsMax?: number;
  /** [0, 1), for jitter. */
  readonly random?: () => number;
}

export interface Poster {
  /** Sends until every click has a final answer or a bound is reached. Never rejects for the network's faults. */
  post(batch: PostBatch): Promise<PostOutcome>;
  /** Resolves when fewer than `postsMax` posts are under way: the back-pressure of the one producer. */
  room(): Promise<void>;
  /** Ends every post under way and every later one at once. */
  stop(reason: string): void;
}

/** What one attempt brought. `lost` may or may not have reached the edge. */
type Attempt =
  | { readonly kind: "answered"; readonly results: readonly ClickResult[] }
  | { readonly kind: "lost"; readonly reason: string; readonly retryAfterMs: number | null }
  | { readonly kind: "refused"; readonly reason: string };

export function createPoster(options: PosterOptions): Poster {
  const endpoint = new URL("/v1/clicks", options.url).href;
  const postsMax = options.postsMax ?? POSTS_MAX;
  const attemptsMax = options.attemptsMax ?? ATTEMPTS_MAX;
  const random = options.random ?? Math.random;
  const attemptTimeoutMs = options.attemptTimeoutMs ?? ATTEMPT_TIMEOUT_MS;
  const backoff = {
    msMin: options.backoffMsMin ?? BACKOFF_MS_MIN,
    msMax: options.backoffMsMax ?? BACKOFF_MS_MAX,
  };
  let underWay = 0;
  let stopped: string | null = null;
  const enders = new Set<() => void>();
  let waiters: (() => void)[] = [];

  function room(): Promise<void> {
    if (underWay < postsMax) return Promise.resolve();
    return new Promise((resolve) => waiters.push(resolve));
  }

  function left(): void {
    underWay--;
    if (underWay >= postsMax) return;
    const ready = waiters;
    waiters = [];
    for (const resolve of ready) resolve();
  }

  function sleep(ms: number): Promise<void> {
    if (stopped !== null) return Promise.resolve();
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer);
        enders.delete(end);
        resolve();
      };
      const timer = setTimeout(end, ms);
      enders.add(end);
    });
  }

  async function attempt(batch: PostBatch, positions: readonly number[]): Promise<Attempt> {
    const clicks = positions.map((p) => batch.clicks[p]);
    const body = JSON.stringify(
      batch.sentAt === null ? { clicks } : { sent_at: batch.sentAt(), clicks },
    );
    // One controller per attempt: AbortSignal.any would hang every attempt on one long-lived signal.
    const controller = new AbortController();
    const end = () => controller.abort();
    const timer = setTimeout(end, attemptTimeoutMs);
    enders.add(end);
    try {
      const send = batch.fetch ?? options.fetch ?? fetch;
      const response = await send(endpoint, {
        method: "POST",
        headers: { ...batch.headers, "content-type": "application/json" },
        body,
        signal: controller.signal,
      });
      return readAttempt(
        response.status,
        response.headers.get("retry-after"),
        await response.text(),
        clicks.length,
        Date.now(),
      );
    } catch (error) {
      const reason = controller.signal.aborted
        ? `no answer in ${attemptTimeoutMs} ms`
        : networkReason(error);
      return { kind: "lost", reason, retryAfterMs: null };
    } finally {
      clearTimeout(timer);
      enders.delete(end);
    }
  }

  async function postUntilAnswered(batch: PostBatch): Promise<PostOutcome> {
    let open: number[] = batch.clicks.map((_, position) => position);
    let fruitless = 0;
    while (open.length > 0) {
      if (stopped !== null) return { open, reason: stopped };
      batch.onSent(open);
      const startMs = performance.now();
      const outcome = await attempt(batch, open);
      batch.onEnded?.(open, performance.now() - startMs);
      if (outcome.kind === "refused") return { open, reason: outcome.reason };
      let reason = "its shard is away";
      let waitMs = 0;
      if (outcome.kind === "answered") {
        const still: number[] = [];
        outcome.results.forEach((result, i) => {
          const position = open[i]!;
          if (result.status === "unavailable") still.push(position);
          batch.onAnswer(position, result);
        });
        if (still.length < open.length) fruitless = 0;
        open = still;
        if (open.length === 0) break;
      } else {
        reason = outcome.reason;
        waitMs = outcome.retryAfterMs ?? 0;
      }
      fruitless++;
      if (fruitless >= attemptsMax) {
        return {
          open,
          reason: `gave up after ${fruitless} attempts in a row; the last: ${reason}`,
        };
      }
      await sleep(Math.max(waitMs, backoffMs(fruitless, backoff, random())));
    }
    return { open: [], reason: null };
  }

  return {
    async post(batch) {
      underWay++;
      try {
        return await postUntilAnswered(batch);
      } finally {
        left();
      }
    },
    room,
    stop(reason) {
      stopped ??= reason;
      for (const end of enders) end();
    },
  };
}

/**
 * The wait before the next attempt: doubled each time to a cap, the upper half of it by chance, so
 * that installations which failed together do not come back together.
 *
 * @param failures attempts in a row without progress, from 1
 * @param chance [0, 1)
 */
export function backoffMs(
  failures: number,
  limits: { readonly msMin: number; readonly msMax: number },
  chance: number,
): number {
  const full = Math.min(limits.msMax, limits.msMin * 2 ** (failures - 1));
  return Math.round(full / 2 + (full / 2) * chance);
}

/** Whether the same request may fare better later. */
export function isRetryable(status: number): boolean {
  return status === 408 || status === 425 || status === 429 || status >= 500;
}

/** Retry-After as milliseconds from `nowMs`: seconds or an HTTP date; null where it says nothing usable. */
export function retryAfterMs(header: string | null, nowMs: number): number | null {
  if (header === null) return null;
  const ms = /^\d+$/.test(header.trim()) ? Number(header) * 1_000 : Date.parse(header) - nowMs;
  return Number.isFinite(ms) ? Math.min(RETRY_AFTER_MS_MAX, Math.max(0, ms)) : null;
}

function readAttempt(
  status: number,
  retryAfter: string | null,
  text: string,
  clickCount: number,
  nowMs: number,
): Attempt {
  if (status !== 202) {
    const reason = `HTTP ${status}: ${text.slice(0, 200)}`;
    return isRetryable(status)
      ? { kind: "lost", reason, retryAfterMs: retryAfterMs(retryAfter, nowMs) }
      : { kind: "refused", reason };
  }
  return readAnswer(text, clickCount);
}

/** The outside is checked here once: after it, results stand for the clicks by position. */
export function readAnswer(text: string, clickCount: number): Attempt {
  let answer: Partial<IngestAnswer> | null;
  try {
    answer = JSON.parse(text) as Partial<IngestAnswer> | null;
  } catch {
    return { kind: "lost", reason: "the answer was cut off", retryAfterMs: null };
  }
  const results = answer?.results;
  if (
    !Array.isArray(results) ||
    results.length !== clickCount ||
    !results.every((r: Partial<ClickResult> | null) => STATUSES.includes(r?.status as ClickStatus))
  ) {
    return {
      kind: "refused",
      reason: `this is no Clickmill edge: the answer has no fate for each of ${clickCount} clicks`,
    };
  }
  return { kind: "answered", results: results as readonly ClickResult[] };
}

/** What went wrong on the way, in words: fetch hides it in `cause`. */
export function networkReason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause;
  if (cause instanceof AggregateError && cause.errors[0] instanceof Error) {
    return cause.errors[0].message;
  }
  return cause instanceof Error && cause.message !== "" ? cause.message : error.message;
}
