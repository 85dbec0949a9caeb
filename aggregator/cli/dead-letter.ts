/** What may be done with a set-aside message: what it is to its sink, and how it goes back. */
import { decodeBlock, isFault } from "../../wire/block.ts";
import type { Block } from "../../wire/block.ts";
import { AGAIN_SUBJECTS, messageId, STREAM } from "../../wire/subjects.ts";
import type { StreamName } from "../../wire/subjects.ts";
import { readUnit } from "../sink/read-unit.ts";
import type { Unit } from "../sink/unit.ts";
import { RAW_SINK, REJECTED_SINK, RESULT_SINK } from "../sink/unit.ts";
import type { Letter, LetterHead } from "../source/dead-letters.ts";

export type RetryDecision =
  | { readonly kind: "publish"; readonly subject: string; readonly id: string; readonly unit: Unit }
  /** It stays where it is. */
  | { readonly kind: "refuse"; readonly reason: string };

const SINKS = [RAW_SINK, REJECTED_SINK, RESULT_SINK];

/** Where a message that was set aside goes back to, or why it must not. */
export function decideRetry(letter: Letter): RetryDecision {
  const { sequence, stream } = letter.head;
  if (stream === null) return refuse("it was set aside from no stream of ours");
  if (stream === STREAM.partial) {
    return refuse(
      "its partition has moved on and skips old numbers; the windows are on the repair list, and recalculation from raw clicks brings them back",
    );
  }
  const subject = AGAIN_SUBJECTS[stream];
  if (subject === undefined) return refuse(`nobody reads ${stream}`);
  const reading = readLetter(letter);
  if (reading.kind === "no_unit") return refuse("a tick only says what time it was");
  if (reading.kind === "fault") return refuse(`still not readable: ${reading.reason}`);
  const { unit } = reading;
  // With its sequence here: a retry made again changes nothing, and another copy of it reaches the sink, which knows.
  const id = messageId(subject, unit.producer, `${unit.numberText}@${sequence}`, unit.hash);
  return { kind: "publish", subject, id, unit };
}

function refuse(reason: string): RetryDecision {
  return { kind: "refuse", reason };
}

/** It was longer than any block of ours, and its end is gone. */
export function isCut({ byteCount, keptByteCount }: LetterHead): boolean {
  return keptByteCount < byteCount;
}

export type LetterReading =
  | { readonly kind: "unit"; readonly unit: Unit }
  /** Read, and no unit of a sink: a tick (null), or a block that stood in a stream that no sink reads. */
  | { readonly kind: "no_unit"; readonly block: Block | null }
  | { readonly kind: "fault"; readonly reason: string };

/** What it is to its stream's sink of today; where that is none, what its frame is. */
export function readLetter({ head, data }: Letter): LetterReading {
  const { stream, byteCount, keptByteCount } = head;
  if (isCut(head)) {
    const reason = `${byteCount} bytes are no block, and only the first ${keptByteCount} are kept`;
    return { kind: "fault", reason };
  }
  const sink = SINKS.find((s) => s.stream === stream);
  if (sink === undefined) {
    const block = decodeBlock(data);
    if (isFault(block)) return { kind: "fault", reason: block.reason };
    return { kind: "no_unit", block };
  }
  const message = { subject: "", sequence: 0, brokerTimeMs: 0, id: "", data, pending: 0 };
  const reading = readUnit(sink, message, "");
  if (reading.kind === "unit") return reading;
  if (reading.kind === "tick") return { kind: "no_unit", block: null };
  return { kind: "fault", reason: reading.reason };
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
