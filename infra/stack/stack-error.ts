/** An expected failure of the local stack: its message is for the person at the terminal and needs no stack trace. */
export class StackError extends Error {
  override readonly name: string = "StackError";
}

/** The settings are wrong: no attempt with the same ones would do better. */
export class StackConfigurationError extends StackError {
  override readonly name = "StackConfigurationError";
}
