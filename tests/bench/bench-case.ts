/** All rounds of a case: interleaved, compared, and the median of each contender's. */
import type { WrittenCase } from "./cases.ts";
import { CONTENDERS } from "./round.ts";
import type { Contender, ContenderName, KernelOutcome, RoundOutcome } from "./round.ts";
import { disagreements } from "./tally.ts";

/** CPU time above wall time is that of the engine's housekeeping; a second thread would be far above. */
const CPU_SHARE_MAX = 1.2;

/** Rates are of partial rows a second; null for a contender that did not run. */
export type CaseRates = Readonly<Record<`${ContenderName}_rows_per_s`, number | null>>;

export interface CaseFigures {
  readonly keys: number;
  readonly rates: CaseRates;
  /** In processes that had not grouped anything before: with compilers at work and memory never used. */
  readonly firstPassRowsPerSecond: Readonly<Partial<Record<ContenderName, number>>>;
  /** By how much the slowest round of a contender is slower than its fastest, in percent. */
  readonly spreadPercent: Readonly<Partial<Record<ContenderName, number>>>;
  readonly kernel: KernelCaseFigures;
}

/** What only the kernel does: medians. Rows of a close are keys of closed windows. */
export interface KernelCaseFigures {
  readonly closeMsPerMillionRows: number;
  readonly closeCountsMsPerMillionRows: number;
  /** Of the same round: the close of a million rows over the ingestion of two million. */
  readonly closeOverIngest: number;
  readonly closeCountsOverIngest: number;
  readonly topMs: number;
  readonly dumpMs: number;
  readonly dumpRunMs: number;
  readonly dumpedRunRows: number;
  readonly restoreMs: number;
  readonly restoredRows: number;
  readonly bytesPerKey: number;
  readonly bytesPerAdMinute: number;
}

/** Contenders came to different results, or the kernel to a wrong one: no figure means anything. */
export class WrongResultError extends Error {
  constructor(lines: readonly string[]) {
    super(`results are wrong:\n${lines.join("\n")}`);
    this.name = "WrongResultError";
  }
}

/** Throws WrongResultError after the first round in which not all say the same, and the kernel what it must. */
export async function benchCase(
  written: WrittenCase,
  contenders: readonly Contender[],
  rounds: number,
): Promise<CaseFigures> {
  const outcomes: { readonly name: ContenderName; readonly outcome: RoundOutcome }[] = [];
  for (let round = 0; round < rounds; round++) {
    const ofRound: typeof outcomes = [];
    for (const contender of contenders) {
      // One after the other: they must not share the machine.
      // oxlint-disable-next-line no-await-in-loop
      ofRound.push({ name: contender.name, outcome: await contender.run(written) });
    }
    outcomes.push(...ofRound);
    judgeRound(written, ofRound);
  }
  const secondsOf = (name: ContenderName, pass: "firstSeconds" | "seconds" = "seconds") =>
    outcomes.filter((one) => one.name === name).map(({ outcome }) => outcome[pass]);
  const ran = new Set(contenders.map(({ name }) => name));
  const rate = (seconds: readonly number[]) => Math.round(written.rows / median(seconds));
  const kernels = outcomes.filter(({ name }) => name === "wasm").map(({ outcome }) => outcome);
  const keys = kernels[0]!.tally.keys;
  return {
    keys,
    rates: Object.fromEntries(
      CONTENDERS.map((name) => [
        `${name}_rows_per_s`,
        ran.has(name) ? rate(secondsOf(name)) : null,
      ]),
    ) as CaseRates,
    firstPassRowsPerSecond: Object.fromEntries(
      contenders.map(({ name }) => [name, rate(secondsOf(name, "firstSeconds"))]),
    ),
    spreadPercent: Object.fromEntries(
      contenders.map(({ name }) => [name, spreadPercent(secondsOf(name))]),
    ),
    kernel: kernelFigures(written.rows, keys, kernels),
  };
}

function kernelFigures(
  rows: number,
  keys: number,
  outcomes: readonly RoundOutcome[],
): KernelCaseFigures {
  const medianOf = (figure: (kernel: KernelOutcome, outcome: RoundOutcome) => number) =>
    median(outcomes.map((outcome) => figure(outcome.kernel!, outcome)));
  const overIngest = (closeSeconds: number, ingestSeconds: number) =>
    closeSeconds / keys / ((2 * ingestSeconds) / rows);
  const ms = (figure: (kernel: KernelOutcome) => number) =>
    rounded(medianOf((kernel) => figure(kernel) * 1_000));
  return {
    closeMsPerMillionRows: rounded(medianOf((one) => (one.closeSeconds * 1e9) / keys)),
    closeCountsMsPerMillionRows: rounded(medianOf((one) => (one.closeCountsSeconds * 1e9) / keys)),
    closeOverIngest: rounded(
      medianOf((one, { seconds }) => overIngest(one.closeSeconds, seconds)),
      2,
    ),
    closeCountsOverIngest: rounded(
      medianOf((one) => overIngest(one.closeCountsSeconds, one.ingestCountsSeconds)),
      2,
    ),
    topMs: ms(({ topSeconds }) => topSeconds),
    dumpMs: ms(({ dumpSeconds }) => dumpSeconds),
    dumpRunMs: ms(({ dumpRunSeconds }) => dumpRunSeconds),
    // Rows follow from the case: every round has the same.
    dumpedRunRows: outcomes[0]!.kernel!.dumpedRunRows,
    restoreMs: ms(({ restoreSeconds }) => restoreSeconds),
    restoredRows: outcomes[0]!.kernel!.restoredRows,
    bytesPerKey: rounded(medianOf(({ memoryBytes }) => memoryBytes / keys)),
    bytesPerAdMinute: rounded(
      medianOf(({ runBytes, runRows }) => runBytes / runRows),
      2,
    ),
  };
}

function judgeRound(
  written: WrittenCase,
  round: readonly { readonly name: ContenderName; readonly outcome: RoundOutcome }[],
): void {
  const lines = disagreements(round.map(({ name, outcome }) => ({ name, tally: outcome.tally })));
  for (const { name, outcome } of round) {
    // All could make the same mistake: the sum is known from the making of the rows.
    if (outcome.tally.clicks !== written.clicks) {
      lines.push(`clicks: the rows have ${written.clicks}, ${name} has ${outcome.tally.clicks}`);
    }
    if (outcome.cpuShare !== undefined && outcome.cpuShare > CPU_SHARE_MAX) {
      lines.push(`threads: ${name} took ${outcome.cpuShare.toFixed(2)} CPU seconds a second`);
    }
    lines.push(...(outcome.kernel?.faults ?? []).map((fault) => `${name}: ${fault}`));
  }
  if (lines.length > 0) throw new WrongResultError(lines);
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length === 0) throw new Error("a median of nothing");
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** By how much the largest is above the smallest. */
export function spreadPercent(seconds: readonly number[]): number {
  return Math.round((Math.max(...seconds) / Math.min(...seconds) - 1) * 100);
}

export function rounded(value: number, decimals = 1): number {
  const factor = 10 ** decimals;
  return Math.round(value * factor) / factor;
}
