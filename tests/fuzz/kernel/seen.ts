/** What a run over sequences has met, so that a test can see that it meets everything. */
import type { Kernel, KernelState, RowChunk } from "../../../wasm/kernel.ts";
import { ORIGIN } from "../../../wire/columns.ts";
import { readTop } from "../../../wire/top.ts";
import { resultPlaces } from "./places.ts";

export class Seen {
  readonly blockReasons = new Set<string>();
  readonly snapshotReasons = new Set<string>();
  /** How often, by what it was. */
  readonly counts = new Map<string, number>();

  count(what: string, times = 1): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + times);
  }

  rows(chunks: readonly RowChunk[], how: "closed" | "early"): void {
    if (chunks.length === 0) return;
    this.count(`${how} rows`);
    const origins = new Set(
      chunks.flatMap(({ body }) => resultPlaces(body).map(({ clicksAt }) => body[clicksAt + 8])),
    );
    if (origins.has(ORIGIN.late)) this.count(`${how} rows that are late`);
  }

  state(kernel: Kernel, state: KernelState): void {
    if (kernel.isOverLimit()) this.count("states over the limit");
    if (state.runs.some((run) => run.untrackedClicks > 0))
      this.count("states with untracked clicks");
    if (state.runs.some((run) => run.rows === 0)) this.count("states with a run that tracks no ad");
    if (state.runs.length < state.runsMade) this.count("states whose first runs were dropped");
    const windows = new Set(state.runs.map((run) => run.windowStartSeconds));
    if (windows.size < state.runs.length) this.count("states with several runs of a window");
  }

  top({ body, rows }: RowChunk, countMax: number): void {
    const list = readTop(body);
    if (list.length === 0) return;
    this.count("lists");
    if (list.some((row, i) => row.clicks === list[i + 1]?.clicks)) this.count("lists with ties");
    if (rows === countMax) this.count("lists as long as they may be");
    if (list[0]!.untrackedClicks > 0) this.count("lists with untracked clicks");
  }
}
