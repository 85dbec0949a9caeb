/** How a run shows where it is: one line that is refreshed on a terminal, a line now and then elsewhere. */
import type { LedgerCounts } from "./ledger.ts";
import type { Arrived } from "./read-verdict.ts";

/** Where nobody watches, a line so often. */
const PLAIN_LINE_MS = 5_000;

export class ProgressLine {
  private readonly stream: NodeJS.WriteStream;
  private plainMs = -Infinity;
  private shown = false;

  constructor(stream: NodeJS.WriteStream) {
    this.stream = stream;
  }

  show(text: string): void {
    if (this.stream.isTTY) {
      // Cut to the terminal's width: a wrapped line could not be overwritten.
      this.stream.write(`\r\u001b[K${text.slice(0, this.stream.columns - 1)}`);
      this.shown = true;
    } else if (performance.now() - this.plainMs >= PLAIN_LINE_MS) {
      this.plainMs = performance.now();
      this.stream.write(`${text}\n`);
    }
  }

  /** Leaves the last text standing. */
  end(): void {
    if (this.shown) this.stream.write("\n");
    this.shown = false;
  }
}

/** Both sides in one line. `arrived` is null until ClickHouse has answered. */
export function progressText(
  elapsedMs: number,
  sent: LedgerCounts,
  arrived: Arrived | null,
  nowMs: number,
): string {
  const text =
    `${String(Math.floor(elapsedMs / 1_000)).padStart(3)} s  sent ${number(sent.sent)}` +
    `  accepted ${number(sent.accepted)}  duplicates ${number(sent.duplicates)}` +
    `  rejected ${number(sent.rejected)}`;
  if (arrived === null) return text;
  const lag =
    arrived.closedThroughSeconds === 0
      ? "-"
      : `${Math.max(0, Math.round(nowMs / 1_000 - arrived.closedThroughSeconds))} s`;
  const waiting = Math.max(0, sent.accepted - arrived.counted);
  return (
    `${text}  counted ${number(arrived.counted)}  late ${number(arrived.late)}` +
    `  lag ${lag}, ${number(waiting)} clicks`
  );
}

function number(value: number): string {
  return value.toLocaleString("en-US");
}
