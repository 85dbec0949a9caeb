/** Tries again after failures of the outside, with growing pauses and jitter, until told to stop. */
import { setTimeout as sleep } from "node:timers/promises";
import { RETRY_MS_MAX, RETRY_MS_MIN } from "../limits.ts";
import type { Log } from "./log.ts";

/**
 * @param isExpected tells a failure of the outside (tried again) from an impossible state (thrown on)
 * @param signal aborts the pauses; the last failure is thrown then
 */
export async function retry<T>(
  what: string,
  work: () => Promise<T>,
  isExpected: (error: unknown) => boolean,
  log: Log,
  signal: AbortSignal,
): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (!isExpected(error) || signal.aborted) throw error;
      const pauseMs =
        Math.min(RETRY_MS_MIN * 2 ** attempt, RETRY_MS_MAX) * (0.5 + Math.random() / 2);
      log.warn({ what, attempt, pauseMs, error: String(error) }, "failed, trying again");
      await sleep(pauseMs, undefined, { signal }).catch(() => {
        throw error;
      });
    }
  }
}
