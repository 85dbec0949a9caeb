/** Which units of a batch are inserted, asked for, or skipped, from what the ledger and the table say. */
import type { Alarm } from "../ops/alarms.ts";
import type { Unit, UnitNumber } from "./unit.ts";

/** Newest unit per producer. */
export type Newest = ReadonlyMap<string, UnitNumber>;

export interface UnitOrder {
  /** In order after what is known: certainly not in the table, unless everything is in doubt. */
  readonly fresh: readonly Unit[];
  /** At or before a known number: the table knows whether it is there. */
  readonly repeated: readonly Unit[];
  readonly holes: readonly Alarm[];
}

/** Compares units of one batch, in stream order, with what their producers had reached before it. */
export function orderUnits(units: readonly Unit[], newest: Newest): UnitOrder {
  const reached = new Map(newest);
  const fresh: Unit[] = [];
  const repeated: Unit[] = [];
  const holes: Alarm[] = [];
  for (const unit of units) {
    const last = reached.get(unit.producer);
    if (last !== undefined && !isAfter(unit, last)) {
      repeated.push(unit);
      continue;
    }
    fresh.push(unit);
    const gap = gapBefore(unit, last);
    if (gap !== null) {
      holes.push({
        alarm: "hole",
        subject: unit.message.subject,
        messageId: unit.message.id,
        detail: `${unit.key} follows ${gap}`,
      });
    }
    reached.set(unit.producer, { number: unit.number, chunk: unit.chunk });
  }
  return { fresh, repeated, holes };
}

/** What should be there before `unit` and is not, in words; null when nothing is missing. */
function gapBefore(unit: Unit, last: UnitNumber | undefined): string | null {
  if (unit.previous === null) {
    // The first chunk of an emission follows some chunk of the emission before.
    const before = last?.number ?? 0;
    return unit.number === before + 1 ? null : `number ${before}`;
  }
  const lastNumber = last ?? { number: 0, chunk: 0 };
  const same =
    unit.previous.number === lastNumber.number && unit.previous.chunk === lastNumber.chunk;
  return same
    ? null
    : `${lastNumber.number}.${lastNumber.chunk}, it says ${unit.previous.number}.${unit.previous.chunk}`;
}

export function isAfter(a: UnitNumber, b: UnitNumber): boolean {
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
  const seen = new Set<string>();
  const missing: Unit[] = [];
  const damaged: Alarm[] = [];
  for (const unit of units) {
    if (unit.rows === 0 || seen.has(unit.key)) continue;
    seen.add(unit.key);
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
