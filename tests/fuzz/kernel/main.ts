/** `npm run fuzz:kernel`: the same random operations at both kernels, compared byte for byte; the last line is JSON. */
import { Command, InvalidArgumentError } from "commander";
import { whole } from "../../traffic/traffic-flags.ts";
import { BREAKERS, CANARY_SEQUENCES_MAX, sequenceThatCatches } from "./broken-kernel.ts";
import { compareSequence } from "./compare.ts";
import { inWords } from "./in-words.ts";
import { loadKernelMaker } from "./kernel-under-test.ts";
import { makeSequence, SEED_MAX } from "./operations.ts";
import type { Sequence } from "./operations.ts";
import { fuzzKernel, shrink } from "./run.ts";

const SECONDS = 60;

const flags = new Command("fuzz:kernel")
  .description(
    "Gives the kernel in WebAssembly and the reference kernel the same random sequences of operations " +
      "(good, late and malformed blocks, closes, early deltas, top lists, snapshots, too little memory) and " +
      "compares every outcome, chunk, list, state and dump, also of kernels that were restored. Before that, kernels with a planted fault, each of which must be caught. " +
      "Exit code 0: no mismatch, and every planted fault was caught.",
  )
  .option("--seconds <seconds>", "how long, without the planted faults", whole, SECONDS)
  .option("--seed <number>", "all follows from it (default: another one each time)", seedOf)
  .option("--sequence <number>", "only this sequence of the seed, operation by operation", numberOf)
  .addHelpText(
    "after",
    "\nExamples:\n  npm run fuzz:kernel -- --seconds 60 --seed 7" +
      "\n  npm run fuzz:kernel -- --seed 7 --sequence 1234",
  )
  .parse()
  .opts<{ seconds: number; seed?: number; sequence?: number }>();

const seed = flags.seed ?? Date.now() % SEED_MAX;
console.log(`seed ${seed}`);
const makeKernel = await loadKernelMaker();

if (flags.sequence === undefined) runAll();
else replay(flags.sequence);

function runAll(): void {
  let missed = 0;
  for (const [name, breaker] of Object.entries(BREAKERS)) {
    const sequence = sequenceThatCatches(breaker, seed, makeKernel);
    if (sequence === null) missed++;
    console.log(
      sequence === null
        ? `a kernel that ${name}: NOT caught in ${CANARY_SEQUENCES_MAX} sequences`
        : `a kernel that ${name}: caught by sequence ${sequence}`,
    );
  }
  console.log(`comparing for ${flags.seconds} s …`);
  const run = fuzzKernel(seed, flags.seconds * 1_000, 1, makeKernel);
  for (const { sequence } of run.mismatches) {
    tell(sequence, shrink(makeSequence(seed, sequence), makeKernel));
  }
  const mismatches = run.mismatches.length;
  const { sequences, operations } = run;
  console.log(JSON.stringify({ sequences, operations, mismatches, canary_caught: missed === 0 }));
  process.exitCode = mismatches + missed === 0 ? 0 : 1;
}

function replay(number: number): void {
  const sequence = makeSequence(seed, number);
  const mismatches = tell(number, sequence) ? 1 : 0;
  const operations = sequence.operations.length;
  console.log(JSON.stringify({ sequences: 1, operations, mismatches }));
  process.exitCode = mismatches;
}

/** The operations up to the mismatch, if there is one, and what it is. */
function tell(number: number, sequence: Sequence): boolean {
  const mismatch = compareSequence(sequence, makeKernel);
  console.log(`\nseed ${seed}, sequence ${number}, limits ${JSON.stringify(sequence.limits)}`);
  const end = mismatch === undefined ? sequence.operations.length : mismatch.at + 1;
  for (const [i, operation] of sequence.operations.slice(0, end).entries()) {
    console.log(`${i} ${inWords(operation)}`);
  }
  console.log(mismatch === undefined ? "no mismatch" : `MISMATCH: ${mismatch.difference}`);
  if (mismatch !== undefined) {
    console.log(`whole: npm run fuzz:kernel -- --seed ${seed} --sequence ${number}\n`);
  }
  return mismatch !== undefined;
}

function numberOf(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError("a whole number from 0.");
  return Number(text);
}

function seedOf(text: string): number {
  const value = numberOf(text);
  if (value > SEED_MAX) throw new InvalidArgumentError(`a whole number from 0 to ${SEED_MAX}.`);
  return value;
}
