/** A body of multipart/form-data: how clients send a query with parameters that are too long for a URL. */
import { refusal } from "./engine-error.ts";
import type { QueryFailure } from "./engine-error.ts";

export interface Form {
  readonly kind: "form";
  readonly query: string;
  /** Values of `{name:Type}`, by name. */
  readonly parameters: ReadonlyMap<string, string>;
}

export interface RefusedForm {
  readonly kind: "refused";
  readonly failure: QueryFailure;
}

/** The boundary that a content type names; null when the body is no form. */
export function formBoundary(contentType: string): string | null {
  if (!/^multipart\/form-data\b/i.test(contentType)) return null;
  const match = /;\s*boundary=(?:"([^"]+)"|([^\s;]+))/i.exec(contentType);
  return match?.[1] ?? match?.[2] ?? "";
}

/** Parses a whole form. External tables, which a server takes from the other parts, are refused. */
export function parseForm(body: Buffer, boundary: string): Form | RefusedForm {
  if (boundary === "") return malformed("no boundary");
  // One character a byte: a part's bytes may be anything.
  const pieces = `\r\n${body.toString("latin1")}`.split(
    `\r\n--${Buffer.from(boundary).toString("latin1")}`,
  );
  if (pieces.length < 2 || !/^--\s*$/.test(pieces.at(-1)!)) return malformed("its end is missing");
  let query = "";
  const parameters = new Map<string, string>();
  for (const piece of pieces.slice(1, -1)) {
    const headEnd = piece.indexOf("\r\n\r\n");
    const head = piece.slice(0, Math.max(0, headEnd));
    const name = /^content-disposition:[^\r\n]*;\s*name="([^"\r\n]*)"/im.exec(head)?.[1];
    if (headEnd === -1 || name === undefined) return malformed("a part without a name");
    const value = Buffer.from(piece.slice(headEnd + 4), "latin1").toString("utf8");
    if (name === "query") query += value;
    else if (name.startsWith("param_")) parameters.set(name.slice("param_".length), value);
    else
      return refused(
        48,
        "NOT_IMPLEMENTED",
        501,
        `The embedded server has no external tables: ${name}`,
      );
  }
  return { kind: "form", query, parameters };
}

function refused(code: number, name: string, status: number, why: string): RefusedForm {
  return { kind: "refused", failure: refusal(code, name, status, why) };
}

function malformed(why: string): RefusedForm {
  return refused(36, "BAD_ARGUMENTS", 400, `Malformed form: ${why}`);
}
