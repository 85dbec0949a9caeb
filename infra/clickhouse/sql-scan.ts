/**
 * Just enough of ClickHouse's lexer to find the words of a statement: strings, quoted names, comments
 * and brackets are stepped over, so that a FORMAT inside a literal is never taken for the clause.
 */

export interface Token {
  /** A string may be a heredoc (`$tag$ … $tag$`); a name is one in quotes. */
  readonly kind: "word" | "string" | "name" | "semicolon" | "other";
  /** Upper case for words; a name without its quotes; empty for strings; the character itself otherwise. */
  readonly text: string;
  readonly start: number;
  readonly end: number;
  /** Brackets open at the token; an opening bracket stands at the depth outside it. */
  readonly depth: number;
  /** False when the text ends inside the token: a string, a quoted name or a comment still open. */
  readonly closed: boolean;
}

const WORD = /[A-Za-z_][A-Za-z0-9_$]*/y;
const SKIPPED = /(?:\s+|--[^\n]*|#[ !][^\n]*|\/\*[\s\S]*?\*\/)+/y;
const NUMBER = /[0-9][A-Za-z0-9_.]*/y;
const HEREDOC = /(\$[A-Za-z0-9_]*\$)[\s\S]*?\1/y;
/** Quotes of word processors, which the engine takes: a string and a name, and both as UTF-8 read byte by byte. */
const TYPOGRAPHIC = [
  ["\u2018", "\u2019", "string"],
  ["\u201c", "\u201d", "name"],
  ["\xe2\x80\x98", "\xe2\x80\x99", "string"],
  ["\xe2\x80\x9c", "\xe2\x80\x9d", "name"],
] as const;

/** The tokens of `text` from `from` on, lazily: what follows an INSERT's FORMAT is data and is never read. */
export function* scanTokens(text: string, from = 0): Generator<Token> {
  let at = from;
  let depth = 0;
  for (;;) {
    SKIPPED.lastIndex = at;
    if (SKIPPED.test(text)) at = SKIPPED.lastIndex;
    if (at >= text.length) return;
    const start = at;
    const character = text[at]!;
    WORD.lastIndex = at;
    NUMBER.lastIndex = at;
    if (WORD.test(text)) {
      at = WORD.lastIndex;
      const word = text.slice(start, at).toUpperCase();
      yield { kind: "word", text: word, start, end: at, depth, closed: true };
    } else if (NUMBER.test(text)) {
      at = NUMBER.lastIndex;
      yield { kind: "other", text: "0", start, end: at, depth, closed: true };
    } else if (character === "'" || character === '"' || character === "`") {
      const close = closingQuote(text, at + 1, character);
      at = close === -1 ? text.length : close + 1;
      const kind = character === "'" ? "string" : "name";
      const name = kind === "name" ? unquoted(text.slice(start + 1, at - 1), character) : "";
      yield { kind, text: name, start, end: at, depth, closed: close !== -1 };
    } else if (character === "$" && matchesAt(HEREDOC, text, at)) {
      at = HEREDOC.lastIndex;
      yield { kind: "string", text: "", start, end: at, depth, closed: true };
    } else if (typographicAt(text, at) !== undefined) {
      const [open, close, kind] = typographicAt(text, at)!;
      const inside = at + open.length;
      const end = text.indexOf(close, inside);
      at = end === -1 ? text.length : end + close.length;
      const name = kind === "name" && end !== -1 ? text.slice(inside, end) : "";
      yield { kind, text: name, start, end: at, depth, closed: end !== -1 };
    } else if (text.startsWith("/*", at)) {
      at = text.length;
      yield { kind: "other", text: "", start, end: at, depth, closed: false };
    } else {
      at++;
      if (")]}".includes(character)) depth = Math.max(0, depth - 1);
      const kind = character === ";" ? "semicolon" : "other";
      yield { kind, text: character, start, end: at, depth, closed: true };
      if ("([{".includes(character)) depth++;
    }
  }
}

function matchesAt(pattern: RegExp, text: string, at: number): boolean {
  pattern.lastIndex = at;
  return pattern.test(text);
}

function typographicAt(text: string, at: number) {
  return TYPOGRAPHIC.find(([open]) => text.startsWith(open, at));
}

/** A quoted name as the engine reads it, as far as a name of letters can be written in other ways. */
function unquoted(text: string, quote: string): string {
  return text
    .replaceAll(quote + quote, quote)
    .replaceAll(/\\x([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)))
    .replaceAll(/\\([^x])/g, "$1");
}

/** A backslash escapes, a doubled quote is a quote. */
function closingQuote(text: string, from: number, quote: string): number {
  for (let at = from; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === quote) {
      if (text[at + 1] !== quote) return at;
      at++;
    }
  }
  return -1;
}

/** The statements of a script, without their semicolons; comments alone are no statement. */
export function splitStatements(script: string): string[] {
  const statements: string[] = [];
  let start: number | null = null;
  let end = 0;
  for (const token of scanTokens(script)) {
    if (token.kind === "semicolon") {
      if (start !== null) statements.push(script.slice(start, end));
      start = null;
      continue;
    }
    start ??= token.start;
    end = token.end;
  }
  if (start !== null) statements.push(script.slice(start, end));
  return statements;
}
