/** What `POST /v1/clicks` answers: shared by the edge, SDKs, replay and the simulated installations. */

/** Why a click was refused for good. Metrics, tables and answers carry the same code. */
export const REJECTION_CODES = [
  "not_an_object",
  "missing",
  "wrong_type",
  "empty",
  "too_long",
  "bad_characters",
  "bad_timestamp",
  "timestamp_in_seconds",
  "too_old",
] as const;
export type RejectionCode = (typeof REJECTION_CODES)[number];

/** Why a whole request was refused: `code` of its application/problem+json (RFC 9457). */
export const PROBLEM_CODES = [
  "unsupported_type",
  "unsupported_encoding",
  "empty_body",
  "too_large",
  "unreadable_body",
  "not_json",
  "wrong_shape",
  "empty_batch",
  "too_many_clicks",
  "wrong_method",
  "no_such_path",
  "internal",
] as const;
export type ProblemCode = (typeof PROBLEM_CODES)[number];

export type ClickStatus = "accepted" | "duplicate" | "rejected" | "unavailable";

export interface ClickResult {
  /** As sent; null where none could be read. */
  readonly click_id: string | null;
  readonly status: ClickStatus;
  readonly code?: RejectionCode;
  readonly field?: string;
  readonly message?: string;
}

/** The body of a 202, in the order sent. */
export interface IngestAnswer {
  readonly accepted: number;
  readonly duplicate: number;
  readonly rejected: number;
  readonly unavailable: number;
  readonly results: readonly ClickResult[];
}
