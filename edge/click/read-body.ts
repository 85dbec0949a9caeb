/** A request's body as text, under a limit, inflated whole before anything looks at it. */
import { BODY_BYTES_MAX } from "../../wire/limits.ts";
import type { Problem } from "./parse-envelope.ts";

const TYPES: readonly string[] = ["application/json", "text/plain"];

export async function readBody(request: Request): Promise<string | Problem> {
  const type = (request.headers.get("content-type") ?? "application/json")
    .split(";")[0]!
    .trim()
    .toLowerCase();
  if (!TYPES.includes(type)) {
    return {
      status: 415,
      code: "unsupported_type",
      detail: `content-type ${type}: send application/json (text/plain from sendBeacon is read as JSON too)`,
    };
  }
  const encoding = (request.headers.get("content-encoding") ?? "identity").trim().toLowerCase();
  if (encoding !== "identity" && encoding !== "gzip") {
    return {
      status: 415,
      code: "unsupported_encoding",
      detail: `content-encoding ${encoding}: send gzip or nothing`,
    };
  }
  if (request.body === null) {
    return {
      status: 400,
      code: "empty_body",
      detail: `the body is empty: send {"sent_at":…,"clicks":[…]}`,
    };
  }
  try {
    const stream =
      encoding === "gzip"
        ? request.body.pipeThrough(new DecompressionStream("gzip"))
        : request.body;
    const bytes = await collect(stream);
    if (bytes === null) {
      return {
        status: 413,
        code: "too_large",
        detail: `the body has more than ${BODY_BYTES_MAX} bytes: send fewer clicks`,
      };
    }
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: false }).decode(bytes);
  } catch (error) {
    const what = encoding === "gzip" ? "complete gzip of UTF-8" : "UTF-8";
    return {
      status: 400,
      code: "unreadable_body",
      detail: `the body is not ${what}: ${(error as Error).message}`,
    };
  }
}

/** All bytes, or null as soon as there are more than the limit. */
async function collect(stream: ReadableStream<Uint8Array>): Promise<Uint8Array | null> {
  const chunks: Uint8Array[] = [];
  let byteCount = 0;
  const source = stream.getReader();
  for (;;) {
    const { done, value } = await source.read();
    if (done) break;
    byteCount += value.byteLength;
    if (byteCount > BODY_BYTES_MAX) {
      await source.cancel();
      return null;
    }
    chunks.push(value);
  }
  const bytes = new Uint8Array(byteCount);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.byteLength;
  }
  return bytes;
}
