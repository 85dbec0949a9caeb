/** What the contenders in this process's language have in common. */
import type { PartialBlock } from "./case-blocks.ts";
import type { TallyMaker } from "./tally.ts";

export interface GroupBy {
  /** Adds a block's rows; throws when a row is broken. */
  add(block: PartialBlock): void;
  /** Tells every key and its clicks; not on the clock. The group-by is of no use afterwards. */
  tell(tally: TallyMaker): void;
}

export interface Clocked<T> {
  readonly seconds: number;
  readonly result: T;
}

export function clocked<T>(work: () => T): Clocked<T> {
  const startMs = performance.now();
  const result = work();
  return { seconds: (performance.now() - startMs) / 1_000, result };
}
