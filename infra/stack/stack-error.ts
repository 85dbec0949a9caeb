/** An expected failure of the local stack: its message is for the person at the terminal and needs no stack trace. */
export class StackError extends Error {
  override readonly name = "StackError";
}
