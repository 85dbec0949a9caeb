import { expect, test } from "vitest";
import { GATE_MS_MAX, stepMsMax } from "./limits.ts";

test("a step gets its own time, or what is left of the gate's, or nothing", () => {
  expect(stepMsMax(1_000, 0)).toBe(1_000);
  expect(stepMsMax(1_000, GATE_MS_MAX - 400)).toBe(400);
  expect(stepMsMax(1_000, GATE_MS_MAX + 400)).toBe(0);
});
