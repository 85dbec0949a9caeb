/** The headers of stored messages: a value, also where nobody can read them. */
import type { JsMsg, StoredMsg } from "@nats-io/jetstream";
import { headers, InvalidArgumentError } from "@nats-io/nats-core";
import type { MsgHdrs } from "@nats-io/nats-core";

/**
 * Null where they cannot be read. The broker stores whatever bytes stand in their place. The client decodes
 * them when they are first asked for, and throws for what it would not write itself: a space in a name, a
 * bare line feed in a value. That is no failure of NATS, and comes again at every read, so a reader that
 * let it through would end before the same message for ever. Our own headers are always readable; such
 * a message is what its body says, as one without headers is.
 */
export function headersOf(message: JsMsg | StoredMsg): MsgHdrs | null {
  try {
    return ("header" in message ? message.header : message.headers) ?? headers();
  } catch (error) {
    if (error instanceof InvalidArgumentError) return null;
    throw error;
  }
}

/** The first of that name; empty where there is none, or where the headers cannot be read. */
export function headerOf(message: JsMsg | StoredMsg, name: string): string {
  return headersOf(message)?.get(name) ?? "";
}
