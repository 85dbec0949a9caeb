/** How a command ends: what its errors mean to the person who typed it, and to the shell. */

/** A command that was called wrongly, or in a wrong environment: exit code 2. */
export class UsageError extends Error {
  override readonly name: string = "UsageError";
}

/** What was asked for did not work, for a reason that the person can understand from the message: exit code 1. */
export class CommandFailure extends Error {
  override readonly name: string = "CommandFailure";
}

export const EXIT = { ok: 0, failed: 1, usage: 2, interrupted: 130 } as const;
