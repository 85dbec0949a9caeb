/**
 * The idiomatic way in JavaScript: for each window a `Map` from the key as a string to its clicks.
 *
 * The string is the key's bytes, one character each, with the lengths: one call makes it, and it needs
 * half the memory of a string with wider characters. A friendlier string for each field would be slower.
 */
import {
  AD_ID_BYTES_MAX,
  COUNTRY_BYTES_MAX,
  DEVICE_BYTES_MAX,
  INVALID_REASON_BYTES_MAX,
} from "../../wire/limits.ts";
import type { GroupBy } from "./group-by.ts";

const BYTES_MAX = [
  AD_ID_BYTES_MAX,
  COUNTRY_BYTES_MAX,
  DEVICE_BYTES_MAX,
  INVALID_REASON_BYTES_MAX,
] as const;

export function createMapGroupBy(): GroupBy {
  const windows = new Map<number, Map<string, number>>();
  return {
    add({ body, rows }) {
      const bytes = Buffer.from(body.buffer, body.byteOffset, body.length);
      let at = 0;
      for (let row = 0; row < rows; row++) {
        const windowStartSeconds = bytes.readUInt32LE(at);
        const keyStart = at + 4;
        at = keyStart;
        for (const bytesMax of BYTES_MAX) {
          const length = bytes[at]!;
          if (length > bytesMax) throw new Error(`a string of ${length} bytes`);
          at += 1 + length;
        }
        const key = bytes.toString("latin1", keyStart, at);
        const clicks = bytes.readUInt32LE(at);
        at += 4;
        let counts = windows.get(windowStartSeconds);
        if (counts === undefined) {
          counts = new Map();
          windows.set(windowStartSeconds, counts);
        }
        counts.set(key, (counts.get(key) ?? 0) + clicks);
      }
      if (at !== bytes.length) throw new Error("bytes are left over");
    },

    tell(tally) {
      for (const [windowStartSeconds, counts] of windows) {
        for (const [key, clicks] of counts) {
          tally.add(Buffer.from(key, "latin1"), 0, windowStartSeconds, clicks);
        }
      }
    },
  };
}
