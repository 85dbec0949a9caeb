/** Messages that are not ours go to SET_ASIDE with their reason and their first bytes, and block nothing. */
import type { JetStreamClient } from "@nats-io/jetstream";
import { headers } from "@nats-io/nats-core";
import { hash64 } from "../../wire/hash.ts";
import { messageId, SET_ASIDE_HEADER, setAsideSubject } from "../../wire/subjects.ts";
import type { StreamName } from "../../wire/subjects.ts";
import { PUBLISH_MS_MAX, SET_ASIDE_BYTES_MAX } from "../limits.ts";
import type { Alarms } from "../ops/alarms.ts";
import type { Log } from "../ops/log.ts";
import { retry } from "../ops/retry.ts";
import { isNatsFailure } from "./nats-failure.ts";
import type { StreamMessage } from "./stream-reader.ts";

export interface SetAsideParts {
  readonly js: JetStreamClient;
  readonly alarms: Alarms;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/**
 * Its id is the message's place and content: a replay sets nothing aside twice (inside SET_ASIDE's
 * duplicate window).
 */
export async function setAside(
  { js, alarms, log, signal }: SetAsideParts,
  stream: StreamName,
  message: StreamMessage,
  reason: string,
): Promise<void> {
  const subject = setAsideSubject(stream);
  const h = headers();
  h.set(SET_ASIDE_HEADER.reason, reason);
  h.set(SET_ASIDE_HEADER.subject, message.subject);
  h.set(SET_ASIDE_HEADER.sequence, String(message.sequence));
  h.set(SET_ASIDE_HEADER.byteCount, String(message.data.length));
  // With its headers, a message as long as NATS takes would be longer than that, at every start again.
  const kept = message.data.subarray(0, SET_ASIDE_BYTES_MAX);
  const msgID = messageId(subject, message.subject, message.sequence, hash64(message.data));
  await retry(
    "set aside",
    () => js.publish(subject, kept, { headers: h, msgID, timeout: PUBLISH_MS_MAX }),
    isNatsFailure,
    log,
    signal,
  );
  alarms.raise(stream, {
    alarm: "set_aside",
    subject: message.subject,
    messageId: message.id === "" ? `sequence ${message.sequence}` : message.id,
    detail: reason,
  });
}
