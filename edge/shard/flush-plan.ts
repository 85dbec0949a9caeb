/** What a shard flushes next, and what may leave its journal: decisions from observed facts. */
import { decodeBlock, isFault } from "../../wire/block.ts";
import { PROOF_PAUSE_MS_MAX } from "../limits.ts";

/**
 * The journal rows that the next flush takes: as many as fit one message, at least one.
 *
 * @param sizes rows that no flush has taken yet, in order
 * @returns the last row's number, or null when there is nothing to flush
 */
export function planFlush(
  sizes: readonly { readonly number: number; readonly byteCount: number }[],
  byteCountMax: number,
): number | null {
  let to: number | null = null;
  let byteCount = 0;
  for (const row of sizes) {
    byteCount += row.byteCount;
    if (to !== null && byteCount > byteCountMax) break;
    to = row.number;
  }
  return to;
}

/** What the newest message on the chain's own subject says; null when the subject has none. */
export type NewestMessage = { readonly epoch: string; readonly flush: number } | null;

/**
 * Reads it. What is not ours on the subject proves nothing: what is published again stands behind it then.
 *
 * @throws for a wire version that this shard does not know
 */
export function readNewest(bytes: Uint8Array | null, kind: "raw" | "rejected"): NewestMessage {
  if (bytes === null) return null;
  const block = decodeBlock(bytes);
  if (isFault(block)) {
    if (block.fault === "broken") return null;
    throw new Error(`the newest message of a shard: ${block.reason}`);
  }
  const { origin } = block;
  return origin.kind === kind ? { epoch: origin.epoch, flush: origin.flush } : null;
}

export type Proof =
  /** Nothing is old enough to ask for. */
  | { readonly kind: "wait" }
  /** Flushes through `flush` (journal rows through `through`) are downstream. */
  | { readonly kind: "proven"; readonly flush: number; readonly through: number }
  /** The broker does not have `fromFlush` any more, though it acknowledged it. */
  | { readonly kind: "publish_again"; readonly fromFlush: number };

/** Between two proofs: each is a request and two written rows, and a minute of journal more costs nothing. */
export function proofPauseMs(journalKeepMs: number): number {
  return Math.min(PROOF_PAUSE_MS_MAX, Math.floor(journalKeepMs / 10));
}

/**
 * A range leaves the journal on proof, not on time alone: the newest message on the shard's subject
 * is at or past it.
 *
 * @param unproven acknowledged flushes whose rows are kept, oldest first
 */
export function decideProof(
  unproven: readonly { readonly flush: number; readonly to: number; readonly sealedAtMs: number }[],
  nowMs: number,
  journalKeepMs: number,
  epoch: string,
  newest: NewestMessage,
): Proof {
  const due = unproven.findLast((f) => f.sealedAtMs <= nowMs - journalKeepMs);
  if (due === undefined) return { kind: "wait" };
  const reached = newest !== null && newest.epoch === epoch ? newest.flush : 0;
  if (reached >= due.flush) return { kind: "proven", flush: due.flush, through: due.to };
  const missing = unproven.find((f) => f.flush > reached);
  if (missing === undefined) throw new Error(`flush ${due.flush} is neither reached nor missing`);
  return { kind: "publish_again", fromFlush: missing.flush };
}
