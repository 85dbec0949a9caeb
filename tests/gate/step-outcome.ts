/** What a step of the gate adds to the last line: decided from its exit and its vitest report alone. */

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** The fields used of what `vitest --reporter=json` writes. */
export interface VitestReport {
  readonly success: boolean;
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
  readonly testResults: readonly {
    readonly status: string;
    readonly assertionResults: readonly { readonly status: string }[];
  }[];
}

/** A step without tests (formatter, linter, compiler) is one failure or nothing. */
export function staticOutcome(exitCode: number | null): Counts {
  return { passed: 0, failed: exitCode === 0 ? 0 : 1, skipped: 0 };
}

/**
 * Counts of a vitest run. No report is a failure, and so is any exit that the counts do not explain:
 * an unhandled error, a crashed worker, a run that was killed.
 *
 * @param report undefined when there is none or it cannot be read
 */
export function vitestOutcome(exitCode: number | null, report: VitestReport | undefined): Counts {
  if (report === undefined) return { passed: 0, failed: 1, skipped: 0 };
  // A file that could not be loaded fails with no failed test in it.
  const brokenFiles = report.testResults.filter(
    (file) =>
      file.status === "failed" &&
      !file.assertionResults.some((result) => result.status === "failed"),
  ).length;
  const failed = report.numFailedTests + brokenFiles;
  const unexplained = failed === 0 && (exitCode !== 0 || !report.success);
  const none = report.numPassedTests === 0 && failed === 0 && !unexplained;
  return {
    passed: report.numPassedTests,
    // A suite in which nothing passes proves nothing: a changed glob must not turn the gate green.
    failed: failed + (unexplained || none ? 1 : 0),
    skipped: report.numPendingTests + report.numTodoTests,
  };
}

export function sumCounts(counts: readonly Counts[]): Counts {
  return counts.reduce(
    (sum, each) => ({
      passed: sum.passed + each.passed,
      failed: sum.failed + each.failed,
      skipped: sum.skipped + each.skipped,
    }),
    { passed: 0, failed: 0, skipped: 0 },
  );
}

/** The gate's last line. */
export function summaryLine({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}
