/** What Ctrl-C does while stacks run: stop them in order; a second one ends everything at once. */
import { constants } from "node:os";
import { killAllChildren } from "./children.ts";
import { SECOND_SIGNAL_AFTER_MS } from "./limits.ts";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
type StopSignal = (typeof SIGNALS)[number];

const stops = new Set<() => Promise<void>>();
let firstSignalMs: number | undefined;

/**
 * Runs `stop` on a stop signal and then ends the process: with 128 + the signal's number, or with
 * process.exitCode where an entry point has set it before.
 *
 * @returns takes it back; with nothing left to stop, signals do again what they did before
 */
export function onStopSignal(stop: () => Promise<void>): () => void {
  if (stops.size === 0) for (const signal of SIGNALS) process.on(signal, handle);
  stops.add(stop);
  return () => {
    if (stops.delete(stop) && stops.size === 0 && firstSignalMs === undefined) {
      for (const signal of SIGNALS) process.off(signal, handle);
    }
  };
}

function handle(signal: StopSignal): void {
  const exitCode = process.exitCode ?? 128 + constants.signals[signal];
  const nowMs = performance.now();
  if (firstSignalMs === undefined) {
    firstSignalMs = nowMs;
    process.stderr.write("\nstopping (Ctrl-C again ends everything at once)\n");
    void Promise.allSettled([...stops].map((stop) => stop())).then(() => process.exit(exitCode));
  } else if (nowMs - firstSignalMs > SECOND_SIGNAL_AFTER_MS) {
    killAllChildren();
    process.exit(exitCode);
  }
}
