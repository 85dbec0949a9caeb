/**
 * Alarms: each is logged at once and goes on the repair list (table `repairs`), from where
 * recalculation takes the windows concerned, as soon as ClickHouse takes it.
 */
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { encodeRow, REPAIRS } from "../../wire/columns.ts";
import { writer, written } from "../../wire/cursor.ts";
import type { Alarm } from "../alarm.ts";
import { ALARM_RETRY_MS, ALARMS_WAITING_MAX } from "../limits.ts";
import type { Log } from "./log.ts";

export interface Alarms {
  /** Never waits and never fails. */
  raise(noticedBy: string, alarm: Alarm): void;
  /** Resolves when everything raised so far is on the list (but for what exceeded it), or when we are asked to stop. */
  settled(): Promise<void>;
}

export interface AlarmParts {
  readonly log: Log;
  readonly signal: AbortSignal;
  readonly nowMs: () => number;
  /** One row for `repairs`; the token makes the same alarm, raised again by a replay, one row. */
  readonly insert: (row: Uint8Array, token: string) => Promise<void>;
  /** Tells a failure of the outside from one that no later attempt would mend. */
  readonly isPassing: (error: unknown) => boolean;
}

export function createAlarms({ log, signal, nowMs, insert, isPassing }: AlarmParts): Alarms {
  const waiting: { readonly row: Uint8Array; readonly token: string }[] = [];
  let sending: Promise<void> | null = null;

  async function send(): Promise<void> {
    for (let next = waiting[0]; next !== undefined && !signal.aborted; next = waiting[0]) {
      try {
        await insert(next.row, next.token);
        waiting.shift();
      } catch (error) {
        if (!isPassing(error)) throw error;
        log.warn({ error: String(error), waiting: waiting.length }, "repair list is away");
        await sleep(ALARM_RETRY_MS, undefined, { signal }).catch(() => undefined);
      }
    }
    sending = null;
  }

  return {
    raise(noticedBy, alarm) {
      log.error({ noticedBy, ...alarm }, "alarm");
      const token = createHash("sha256")
        .update(JSON.stringify([noticedBy, alarm]))
        .digest("hex");
      // The log has it in any case.
      if (waiting.length >= ALARMS_WAITING_MAX || waiting.some((w) => w.token === token)) return;
      const c = writer();
      encodeRow(c, REPAIRS, {
        noticed_at: nowMs(),
        noticed_by: noticedBy,
        alarm: alarm.alarm,
        subject: alarm.subject,
        message_id: alarm.messageId,
        detail: alarm.detail,
      });
      waiting.push({ row: written(c), token });
      if (sending !== null) return;
      sending = send();
      // Who waits for the list gets the failure; the log has it in any case.
      sending.catch((error: unknown) => log.error({ error: String(error) }, "repair list fails"));
    },
    async settled() {
      await sending;
    },
  };
}
