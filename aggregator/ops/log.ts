/** Structured logs: JSON lines on standard output, with the words of the design as field names. */
import { pino } from "pino";
import type { Logger } from "pino";

export type Log = Logger;

export function createLog(level: string): Log {
  return pino({ level, base: { process: "aggregator" } });
}
