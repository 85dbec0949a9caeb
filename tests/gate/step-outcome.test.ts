import { expect, test } from "vitest";
import {
  staticOutcome,
  sumCounts,
  summaryLine,
  vitestOutcome,
  type VitestReport,
} from "./step-outcome.ts";

const REPORT: VitestReport = {
  success: true,
  numPassedTests: 5,
  numFailedTests: 0,
  numPendingTests: 1,
  numTodoTests: 1,
  testResults: [],
};

test("a green run counts what vitest counted", () => {
  expect(vitestOutcome(0, REPORT)).toEqual({ passed: 5, failed: 0, skipped: 2 });
});

test("failed tests count once each", () => {
  const failed = { ...REPORT, success: false, numFailedTests: 2 };
  expect(vitestOutcome(1, failed).failed).toBe(2);
});

test("a file that could not be loaded is a failure", () => {
  const broken = {
    ...REPORT,
    success: false,
    testResults: [{ status: "failed", assertionResults: [] }],
  };
  expect(vitestOutcome(1, broken).failed).toBe(1);
});

test("no report is a failure, whatever the exit code", () => {
  expect(vitestOutcome(0, undefined).failed).toBe(1);
  expect(vitestOutcome(null, undefined).failed).toBe(1);
});

test("an exit that the counts do not explain is a failure", () => {
  expect(vitestOutcome(1, REPORT).failed).toBe(1);
  expect(vitestOutcome(null, REPORT).failed).toBe(1);
});

test("a run in which nothing passed is a failure", () => {
  expect(vitestOutcome(0, { ...REPORT, numPassedTests: 0 }).failed).toBe(1);
});

test("a failed lint is one failure, a good one is nothing", () => {
  expect(staticOutcome(1)).toEqual({ passed: 0, failed: 1, skipped: 0 });
  expect(staticOutcome(null).failed).toBe(1);
  expect(staticOutcome(0)).toEqual({ passed: 0, failed: 0, skipped: 0 });
});

test("the last line has the three sums", () => {
  const counts = [vitestOutcome(0, REPORT), staticOutcome(1), vitestOutcome(0, REPORT)];
  expect(summaryLine(sumCounts(counts))).toBe("10 passed, 1 failed, 4 skipped");
});
