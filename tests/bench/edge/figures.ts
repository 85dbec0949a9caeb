/** What the command prints: medians over the rounds, ratios within a round, dollars, and whether bars are met. */
import { ALARM_DELAY_MS } from "../../../edge/limits.ts";
import { median, rounded, spreadPercent } from "../bench-case.ts";
import { percentile } from "./arrivals.ts";
import type { Dollars } from "./price.ts";
import type { PacedCaseOutcome, ThroughputOutcome } from "./measure.ts";
import {
  dollarsPerBillion,
  objectRequestsPerMillion,
  sumOf,
  USD_PER_BILLION_AIM,
} from "./price.ts";

export const THROUGHPUT_CASES = {
  bare: { server: "bare", clicksPerRequest: 1 },
  grouped: { server: "grouped", clicksPerRequest: 1 },
  single: { server: "edge", clicksPerRequest: 1 },
  batch100: { server: "edge", clicksPerRequest: 100 },
} as const;
export const PACED_CASES = { single: 1, batch10: 10 } as const;
export type ThroughputCase = keyof typeof THROUGHPUT_CASES;
export type PacedCase = keyof typeof PACED_CASES;

export type Round = Readonly<Partial<Record<ThroughputCase, ThroughputOutcome>>>;
export type PacedOutcomes = Readonly<Partial<Record<PacedCase, PacedCaseOutcome>>>;

/** A single click may cost as much as so few bare calls, and a click in a batch of 100 a fraction of one. */
export const RATIO_SINGLE_BAR = 0.6;
export const RATIO_BATCH_BAR = 25;

/** Null for what was not measured. */
export function figuresOf(rounds: readonly Round[], paced: PacedOutcomes) {
  const rates = (name: ThroughputCase) =>
    rounds.flatMap((round) => {
      const outcome = round[name];
      return outcome === undefined
        ? []
        : [outcome.requestsPerSecond * THROUGHPUT_CASES[name].clicksPerRequest];
    });
  const toBare = (name: ThroughputCase) =>
    rates("bare").length === 0 || rates(name).length === 0
      ? []
      : rates(name).map((rate, round) => rate / rates("bare")[round]!);
  const cpu = (name: ThroughputCase) => rounds.flatMap((round) => round[name]?.cpuUsPerClick ?? []);
  const ofPaced = <Figure>(figure: (outcome: PacedCaseOutcome, name: PacedCase) => Figure) =>
    byName(Object.keys(PACED_CASES) as PacedCase[], (name) => {
      const outcome = paced[name];
      return outcome === undefined ? null : figure(outcome, name);
    });
  return {
    bare_rps: medianOf(rates("bare"), 0),
    single_rps: medianOf(rates("single"), 0),
    batch100_clicks_per_s: medianOf(rates("batch100"), 0),
    ratio_single: medianOf(toBare("single"), 3),
    ratio_batch: medianOf(toBare("batch100"), 1),
    cpu_us_per_click_batch100: medianOf(cpu("batch100"), 2),
    rows_written_per_million: ofPaced((outcome) => Math.round(outcome.rowsWrittenPerMillion)),
    object_requests_per_million: ofPaced((_, name) => Math.round(requestsPerMillion(name))),
    usd_per_billion: ofPaced((outcome, name) => rounded(sumOf(dollarsOf(outcome, name)), 2)),
    usd_per_billion_parts: ofPaced((outcome, name) => {
      const parts = dollarsOf(outcome, name);
      return {
        worker_requests: rounded(parts.workerRequests, 2),
        worker_cpu: outcome.cpuUsPerClick === null ? null : rounded(parts.workerCpu, 2),
        object_requests: rounded(parts.objectRequests, 2),
        rows_written: rounded(parts.rowsWritten, 2),
        object_duration: rounded(parts.objectDuration, 2),
      };
    }),
    paced: ofPaced((outcome) => ({
      clicks_per_s: rounded(outcome.clicksPerSecond),
      latency_ms: quantiles(outcome.latenciesMs),
      lag_ms: quantiles(outcome.lagsMs),
      cpu_us_per_click: outcome.cpuUsPerClick === null ? null : rounded(outcome.cpuUsPerClick),
      generator_cpu_share: rounded(outcome.generatorCpuShare, 2),
      clicks: outcome.clicks,
    })),
    grouped_rps: medianOf(rates("grouped"), 0),
    ratio_grouped: medianOf(toBare("grouped"), 3),
    spread_percent: ofThroughput((name) =>
      rates(name).length === 0 ? null : spreadPercent(rates(name)),
    ),
    cpu_us_per_click: ofThroughput((name) => medianOf(cpu(name), 2)),
    generator_cpu_share: ofThroughput((name) =>
      medianOf(
        rounds.flatMap((round) => round[name]?.generatorCpuShare ?? []),
        2,
      ),
    ),
    clicks: [...rounds.flatMap((round) => Object.values(round)), ...Object.values(paced)].reduce(
      (sum, outcome) => sum + outcome.clicks,
      0,
    ),
  };
}

export type Figures = ReturnType<typeof figuresOf>;

/** Whether each bar is met, a line for each that was measured. */
export function judge(figures: Figures): string[] {
  const lines: string[] = [];
  const say = (
    name: string,
    value: number | null,
    isMet: (value: number) => boolean,
    bar: string,
  ) => {
    if (value !== null)
      lines.push(`${name} ${value}: ${isMet(value) ? "met" : "NOT met"} (${bar})`);
  };
  const { ratio_single, ratio_batch, usd_per_billion } = figures;
  say("ratio_single", ratio_single, (r) => r >= RATIO_SINGLE_BAR, `at least ${RATIO_SINGLE_BAR}`);
  say("ratio_batch", ratio_batch, (r) => r >= RATIO_BATCH_BAR, `at least ${RATIO_BATCH_BAR}`);
  const aim = `at most ${USD_PER_BILLION_AIM}`;
  say("usd_per_billion.batch10", usd_per_billion.batch10, (usd) => usd <= USD_PER_BILLION_AIM, aim);
  return lines;
}

function ofThroughput<Figure>(figure: (name: ThroughputCase) => Figure) {
  return byName(Object.keys(THROUGHPUT_CASES) as ThroughputCase[], figure);
}

function requestsPerMillion(name: PacedCase): number {
  return objectRequestsPerMillion(PACED_CASES[name], ALARM_DELAY_MS);
}

function dollarsOf(outcome: PacedCaseOutcome, name: PacedCase): Dollars {
  return dollarsPerBillion({
    clicksPerRequest: PACED_CASES[name],
    objectRequestsPerMillion: requestsPerMillion(name),
    rowsWrittenPerMillion: outcome.rowsWrittenPerMillion,
    cpuUsPerClick: outcome.cpuUsPerClick ?? 0,
  });
}

function quantiles(values: readonly number[]) {
  return { p50: rounded(percentile(values, 0.5)), p99: rounded(percentile(values, 0.99)) };
}

function medianOf(values: readonly number[], decimals: number): number | null {
  return values.length === 0 ? null : rounded(median(values), decimals);
}

function byName<Name extends string, Figure>(
  names: readonly Name[],
  figure: (name: Name) => Figure,
) {
  return Object.fromEntries(names.map((name) => [name, figure(name)])) as Record<Name, Figure>;
}
