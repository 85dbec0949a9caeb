/** Bodies and answers as runs of bytes: in and out of their encodings, and read in part. */
import type { ServerResponse } from "node:http";
import type { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import {
  constants,
  createBrotliCompress,
  createBrotliDecompress,
  createDeflate,
  createGunzip,
  createGzip,
  createInflate,
  createZstdCompress,
  createZstdDecompress,
} from "node:zlib";
import { refusal } from "./engine-error.ts";
import { COMPRESSION_LEVEL } from "./limits.ts";
import type { Encoding } from "./request-head.ts";

const DECODERS: Readonly<Record<Encoding, (() => Transform) | null>> = {
  identity: null,
  gzip: createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
  zstd: createZstdDecompress,
};
/** What encodes an answer; nothing for identity. */
export const ENCODERS: Readonly<Record<Encoding, (() => Transform) | null>> = {
  identity: null,
  gzip: () => createGzip({ level: COMPRESSION_LEVEL }),
  deflate: () => createDeflate({ level: COMPRESSION_LEVEL }),
  br: () =>
    createBrotliCompress({ params: { [constants.BROTLI_PARAM_QUALITY]: COMPRESSION_LEVEL } }),
  zstd: () =>
    createZstdCompress({ params: { [constants.ZSTD_c_compressionLevel]: COMPRESSION_LEVEL } }),
};

/** A body without its encoding. Throws QueryFailure 400 when it is not in it. */
export async function* decoded(request: Readable, encoding: Encoding): AsyncGenerator<Buffer> {
  const decoder = DECODERS[encoding]?.();
  if (decoder === undefined) {
    yield* request as AsyncIterable<Buffer>;
    return;
  }
  const piped = pipeline(request, decoder);
  // The reader below sees the same error.
  piped.catch(() => {});
  try {
    yield* decoder as AsyncIterable<Buffer>;
  } catch (error) {
    throw refusal(354, "ZLIB_INFLATE_FAILED", 400, `The body is not ${encoding}: ${String(error)}`);
  }
}

/** At least `byteCount` bytes, or all of them. */
export async function readUpTo(
  source: AsyncGenerator<Buffer>,
  byteCount: number,
): Promise<{ bytes: Buffer; ended: boolean }> {
  const chunks: Buffer[] = [];
  let length = 0;
  while (length < byteCount) {
    // oxlint-disable-next-line no-await-in-loop
    const next = await source.next();
    if (next.done) return { bytes: Buffer.concat(chunks), ended: true };
    chunks.push(next.value);
    length += next.value.length;
  }
  return { bytes: Buffer.concat(chunks), ended: false };
}

export async function* concat(first: Uint8Array, rest: AsyncIterable<Uint8Array>) {
  if (first.length > 0) yield first;
  yield* rest;
}

/**
 * Cuts off a reader that takes nothing for so long while bytes wait for it. A pause between two chunks of a
 * slow query is no stall: the timer of an idle socket runs then too, and starts anew with the next chunk.
 */
export function cutOffStalled(response: ServerResponse, stallMsMax: number): void {
  response.setTimeout(stallMsMax, () => {
    if (response.writableLength > 0) response.destroy();
  });
}
