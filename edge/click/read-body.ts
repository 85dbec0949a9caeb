/** A request's body as text, under a limit, inflated whole before anything looks at it. */
import { BODY_BYTES_MAX } from "../../wire/limits.ts";
import { INFLATE_SLICE_BYTES } from "../limits.ts";
import { problem } from "./parse-envelope.ts";
import type { Problem } from "./parse-envelope.ts";

/** The longest content type that is in use has 73 characters. */
const HEADER_SHOWN_CHARACTERS = 100;

const TYPES: readonly string[] = ["application/json", "text/plain"];

export async function readBody(request: Request): Promise<string | Problem> {
  const type = (request.headers.get("content-type") ?? "application/json")
    .split(";")[0]!
    .trim()
    .toLowerCase();
  if (!TYPES.includes(type)) {
    return problem(
      415,
      "unsupported_type",
      `content-type ${shown(type)} is not read here: send application/json (text/plain from sendBeacon is read as JSON too)`,
    );
  }
  const encoding = (request.headers.get("content-encoding") ?? "identity").trim().toLowerCase();
  if (encoding !== "identity" && encoding !== "gzip") {
    return problem(
      415,
      "unsupported_encoding",
      `content-encoding ${shown(encoding)} is not read here: send gzip or nothing`,
    );
  }
  // A body that says how long it is needs not be read to be refused.
  if (Number(request.headers.get("content-length") ?? 0) > BODY_BYTES_MAX) return tooLarge();
  try {
    const body = request.body ?? new Blob([]).stream();
    const bytes = await collect(encoding === "gzip" ? inflated(body) : body);
    if (bytes === null) return tooLarge();
    if (bytes.length === 0) {
      return problem(400, "empty_body", `the body is empty: send {"sent_at":…,"clicks":[…]}`);
    }
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: false }).decode(bytes);
  } catch (error) {
    const what = encoding === "gzip" ? "one whole gzip member of UTF-8" : "UTF-8";
    return problem(
      400,
      "unreadable_body",
      `the body is not what its headers say (${(error as Error).message}): send ${what}`,
    );
  }
}

/** Of a header that may be long, as much as an answer repeats. */
function shown(text: string): string {
  return text.length > HEADER_SHOWN_CHARACTERS
    ? `${text.slice(0, HEADER_SHOWN_CHARACTERS)}…`
    : text;
}

function tooLarge(): Problem {
  return problem(
    413,
    "too_large",
    `the body has more than ${BODY_BYTES_MAX} bytes, inflated: send fewer clicks in one request`,
  );
}

/**
 * The runtime inflates all of what is written at once, whoever reads: in slices, a bomb is noticed
 * before it has grown.
 */
function inflated(body: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
  const slices = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      for (let at = 0; at < chunk.length; at += INFLATE_SLICE_BYTES) {
        controller.enqueue(chunk.subarray(at, at + INFLATE_SLICE_BYTES));
      }
    },
  });
  return body.pipeThrough(slices).pipeThrough(new DecompressionStream("gzip"));
}

/** All bytes, or null as soon as there are more than the limit. */
async function collect(body: ReadableStream<Uint8Array>): Promise<Uint8Array | null> {
  const source = body.getReader();
  const chunks: Uint8Array[] = [];
  let byteCount = 0;
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
