/** A command that was called wrongly: its message is for the person who typed it, its exit code is 2. */
export class UsageError extends Error {}

export const EXIT = { ok: 0, failed: 1, usage: 2, interrupted: 130 } as const;
