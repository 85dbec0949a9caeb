/** A request body becomes a list of clicks and the sender's clock, or the reason why it is no envelope. */
import type { ProblemCode } from "../../wire/ingest.ts";
import { BATCH_CLICKS_MAX, TIMESTAMP_MS_MAX } from "../../wire/limits.ts";
import { clickTexts } from "./click-texts.ts";
import type { ClickTexts } from "./click-texts.ts";

export interface Envelope {
  /** Milliseconds since 1970 by the client's clock when this attempt was sent; null: no usable clock. */
  readonly sentAtMs: number | null;
  /** As JSON.parse gave them. */
  readonly clicks: readonly unknown[];
  /** As they were sent. */
  readonly textOf: ClickTexts;
}

/** A whole-request fault, as application/problem+json says it (RFC 9457). */
export interface Problem {
  readonly status: 400 | 404 | 405 | 413 | 415;
  readonly code: ProblemCode;
  readonly detail: string;
}

/** What every refusal of a body ends with: what to send instead. */
const SEND = `send {"sent_at":…,"clicks":[{"click_id":…,"ad_id":…,"timestamp":…}]} or one click`;

export function isProblem(value: object): value is Problem {
  return "status" in value && "detail" in value;
}

/** @param text the body, decoded as UTF-8 */
export function parseEnvelope(text: string): Envelope | Problem {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return problem(400, "not_json", `the body is not JSON (${(error as Error).message}): ${SEND}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return problem(400, "wrong_shape", `the body is no JSON object: ${SEND}`);
  }
  const fields = value as Readonly<Record<string, unknown>>;
  const sentAtMs = usableClock(fields["sent_at"]);
  if (!("clicks" in fields)) {
    if ("click_id" in fields || "ad_id" in fields) {
      return { sentAtMs, clicks: [fields], textOf: clickTexts(text) };
    }
    return problem(400, "wrong_shape", `the body has no clicks: ${SEND}`);
  }
  const clicks = fields["clicks"];
  if (!Array.isArray(clicks)) {
    return problem(400, "wrong_shape", `clicks is not a list: ${SEND}`);
  }
  if (clicks.length === 0) {
    return problem(400, "empty_batch", "clicks is empty: send at least one click");
  }
  if (clicks.length > BATCH_CLICKS_MAX) {
    const detail = `${clicks.length} clicks in one request: send at most ${BATCH_CLICKS_MAX}`;
    return problem(413, "too_many_clicks", detail);
  }
  return { sentAtMs, clicks, textOf: clickTexts(text) };
}

export function problem(status: Problem["status"], code: ProblemCode, detail: string): Problem {
  return { status, code, detail };
}

/** A clock that gives no time (seconds are one, in 1970) is no clock; how far it is off is the time policy's question. */
function usableClock(value: unknown): number | null {
  return typeof value === "number" && value >= 0 && value <= TIMESTAMP_MS_MAX
    ? Math.floor(value)
    : null;
}
