/** The newest message of a kind on a subject, whatever else was published behind it. */
import type { JetStreamManager } from "@nats-io/jetstream";
import { storedMessage } from "./stream-reader.ts";
import type { StoredMessage } from "./stream-reader.ts";

export interface NewestMessage {
  /** Newest of the subject: what a fence must name. */
  readonly last: StoredMessage;
  /** Newest that is wanted; null when there is none. */
  readonly wanted: StoredMessage | null;
}

/** Null for an empty subject. */
export async function newestMessage(
  manager: JetStreamManager,
  stream: string,
  subject: string,
  isWanted: (data: Uint8Array) => boolean,
): Promise<NewestMessage | null> {
  const last = await storedMessage(manager, stream, { last_by_subj: subject });
  if (last === null) return null;
  let wanted: StoredMessage | null = last;
  while (wanted !== null && !isWanted(wanted.data)) {
    wanted = await messageBefore(manager, stream, subject, wanted.sequence);
  }
  return { last, wanted };
}

/**
 * JetStream looks forward only, so: back in doubled strides until something of the subject stands there,
 * then by halves to the last of it.
 */
async function messageBefore(
  manager: JetStreamManager,
  stream: string,
  subject: string,
  sequence: number,
): Promise<StoredMessage | null> {
  const firstFrom = async (from: number) => {
    const found = await storedMessage(manager, stream, { seq: from, next_by_subj: subject });
    return found !== null && found.sequence < sequence ? found : null;
  };
  let found: StoredMessage | null = null;
  let empty = sequence;
  for (let stride = 1; found === null && empty > 1; stride *= 2) {
    const from = Math.max(1, sequence - stride);
    found = await firstFrom(from);
    if (found === null) empty = from;
  }
  while (found !== null && found.sequence + 1 < empty) {
    const middle = Math.floor((found.sequence + 1 + empty) / 2);
    const later: StoredMessage | null = await firstFrom(middle);
    if (later === null) empty = middle;
    else found = later;
  }
  return found;
}
