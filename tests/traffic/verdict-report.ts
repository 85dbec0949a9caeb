/** A verdict in plain words, and the line of JSON that ends every run. */
import type { Ledger } from "./ledger.ts";
import type { Difference, DifferenceKind, Verdict } from "./verdict.ts";

/** Differences of each kind that are printed, so that all kinds fit a screen or two; the rest is counted. */
export const PRINTED_OF_A_KIND_MAX = 20;

const STEPS: readonly { readonly text: string; readonly kinds: readonly DifferenceKind[] }[] = [
  {
    text: "(i)   every click answered as safe is in clicks_raw, once, and nothing else is",
    kinds: ["lost_id", "double_id", "foreign_id", "wrong_ad"],
  },
  {
    text: "(ii)  clicks_raw per ad, window and invalid reason equals sum(clicks)",
    kinds: ["lost_count", "double_count"],
  },
  {
    text: "(iii) good clocks stood, no others did, and where one stood the event time is the client's",
    kinds: ["wrong_time_source", "wrong_event_time"],
  },
  {
    text: "      the edge's answers agree with what was sent",
    kinds: ["accepted_twice", "good_rejected", "broken_accepted"],
  },
];

const WORDS: Readonly<Record<DifferenceKind, string>> = {
  lost_id: "lost",
  double_id: "double",
  foreign_id: "should not be there",
  wrong_ad: "with a wrong ad",
  lost_count: "clicks too few",
  double_count: "clicks too many",
  wrong_time_source: "with a wrong time source",
  wrong_event_time: "with a wrong event time",
  accepted_twice: "accepted more than once",
  good_rejected: "good but rejected",
  broken_accepted: "broken but accepted",
};

/** The steps, each with its finding; then the first differences of each kind. */
export function verdictLines(verdict: Verdict, ledger: Ledger): string[] {
  const sources = verdict.rowsByTimeSource;
  const facts = [
    `${number(ledger.counts().accepted)} ids answered, ${number(verdict.rawRows)} rows`,
    `${number(verdict.keys)} keys, ${number(verdict.counted)} clicks`,
    `${number(sources.client)} stood, ${number(sources.skew_corrected)} corrected, ${number(sources.server)} by server time`,
    "",
  ];
  const lines = STEPS.map(({ text, kinds }, i) => {
    const faults = kinds
      .filter((kind) => verdict.figures[kind] > 0)
      .map((kind) => `${number(verdict.figures[kind])} ${WORDS[kind]}`);
    const finding = faults.length === 0 ? "yes" : `NO: ${faults.join(", ")}`;
    return `${text}: ${finding}${facts[i] === "" ? "" : ` (${facts[i]})`}`;
  });
  if (verdict.unansweredButCounted > 0) {
    lines.push(
      `      ${number(verdict.unansweredButCounted)} clicks were counted whose answer never arrived: allowed`,
    );
  }
  const { unanswered } = ledger.counts();
  if (unanswered > 0) {
    lines.push(
      `      ${number(unanswered)} good clicks never got a final answer: the verdict does not cover them`,
    );
  }
  for (const [kind, ofKind] of byKind(verdict.listed)) {
    const printed = ofKind.slice(0, PRINTED_OF_A_KIND_MAX);
    lines.push(...printed.map((difference) => `  ${differenceText(difference)}`));
    const more = verdict.differences[kind] - printed.length;
    if (more > 0) lines.push(`  ${kind}  and ${number(more)} more`);
  }
  return lines;
}

/** Every difference that was kept, by kind, each with its line end: what does not fit a screen. */
export function* differenceLines(verdict: Verdict): Generator<string> {
  for (const [kind, ofKind] of byKind(verdict.listed)) {
    for (const difference of ofKind) yield `${differenceText(difference)}\n`;
    const more = verdict.differences[kind] - ofKind.length;
    if (more > 0) yield `${kind}  and ${number(more)} more, which were counted but not kept\n`;
  }
}

/** The first differences of each kind, no more than are printed. */
export function firstOfEachKind(verdict: Verdict): Difference[] {
  return [...byKind(verdict.listed).values()].flatMap((ofKind) =>
    ofKind.slice(0, PRINTED_OF_A_KIND_MAX),
  );
}

function byKind(differences: readonly Difference[]): Map<DifferenceKind, Difference[]> {
  return Map.groupBy(differences, (difference) => difference.kind);
}

function differenceText({ kind, what }: Difference): string {
  return `${kind}  ${what}`;
}

/** The last line of a run. `counted` and `late` are the tables' own sums. */
export function verdictJson(
  verdict: Verdict,
  ledger: Ledger,
  counted: number,
  late: number,
): string {
  const { sent, accepted, duplicates, rejected } = ledger.counts();
  const { lost, double } = verdict;
  return JSON.stringify({ sent, accepted, duplicates, rejected, counted, late, lost, double });
}

function number(value: number): string {
  return value.toLocaleString("en-US");
}
