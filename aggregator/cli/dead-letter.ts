/** What may be done with a set-aside message: whether this code reads it now, and how it goes back. */
import { decodeBlock, isFault } from "../../wire/block.ts";
import { AGAIN_SUBJECTS, messageId, STREAM } from "../../wire/subjects.ts";
import type { StreamName } from "../../wire/subjects.ts";
import { readUnit } from "../sink/read-unit.ts";
import type { Unit } from "../sink/unit.ts";
import { RAW_SINK, REJECTED_SINK, RESULT_SINK } from "../sink/unit.ts";
import type { Letter } from "../source/dead-letters.ts";

export type RetryDecision =
  | { readonly kind: "publish"; readonly subject: string; readonly id: string; readonly unit: Unit }
  /** It stays where it is. */
  | { readonly kind: "refuse"; readonly reason: string };

const SINKS = [RAW_SINK, REJECTED_SINK, RESULT_SINK];

/** Where a message that was set aside goes back to, or why it must not. */
export function decideRetry({ head, data }: Letter): RetryDecision {
  const { sequence, stream } = head;
  if (stream === null) return refuse("it was set aside from no stream of ours");
  if (stream === STREAM.partial) {
    return refuse(
      "its partition has moved on and skips old numbers; the windows are on the repair list, and recalculation from raw clicks brings them back",
    );
  }
  const sink = SINKS.find((s) => s.stream === stream);
  const subject = AGAIN_SUBJECTS[stream];
  if (sink === undefined || subject === undefined) return refuse(`nobody reads ${stream}`);
  const message = { subject, sequence: 0, brokerTimeMs: 0, id: "", data, pending: 0 };
  const reading = readUnit(sink, message, "");
  if (reading.kind === "tick") return refuse("a tick only says what time it was");
  if (reading.kind !== "unit") return refuse(`still not readable: ${reading.reason}`);
  const { unit } = reading;
  // With its sequence here: a retry made again changes nothing, and another copy of it reaches the sink, which knows.
  const id = messageId(subject, unit.producer, `${numberText(unit)}@${sequence}`, unit.hash);
  return { kind: "publish", subject, id, unit };
}

function numberText({ number, chunk, key, producer }: Unit): string {
  return key === `${producer}:${number}` ? String(number) : `${number}.${chunk}`;
}

function refuse(reason: string): RetryDecision {
  return { kind: "refuse", reason };
}

/** Why a message is not read, as this code sees it now; null when it is. */
export function faultNow({ head, data }: Letter): string | null {
  const sink = SINKS.find((s) => s.stream === head.stream);
  if (sink === undefined) {
    const block = decodeBlock(data);
    return isFault(block) ? block.reason : null;
  }
  const message = { subject: "", sequence: 0, brokerTimeMs: 0, id: "", data, pending: 0 };
  const reading = readUnit(sink, message, "");
  return reading.kind === "broken" || reading.kind === "unknown_version" ? reading.reason : null;
}

/** A stream's name as a user writes it (`CLICKS_RAW`, `clicks_raw`); null for none that readers set aside from. */
export function streamNamed(text: string): StreamName | null {
  return SET_ASIDE_FROM.find((stream) => stream === text.toUpperCase()) ?? null;
}
export const SET_ASIDE_FROM: readonly StreamName[] = Object.values(STREAM).filter(
  (stream) => stream !== STREAM.setAside,
);

/** A sequence of SET_ASIDE; null for a text that is none. */
export function sequenceOf(text: string): number | null {
  const value = Number(text);
  return /^[1-9]\d*$/.test(text) && Number.isSafeInteger(value) ? value : null;
}
