/**
 * Where each click stands in its body, as it was sent: a rejected click is kept with its own bytes,
 * not with what a parser made of them (which drops repeated keys, and turns 1e999 into null).
 */

/** The text of one click of an envelope, by its place. */
export type ClickTexts = (place: number) => string;

/**
 * @param text a body that `parseEnvelope` took; it is only walked when the first click is asked for,
 *   and without recursion, whatever its depth
 */
export function clickTexts(text: string): ClickTexts {
  let spans: readonly Span[] | null = null;
  return (place) => {
    spans ??= spansOf(text);
    const span = spans[place];
    if (span === undefined) throw new Error(`there is no click ${place} in this body`);
    return text.slice(span.start, span.end);
  };
}

interface Span {
  readonly start: number;
  readonly end: number;
}

/** The elements of `clicks`, or the whole body where it is one click. */
function spansOf(text: string): readonly Span[] {
  let spans: readonly Span[] = [{ start: 0, end: text.length }];
  let at = afterSpace(text, 0) + 1;
  for (;;) {
    at = afterSpace(text, at);
    if (text[at] === "}") return spans;
    if (text[at] === ",") at = afterSpace(text, at + 1);
    const keyEnd = afterValue(text, at);
    // The key may be written with escapes.
    const key: unknown = JSON.parse(text.slice(at, keyEnd));
    const valueStart = afterSpace(text, afterSpace(text, keyEnd) + 1);
    at = afterValue(text, valueStart);
    // Of repeated keys the last one counts, as it does for JSON.parse.
    if (key === "clicks") spans = text[valueStart] === "[" ? elementsOf(text, valueStart) : [];
  }
}

function elementsOf(text: string, listStart: number): Span[] {
  const spans: Span[] = [];
  let at = afterSpace(text, listStart + 1);
  while (text[at] !== "]") {
    const end = afterValue(text, at);
    spans.push({ start: at, end });
    at = afterSpace(text, end);
    if (text[at] === ",") at = afterSpace(text, at + 1);
  }
  return spans;
}

function afterSpace(text: string, from: number): number {
  let at = from;
  while (text[at] === " " || text[at] === "\n" || text[at] === "\r" || text[at] === "\t") at++;
  return at;
}

/** The end of the value that starts at `from`, in text that is known to be JSON. */
function afterValue(text: string, from: number): number {
  let depth = 0;
  let at = from;
  while (at < text.length) {
    const c = text[at]!;
    if (c === '"') at = afterText(text, at);
    else if (c === "[" || c === "{") {
      depth++;
      at++;
    } else if (c === "]" || c === "}") {
      // The end of what holds a number or a word that began here.
      if (depth === 0) return at;
      depth--;
      at++;
    } else if (depth === 0 && (c === "," || c === ":" || afterSpace(text, at) > at)) return at;
    else {
      at++;
      continue;
    }
    if (depth === 0) return at;
  }
  return at;
}

function afterText(text: string, from: number): number {
  let at = from + 1;
  while (text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
  return at + 1;
}
