/** Random sequences of calls to a kernel, and the plainest model of what its lists must say then. */
import fc from "fast-check";
import { blocksOf, minute, rowOf } from "./kernel-checks.ts";
import type { TopAd } from "./kernel-checks.ts";
import { blockOf, closeRequest, UNIT } from "./kernel-rows.ts";
import type { TestRow } from "./kernel-rows.ts";
import type { CloseRequest, Kernel, RowChunk } from "./kernel.ts";

export type Step =
  | { readonly call: "ingest"; readonly rows: readonly TestRow[] }
  | { readonly call: "close"; readonly request: CloseRequest }
  | { readonly call: "emitEarly"; readonly request: CloseRequest };

/** Three short lists, so that short sequences see windows leave every one of them. */
export const SHORT_LISTS: readonly number[] = [1, 2, 5];

/** Ids that are one another's prefix, or differ where bytes have no sign. */
const AD_IDS = ["", "a", "ab", "b", "\u007f", "\u0080", "\uffff", "😀"];

const row = fc.record({
  // Windows before the boundary are late, or too late for any list; those after it are open.
  minutesAhead: fc.integer({ min: -7, max: 3 }),
  secondsOff: fc.constantFrom(0, 0, 0, 0, 0, 0, 0, 17),
  adId: fc.constantFrom(...AD_IDS),
  country: fc.constantFrom("DE", "FR"),
  clicks: fc.integer({ min: 1, max: 5 }),
});

const draft = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      call: fc.constant("ingest" as const),
      rows: fc.array(row, { maxLength: 12 }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      call: fc.constantFrom("close" as const, "close" as const, "emitEarly" as const),
      secondsOn: fc.constantFrom(0, 60, 60, 60, 60, 120, 13, 47, 600),
      windowSeconds: fc.constantFrom(...Array<number>(15).fill(60), 30),
      chunkBytesMax: fc.constantFrom(300, 1_000),
    }),
  },
);

export function stepsOf(countMax: number): fc.Arbitrary<Step[]> {
  return fc.array(draft, { minLength: 2, maxLength: countMax }).map((drafts) => {
    let boundary = minute(0);
    return drafts.map((each, i): Step => {
      if (each.call === "ingest") {
        const minuteStart = boundary - (boundary % 60);
        return {
          call: "ingest",
          rows: each.rows.map((r) =>
            rowOf(minuteStart + 60 * r.minutesAhead + r.secondsOff, r.adId, r.clicks, r.country),
          ),
        };
      }
      const lateThroughSeconds = boundary;
      boundary += each.secondsOn;
      const { call, windowSeconds, chunkBytesMax } = each;
      const unit = { ...UNIT, emission: i };
      return {
        call,
        request: closeRequest({
          closedThroughSeconds: boundary,
          lateThroughSeconds,
          windowSeconds,
          chunkBytesMax,
          unit,
        }),
      };
    });
  });
}

/** Makes the call; rows go in blocks of `rowsPerBlock`. */
export function play(kernel: Kernel, step: Step, rowsPerBlock = 1_000): RowChunk[] {
  if (step.call === "close") return kernel.close(step.request);
  if (step.call === "emitEarly") return kernel.emitEarly(step.request);
  for (const block of blocksOf(step.rows, rowsPerBlock)) {
    const outcome = kernel.ingest(blockOf(block), block.length);
    if (!outcome.ok) throw new Error(outcome.reason);
  }
  return [];
}

/** Remembers for ever what left which window; a list is a sum over that. No run, no reach, no limit. */
export class SlidingModel {
  #open: TestRow[] = [];
  #left: TestRow[] = [];
  #closedThroughSeconds = 0;
  #windowSeconds = 0;

  play(step: Step): void {
    if (step.call === "ingest") {
      this.#open.push(...step.rows);
      return;
    }
    const { closedThroughSeconds, windowSeconds } = step.request;
    if (windowSeconds !== this.#windowSeconds) this.#left = [];
    this.#closedThroughSeconds = closedThroughSeconds;
    this.#windowSeconds = windowSeconds;
    const leaves = ({ window }: TestRow) =>
      step.call === "emitEarly" || window + windowSeconds <= closedThroughSeconds;
    this.#left.push(...this.#open.filter(leaves));
    this.#open = this.#open.filter((r) => !leaves(r));
  }

  list(windows: number): TopAd[] {
    const clicks = new Map<string, number>();
    const from = this.#closedThroughSeconds - windows * this.#windowSeconds;
    for (const each of this.#left) {
      if (each.window < from) continue;
      if (each.window + this.#windowSeconds > this.#closedThroughSeconds) continue;
      const id = Buffer.from(each.key.subarray(1, 1 + each.key[0]!)).toString("hex");
      clicks.set(id, (clicks.get(id) ?? 0) + each.clicks);
    }
    // Hexadecimal text sorts as the bytes do.
    return [...clicks]
      .map(([id, sum]) => ({ id, clicks: sum }))
      .toSorted((a, b) => b.clicks - a.clicks || (a.id < b.id ? -1 : 1));
  }
}
