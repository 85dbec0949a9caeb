/** Reads, sends back and deletes what stands in SET_ASIDE. */
import { DeliverPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import type { MsgHdrs } from "@nats-io/transport-node";
import {
  SET_ASIDE_HEADER,
  setAsideSubject,
  STREAM,
  streamOfSetAside,
} from "../../wire/subjects.ts";
import type { StreamName } from "../../wire/subjects.ts";
import { LIST_EXPIRES_MS, PUBLISH_MS_MAX } from "../limits.ts";
import { answered, connectForCommand } from "./command-nats.ts";
import { headersOf } from "./message-headers.ts";

/** What the list shows of a set-aside message. */
export interface LetterHead {
  /** In SET_ASIDE: what a user names it by. */
  readonly sequence: number;
  readonly setAsideMs: number;
  /** Where it stood. Null for a subject that is none of ours. */
  readonly stream: StreamName | null;
  readonly fromSubject: string;
  readonly fromSequence: string;
  readonly reason: string;
  /** As it stood there; of a longer one than any of ours only the first `keptByteCount` are kept. */
  readonly byteCount: number;
  readonly keptByteCount: number;
}
export interface Letter {
  readonly head: LetterHead;
  /** None where they cannot be read: its head says so. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly data: Uint8Array;
}
export interface LetterPage {
  readonly letters: readonly LetterHead[];
  /** How many follow. */
  readonly more: number;
}

export interface DeadLetters {
  /** Oldest first, after `afterSequence`; null for every stream. Bodies stay where they are. */
  list(limit: number, stream: StreamName | null, afterSequence: number): Promise<LetterPage>;
  /** Null when there is no such message. */
  get(sequence: number): Promise<Letter | null>;
  /** Resolves when the broker has it. @returns false when it had it already, by its id */
  publish(subject: string, id: string, data: Uint8Array): Promise<boolean>;
  /** For good. @returns false when it was not there any more */
  remove(sequence: number): Promise<boolean>;
  close(): Promise<void>;
}

/** Added by the broker, behind the message's own headers, where it sends no body. */
const SIZE_HEADER = "Nats-Msg-Size";
/** Not set aside by us: whoever published it in SET_ASIDE wrote them by hand. */
const UNREADABLE_HEADERS = "unreadable headers";

/** Every method throws CommandNatsError for what a person can do something about. */
export async function openDeadLetters(natsUrl: string): Promise<DeadLetters> {
  const nc = await connectForCommand(natsUrl);
  const js = jetstream(nc, { timeout: PUBLISH_MS_MAX });
  const asked = <T>(work: () => Promise<T>): Promise<T> => answered(natsUrl, STREAM.setAside, work);
  // The check would be a request of its own; each of ours says the same when it fails.
  const manager = await jetstreamManager(nc, { timeout: PUBLISH_MS_MAX, checkAPI: false });
  const askedSize = async (sequence: number): Promise<number> =>
    (await manager.streams.getMessage(STREAM.setAside, { seq: sequence }))?.data.length ?? 0;
  return {
    list: (limit, stream, afterSequence) =>
      asked(async () => {
        const { state } = await manager.streams.info(STREAM.setAside);
        if (state.messages === 0 || afterSequence >= state.last_seq)
          return { letters: [], more: 0 };
        const consumer = await js.consumers.get(STREAM.setAside, {
          filter_subjects: stream === null ? ">" : setAsideSubject(stream),
          deliver_policy: DeliverPolicy.StartSequence,
          opt_start_seq: afterSequence + 1,
          headers_only: true,
        });
        const letters: LetterHead[] = [];
        let more = 0;
        const messages = await consumer.fetch({ max_messages: limit, expires: LIST_EXPIRES_MS });
        for await (const m of messages) {
          const setAsideMs = Number(m.timestampNanos / 1_000_000n);
          const headers = headersOf(m);
          const keptByteCount = saidSize(headers) ?? (await askedSize(m.seq));
          letters.push(headOf(m.seq, setAsideMs, m.subject, headers, keptByteCount));
          more = m.info.pending;
          if (more === 0) break;
        }
        return { letters, more };
      }),
    get: (sequence) =>
      asked(async () => {
        const m = await manager.streams.getMessage(STREAM.setAside, { seq: sequence });
        if (m === null) return null;
        const { data } = m;
        const headers = headersOf(m);
        return {
          head: headOf(m.seq, m.time.getTime(), m.subject, headers, data.length),
          headers: Array.from(
            headers ?? [],
            ([name, values]) => [name, values.join(", ")] as const,
          ),
          data,
        };
      }),
    publish: (subject, id, data) =>
      asked(async () => {
        const ack = await js.publish(subject, data, { msgID: id, timeout: PUBLISH_MS_MAX });
        return !ack.duplicate;
      }),
    remove: (sequence) =>
      asked(async () => {
        try {
          // Without overwriting its bytes: that is for secrets, and slow.
          return await manager.streams.deleteMessage(STREAM.setAside, sequence, false);
        } catch (error) {
          if ((await manager.streams.getMessage(STREAM.setAside, { seq: sequence })) === null)
            return false;
          throw error;
        }
      }),
    close: () => nc.close(),
  };
}

/** Null where headers that nobody can read, or that do not end, hide what the broker added: then the body is asked for. */
function saidSize(headers: MsgHdrs | null): number | null {
  const said = headers?.last(SIZE_HEADER) ?? "";
  return /^\d{1,9}$/.test(said) ? Number(said) : null;
}

function headOf(
  sequence: number,
  setAsideMs: number,
  subject: string,
  headers: MsgHdrs | null,
  keptByteCount: number,
): LetterHead {
  const saidByteCount = Number(headers?.get(SET_ASIDE_HEADER.byteCount) ?? "");
  return {
    sequence,
    setAsideMs,
    stream: streamOfSetAside(subject),
    fromSubject: headers?.get(SET_ASIDE_HEADER.subject) ?? "",
    fromSequence: headers?.get(SET_ASIDE_HEADER.sequence) ?? "",
    reason: headers === null ? UNREADABLE_HEADERS : headers.get(SET_ASIDE_HEADER.reason),
    // An older reader did not say it, and kept all.
    byteCount: Number.isSafeInteger(saidByteCount)
      ? Math.max(saidByteCount, keptByteCount)
      : keptByteCount,
    keptByteCount,
  };
}
