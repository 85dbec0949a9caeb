/** Bytes of a log become numbered lines, one chunk at a time, whatever the bytes are. */

/** A click record is under 1 KB; a longer line is not a log's, and must not fill the memory. */
export const LINE_BYTES_MAX = 65_536;

/** A line without its end, or why it is none. Numbers count from 1, as editors do. */
export type Line =
  | { readonly line: number; readonly text: string }
  | { readonly line: number; readonly bad: string };

const LF = 10;
const CR = 13;
const BOM = "\uFEFF";

export class LineSplitter {
  private readonly decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  private line = 1;
  private parts: Uint8Array[] = [];
  private heldBytes = 0;
  /** The current line is over the limit: its bytes are dropped up to its end. */
  private tooLong = false;

  /** The lines that end in `chunk`. The chunk is not needed afterwards. */
  push(chunk: Uint8Array): Line[] {
    const lines: Line[] = [];
    let start = 0;
    for (let end = chunk.indexOf(LF); end >= 0; end = chunk.indexOf(LF, start)) {
      this.hold(chunk.subarray(start, end));
      lines.push(this.finish());
      start = end + 1;
    }
    // A copy, because the stream may use the chunk's memory again.
    this.hold(chunk.slice(start));
    return lines;
  }

  /** The last line, where the file does not end with a line end. */
  end(): Line[] {
    return this.heldBytes > 0 || this.tooLong ? [this.finish()] : [];
  }

  private hold(bytes: Uint8Array): void {
    if (this.tooLong || bytes.length === 0) return;
    if (this.heldBytes + bytes.length > LINE_BYTES_MAX) {
      this.tooLong = true;
      this.parts = [];
      this.heldBytes = 0;
      return;
    }
    this.parts.push(bytes);
    this.heldBytes += bytes.length;
  }

  private finish(): Line {
    const line = this.line++;
    const bytes = this.parts.length === 1 ? this.parts[0]! : Buffer.concat(this.parts);
    const tooLong = this.tooLong;
    this.parts = [];
    this.heldBytes = 0;
    this.tooLong = false;
    if (tooLong) return { line, bad: `longer than ${LINE_BYTES_MAX} bytes` };
    try {
      const text = this.decoder.decode(bytes.at(-1) === CR ? bytes.subarray(0, -1) : bytes);
      return { line, text: line === 1 && text.startsWith(BOM) ? text.slice(1) : text };
    } catch {
      return { line, bad: "not UTF-8" };
    }
  }
}
