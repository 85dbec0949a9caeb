/** Lines of a CSV, TSV or NDJSON log become rows: the values of the wanted columns, or why there are none. */
import { CsvError } from "csv-parse";
import { parse } from "csv-parse/sync";
import type { Line } from "./log-lines.ts";
import { UsageError } from "./usage-error.ts";

export type LogFormat = "csv" | "tsv" | "ndjson";

/** A row, numbered by its first line. Values stand in the order of the wanted columns. */
export type LogRow =
  | { readonly line: number; readonly values: readonly string[] }
  | { readonly line: number; readonly bad: string };

export interface RowReader {
  /** Throws UsageError where the log has no column of a wanted name. */
  push(line: Line): LogRow[];
  end(): LogRow[];
}

/**
 * Lines that one quoted field may span. A quote that is never closed would otherwise swallow the
 * rest of the file; this way it costs one row.
 */
export const RECORD_LINES_MAX = 10;

/** Columns that an error message lists; a wide file is still one screen. */
const COLUMNS_LISTED_MAX = 50;

export function rowReader(
  format: LogFormat,
  wanted: readonly string[],
  delimiter: string | null,
): RowReader {
  return format === "ndjson"
    ? new NdjsonRows(wanted)
    : new CsvRows(wanted, delimiter ?? (format === "tsv" ? "\t" : ","));
}

class CsvRows implements RowReader {
  private readonly wanted: readonly string[];
  private readonly delimiter: string;
  private header: readonly string[] | null = null;
  private places: readonly number[] = [];
  /** Lines of a record whose quote is still open. */
  private held: { readonly line: number; readonly text: string }[] = [];

  constructor(wanted: readonly string[], delimiter: string) {
    this.wanted = wanted;
    this.delimiter = delimiter;
  }

  push(line: Line): LogRow[] {
    if ("bad" in line) {
      const rows = this.end();
      if (this.header === null)
        throw new UsageError(`the header, line ${line.line}, is ${line.bad}`);
      return [...rows, line];
    }
    if (this.held.length === 0) {
      if (line.text === "") return [];
      // Without a quote a record is its delimiters; most logs have none, and this is 20 times as fast.
      if (!line.text.includes('"')) return this.row(line.line, line.text.split(this.delimiter));
    }
    this.held.push(line);
    return this.resolve(false);
  }

  end(): LogRow[] {
    return this.held.length === 0 ? [] : this.resolve(true);
  }

  /** Makes a row of the held lines, or waits for more, or gives the first one up and looks at the rest again. */
  private resolve(final: boolean): LogRow[] {
    const first = this.held[0]!;
    const parsed = this.parseRecord(this.held.map((l) => l.text).join("\n"));
    const isOpen = !Array.isArray(parsed) && parsed.code === "CSV_QUOTE_NOT_CLOSED";
    if (isOpen && !final && this.held.length < RECORD_LINES_MAX) return [];
    const fault = Array.isArray(parsed) ? this.spanFault(parsed) : quoteFault(parsed.code);
    const rest = this.held.slice(1);
    this.held = [];
    if (fault === null) return this.row(first.line, parsed as string[]);
    if (this.header === null) throw new UsageError(`the header is not CSV: ${fault}`);
    const rows: LogRow[] = [{ line: first.line, bad: fault }];
    for (const line of rest) rows.push(...this.push(line));
    if (final) rows.push(...this.end());
    return rows;
  }

  /**
   * Why a record over several held lines is none, or null. Two stray quotes make good rows between them
   * look like one field: what is then wrong is the number of fields, or a mapped column, since no ad,
   * time or user has a line break.
   */
  private spanFault(fields: readonly string[]): string | null {
    const lineCount = this.held.length;
    if (lineCount === 1) return null;
    const joined = `a quote makes ${lineCount} lines one row`;
    if (this.header === null) return joined;
    if (fields.length !== this.header.length) return `${joined}: ${this.countFault(fields)}`;
    const broken = this.places.find((place) => fields[place]!.includes("\n"));
    return broken === undefined ? null : `${joined}, with a line break in ${this.header[broken]!}`;
  }

  private parseRecord(text: string): string[] | CsvError {
    try {
      const records = parse(text, {
        delimiter: this.delimiter,
        relax_column_count: true,
        record_delimiter: "\n",
      });
      return records[0] ?? [];
    } catch (error) {
      if (error instanceof CsvError) return error;
      throw error;
    }
  }

  private row(line: number, fields: readonly string[]): LogRow[] {
    if (this.header === null) {
      this.header = fields.map((name) => name.trim());
      this.places = this.wanted.map((name) => columnPlace(this.header!, name));
      return [];
    }
    if (fields.length !== this.header.length) {
      // Also where the wanted columns exist: a delimiter too many has moved the others.
      return [{ line, bad: this.countFault(fields) }];
    }
    return [{ line, values: this.places.map((place) => fields[place]!) }];
  }

  private countFault(fields: readonly string[]): string {
    return `${fields.length} fields, the header has ${this.header!.length}`;
  }
}

function columnPlace(header: readonly string[], name: string): number {
  const place = header.indexOf(name);
  if (place < 0) throw new UsageError(`no column "${name}"; the log has: ${listed(header)}`);
  if (header.indexOf(name, place + 1) >= 0) {
    throw new UsageError(`the header has more than one column "${name}"`);
  }
  return place;
}

function quoteFault(code: string): string {
  return code === "CSV_QUOTE_NOT_CLOSED" ? "a quote is not closed" : "a quote is out of place";
}

/** With the context that engines give a reviver and ES2024's types do not know. */
const parseJson = JSON.parse as (
  text: string,
  reviver: (key: string, value: unknown, context: { readonly source?: string }) => unknown,
) => unknown;

const PLAIN_NUMBER = /^-?\d+(\.\d+)?$/;

/**
 * Numbers as the log writes them: above 2^53 a number cannot tell neighbours apart, and two ads would
 * be one. Only `1.5e12` and its like are written out, where that is exact.
 */
function numbersAsText(_: string, value: unknown, context: { readonly source?: string }): unknown {
  if (typeof value !== "number") return value;
  const source = context.source!;
  return PLAIN_NUMBER.test(source) || !Number.isSafeInteger(value) ? source : String(value);
}

class NdjsonRows implements RowReader {
  private readonly wanted: readonly string[];
  private first = true;

  constructor(wanted: readonly string[]) {
    this.wanted = wanted;
  }

  push(line: Line): LogRow[] {
    if ("bad" in line) return [line];
    if (line.text.trim() === "") return [];
    return [this.row(line.line, line.text)];
  }

  end(): LogRow[] {
    return [];
  }

  private row(line: number, text: string): LogRow {
    let value: unknown;
    try {
      value = parseJson(text, numbersAsText);
    } catch {
      return { line, bad: "not JSON" };
    }
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      return { line, bad: "not a JSON object" };
    }
    const fields = value as Readonly<Record<string, unknown>>;
    const missing = this.wanted.find((name) => !Object.hasOwn(fields, name));
    if (missing !== undefined) {
      const reason = `no "${missing}"; it has: ${listed(Object.keys(fields))}`;
      // The first object stands for all: a wrong name in a flag should not fail once per line.
      if (this.first) throw new UsageError(`line ${line} has ${reason}`);
      return { line, bad: reason };
    }
    this.first = false;
    const values: string[] = [];
    for (const name of this.wanted) {
      const cell = fields[name];
      if (typeof cell === "object" && cell !== null) {
        return { line, bad: `"${name}" is not text or a number` };
      }
      values.push(typeof cell === "string" ? cell : cell === null ? "" : JSON.stringify(cell));
    }
    return { line, values };
  }
}

function listed(names: readonly string[]): string {
  const more = names.length - COLUMNS_LISTED_MAX;
  return names.slice(0, COLUMNS_LISTED_MAX).join(", ") + (more > 0 ? ` and ${more} more` : "");
}
