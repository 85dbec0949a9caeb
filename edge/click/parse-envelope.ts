/** A request body becomes a list of clicks and the sender's clock, or the reason why it is no envelope. */
import { BATCH_CLICKS_MAX } from "../../wire/limits.ts";

export interface Envelope {
  /** Milliseconds since 1970 by the client's clock when this attempt was sent; null: no usable clock. */
  readonly sentAtMs: number | null;
  /** As JSON.parse gave them. */
  readonly clicks: readonly unknown[];
}

/** A whole-request fault, as application/problem+json says it (RFC 9457). */
export interface Problem {
  readonly status: 400 | 404 | 405 | 413 | 415;
  readonly code: string;
  readonly detail: string;
}

export function isProblem(value: object): value is Problem {
  return "status" in value && "detail" in value;
}

/** @param text the body, decoded as UTF-8 */
export function parseEnvelope(text: string): Envelope | Problem {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return {
      status: 400,
      code: "not_json",
      detail: `the body is not JSON: ${(error as Error).message}`,
    };
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return {
      status: 400,
      code: "wrong_shape",
      detail: `send {"sent_at":…,"clicks":[…]} or one click`,
    };
  }
  const fields = value as Readonly<Record<string, unknown>>;
  const sentAtMs = usableClock(fields["sent_at"]);
  if (!("clicks" in fields)) {
    if ("click_id" in fields || "ad_id" in fields) return { sentAtMs, clicks: [fields] };
    return {
      status: 400,
      code: "wrong_shape",
      detail: `send {"sent_at":…,"clicks":[…]} or one click`,
    };
  }
  const clicks = fields["clicks"];
  if (!Array.isArray(clicks)) {
    return { status: 400, code: "wrong_shape", detail: "clicks is a list of clicks" };
  }
  if (clicks.length === 0) {
    return { status: 400, code: "empty_batch", detail: "clicks is empty: send at least one click" };
  }
  if (clicks.length > BATCH_CLICKS_MAX) {
    return {
      status: 413,
      code: "too_many_clicks",
      detail: `${clicks.length} clicks in one request; send at most ${BATCH_CLICKS_MAX}`,
    };
  }
  return { sentAtMs, clicks };
}

/** A clock that gives no number is no clock; how far it is off is the time policy's question. */
function usableClock(value: unknown): number | null {
  return typeof value === "number" && value >= 0 && value <= Number.MAX_SAFE_INTEGER
    ? Math.floor(value)
    : null;
}
