/**
 * What to do with one chunk of an emission, given the newest message on the partition's results
 * subject: the fence that lets two instances run side by side and one of them win each step.
 */
import type { ResultOrigin } from "../../wire/block.ts";
import { hashText } from "../../wire/hash.ts";

/** The newest result on the results subject; null when there is none. */
export type NewestResult = Pick<
  ResultOrigin,
  "emission" | "chunk" | "chunks" | "emissionHash"
> | null;

export type PublishDecision =
  /** Publish, if the subject is still as it was seen. `hole`: emissions before it are gone. */
  | { readonly kind: "publish"; readonly hole: string | null }
  /** It is there. */
  | { readonly kind: "skip" }
  /** The same number with other content is there: this state, or that one, is wrong. */
  | { readonly kind: "differs"; readonly detail: string };

export function decidePublish(
  emission: { readonly number: number; readonly hash: bigint },
  chunk: number,
  newest: NewestResult,
): PublishDecision {
  if (newest === null) {
    const hole =
      emission.number === 1 && chunk === 0
        ? null
        : `nothing is there before emission ${emission.number}.${chunk}`;
    return { kind: "publish", hole };
  }
  if (emission.number < newest.emission) return { kind: "skip" };
  if (emission.number === newest.emission) {
    if (newest.emissionHash !== emission.hash) {
      return {
        kind: "differs",
        detail: `emission ${emission.number} is ${hashText(emission.hash)} here and ${hashText(newest.emissionHash)} in the stream`,
      };
    }
    if (chunk <= newest.chunk) return { kind: "skip" };
  }
  const follows =
    emission.number === newest.emission
      ? chunk === newest.chunk + 1
      : emission.number === newest.emission + 1 &&
        chunk === 0 &&
        newest.chunk === newest.chunks - 1;
  const hole = follows
    ? null
    : `emission ${emission.number}.${chunk} follows ${newest.emission}.${newest.chunk} of ${newest.chunks}`;
  return { kind: "publish", hole };
}
