/**
 * Rows of a kernel's snapshot in RowBinary: they outlive the kernel that wrote them.
 *
 *     a row of an open window
 *     0 window_start u32                         seconds since 1970, UTC
 *     4 ad_id, country, device, invalid_reason   strings: the key, as in partial.ts
 *       clicks i64                               at least 1
 *
 *     a row of a run (what left one window at once, summed per ad)
 *     0 ad_id string
 *       clicks i64                               at least 1
 */
import { AD_ID_BYTES_MAX } from "./limits.ts";
import { PARTIAL_KEY_BYTES_MAX } from "./partial.ts";

export const WINDOW_ROW_BYTES_MAX = 4 + PARTIAL_KEY_BYTES_MAX + 8;
export const RUN_ROW_BYTES_MAX = 1 + AD_ID_BYTES_MAX + 8;
