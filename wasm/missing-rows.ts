/**
 * What a kernel that is being restored still waits for. Rows that its state does not promise throw: the
 * snapshot's bytes were what they should be (whoever reads it has checked), so whoever wrote it was wrong.
 */
import type { KernelState, RunFacts } from "./kernel.ts";

type WindowRows = KernelState["windows"][number];

export class MissingRows {
  readonly #promised: ReadonlyMap<number, number>;
  /** Rows that each window and each run still lacks. */
  readonly #windows: Map<number, number>;
  readonly #runs: Map<number, { rows: number; clicks: number }>;
  #windowRowsHeld = 0;
  /** The run that has some of its rows, not all. */
  #begun: number | null = null;

  constructor(state: KernelState) {
    this.#windows = new Map(state.windows.map((w) => [w.windowStartSeconds, w.rows]));
    this.#runs = new Map(
      state.runs
        .filter((run: RunFacts) => run.rows > 0)
        .map(({ number, rows, clicks }) => [number, { rows, clicks }]),
    );
    this.#promised = new Map(this.#windows);
  }

  /** What is missing, in words; none: the kernel is restored. */
  inWords(): string | undefined {
    for (const [start, rows] of this.#windows) {
      if (rows > 0) return `window ${start} is not restored: ${rows} rows are missing`;
    }
    for (const [number, { rows }] of this.#runs) {
      return `run ${number} is not restored: ${rows} rows are missing`;
    }
    return undefined;
  }

  /**
   * @param held all open windows, with the rows that they hold now
   * @param rows those of the chunk that has just been taken
   */
  takeWindows(held: readonly WindowRows[], rows: number): void {
    for (const { windowStartSeconds: start, rows: heldRows } of held) {
      const promised = this.#promised.get(start);
      if (promised === undefined) throw new Error(`window ${start} is not in the state`);
      if (heldRows > promised) throw new Error(`more than ${promised} rows of window ${start}`);
      this.#windows.set(start, promised - heldRows);
    }
    const windowRowsHeld = held.reduce((sum, window) => sum + window.rows, 0);
    if (windowRowsHeld !== this.#windowRowsHeld + rows) throw new Error("a key twice in a window");
    this.#windowRowsHeld = windowRowsHeld;
  }

  /** Before a chunk of a run is taken. */
  takeRun(number: number, rows: number, clicks: number): void {
    const run = this.#runs.get(number);
    if (run === undefined) throw new Error(`run ${number} is not in the state, or complete`);
    if (this.#begun !== null && this.#begun !== number) {
      throw new Error(`run ${number} before run ${this.#begun} is complete`);
    }
    if (rows > run.rows) throw new Error(`${rows - run.rows} rows too many of run ${number}`);
    run.rows -= rows;
    run.clicks -= clicks;
    this.#begun = run.rows > 0 && rows > 0 ? number : this.#begun;
    if (run.rows > 0) return;
    if (run.clicks !== 0) throw new Error(`run ${number} has ${-run.clicks} clicks too many`);
    this.#runs.delete(number);
    this.#begun = null;
  }
}
