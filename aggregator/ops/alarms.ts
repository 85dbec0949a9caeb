/**
 * Alarms: what must never happen and did. Each is logged and goes on the repair list (table
 * `repairs`), from where recalculation takes the windows concerned.
 */
import { encodeRow, REPAIRS } from "../../wire/columns.ts";
import { writer, written } from "../../wire/cursor.ts";
import type { Inserter } from "../sink/clickhouse.ts";
import type { Log } from "./log.ts";

export interface Alarm {
  /** `hole`, `hash_differs`, `set_aside`, `position_lost`, … */
  readonly alarm: string;
  readonly subject: string;
  readonly messageId: string;
  readonly detail: string;
}

export interface Alarms {
  raise(noticedBy: string, alarm: Alarm): Promise<void>;
}

export function createAlarms(log: Log, inserter: Inserter, nowMs: () => number): Alarms {
  return {
    async raise(noticedBy, alarm) {
      log.error({ noticedBy, ...alarm }, "alarm");
      const c = writer();
      encodeRow(c, REPAIRS, {
        noticed_at: nowMs(),
        noticed_by: noticedBy,
        alarm: alarm.alarm,
        subject: alarm.subject,
        message_id: alarm.messageId,
        detail: alarm.detail,
      });
      try {
        await inserter.insert("repairs", [written(c)], "");
      } catch (error) {
        log.error({ error: String(error), ...alarm }, "alarm could not be put on the repair list");
      }
    },
  };
}
