/** What a message is to a sink: a unit, a tick, not ours, or beyond this reader. The message alone decides. */
import { decodeBlock, isFault } from "../../wire/block.ts";
import type { Block, BlockFault } from "../../wire/block.ts";
import type { StreamMessage } from "../source/stream-reader.ts";
import { rowsFault } from "./rows-fault.ts";
import type { SinkKind, SinkOrigin, Unit } from "./unit.ts";

export type Reading =
  | { readonly kind: "unit"; readonly unit: Unit }
  | { readonly kind: "tick" }
  /** Not ours: it goes aside. */
  | { readonly kind: "broken"; readonly reason: string }
  /** Made by a later version than this: the reader stops. */
  | { readonly kind: "unknown_version"; readonly reason: string };

/** @param streamCreated when the stream was made, for the unit's ledger row */
export function readUnit(kind: SinkKind, message: StreamMessage, streamCreated: string): Reading {
  const block = decodeBlock(message.data);
  if (isFault(block)) return readingOf(block, "");
  const { origin } = block;
  if (origin.kind === "tick") return { kind: "tick" };
  if (origin.kind !== kind.blockKind) {
    return { kind: "broken", reason: `a ${origin.kind} block does not belong in ${kind.stream}` };
  }
  const ours = block as Block<SinkOrigin>;
  const fault = rowsFault(ours);
  if (fault !== null) return readingOf(fault, "rows: ");
  return { kind: "unit", unit: kind.unitOf(ours, message, streamCreated) };
}

function readingOf({ fault, reason }: BlockFault, where: string): Reading {
  return { kind: fault === "version" ? "unknown_version" : "broken", reason: where + reason };
}
