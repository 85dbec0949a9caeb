/** Whether a unit is new, repeated, or follows a hole; and which units a table lacks. */
import type { Alarm } from "../alarm.ts";
import type { Reached, Unit } from "./unit.ts";

export type Place =
  /** After everything its producer had reached. `hole`: something between is missing, and nothing waits for it. */
  | { readonly kind: "fresh"; readonly hole: Alarm | null }
  /** At or before it: the table knows whether it is there. */
  | { readonly kind: "repeated" };

/** @param reached the producer's newest unit so far; undefined for a new producer */
export function placeUnit(unit: Unit, reached: Reached | undefined): Place {
  if (reached !== undefined && !isAfter(unit, reached)) return { kind: "repeated" };
  const gap = gapBefore(unit, reached ?? { number: 0, chunk: 0, complete: true });
  if (gap === null) return { kind: "fresh", hole: null };
  const detail = `${unit.key} follows ${gap}`;
  const { subject, id } = unit.message;
  return { kind: "fresh", hole: { alarm: "hole", subject, messageId: id, detail } };
}

/** What stands before `unit` instead of what should, in words; null when nothing is missing. */
function gapBefore(unit: Unit, reached: Reached): string | null {
  const before = `${reached.number}.${reached.chunk}`;
  if (unit.previous !== null) {
    const { number, chunk } = unit.previous;
    const follows = number === reached.number && chunk === reached.chunk;
    return follows ? null : `${before}, it says ${number}.${chunk}`;
  }
  // The first chunk of an emission follows the last one of the emission before.
  if (unit.number !== reached.number + 1) return before;
  return reached.complete ? null : `${before}, which is not its last chunk`;
}

function isAfter(a: Reached, b: Reached): boolean {
  return a.number > b.number || (a.number === b.number && a.chunk > b.chunk);
}

export interface MissingUnits {
  readonly missing: readonly Unit[];
  /** Units that are there with another number of rows: never inserted again, always reported. */
  readonly damaged: readonly Alarm[];
}

/** @param present rows in the table by unit key, for all `units` */
export function missingUnits(
  units: readonly Unit[],
  present: ReadonlyMap<string, number>,
): MissingUnits {
  const missing: Unit[] = [];
  const damaged: Alarm[] = [];
  for (const unit of units) {
    const rows = present.get(unit.key);
    if (rows === undefined) missing.push(unit);
    else if (rows !== unit.rows) {
      damaged.push({
        alarm: "unit_damaged",
        subject: unit.message.subject,
        messageId: unit.message.id,
        detail: `${unit.key} has ${unit.rows} rows, the table holds ${rows}`,
      });
    }
  }
  return { missing, damaged };
}
