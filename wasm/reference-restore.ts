/**
 * What a reference kernel that is being restored still waits for. Rows that the state did not promise
 * throw: a snapshot's checksum was right, so who wrote or read it was wrong.
 */
import type { KernelState, RunFacts } from "./kernel.ts";
import { nameOf } from "./reference-rows.ts";
import type { AdRow, WindowRow } from "./reference-rows.ts";
import { runFacts } from "./reference-sliding.ts";
import type { Run } from "./reference-sliding.ts";

interface RestoredWindow {
  readonly promisedRows: number;
  readonly keys: Set<string>;
}

interface RestoredRun {
  readonly promised: RunFacts;
  readonly ads: Map<string, AdRow>;
}

export class Restoring {
  readonly #windows: ReadonlyMap<number, RestoredWindow>;
  readonly #runs: ReadonlyMap<number, RestoredRun>;

  constructor(state: KernelState) {
    this.#windows = new Map(
      state.windows.map((w) => [
        w.windowStartSeconds,
        { promisedRows: w.rows, keys: new Set<string>() },
      ]),
    );
    this.#runs = new Map(
      state.runs.map((promised) => [promised.number, { promised, ads: new Map<string, AdRow>() }]),
    );
  }

  /** What is missing, in words; none: the kernel is restored. */
  missing(): string | undefined {
    for (const [start, { promisedRows, keys }] of this.#windows) {
      const rows = promisedRows - keys.size;
      if (rows > 0) return `window ${start} is not restored: ${rows} rows are missing`;
    }
    for (const { promised, ads } of this.#runs.values()) {
      const rows = promised.rows - ads.size;
      if (rows > 0) return `run ${promised.number} is not restored: ${rows} rows are missing`;
    }
    return undefined;
  }

  addWindowRow({ windowStartSeconds, key }: WindowRow): void {
    const window = this.#windows.get(windowStartSeconds);
    if (window === undefined) throw new Error(`window ${windowStartSeconds} is not in the state`);
    const name = nameOf(key);
    if (window.keys.has(name)) throw new Error(`a key twice in window ${windowStartSeconds}`);
    if (window.keys.size === window.promisedRows) {
      throw new Error(`more than ${window.promisedRows} rows of window ${windowStartSeconds}`);
    }
    window.keys.add(name);
  }

  /** Before the rows of a chunk: the run is in the state, and no other one is begun. */
  assertNext(number: number): void {
    if (!this.#runs.has(number)) throw new Error(`run ${number} is not in the state`);
    for (const { promised, ads } of this.#runs.values()) {
      if (promised.number !== number && ads.size > 0 && ads.size < promised.rows) {
        throw new Error(`run ${number} before run ${promised.number} is complete`);
      }
    }
  }

  addRunRow(number: number, row: AdRow): void {
    const { promised, ads } = this.#runs.get(number)!;
    const name = nameOf(row.adId);
    if (ads.has(name)) throw new Error(`an ad twice in run ${number}`);
    if (ads.size === promised.rows) {
      throw new Error(`more than ${promised.rows} rows of run ${number}`);
    }
    ads.set(name, row);
    if (ads.size < promised.rows) return;
    const { clicks } = runFacts(runOf(promised, ads));
    if (clicks !== promised.clicks) {
      throw new Error(`run ${number} has ${clicks} clicks, not ${promised.clicks}`);
    }
  }

  /** The runs with the rows that have come. */
  runs(): Run[] {
    return [...this.#runs.values()].map(({ promised, ads }) => runOf(promised, ads));
  }
}

function runOf(facts: RunFacts, ads: Run["ads"]): Run {
  const { number, windowStartSeconds, untrackedClicks } = facts;
  return { number, windowStartSeconds, ads, untrackedClicks };
}
