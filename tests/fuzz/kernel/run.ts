/** Many sequences one after the other, and the few operations of one that still show a mismatch. */
import { compareSequence } from "./compare.ts";
import type { KernelMaker, Mismatch } from "./compare.ts";
import { makeSequence } from "./operations.ts";
import type { Operation, Sequence } from "./operations.ts";

export interface FuzzResult {
  readonly sequences: number;
  readonly operations: number;
  /** Each with the number of its sequence. */
  readonly mismatches: readonly (Mismatch & { readonly sequence: number })[];
}

/** A run that finds so many is not looking for more. */
const MISMATCHES_MAX = 5;

/** Compares sequences from number 0 on, for this long, and at least so many. */
export function fuzzKernel(
  seed: number,
  timeMs: number,
  sequencesMin: number,
  makeKernel: KernelMaker,
): FuzzResult {
  const endMs = performance.now() + timeMs;
  const mismatches: (Mismatch & { sequence: number })[] = [];
  let operations = 0;
  let number = 0;
  for (; number < sequencesMin || performance.now() < endMs; number++) {
    if (mismatches.length === MISMATCHES_MAX) break;
    const sequence = makeSequence(seed, number);
    operations += sequence.operations.length;
    const mismatch = compareSequence(sequence, makeKernel);
    if (mismatch !== undefined) mismatches.push({ ...mismatch, sequence: number });
  }
  return { sequences: number, operations, mismatches };
}

/** Runs of a sequence that shrinking may cost. */
const SHRINK_RUNS_MAX = 3_000;

/** A part of the sequence that still shows a mismatch: fewer operations, then fewer rows and lists in each. */
export function shrink(sequence: Sequence, makeKernel: KernelMaker): Sequence {
  let runs = 0;
  const fails = (operations: readonly Operation[]) =>
    runs++ < SHRINK_RUNS_MAX &&
    compareSequence({ ...sequence, operations }, makeKernel) !== undefined;
  let operations = withoutParts(sequence.operations, fails);
  for (const [at, operation] of operations.entries()) {
    const changedTo = (changed: Operation) => operations.with(at, changed);
    if (operation.do === "ingest") {
      const rows = withoutParts(operation.rows, (fewer) =>
        fails(changedTo({ ...operation, rows: fewer })),
      );
      operations = changedTo({ ...operation, rows });
    }
    if (operation.do === "top") {
      const requests = withoutParts(operation.requests, (fewer) =>
        fails(changedTo({ ...operation, requests: fewer })),
      );
      operations = changedTo({ ...operation, requests });
    }
  }
  return { ...sequence, operations };
}

/** Leaves out halves, quarters … single items, wherever what is left still fails. */
function withoutParts<T>(items: readonly T[], fails: (fewer: readonly T[]) => boolean): T[] {
  let left = [...items];
  for (
    let part = Math.ceil(left.length / 2);
    part >= 1;
    part = part === 1 ? 0 : Math.ceil(part / 2)
  ) {
    for (let from = 0; from < left.length;) {
      const fewer = left.toSpliced(from, part);
      if (fails(fewer)) left = fewer;
      else from += part;
    }
  }
  return left;
}
