/** Set-aside messages in words, tables and hex dumps for a terminal, and as JSON for programs. */
import { guessOrigin, kindOf, readPrefix } from "../../wire/block.ts";
import { hashText } from "../../wire/hash.ts";
import type { Letter, LetterHead } from "../source/dead-letters.ts";
import { isCut } from "./dead-letter.ts";

/** A reason keeps so many characters however narrow the terminal is. */
const REASON_WIDTH_MIN = 20;

/** One line each under a heading, no wider than `widthMax` where that leaves room for a reason. */
export function letterTable(letters: readonly LetterHead[], widthMax: number): string {
  const rows = letters.map((l) => [
    String(l.sequence),
    timeText(l.setAsideMs),
    printable(l.fromSubject),
    printable(l.fromSequence),
    String(l.byteCount),
    printable(l.reason),
  ]);
  const heading = ["sequence", "set aside (UTC)", "subject", "was", "bytes", "reason"];
  const isRight = [true, false, false, true, true, false];
  const widths = heading.map((h, i) => Math.max(h.length, ...rows.map((row) => row[i]!.length)));
  const before = widths.slice(0, -1).reduce((sum, width) => sum + width + 2, 0);
  const reasonMax = Math.max(REASON_WIDTH_MIN, widthMax - before);
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, i) => {
        if (i === cells.length - 1) return cut(cell, reasonMax);
        return isRight[i] ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!);
      })
      .join("  ");
  return [heading, ...rows].map(line).join("\n");
}

function cut(text: string, lengthMax: number): string {
  return text.length <= lengthMax ? text : `${text.slice(0, lengthMax - 1)}…`;
}

/** What is in a message is anybody's, and must not write to a terminal. */
export function printable(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]/g, "?");
}

/** `2026-11-23 10:15:02`. */
export function timeText(timeMs: number): string {
  return new Date(timeMs).toISOString().slice(0, 19).replace("T", " ");
}

/** All about one message, with its first `byteCountMax` bytes. @param fault why it is not read now; null when it is */
export function letterText(letter: Letter, fault: string | null, byteCountMax: number): string {
  const { head } = letter;
  const facts = letterFacts(letter, fault);
  const lines = [
    `sequence    ${head.sequence} of SET_ASIDE`,
    `set aside   ${timeText(head.setAsideMs)} UTC`,
    `from        ${head.stream ?? "no stream of ours"}, subject ${printable(head.fromSubject)}, sequence ${printable(head.fromSequence)}`,
    `reason      ${printable(head.reason)}`,
    `now         ${facts.fault === null ? "this version reads it" : printable(facts.fault)}`,
    "",
    "headers",
    ...letter.headers.map(([name, value]) => `  ${printable(name)}: ${printable(value)}`),
    "",
  ];
  const { prefix } = facts;
  if (prefix === null) lines.push("prefix      none: a block has 24 bytes at least");
  else {
    lines.push("prefix      what it says of itself; nothing of it need be true");
    for (const [name, value] of Object.entries(prefix)) lines.push(`  ${name.padEnd(14)}${value}`);
  }
  if (facts.origin !== null) {
    lines.push("origin");
    for (const [name, value] of Object.entries(facts.origin)) {
      const text = typeof value === "string" ? value : JSON.stringify(value);
      lines.push(`  ${name.padEnd(22)}${cut(printable(text), 200)}`);
    }
  }
  const shown = Math.min(byteCountMax, letter.data.length);
  const cutText = isCut(head) ? `, of which the first ${head.keptByteCount} are kept` : "";
  lines.push("", `bytes       ${shown} of ${head.byteCount}${cutText}`);
  if (shown > 0) lines.push(hexDump(letter.data.subarray(0, shown)));
  return lines.join("\n");
}

export interface LetterFacts {
  /** Why it is not read, as this code sees it now; null when it is. */
  readonly fault: string | null;
  readonly prefix: Readonly<Record<string, string | number>> | null;
  readonly origin: object | null;
}

/** What its own bytes say, as far as they can be read; all of it fit for JSON. */
export function letterFacts({ data }: Letter, fault: string | null): LetterFacts {
  const prefix = readPrefix(data);
  if (prefix === null) return { fault, prefix: null, origin: null };
  const { version, kindCode, checksum, rows, originBytes, bodyBytes } = prefix;
  const kind = kindOf(kindCode) ?? "unknown";
  const origin = guessOrigin(data);
  return {
    fault,
    prefix: {
      version,
      kind: `${kindCode} (${kind})`,
      checksum: hashText(checksum),
      rows,
      origin_bytes: originBytes,
      body_bytes: bodyBytes,
    },
    origin: origin === null ? null : (JSON.parse(JSON.stringify(origin, bigintAsText)) as object),
  };
}

function bigintAsText(_: string, value: unknown): unknown {
  return typeof value === "bigint" ? hashText(value) : value;
}

/** The head of a message as JSON names it. */
export function headJson(letter: LetterHead): object {
  return {
    sequence: letter.sequence,
    set_aside: new Date(letter.setAsideMs).toISOString(),
    stream: letter.stream,
    subject: letter.fromSubject,
    stream_sequence: letter.fromSequence === "" ? null : Number(letter.fromSequence),
    reason: letter.reason,
    bytes: letter.byteCount,
    bytes_kept: letter.keptByteCount,
  };
}

/** Sixteen bytes a line: offset, hex, and the printable ones as text. */
export function hexDump(bytes: Uint8Array): string {
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const part = bytes.subarray(at, at + 16);
    const hex = Array.from(part, (byte) => byte.toString(16).padStart(2, "0"));
    const text = Array.from(part, (byte) =>
      byte >= 32 && byte < 127 ? String.fromCharCode(byte) : ".",
    );
    const left = hex.slice(0, 8).join(" ");
    const columns = `${left.padEnd(23)}  ${hex.slice(8).join(" ").padEnd(23)}`;
    lines.push(`${at.toString(16).padStart(6, "0")}  ${columns}  ${text.join("")}`);
  }
  return lines.join("\n");
}
