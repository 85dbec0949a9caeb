/**
 * `npm test`: the whole gate. Runs every step whatever the ones before said, prints each one's time,
 * and ends with `N passed, N failed, N skipped`.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { endingWithParent } from "../infra/stack/children.ts";
import {
  E2E_STEP_MS_MAX,
  EDGE_STEP_MS_MAX,
  GATE_MS_MAX,
  STATIC_STEP_MS_MAX,
  stepMsMax,
  UNIT_STEP_MS_MAX,
} from "./gate/limits.ts";
import {
  staticOutcome,
  sumCounts,
  summaryLine,
  vitestOutcome,
  type Counts,
  type VitestReport,
} from "./gate/step-outcome.ts";

interface Step {
  readonly name: string;
  /** A script of package.json's node_modules/.bin and its arguments. */
  readonly command: readonly [program: string, ...arguments: string[]];
  readonly timeMsMax: number;
  /** Where vitest writes its report; a step without one has no tests. */
  readonly reportFile?: string;
}

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const REPORTS = join(ROOT, ".clickmill/gate");

const check = (name: string, ...command: Step["command"]): Step => ({
  name,
  command,
  timeMsMax: STATIC_STEP_MS_MAX,
});
const tests = (name: string, timeMsMax: number, ...selection: string[]): Step => {
  const reportFile = join(REPORTS, `${name}.json`);
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${reportFile}`];
  return { name, command: ["vitest", "run", ...selection, ...reporters], timeMsMax, reportFile };
};

const STEPS: readonly Step[] = [
  check("format", "oxfmt", "--check"),
  check("lint", "oxlint", "--type-aware", "--deny-warnings"),
  check("types node", "tsc", "-p", "tsconfig.node.json"),
  check("types edge", "tsc", "-p", "tsconfig.edge.json"),
  check("imports", "oxlint", "-c", ".oxlintrc.imports.json", "--deny-warnings"),
  tests("unit", UNIT_STEP_MS_MAX, "--project", "unit"),
  tests("edge", EDGE_STEP_MS_MAX, "--config", "vitest.edge.config.ts"),
  tests("e2e", E2E_STEP_MS_MAX, "--project", "e2e"),
];

rmSync(REPORTS, { recursive: true, force: true });
mkdirSync(REPORTS, { recursive: true });
const gateStartMs = performance.now();
const outcomes: { step: Step; counts: Counts; seconds: number }[] = [];
for (const step of STEPS) {
  console.log(`\n=== ${step.name}: ${step.command.slice(0, 3).join(" ")}`);
  const startMs = performance.now();
  const timeMsMax = stepMsMax(step.timeMsMax, startMs - gateStartMs);
  if (timeMsMax === 0) console.log(`not run: the gate's ${GATE_MS_MAX / 1_000} s are over`);
  const exitCode = timeMsMax === 0 ? null : await run(step, timeMsMax);
  const counts =
    step.reportFile === undefined
      ? staticOutcome(exitCode)
      : vitestOutcome(exitCode, readReport(step.reportFile));
  outcomes.push({ step, counts, seconds: (performance.now() - startMs) / 1_000 });
}

console.log("\n=== the gate");
for (const { step, counts, seconds } of outcomes) {
  const verdict = counts.failed === 0 ? "ok" : "FAILED";
  const detail = step.reportFile === undefined ? "" : `  ${summaryLine(counts)}`;
  console.log(
    `${step.name.padEnd(12)}${verdict.padEnd(8)}${seconds.toFixed(1).padStart(6)} s${detail}`,
  );
}
const total = sumCounts(outcomes.map((outcome) => outcome.counts));
console.log(summaryLine(total));
process.exitCode = total.failed === 0 ? 0 : 1;

/** @returns null when the step was killed, for its time was up or by a signal */
function run(step: Step, timeMsMax: number): Promise<number | null> {
  const [program, ...programArguments] = step.command;
  return new Promise((resolve) => {
    // A group of its own, so that a step that hangs ends with everything it has started. What a step
    // starts in further groups (a stack's processes) ends with its parent, as the step does with us.
    const file = join(ROOT, "node_modules/.bin", program);
    const child = spawn(...endingWithParent(file, programArguments), {
      cwd: ROOT,
      stdio: ["ignore", "inherit", "inherit"],
      detached: true,
    });
    const endGroup = (signal: NodeJS.Signals) => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, signal);
      } catch {
        // The group has ended by itself.
      }
    };
    const interrupt = (signal: NodeJS.Signals) => {
      endGroup(signal);
      console.log(`\nended by ${signal}`);
      process.exit(1);
    };
    const endAtExit = () => endGroup("SIGKILL");
    const timer = setTimeout(() => {
      console.log(`${step.name} took longer than ${Math.round(timeMsMax / 1_000)} s and was ended`);
      endGroup("SIGKILL");
    }, timeMsMax);
    const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
    for (const signal of signals) process.once(signal, interrupt);
    process.once("exit", endAtExit);
    const done = (exitCode: number | null) => {
      clearTimeout(timer);
      for (const signal of signals) process.off(signal, interrupt);
      process.off("exit", endAtExit);
      // What the step may have left behind goes with it.
      endGroup("SIGKILL");
      resolve(exitCode);
    };
    child.once("exit", done);
    child.once("error", (error) => {
      console.log(error.message);
      done(null);
    });
  });
}

function readReport(file: string): VitestReport | undefined {
  if (!existsSync(file)) return undefined;
  try {
    return JSON.parse(readFileSync(file, "utf8")) as VitestReport;
  } catch {
    return undefined;
  }
}
