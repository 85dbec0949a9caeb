/** How long each step of the gate may take; together they stay below the 10 minutes that CI gives. */

/** Formatter, linter and compiler: seconds each, 20 s seen on a busy 2-core machine. */
export const STATIC_STEP_MS_MAX = 120_000;
export const UNIT_STEP_MS_MAX = 180_000;
export const EDGE_STEP_MS_MAX = 120_000;
/** Real processes, killed and restarted: the bulk of the gate. */
export const E2E_STEP_MS_MAX = 480_000;
