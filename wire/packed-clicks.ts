/**
 * The clicks of one request and one shard, packed: what they have in common once, then what each has of its own. So
 * they go from the Worker to the shard, and so they stand in its journal: a batch of a hundred takes less than a third
 * of its rows' bytes.
 *
 *     pack     0 u32 clicks
 *              4 u32 bytes of the clicks
 *              8 received_at i64
 *             16 account string
 *                country, device, invalid_reason, key_id   strings
 *                ip, user_agent                            strings
 *                sent_at nullable i64, skew_ms nullable i64
 *                the clicks
 *
 *     a click  0 event_time i64
 *              8 time_source u8
 *              9 click_id, ad_id, user_id   strings
 *                claimed_time i64
 *
 * Each run of fields stands here as it stands in a clicks_raw row (raw-click.ts), so a row is made by copying runs.
 *
 * A pack has no version of its own: who changes it raises that of what carries it (edge/click/batch-bytes.ts) and of
 * what keeps it (edge/shard/storage.ts).
 */
import { TIME_SOURCE } from "./columns.ts";
import {
  CursorError,
  joinBytes,
  need,
  reader,
  reserve,
  skipString,
  readBytes,
  readVarint,
  textOf,
  writeAscii,
  writeBytes,
  writeI64,
  writer,
  writeRun,
  writeString,
  writeText,
  writeU32,
  writeU8,
} from "./cursor.ts";
import type { Cursor } from "./cursor.ts";
import {
  CLICK_FIELDS_BYTES_MAX,
  readNullableI64,
  REQUEST_FIELDS_BYTES_MAX,
  UNIT_BYTES,
  writeNullableI64,
} from "./raw-click.ts";
import type { RawClick, RawClickSpans } from "./raw-click.ts";

/** What all clicks of a request have in common. */
export type RequestFields = Pick<
  RawClick,
  | "receivedAtMs"
  | "account"
  | "country"
  | "device"
  | "invalidReason"
  | "keyId"
  | "ip"
  | "userAgent"
  | "sentAtMs"
  | "skewMs"
>;

/** What each click has of its own: what was sent, and the time that it is counted in. */
export type SentFields = Pick<RawClick, "clickId" | "adId" | "claimedTimeMs"> & {
  readonly userId: string;
};
export type CountedTime = Pick<RawClick, "eventTimeMs" | "timeSource">;

const CLICKS_AT = 0;
const CLICK_BYTES_AT = 4;
const RECEIVED_AT = 8;
const ACCOUNT_AT = 16;
/** In a click, behind event_time and time_source. */
export const CLICK_ID_AT = 9;
/** Before claimed_time. */
const CLAIMED_TIME_BYTES = 8;

/** A click whose three strings are empty. */
const CLICK_BYTES_MIN = CLICK_ID_AT + 3 + CLAIMED_TIME_BYTES;

const PACK_BYTES_MIN = RECEIVED_AT + REQUEST_FIELDS_BYTES_MAX + CLICK_FIELDS_BYTES_MAX;

/**
 * A pack without clicks; `packClick` adds them. What is written at any time is a whole pack.
 *
 * @param c is written over from its start
 */
export function newPack(request: RequestFields, c: Cursor = writer(PACK_BYTES_MIN)): Cursor {
  c.at = 0;
  reserve(c, PACK_BYTES_MIN);
  writeU32(c, 0);
  writeU32(c, 0);
  writeI64(c, request.receivedAtMs);
  writeAscii(c, request.account);
  writeAscii(c, request.country);
  writeAscii(c, request.device);
  writeAscii(c, request.invalidReason);
  writeAscii(c, request.keyId);
  writeAscii(c, request.ip);
  writeString(c, request.userAgent);
  writeNullableI64(c, request.sentAtMs);
  writeNullableI64(c, request.skewMs);
  return c;
}

export function packClick(c: Cursor, click: SentFields, time: CountedTime): void {
  reserve(c, CLICK_FIELDS_BYTES_MAX);
  const start = c.at;
  writeI64(c, time.eventTimeMs);
  writeU8(c, TIME_SOURCE[time.timeSource]);
  writeAscii(c, click.clickId);
  writeAscii(c, click.adId);
  writeText(c, click.userId);
  writeI64(c, click.claimedTimeMs);
  count(c, 1, c.at - start);
}

function count({ view }: Cursor, clicks: number, byteCount: number): void {
  view.setUint32(CLICKS_AT, view.getUint32(CLICKS_AT, true) + clicks, true);
  view.setUint32(CLICK_BYTES_AT, view.getUint32(CLICK_BYTES_AT, true) + byteCount, true);
}

/** A pack that has been opened: where its parts stand. */
export interface Pack {
  readonly clickCount: number;
  /** All of it. */
  readonly bytes: Uint8Array;
  /** Of `bytes`: where the clicks begin. */
  readonly clicksStart: number;
  /** Of its clicks_raw rows, units included. */
  readonly rowsByteCount: number;
  /** What each row has besides the click's own bytes, unit included. */
  readonly commonByteCount: number;
  /** Runs of a row: the account, ip and user_agent. */
  readonly account: Uint8Array;
  readonly address: Uint8Array;
  /** Of `bytes`: where country begins, which is the account's end; ip, which is key_id's end; and sent_at. */
  readonly senderStart: number;
  readonly addressStart: number;
  readonly clocksStart: number;
  /** From `senderStart` on: how many bytes belong to a partial's key, which key_id does not. */
  readonly partialKeyByteCount: number;
  readonly invalidReason: string;
  readonly skewMs: number | null;
}

/**
 * Opens the pack at the cursor, and leaves the cursor at its first click: `walkClick` goes on from there.
 *
 * @throws CursorError when the bytes are cut off, or when there cannot be so many clicks in them
 */
export function openPack(c: Cursor): Pack {
  const start = c.at;
  need(c, ACCOUNT_AT);
  const clickCount = c.view.getUint32(start + CLICKS_AT, true);
  const clickByteCount = c.view.getUint32(start + CLICK_BYTES_AT, true);
  c.at = start + ACCOUNT_AT;
  skipString(c);
  const accountEnd = c.at;
  skipString(c);
  skipString(c);
  const reasonByteCount = readVarint(c);
  const invalidReason = reasonByteCount === 0 ? "" : textOf(readBytes(c, reasonByteCount));
  const partialKeyEnd = c.at;
  skipString(c);
  const senderEnd = c.at;
  skipString(c);
  skipString(c);
  const addressEnd = c.at;
  readNullableI64(c);
  const skewMs = readNullableI64(c);
  need(c, clickByteCount);
  if (clickCount * CLICK_BYTES_MIN > clickByteCount) {
    throw new CursorError(`${clickCount} clicks in ${clickByteCount} bytes`, start);
  }
  const commonByteCount = UNIT_BYTES + c.at - (start + RECEIVED_AT);
  return {
    clickCount,
    bytes: c.bytes.subarray(start, c.at + clickByteCount),
    clicksStart: c.at - start,
    rowsByteCount: clickCount * commonByteCount + clickByteCount,
    commonByteCount,
    account: c.bytes.subarray(start + ACCOUNT_AT, accountEnd),
    address: c.bytes.subarray(senderEnd, addressEnd),
    senderStart: accountEnd - start,
    addressStart: senderEnd - start,
    clocksStart: addressEnd - start,
    partialKeyByteCount: partialKeyEnd - accountEnd,
    invalidReason,
    skewMs,
  };
}

/** Where a click's parts stand in the bytes that were walked. */
export interface ClickSpans {
  start: number;
  /** The click_id string, its length included. */
  clickIdStart: number;
  clickIdEnd: number;
  adIdEnd: number;
  end: number;
}

export function newClickSpans(): ClickSpans {
  return { start: 0, clickIdStart: 0, clickIdEnd: 0, adIdEnd: 0, end: 0 };
}

/** Steps over one click. @throws CursorError when the bytes are cut off */
export function walkClick(c: Cursor, out: ClickSpans): void {
  out.start = c.at;
  need(c, CLICK_ID_AT);
  c.at += CLICK_ID_AT;
  out.clickIdStart = c.at;
  skipString(c);
  out.clickIdEnd = c.at;
  skipString(c);
  out.adIdEnd = c.at;
  skipString(c);
  need(c, CLAIMED_TIME_BYTES);
  c.at += CLAIMED_TIME_BYTES;
  out.end = c.at;
}

/** Event time of the click that starts there, milliseconds since 1970; it has been walked. */
export function eventTimeAt({ view }: Cursor, start: number): number {
  return view.getInt32(start + 4, true) * 0x1_0000_0000 + view.getUint32(start, true);
}

/** Where all clicks of a pack stand in its bytes. */
export interface ClickPlaces {
  /** One more than there are clicks: click i stands from starts[i] to starts[i + 1]. */
  readonly starts: Uint32Array;
  /** Its click_id string ends here, and starts CLICK_ID_AT behind the click's start. */
  readonly clickIdEnds: Uint32Array;
}

/**
 * Walks all of a pack.
 *
 * @throws CursorError when its clicks do not end where it does
 */
export function placesOf(pack: Pack): ClickPlaces {
  const starts = new Uint32Array(pack.clickCount + 1);
  const clickIdEnds = new Uint32Array(pack.clickCount);
  const c = reader(pack.bytes);
  c.at = pack.clicksStart;
  const click = newClickSpans();
  for (let i = 0; i < pack.clickCount; i++) {
    walkClick(c, click);
    starts[i] = click.start;
    clickIdEnds[i] = click.clickIdEnd;
  }
  if (c.at !== pack.bytes.length) throw new CursorError("a pack goes on after its clicks", c.at);
  starts[pack.clickCount] = c.at;
  return { starts, clickIdEnds };
}

/** A pack of some of a pack's clicks, in order. */
export function packOf(pack: Pack, clicks: readonly Uint8Array[]): Uint8Array {
  const c = reader(joinBytes([pack.bytes.subarray(0, pack.clicksStart), ...clicks]));
  c.view.setUint32(CLICKS_AT, clicks.length, true);
  c.view.setUint32(CLICK_BYTES_AT, c.bytes.length - pack.clicksStart, true);
  return c.bytes;
}

/**
 * Appends a click's clicks_raw row to `out`, which has room for it, and says where its parts stand.
 *
 * @param packed where the click has been walked
 * @param unit UNIT_BYTES (`unitBytes`)
 */
export function unpackClick(
  out: Cursor,
  unit: Uint8Array,
  pack: Pack,
  packed: Cursor,
  click: ClickSpans,
  spans: RawClickSpans,
): void {
  const from = packed.bytes;
  spans.start = out.at;
  writeRun(out, unit, 0, unit.length);
  writeRun(out, pack.bytes, RECEIVED_AT, ACCOUNT_AT);
  writeRun(out, from, click.start, click.clickIdStart);
  writeRun(out, pack.bytes, ACCOUNT_AT, pack.senderStart);
  writeRun(out, from, click.clickIdStart, click.clickIdEnd);
  spans.partialKeyStart = out.at;
  writeRun(out, from, click.clickIdEnd, click.adIdEnd);
  spans.partialKeyEnd = out.at + pack.partialKeyByteCount;
  writeRun(out, pack.bytes, pack.senderStart, pack.addressStart);
  writeRun(out, from, click.adIdEnd, click.end - CLAIMED_TIME_BYTES);
  // The longest run, and the only one for which a call is worth its price.
  writeBytes(out, pack.address);
  writeRun(out, from, click.end - CLAIMED_TIME_BYTES, click.end);
  writeRun(out, pack.bytes, pack.clocksStart, pack.clicksStart);
}
