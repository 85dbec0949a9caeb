/** What becomes of set-aside messages that are sent back or dropped, while others may do the same. */
import type { DeadLetters, Letter, LetterHead } from "../source/dead-letters.ts";
import { decideRetry } from "./dead-letter.ts";
import { LIST_MAX } from "./limits.ts";

export interface RetryOutcome {
  readonly sequence: number;
  /** `gone`: it was there when we looked first, and somebody else has sent it back or dropped it since. */
  readonly outcome: "sent_back" | "refused" | "gone";
  /** Where it went, or why it did not. */
  readonly detail: string;
}

/** One outcome each, as it comes; what stands between has happened. */
export async function* retryEach(
  letters: DeadLetters,
  sequences: AsyncIterable<number> | Iterable<number>,
): AsyncGenerator<RetryOutcome> {
  for await (const sequence of sequences) {
    const letter = await letters.get(sequence);
    yield letter === null
      ? {
          sequence,
          outcome: "gone",
          detail: "somebody else has sent it back or dropped it meanwhile",
        }
      : await retryOne(letters, letter);
  }
}

/** Acknowledged first, deleted then: who dies in between leaves it, and the next retry changes nothing. */
async function retryOne(letters: DeadLetters, letter: Letter): Promise<RetryOutcome> {
  const { sequence } = letter.head;
  const decision = decideRetry(letter);
  if (decision.kind === "refuse") return { sequence, outcome: "refused", detail: decision.reason };
  const { subject, id, unit } = decision;
  const isNew = await letters.publish(subject, id, letter.data);
  const wasThere = await letters.remove(sequence);
  const again = isNew ? "" : ", where an earlier retry had put it";
  const taken = wasThere ? "" : ", and somebody else has taken it from SET_ASIDE meanwhile";
  return {
    sequence,
    outcome: "sent_back",
    detail: `${unit.key}, ${unit.rows} rows, is on ${subject}${again}${taken}`,
  };
}

/** Those that stand there now, page by page: what is set aside meanwhile waits for another time. */
export async function* sequencesThere(letters: DeadLetters): AsyncGenerator<number> {
  let after = 0;
  let left = Infinity;
  while (left > 0) {
    const page = await letters.list(Math.min(LIST_MAX, left), null, after);
    if (page.letters.length === 0) return;
    if (left === Infinity) left = page.letters.length + page.more;
    for (const { sequence } of page.letters) {
      yield sequence;
      after = sequence;
    }
    left -= page.letters.length;
  }
}

export interface DropOutcome {
  readonly dropped: readonly number[];
  /** Somebody else was faster. */
  readonly gone: readonly number[];
}

export async function dropEach(
  letters: DeadLetters,
  sequences: Iterable<number>,
): Promise<DropOutcome> {
  const dropped: number[] = [];
  const gone: number[] = [];
  for (const sequence of new Set(sequences)) {
    if (await letters.remove(sequence)) dropped.push(sequence);
    else gone.push(sequence);
  }
  return { dropped, gone };
}

/** Each once. Heads only, because bodies of half a megabyte must not be held at once. */
export async function headsOf(
  letters: DeadLetters,
  sequences: Iterable<number>,
): Promise<{ readonly heads: LetterHead[]; readonly unknown: number[] }> {
  const heads: LetterHead[] = [];
  const unknown: number[] = [];
  for (const sequence of new Set(sequences)) {
    const letter = await letters.get(sequence);
    if (letter === null) unknown.push(sequence);
    else heads.push(letter.head);
  }
  return { heads, unknown };
}
