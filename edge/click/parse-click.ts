/**
 * One element of `clicks` becomes a typed click or a typed rejection; nothing untyped goes beyond.
 *
 * By hand, because a schema library's compiled mode needs `eval`, which Workers do not have, and this
 * is the hottest parse we own.
 */
import { utf8 } from "../../wire/cursor.ts";
import type { RejectionCode } from "../../wire/ingest.ts";
import {
  AD_ID_BYTES_MAX,
  CLICK_ID_BYTES_MAX,
  TIMESTAMP_MS_MAX,
  USER_ID_BYTES_MAX,
} from "../../wire/limits.ts";

/** A click whose fields are what they claim to be. */
export interface Click {
  readonly clickId: string;
  readonly adId: string;
  /** Milliseconds since 1970 by the client's clock, as sent (fractions cut). */
  readonly claimedTimeMs: number;
  /** Of UTF-8, at most USER_ID_BYTES_MAX; empty where not sent. */
  readonly userId: string;
}

/** Why it is no click. `clickId` is what could be read of the id, for the answer. */
export interface Rejection {
  readonly code: RejectionCode;
  readonly field: string;
  readonly message: string;
  readonly clickId: string | null;
}

export function isRejection(parsed: Click | Rejection): parsed is Rejection {
  return "code" in parsed;
}

/**
 * Numbers that are a plausible time in seconds (2001 to 2286) and as milliseconds would lie in the
 * first months of 1970, where only a clock that was reset and then ran for 11 days could be.
 */
const SECONDS_MIN = 1_000_000_000;
const SECONDS_MAX = 10_000_000_000;

/** UTF-8 of a UTF-16 unit, at most: a character of four bytes is two units. */
const BYTES_OF_UNIT_MAX = 3;

/** @param value one element of `clicks`, as JSON.parse gave it */
export function parseClick(value: unknown): Click | Rejection {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return reject(
      "not_an_object",
      "",
      "this is no object: send a click with click_id, ad_id and timestamp",
      null,
    );
  }
  const fields = value as Readonly<Record<string, unknown>>;
  const clickId = fields["click_id"];
  const named = typeof clickId === "string" ? clickId : null;
  const fault =
    idFault(clickId, "click_id", CLICK_ID_BYTES_MAX, named) ??
    idFault(fields["ad_id"], "ad_id", AD_ID_BYTES_MAX, named) ??
    timestampFault(fields["timestamp"], named);
  if (fault !== null) return fault;

  const user = fields["user_id"] ?? "";
  if (typeof user !== "string") {
    return reject("wrong_type", "user_id", "send user_id as text, or leave it out", named);
  }
  if (user.length * BYTES_OF_UNIT_MAX > USER_ID_BYTES_MAX) {
    const byteCount = utf8(user).length;
    if (byteCount > USER_ID_BYTES_MAX) {
      const message = `user_id has ${byteCount} bytes of UTF-8: send at most ${USER_ID_BYTES_MAX}`;
      return reject("too_long", "user_id", message, named);
    }
  }
  return {
    clickId: clickId as string,
    adId: fields["ad_id"] as string,
    claimedTimeMs: Math.floor(fields["timestamp"] as number),
    userId: user,
  };
}

function idFault(
  value: unknown,
  field: string,
  lengthMax: number,
  clickId: string | null,
): Rejection | null {
  if (value === undefined || value === null)
    return reject(
      "missing",
      field,
      `${field} is missing: send it as text of 1 to ${lengthMax} printable ASCII characters`,
      clickId,
    );
  if (typeof value !== "string")
    return reject("wrong_type", field, `send ${field} as text, in quotes`, clickId);
  if (value.length === 0)
    return reject("empty", field, `${field} is empty: send 1 to ${lengthMax} characters`, clickId);
  if (value.length > lengthMax) {
    return reject(
      "too_long",
      field,
      `${field} has ${value.length} characters: send at most ${lengthMax}`,
      clickId,
    );
  }
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i);
    if (code < 0x20 || code > 0x7e) {
      return reject(
        "bad_characters",
        field,
        `character ${i + 1} of ${field} is not printable ASCII: send U+0020 to U+007E only`,
        clickId,
      );
    }
  }
  return null;
}

function timestampFault(value: unknown, clickId: string | null): Rejection | null {
  const field = "timestamp";
  if (value === undefined || value === null) {
    return reject(
      "missing",
      field,
      "timestamp is missing: send milliseconds since 1970 as a number",
      clickId,
    );
  }
  if (typeof value !== "number") {
    return reject(
      "wrong_type",
      field,
      "send timestamp as a number: milliseconds since 1970",
      clickId,
    );
  }
  if (value >= SECONDS_MIN && value < SECONDS_MAX) {
    return reject(
      "timestamp_in_seconds",
      field,
      "timestamp is in seconds: send milliseconds since 1970",
      clickId,
    );
  }
  if (!(value >= 0 && value <= TIMESTAMP_MS_MAX)) {
    return reject(
      "bad_timestamp",
      field,
      "timestamp is not between 1970 and 2100: send milliseconds since 1970",
      clickId,
    );
  }
  return null;
}

function reject(
  code: RejectionCode,
  field: string,
  message: string,
  clickId: string | null,
): Rejection {
  return { code, field, message, clickId };
}
