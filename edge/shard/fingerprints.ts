/** Keyed 64-bit fingerprints of dedup keys: what a shard remembers of a click id. */
import { writer } from "../../wire/cursor.ts";
import type { Cursor } from "../../wire/cursor.ts";
import { hash128 } from "../../wire/hash.ts";
import type { HashLanes } from "../../wire/hash.ts";
import type { JournalEntry } from "./storage.ts";

/** Of the storage's secret, then account and click id as the row has them. */
export class Fingerprints {
  readonly #scratch: Cursor;
  readonly #keyBytes: number;
  readonly #lanes: HashLanes = new Uint32Array(4);

  constructor(key: Uint8Array) {
    this.#scratch = writer(key.length + 256);
    this.#scratch.bytes.set(key);
    this.#keyBytes = key.length;
  }

  /**
   * Lanes 0 (low) and 1 (high) of the result, valid until the next call.
   *
   * @param account as a row has it; `bytes[start, end)` is the click id, as a row has it
   */
  of(account: Uint8Array, bytes: Uint8Array, start: number, end: number): HashLanes {
    const { bytes: scratch, view } = this.#scratch;
    let to = this.#keyBytes;
    for (let from = 0; from < account.length; from++) scratch[to++] = account[from]!;
    for (let from = start; from < end; from++) scratch[to++] = bytes[from]!;
    hash128(view, 0, to, 0, this.#lanes);
    return this.#lanes;
  }
}

/** Sum modulo 2^64 of all fingerprints of these entries, 2^21 of them at most. */
export function sumOfFingerprints(entries: readonly Pick<JournalEntry, "fingerprints">[]): bigint {
  // Below 2^53 each: numbers add exactly, and far faster than bigints.
  let low = 0;
  let high = 0;
  for (const { fingerprints } of entries) {
    for (let i = 0; i < fingerprints.length; i += 2) {
      low += fingerprints[i]!;
      high += fingerprints[i + 1]!;
    }
  }
  return BigInt.asUintN(64, (BigInt(high) << 32n) + BigInt(low));
}
