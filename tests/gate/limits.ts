/**
 * How long the gate, its steps and its tests may take. All are guards against what hangs, far above what
 * a sound run needs: the whole gate takes 9 to 12 minutes on 2 cores.
 */
import {
  CLICKHOUSE_READY_MS_MAX,
  STACK_START_MS_MAX,
  STACK_STOP_MS_MAX,
  STOP_MS_MAX,
} from "../../infra/stack/limits.ts";

/** A sound run on 2 cores with nothing else to do, but for a minute. */
const SOUND_GATE_MS = 8 * 60_000;
/** What CI gives to set-up and gate together. */
const CI_MS_MAX = 90 * 60_000;
/** Set-up on a slow line; infra/setup.mjs waits this long for another one. */
const SET_UP_MS_MAX = 20 * 60_000;

/** Three sound runs: for a machine that is busy, or slower. */
export const GATE_MS_MAX = 3 * SOUND_GATE_MS;

/** Formatter, linter and compiler: seconds each, 20 s seen on a busy machine; six times that. */
export const STATIC_STEP_MS_MAX = 120_000;
/** 140 s on 2 cores, 210 s seen on a slow day, much of it the embedded ClickHouse; three times that. */
export const UNIT_STEP_MS_MAX = 420_000;
/** 25 s on 2 cores, of which an eviction waits 11, 50 s seen; workerd's start from a cold disk comes before the first test. */
export const EDGE_STEP_MS_MAX = 150_000;
/** Real processes, killed and restarted: the bulk of the gate, 460 s on 2 cores; twice that. */
export const E2E_STEP_MS_MAX = 15 * 60_000;

/** The longest unit tests take 2.5 s; twelve times that. */
export const UNIT_TEST_MS_MAX = 30_000;
/** The first use of the engine, or its stop: hooks of unit tests do nothing longer. */
export const UNIT_HOOK_MS_MAX = Math.max(CLICKHOUSE_READY_MS_MAX, STOP_MS_MAX) + UNIT_TEST_MS_MAX;

/** Traffic, kills and restarts under it, the arrival of every click: 28 s at most; six times that. */
const E2E_SCENARIO_MS_MAX = 180_000;
/** Many start their stack themselves. */
export const E2E_TEST_MS_MAX = STACK_START_MS_MAX + E2E_SCENARIO_MS_MAX;
/** Starts a stack, or ends traffic and stops a stack. */
export const E2E_HOOK_MS_MAX = Math.max(STACK_START_MS_MAX, STACK_STOP_MS_MAX) + 30_000;

/** What a step gets that begins after so much of the gate's time; 0 when none is left. */
export function stepMsMax(ownMsMax: number, elapsedMs: number): number {
  return Math.max(0, Math.min(ownMsMax, GATE_MS_MAX - elapsedMs));
}

if (SET_UP_MS_MAX + GATE_MS_MAX > CI_MS_MAX / 2) {
  throw new Error(
    "set-up and gate have to end well before CI ends them: only then do they say why",
  );
}
if (E2E_STEP_MS_MAX + SOUND_GATE_MS > GATE_MS_MAX) {
  throw new Error("the longest step that hangs must leave the others the time that they need");
}
if (E2E_TEST_MS_MAX > E2E_STEP_MS_MAX || UNIT_HOOK_MS_MAX > UNIT_STEP_MS_MAX) {
  throw new Error("a test that hangs must be named by vitest, before its step is ended");
}
