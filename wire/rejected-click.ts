/**
 * Rejected clicks as clicks_rejected rows in RowBinary: one click with its bytes, or, where only the
 * number is kept, many of a kind. The first 20 bytes are a unit, as in raw-click.ts; then received_at
 * i64 and the strings in the order of the columns, body_bytes u32, sent_at nullable i64, occurrences u32.
 */
import {
  need,
  readString,
  skipString,
  textOf,
  utf8,
  utf8Cut,
  writeAscii,
  writeI64,
  writeString,
  writeU32,
} from "./cursor.ts";
import type { Cursor } from "./cursor.ts";
import {
  ACCOUNT_BYTES_MAX,
  CLICK_ID_BYTES_MAX,
  COUNTRY_BYTES_MAX,
  IP_BYTES_MAX,
  KEY_ID_BYTES_MAX,
  REJECTED_BODY_BYTES_MAX,
  REJECTED_MESSAGE_BYTES_MAX,
  USER_AGENT_BYTES_MAX,
} from "./limits.ts";
import { skipNullableI64, UNIT_BYTES, writeEmptyUnit, writeNullableI64 } from "./raw-click.ts";

/** Codes and field names are ours and short. */
const CODE_BYTES_MAX = 64;

export const REJECTED_CLICK_BYTES_MAX =
  UNIT_BYTES +
  8 +
  (1 + ACCOUNT_BYTES_MAX) +
  (1 + KEY_ID_BYTES_MAX) +
  2 * (1 + CODE_BYTES_MAX) +
  (2 + REJECTED_MESSAGE_BYTES_MAX) +
  (1 + CLICK_ID_BYTES_MAX) +
  (1 + IP_BYTES_MAX) +
  (1 + COUNTRY_BYTES_MAX) +
  (2 + USER_AGENT_BYTES_MAX) +
  (2 + REJECTED_BODY_BYTES_MAX) +
  4 +
  9 +
  4;

export interface RejectedClick {
  readonly shard: number;
  readonly receivedAtMs: number;
  readonly account: string;
  readonly keyId: string;
  readonly code: string;
  /** The field at fault, or empty. */
  readonly field: string;
  readonly message: string;
  /** The id as sent where it was text, cut to the limit; else empty. */
  readonly clickId: string;
  readonly ip: string;
  readonly country: string;
  readonly userAgent: Uint8Array;
  /** The click's own JSON as received, uncut. */
  readonly body: string;
  /** The client's clock of the attempt, as in a raw click. */
  readonly sentAtMs: number | null;
}

/** Appends the row with an empty unit; the caller has reserved REJECTED_CLICK_BYTES_MAX. */
export function writeRejectedClick(c: Cursor, click: RejectedClick): void {
  writeEmptyUnit(c, click.shard);
  writeI64(c, click.receivedAtMs);
  writeAscii(c, click.account);
  writeAscii(c, click.keyId);
  writeAscii(c, click.code);
  writeAscii(c, click.field);
  writeString(c, utf8Cut(click.message, REJECTED_MESSAGE_BYTES_MAX));
  writeString(c, utf8Cut(click.clickId, CLICK_ID_BYTES_MAX));
  writeAscii(c, click.ip);
  writeAscii(c, click.country);
  writeString(c, click.userAgent);
  const body = utf8(click.body);
  writeString(c, body.subarray(0, REJECTED_BODY_BYTES_MAX));
  writeU32(c, body.length);
  writeNullableI64(c, click.sentAtMs);
  writeU32(c, 1);
}

/** What rejections have in common that are counted together. */
export interface RejectionKind {
  readonly account: string;
  readonly keyId: string;
  /** A RejectionCode, or the code of a request that was refused whole. */
  readonly code: string;
  /** The field at fault, or empty. */
  readonly field: string;
}

/** Rejections without their bytes: beyond what is kept for a key, or bodies that could not be read. */
export interface CountedRejections extends RejectionKind {
  /** At least 1. */
  readonly count: number;
}

/** Appends one row for all of them with an empty unit; the caller has reserved REJECTED_CLICK_BYTES_MAX. */
export function writeCountedRejections(
  c: Cursor,
  shard: number,
  receivedAtMs: number,
  { account, keyId, code, field, count }: CountedRejections,
): void {
  writeEmptyUnit(c, shard);
  writeI64(c, receivedAtMs);
  for (const text of [account, keyId, code, field]) writeAscii(c, text);
  // message, click_id, ip, country, user_agent, body
  for (let i = 0; i < 6; i++) writeAscii(c, "");
  writeU32(c, 0);
  writeNullableI64(c, null);
  writeU32(c, count);
}

/** Reads what a row is counted by. Throws CursorError when the bytes are cut off. */
export function rejectionKindOf(row: Cursor): RejectionKind {
  need(row, UNIT_BYTES + 8);
  row.at += UNIT_BYTES + 8;
  const [account, keyId, code, field] = [1, 2, 3, 4].map(() => textOf(readString(row)));
  return { account: account!, keyId: keyId!, code: code!, field: field! };
}

/** Steps over one row. Throws CursorError when the bytes are cut off. */
export function skipRejectedClick(c: Cursor): void {
  need(c, UNIT_BYTES + 8);
  c.at += UNIT_BYTES + 8;
  for (let i = 0; i < 10; i++) skipString(c);
  need(c, 4);
  c.at += 4;
  skipNullableI64(c);
  need(c, 4);
  c.at += 4;
}
