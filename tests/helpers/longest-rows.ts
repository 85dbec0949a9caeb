/** Rows at every limit of the wire: the longest raw and rejected click there can be. */
import { utf8 } from "../../wire/cursor.ts";
import {
  ACCOUNT_BYTES_MAX,
  AD_ID_BYTES_MAX,
  CLICK_ID_BYTES_MAX,
  COUNTRY_BYTES_MAX,
  DEVICE_BYTES_MAX,
  INVALID_REASON_BYTES_MAX,
  IP_BYTES_MAX,
  KEY_ID_BYTES_MAX,
  REJECTED_BODY_BYTES_MAX,
  REJECTED_MESSAGE_BYTES_MAX,
  USER_AGENT_BYTES_MAX,
  USER_ID_BYTES_MAX,
} from "../../wire/limits.ts";
import type { RawClick } from "../../wire/raw-click.ts";
import type { RejectedClick } from "../../wire/rejected-click.ts";

/** Four bytes of UTF-8 each. */
const wide = (byteCount: number) => "😀".repeat(byteCount / 4);
/** Times that ClickHouse's DateTime64(3) holds and that use many bits. */
const TIME_MS = 1_795_420_042_721;

export const LONGEST_CLICK: RawClick = {
  shard: 4095,
  receivedAtMs: TIME_MS,
  eventTimeMs: TIME_MS - 1,
  timeSource: "server",
  account: "~".repeat(ACCOUNT_BYTES_MAX),
  clickId: "!".repeat(CLICK_ID_BYTES_MAX),
  adId: "'".repeat(AD_ID_BYTES_MAX),
  country: "T1".slice(0, COUNTRY_BYTES_MAX),
  device: "\\".repeat(DEVICE_BYTES_MAX),
  invalidReason: "b".repeat(INVALID_REASON_BYTES_MAX),
  keyId: "k".repeat(KEY_ID_BYTES_MAX),
  userId: utf8(wide(USER_ID_BYTES_MAX)),
  ip: ":".repeat(IP_BYTES_MAX),
  userAgent: utf8(wide(USER_AGENT_BYTES_MAX)),
  claimedTimeMs: 0,
  sentAtMs: TIME_MS - 2,
  skewMs: -Number.MAX_SAFE_INTEGER,
};

/** Its code and field are longer than any real one. */
export const LONGEST_REJECTED: RejectedClick = {
  shard: 4095,
  receivedAtMs: TIME_MS,
  account: "~".repeat(ACCOUNT_BYTES_MAX),
  keyId: "k".repeat(KEY_ID_BYTES_MAX),
  code: "c".repeat(64),
  field: "f".repeat(64),
  message: wide(REJECTED_MESSAGE_BYTES_MAX),
  clickId: wide(CLICK_ID_BYTES_MAX),
  ip: ":".repeat(IP_BYTES_MAX),
  userAgent: utf8(wide(USER_AGENT_BYTES_MAX)),
  country: "KR",
  // Longer than what is kept, and cut inside a character.
  body: `\n\0${wide(REJECTED_BODY_BYTES_MAX)}`,
  sentAtMs: TIME_MS,
};
