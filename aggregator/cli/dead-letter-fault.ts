/** Whether this version reads a set-aside message: its stream's own reader is asked, sink or partition. */
import { createReferenceKernel } from "../../wasm/reference-kernel.ts";
import type { Block } from "../../wire/block.ts";
import { STREAM } from "../../wire/subjects.ts";
import { newPartition, step } from "../partition/step.ts";
import type { Letter, LetterHead } from "../source/dead-letters.ts";
import { readLetter } from "./dead-letter.ts";

/** Why a message is not read, as this code sees it now; null when it is. */
export function faultNow(letter: Letter): string | null {
  const reading = readLetter(letter);
  if (reading.kind === "fault") return reading.reason;
  if (reading.kind === "unit" || reading.block === null) return null;
  return letter.head.stream === STREAM.partial ? stepFault(letter.head, reading.block) : null;
}

/** Why a fresh partition, which has counted nothing yet, does not take a block of its subject; null when it does. */
function stepFault({ fromSubject }: LetterHead, block: Block): string | null {
  const [, partitions, partition] = PARTIAL_SUBJECT.exec(fromSubject) ?? [];
  if (partitions === undefined || partition === undefined) return "no partition reads its subject";
  const state = newPartition(Number(partitions), Number(partition), createReferenceKernel());
  const effects = step(state, { subject: fromSubject, id: "", brokerTimeMs: 0, block });
  for (const effect of effects) {
    if (effect.kind === "set_aside" || effect.kind === "stop") return effect.reason;
  }
  return null;
}
/** See `partialSubject`. */
const PARTIAL_SUBJECT = /^clicks\.partial\.(\d+)\.(\d+)$/;
