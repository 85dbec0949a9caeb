/**
 * Reads the answers of one keep-alive connection out of its bytes, however they are cut: HTTP/1.1 as workerd sends
 * it, with a content-length or chunked. A client that knows more would take the CPU of what is measured.
 */

/** @param body a view, gone after the call */
export type OnResponse = (status: number, body: Uint8Array) => void;

/** A head of ours has 200 bytes; what is longer is no answer of the edge. */
const HEAD_BYTES_MAX = 16_384;
const HEAD_END = "\r\n\r\n";
const LINE_END = "\r\n";

interface Read {
  readonly status: number;
  readonly body: Buffer;
  /** Where the next response begins. */
  readonly end: number;
}

export class ResponseReader {
  readonly #onResponse: OnResponse;
  /** Bytes of a response that has not come whole. */
  #rest: Buffer = Buffer.alloc(0);

  constructor(onResponse: OnResponse) {
    this.#onResponse = onResponse;
  }

  /** @throws Error for bytes that are no response, or one whose end only the connection's end would tell */
  push(bytes: Buffer): void {
    let rest = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    for (let read = readResponse(rest); read !== null; read = readResponse(rest)) {
      rest = rest.subarray(read.end);
      // Interim answers (1xx) are followed by the real one.
      if (read.status >= 200) this.#onResponse(read.status, read.body);
    }
    this.#rest = rest;
  }
}

/** Null while it is not whole. */
function readResponse(bytes: Buffer): Read | null {
  const headEnd = bytes.indexOf(HEAD_END);
  if (headEnd === -1) {
    if (bytes.length > HEAD_BYTES_MAX) throw new Error("a response's head has no end");
    return null;
  }
  const head = bytes.toString("latin1", 0, headEnd);
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1]);
  if (Number.isNaN(status)) throw new Error(`this is no HTTP/1.1 response: ${head.slice(0, 80)}`);
  const bodyStart = headEnd + HEAD_END.length;
  if (status < 200 || status === 204 || status === 304) {
    return { status, body: bytes.subarray(bodyStart, bodyStart), end: bodyStart };
  }
  if (/\r\ntransfer-encoding: *chunked/i.test(head)) return readChunked(bytes, bodyStart, status);
  const length = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1]);
  if (Number.isNaN(length)) throw new Error(`a response of unknown length: ${head.slice(0, 200)}`);
  const end = bodyStart + length;
  return bytes.length < end ? null : { status, body: bytes.subarray(bodyStart, end), end };
}

function readChunked(bytes: Buffer, bodyStart: number, status: number): Read | null {
  const parts: Buffer[] = [];
  for (let at = bodyStart; ;) {
    const lineEnd = bytes.indexOf(LINE_END, at);
    if (lineEnd === -1) return null;
    const line = bytes.toString("latin1", at, lineEnd);
    const size = Number.parseInt(line, 16);
    if (!/^[\da-f]+ *(;|$)/i.test(line)) throw new Error(`a chunk's size is ${line.slice(0, 80)}`);
    const start = lineEnd + LINE_END.length;
    if (size === 0) {
      const end = trailersEnd(bytes, start);
      return end === null ? null : { status, body: Buffer.concat(parts), end };
    }
    at = start + size + LINE_END.length;
    if (bytes.length < at) return null;
    parts.push(bytes.subarray(start, start + size));
  }
}

/** Trailers end with an empty line; there may be none. */
function trailersEnd(bytes: Buffer, start: number): number | null {
  for (let at = start; ;) {
    const lineEnd = bytes.indexOf(LINE_END, at);
    if (lineEnd === -1) return null;
    if (lineEnd === at) return lineEnd + LINE_END.length;
    at = lineEnd + LINE_END.length;
  }
}
