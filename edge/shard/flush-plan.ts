/** What a shard flushes next, and what may leave its journal: decisions from observed facts. */
import { decodeBlock, isFault } from "../../wire/block.ts";
import { PROOF_PAUSE_MS_MAX } from "../limits.ts";
import type { Late } from "./storage.ts";

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

/** What the newest message on the chain's own subject says of its producer. */
export type NewestMessage =
  | { readonly kind: "flush"; readonly epoch: string; readonly flush: number }
  /** The subject is empty. */
  | { readonly kind: "none" }
  /** What is not ours on the subject proves nothing. */
  | { readonly kind: "foreign" }
  /** A block of a wire version that this shard does not know: it may be a flush, of a later edge. */
  | { readonly kind: "unknown"; readonly reason: string };

/** Reads it. */
export function readNewest(bytes: Uint8Array | null, kind: "raw" | "rejected"): NewestMessage {
  if (bytes === null) return { kind: "none" };
  const block = decodeBlock(bytes);
  if (isFault(block)) {
    if (block.fault === "broken") return { kind: "foreign" };
    return { kind: "unknown", reason: block.reason };
  }
  const { origin } = block;
  if (origin.kind !== kind) return { kind: "foreign" };
  return { kind: "flush", epoch: origin.epoch, flush: origin.flush };
}

/** The newest flush of `epoch` that a subject has; 0 for none. Null: what stands there says nothing. */
function reachedBy(newest: NewestMessage, epoch: string): number | null {
  if (newest.kind === "foreign" || newest.kind === "unknown") return null;
  return newest.kind === "flush" && newest.epoch === epoch ? newest.flush : 0;
}

/**
 * Storage that was put back to an earlier state would number other clicks as flushes that receivers have: they
 * skip them, and the proof takes the old ones for them. So it publishes and trims nothing; its journal keeps all.
 *
 * @param newestFlush the newest that storage has a record of
 * @throws when the subject has a later flush of `epoch`
 */
export function assertOwnPast(newest: NewestMessage, epoch: string, newestFlush: number): void {
  const reached = reachedBy(newest, epoch) ?? 0;
  if (reached <= newestFlush) return;
  throw new Error(
    `the broker has flush ${reached} of this storage, which knows of ${newestFlush}: it was put back to an earlier state, and what it publishes now would be taken for what it has forgotten`,
  );
}

/** How a chain goes on when it has looked at its subject. */
export interface Attached {
  /** Flushes through it need not be published. */
  readonly publishedThrough: number;
  /** The next message stands behind the newest one, or is refused; false: nobody knows who else publishes there. */
  readonly fenced: boolean;
  /** The broker has lost what it had acknowledged. */
  readonly lost: boolean;
}

/**
 * Compares what a chain believes to be published with what its subject has. Each message is published behind the one
 * before it, so a subject that ends at flush f has all flushes through f (or had them, and was trimmed); what is
 * missing is the tail that a broker lost, however much has been published by others since.
 *
 * @param publishedThrough flushes that were acknowledged, as far as is known
 * @param provenThrough flushes that are safe, and whose rows may be gone
 * @param isLater the newest message has a later sequence than the newest that this life knew
 */
export function decideAttached(
  newest: NewestMessage,
  epoch: string,
  publishedThrough: number,
  provenThrough: number,
  isLater: boolean,
): Attached {
  const reached = reachedBy(newest, epoch);
  if (reached === null) return { publishedThrough, fenced: false, lost: false };
  // Another storage of this shard publishes too (an old one that is not gone yet). Its message says nothing of ours;
  // to begin anew for each of them would be never to get to the end.
  if (newest.kind === "flush" && newest.epoch !== epoch && isLater) {
    return { publishedThrough, fenced: true, lost: false };
  }
  if (Math.max(reached, provenThrough) >= publishedThrough) {
    return { publishedThrough, fenced: true, lost: false };
  }
  // The last one that is there is published again too: a life that published it again may have ended before its
  // other messages followed, and no record says so.
  const through = Math.max(reached - 1, provenThrough);
  return { publishedThrough: through, fenced: true, lost: true };
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
 * The moment by which a flush was published for the last time, as far as it may be known without a written row for
 * each: within the pause between two proofs after it was sealed, or else by the last attempt that was late, which is written down
 * before it is made. A broker has to have had it for JOURNAL_KEEP_MS since then, to have synced it.
 *
 * @param late the last late attempt, and the newest flush that one was for
 */
export function publishedByMs(
  { flush, sealedAtMs }: { readonly flush: number; readonly sealedAtMs: number },
  late: Late,
  journalKeepMs: number,
): number {
  const latestMs = flush <= late.through ? Math.max(sealedAtMs, late.atMs) : sealedAtMs;
  return latestMs + proofPauseMs(journalKeepMs);
}

/** Whether an attempt to publish comes too late for `publishedByMs` to be right without being told. */
export function isLate(sealedAtMs: number, nowMs: number, journalKeepMs: number): boolean {
  return nowMs - sealedAtMs > proofPauseMs(journalKeepMs);
}

/**
 * A range leaves the journal on proof, not on time alone: the newest message on the shard's subject
 * is at or past it.
 *
 * @param unproven acknowledged flushes whose rows are kept, oldest first
 * @throws for a newest message of an unknown wire version
 */
export function decideProof(
  unproven: readonly {
    readonly flush: number;
    readonly to: number;
    readonly publishedByMs: number;
  }[],
  nowMs: number,
  journalKeepMs: number,
  epoch: string,
  newest: NewestMessage,
): Proof {
  const due = unproven.findLast((f) => f.publishedByMs <= nowMs - journalKeepMs);
  if (due === undefined) return { kind: "wait" };
  if (newest.kind === "unknown") {
    throw new Error(`the newest message of a shard: ${newest.reason}`);
  }
  const reached = reachedBy(newest, epoch) ?? 0;
  if (reached >= due.flush) return { kind: "proven", flush: due.flush, through: due.to };
  const missing = unproven.find((f) => f.flush > reached);
  if (missing === undefined) throw new Error(`flush ${due.flush} is neither reached nor missing`);
  return { kind: "publish_again", fromFlush: missing.flush };
}
