/** A request's body as text, under a limit, inflated whole before anything looks at it. */
import { gunzipSync } from "node:zlib";
import { joinBytes, utf8 } from "../../wire/cursor.ts";
import { BODY_BYTES_MAX } from "../../wire/limits.ts";
import { HEADER_SHOWN_CHARACTERS_MAX, REFUSED_BODY_BYTES_MAX } from "../limits.ts";
import { problem } from "./parse-envelope.ts";
import type { Problem } from "./parse-envelope.ts";

const TYPES: readonly string[] = ["application/json", "text/plain"];

export function readBody(request: Request): Promise<string | Problem> {
  const { headers } = request;
  const type = headers.get("content-type");
  if (type !== null && !TYPES.includes(type) && !TYPES.includes(essenceOf(type))) {
    const detail = `content-type ${shown(essenceOf(type))} is not read here: send application/json (text/plain from sendBeacon is read as JSON too)`;
    return refuseUnread(request, problem(415, "unsupported_type", detail));
  }
  const encoding = headers.get("content-encoding")?.trim().toLowerCase() ?? "identity";
  if (encoding !== "identity" && encoding !== "gzip") {
    const detail = `content-encoding ${shown(encoding)} is not read here: send gzip or nothing`;
    return refuseUnread(request, problem(415, "unsupported_encoding", detail));
  }
  const length = headers.get("content-length");
  if (Number(length ?? 0) > BODY_BYTES_MAX) return refuseUnread(request, tooLarge());
  // In one call where its length is known, which is a third of what a single click costs (bench:edge).
  if (length !== null && encoding === "identity") return wholeText(request, Number(length));
  return decodedText(request, encoding, length !== null);
}

/** A media type without its parameters. */
function essenceOf(type: string): string {
  return type.split(";")[0]!.trim().toLowerCase();
}

async function decodedText(
  request: Request,
  encoding: "identity" | "gzip",
  isLengthKnown: boolean,
): Promise<string | Problem> {
  try {
    const sent = isLengthKnown ? await bytesOf(request) : await collect(request.body);
    if (sent === null || sent.length > BODY_BYTES_MAX) return tooLarge();
    const bytes = encoding === "gzip" ? gunzipSync(sent, INFLATE_OPTIONS) : sent;
    return bytes.length === 0 ? empty() : decoder.decode(bytes);
  } catch (error) {
    // What zlib throws at its limit, and nothing else here.
    if (error instanceof RangeError) return tooLarge();
    return unreadable(
      (error as Error).message,
      encoding === "gzip" ? "whole gzip of UTF-8" : "UTF-8",
    );
  }
}

/** What stands for bytes that are no UTF-8 (WHATWG Encoding), and may have been sent itself. */
const REPLACEMENT = "\uFFFD";

/**
 * A body of known length. The platform reads text in less time than bytes (4 % of what a single click costs), and
 * where bytes are no UTF-8 it puts a mark of three bytes: then the text is longer than the body, unless the mark was
 * sent. Only what loses nothing passes for it: three bytes of a character of four, or as many as a byte order mark
 * has. No id can have that mark.
 */
async function wholeText(request: Request, byteCount: number): Promise<string | Problem> {
  let text: string;
  try {
    text = await request.text();
  } catch (error) {
    return unreadable((error as Error).message, "UTF-8");
  }
  if (text.includes(REPLACEMENT) && utf8(text).length > byteCount) {
    return unreadable("it is no UTF-8", "UTF-8");
  }
  // Characters, of which there are no more than bytes: for a length that lies.
  if (text.length > BODY_BYTES_MAX) return tooLarge();
  return text === "" ? empty() : text;
}

/**
 * Refuses a body of which nothing has been read. It is taken first, and dropped, as far as REFUSED_BODY_BYTES_MAX:
 * who is still sending when the connection is closed does not hear the answer (of 40 bodies of 4 MB, 22 did not).
 */
async function refuseUnread(request: Request, refusal: Problem): Promise<Problem> {
  const length = Number(request.headers.get("content-length") ?? 0);
  if (request.body !== null && length <= REFUSED_BODY_BYTES_MAX) {
    await dropRest(request.body.getReader(), 0);
  }
  return refusal;
}

/** Reads what is left of a refused body, of which `byteCount` bytes have come. A sender that is gone hears nothing anyway. */
async function dropRest(
  source: ReadableStreamDefaultReader<Uint8Array>,
  byteCount: number,
): Promise<void> {
  try {
    while (byteCount <= REFUSED_BODY_BYTES_MAX) {
      // oxlint-disable-next-line no-await-in-loop
      const { done, value } = await source.read();
      if (done) return;
      byteCount += value.byteLength;
    }
    await source.cancel();
  } catch {
    // The connection broke.
  }
}

async function bytesOf(request: Request): Promise<Uint8Array> {
  return new Uint8Array(await request.arrayBuffer());
}

/** Holds nothing from one call to the next, so all requests share it. */
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: false });

/**
 * In one call that stops at the limit. A DecompressionStream inflates ahead of whoever reads it: sixteen
 * bombs of 900 MB took 1.1 GB in workerd before they were refused.
 */
const INFLATE_OPTIONS = { maxOutputLength: BODY_BYTES_MAX };

/** Of a header that may be long, as much as an answer repeats. */
function shown(text: string): string {
  const isLong = text.length > HEADER_SHOWN_CHARACTERS_MAX;
  return isLong ? `${text.slice(0, HEADER_SHOWN_CHARACTERS_MAX)}…` : text;
}

function empty(): Problem {
  return problem(400, "empty_body", `the body is empty: send {"sent_at":…,"clicks":[…]}`);
}

function unreadable(why: string, what: string): Problem {
  const detail = `the body is not what its headers say (${why}): send ${what}`;
  return problem(400, "unreadable_body", detail);
}

function tooLarge(): Problem {
  return problem(
    413,
    "too_large",
    `the body has more than ${BODY_BYTES_MAX} bytes, compressed or inflated: send fewer clicks in one request`,
  );
}

/** All bytes as they were sent, or null as soon as there are more than the limit. */
async function collect(body: ReadableStream<Uint8Array> | null): Promise<Uint8Array | null> {
  if (body === null) return new Uint8Array(0);
  const source = body.getReader();
  const chunks: Uint8Array[] = [];
  let byteCount = 0;
  for (;;) {
    const { done, value } = await source.read();
    if (done) break;
    byteCount += value.byteLength;
    if (byteCount > BODY_BYTES_MAX) {
      await dropRest(source, byteCount);
      return null;
    }
    chunks.push(value);
  }
  return joinBytes(chunks);
}
