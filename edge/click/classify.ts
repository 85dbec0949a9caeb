/** Device class and bot flag of a user agent, by lists that others keep current. */
import Bowser from "bowser";
import { isbot } from "isbot";
import { utf8Cut } from "../../wire/cursor.ts";
import { USER_AGENT_BYTES_MAX } from "../../wire/limits.ts";
import { USER_AGENTS_REMEMBERED_MAX } from "../limits.ts";

export interface Classified {
  /** `mobile`, `tablet`, `desktop`, `tv` or `other`. */
  readonly device: string;
  /** `bot`, or empty for a valid click. Flagged and counted apart, never dropped. */
  readonly invalidReason: string;
  /** UTF-8, cut to USER_AGENT_BYTES_MAX. */
  readonly userAgent: Uint8Array;
}

const DEVICES: readonly string[] = ["mobile", "tablet", "desktop", "tv"];
const remembered = new Map<string, Classified>();

/** @param header the User-Agent header, or null */
export function classify(header: string | null): Classified {
  const text = header ?? "";
  let known = remembered.get(text);
  if (known === undefined) {
    const platform = text === "" ? undefined : Bowser.parse(text).platform.type;
    known = {
      device: platform !== undefined && DEVICES.includes(platform) ? platform : "other",
      invalidReason: isbot(text) ? "bot" : "",
      userAgent: utf8Cut(text, USER_AGENT_BYTES_MAX),
    };
    // Forgetting everything at the limit is cheaper than an order of use, and as rare.
    if (remembered.size >= USER_AGENTS_REMEMBERED_MAX) remembered.clear();
    remembered.set(text, known);
  }
  return known;
}
