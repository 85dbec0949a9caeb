/** A verdict in plain words, and the line of JSON that ends every run. */
import type { Ledger } from "./ledger.ts";
import type { DifferenceKind, Verdict } from "./verdict.ts";

/** Lines of differences that are printed; the rest is counted. */
const PRINTED_MAX = 50;

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
    text: "(iii) where the client's time stood, the event time is the client's",
    kinds: ["wrong_event_time"],
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
  wrong_event_time: "with a wrong event time",
  accepted_twice: "accepted more than once",
  good_rejected: "good but rejected",
  broken_accepted: "broken but accepted",
};

/** The steps, each with its finding; then the differences one by one. */
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
  for (const difference of verdict.listed.slice(0, PRINTED_MAX)) {
    lines.push(`  ${difference.kind}  ${difference.what}`);
  }
  const more = verdict.differenceCount - Math.min(verdict.listed.length, PRINTED_MAX);
  if (more > 0) lines.push(`  and ${number(more)} more`);
  return lines;
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
