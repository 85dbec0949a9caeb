/**
 * What a kernel that is being restored still waits for. Rows that its state does not promise throw: the
 * snapshot's bytes were what they should be (whoever reads it has checked), so whoever wrote it was wrong.
 */
import type { KernelState } from "./kernel.ts";

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
    this.#runs = new Map(state.runs.map(({ number, rows, clicks }) => [number, { rows, clicks }]));
    this.#promised = new Map(this.#windows);
  }

  /** What is missing, in words; none: the kernel is restored. */
  inWords(): string | undefined {
    for (const [start, rows] of this.#windows) {
      return `window ${start} is not restored: ${rows} rows are missing`;
    }
    for (const [number, { rows }] of this.#runs) {
      if (rows > 0) return `run ${number} is not restored: ${rows} rows are missing`;
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
      if (heldRows === promised) this.#windows.delete(start);
      else this.#windows.set(start, promised - heldRows);
    }
    const windowRowsHeld = held.reduce((sum, window) => sum + window.rows, 0);
    if (windowRowsHeld !== this.#windowRowsHeld + rows) throw new Error("a key twice in a window");
    this.#windowRowsHeld = windowRowsHeld;
  }

  /** Before the rows of a chunk are read: the run is in the state, and no other one is begun. */
  assertNext(number: number): void {
    if (!this.#runs.has(number)) throw new Error(`run ${number} is not in the state`);
    if (this.#begun !== null && this.#begun !== number) {
      throw new Error(`run ${number} before run ${this.#begun} is complete`);
    }
  }

  /** Before a chunk of a run is taken, whose rows are sound. */
  takeRun(number: number, rows: number, clicks: number): void {
    const run = this.#runs.get(number)!;
    if (rows > run.rows) throw new Error(`${rows - run.rows} rows too many of run ${number}`);
    if (rows === 0) return;
    run.rows -= rows;
    run.clicks -= clicks;
    this.#begun = run.rows > 0 ? number : null;
    if (run.rows === 0 && run.clicks !== 0) {
      throw new Error(`run ${number} lacks ${run.clicks} clicks (less than 0: it has too many)`);
    }
  }
}
