/** Reads a log from disk, a chunk at a time: the file is never held whole. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { extname } from "node:path";
import { LineSplitter } from "./log-lines.ts";
import { logClick, wantedColumns } from "./log-click.ts";
import type { BadRow, LogClick, Mapping } from "./log-click.ts";
import { rowReader } from "./log-rows.ts";
import type { LogFormat } from "./log-rows.ts";
import { UsageError } from "./usage-error.ts";

export interface Log {
  readonly path: string;
  readonly format: LogFormat;
  /** Null for the format's own. */
  readonly delimiter: string | null;
}

/** What the first pass over a log finds out. */
export interface Scan {
  /** SHA-256 of the file's bytes, hex: the second pass must find the same. */
  readonly fileHash: string;
  /** SHA-256 of the file's bytes and of `run`, hex. */
  readonly contentHash: string;
  readonly clicks: number;
  readonly badRows: number;
  /** Over the good rows; 0 where there are none. */
  readonly firstMs: number;
  readonly lastMs: number;
}

const FORMAT_OF: Readonly<Record<string, LogFormat>> = {
  ".csv": "csv",
  ".tsv": "tsv",
  ".ndjson": "ndjson",
  ".jsonl": "ndjson",
};

/** Checks that `path` is a log we can read; every other case is a UsageError in plain words. */
export async function openLog(
  path: string,
  format: LogFormat | null,
  delimiter: string | null,
): Promise<Log> {
  const byName = FORMAT_OF[extname(path).toLowerCase()];
  const chosen = format ?? byName;
  if (chosen === undefined) {
    throw new UsageError(
      `${path}: the name does not say what it is; add --format csv, tsv or ndjson`,
    );
  }
  const file = await open(path).catch((error: NodeJS.ErrnoException) => {
    throw new UsageError(
      error.code === "ENOENT" ? `no such file: ${path}` : `cannot read ${path}: ${error.message}`,
    );
  });
  try {
    const stat = await file.stat();
    if (!stat.isFile()) throw new UsageError(`${path} is not a file`);
    if (stat.size === 0) throw new UsageError(`${path} is empty`);
    const head = Buffer.alloc(4);
    await file.read(head, 0, 4, 0);
    const encoding = strangeEncoding(head);
    if (encoding !== null)
      throw new UsageError(`${path} is ${encoding}; convert it to plain UTF-8 first`);
    return { path, format: chosen, delimiter };
  } finally {
    await file.close();
  }
}

function strangeEncoding(head: Uint8Array): string | null {
  if (head[0] === 0x1f && head[1] === 0x8b) return "gzip-compressed";
  if ((head[0] === 0xff && head[1] === 0xfe) || (head[0] === 0xfe && head[1] === 0xff))
    return "UTF-16";
  if (head[0] === 0x50 && head[1] === 0x4b) return "a zip archive";
  return null;
}

/** Reads the whole log once: what it holds, and its name for click ids. */
export async function scanLog(log: Log, mapping: Mapping, run: string): Promise<Scan> {
  const hash = createHash("sha256");
  let clicks = 0;
  let badRows = 0;
  let firstMs = Infinity;
  let lastMs = -Infinity;
  for await (const part of readLog(log, mapping, (chunk) => hash.update(chunk))) {
    for (const item of part) {
      if ("bad" in item) {
        badRows++;
        continue;
      }
      clicks++;
      firstMs = Math.min(firstMs, item.timeMs);
      lastMs = Math.max(lastMs, item.timeMs);
    }
  }
  const fileHash = hash.copy().digest("hex");
  if (run !== "") hash.update(`\n${run}`);
  return {
    fileHash,
    contentHash: hash.digest("hex"),
    clicks,
    badRows,
    firstMs: clicks > 0 ? firstMs : 0,
    lastMs: clicks > 0 ? lastMs : 0,
  };
}

/** The log's clicks and bad rows, in the file's order. */
export async function* readLog(
  log: Log,
  mapping: Mapping,
  onChunk: (chunk: Uint8Array) => void = () => {},
): AsyncGenerator<(LogClick | BadRow)[]> {
  const splitter = new LineSplitter();
  const reader = rowReader(log.format, wantedColumns(mapping), log.delimiter);
  for await (const chunk of createReadStream(log.path)) {
    const bytes = chunk as Uint8Array;
    onChunk(bytes);
    const rows = splitter.push(bytes).flatMap((line) => reader.push(line));
    yield rows.map((row) => logClick(mapping, row));
  }
  const rows = [...splitter.end().flatMap((line) => reader.push(line)), ...reader.end()];
  yield rows.map((row) => logClick(mapping, row));
}
