/** What an answer says about itself: headers, figures, and an error that comes after the first rows. */

import { DISPLAY_NAME_HEADER, EMBEDDED_DISPLAY_NAME } from "./display-name.ts";

/**
 * On every answer.
 * @param mayShare whether a page of another origin has asked, and may read the answer
 */
export function serverHeaders(mayShare: boolean): Record<string, string> {
  return {
    [DISPLAY_NAME_HEADER]: EMBEDDED_DISPLAY_NAME,
    // A server's own configuration adds these to answers that a browser has asked for.
    ...(mayShare ? CORS_HEADERS : {}),
  };
}

/** `http_options_response` of the configuration that a server is shipped with. */
export const CORS_HEADERS: Readonly<Record<string, string>> = {
  "Access-Control-Allow-Origin": "*",
  "Access-Control-Allow-Headers":
    "origin, x-requested-with, x-clickhouse-format, x-clickhouse-user, x-clickhouse-key, Authorization",
  "Access-Control-Allow-Methods": "POST, GET, OPTIONS",
  "Access-Control-Max-Age": "86400",
};

/** The media type of a result. */
export function contentType(format: string): string {
  if (/^(JSON.*EachRow|JSONLines|NDJSON)/.test(format))
    return "application/x-ndjson; charset=UTF-8";
  if (format.startsWith("JSON")) return "application/json; charset=UTF-8";
  if (/^(TabSeparated|TSV)/.test(format)) return "text/tab-separated-values; charset=UTF-8";
  if (format.startsWith("CSV")) {
    return `text/csv; charset=UTF-8; header=${format.includes("WithNames") ? "present" : "absent"}`;
  }
  if (/Binary|Native|Arrow|Parquet|ORC|Avro/.test(format)) return "application/octet-stream";
  return "text/plain; charset=UTF-8";
}

/** Only figures that the engine gives; as strings, because a server sends them so. */
export function summaryText(figures: Readonly<Record<string, number>>): string {
  return JSON.stringify(
    Object.fromEntries(Object.entries(figures).map(([name, value]) => [name, String(value)])),
  );
}

/** A server's tags: 16 lower-case letters, new for each answer, so that no row can hold one. */
export function exceptionTag(randomBytes: Uint8Array): string {
  return [...randomBytes].map((byte) => String.fromCharCode(97 + (byte % 26))).join("");
}
export const EXCEPTION_TAG_LENGTH = 16;

/**
 * An error after the first rows, as servers write it since 25.11:
 * `\r\n__exception__\r\n<tag>\r\n<message>\n<length of message and line end> <tag>\r\n__exception__\r\n`.
 */
export function exceptionFrame(tag: string, message: string): string {
  const text = `${message}\n`;
  const byteCount = Buffer.byteLength(text);
  return `\r\n__exception__\r\n${tag}\r\n${text}${byteCount} ${tag}\r\n__exception__\r\n`;
}
