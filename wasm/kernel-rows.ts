/** Rows, keys and requests as tests of kernels write them: contract, memory, fuzz. No production code imports it. */
import { utf8, writer, writeString, written } from "../wire/cursor.ts";
import { BLOCK_BODY_BYTES_MAX } from "../wire/limits.ts";
import { writePartial } from "../wire/partial.ts";
import type { EmissionUnit } from "../wire/result.ts";
import type { CloseRequest } from "./kernel.ts";

/** A row of a partial block, with its key as four strings. */
export interface TestRow {
  readonly window: number;
  readonly key: Uint8Array;
  readonly clicks: number;
}

/** Four RowBinary strings; bytes as they are, whatever the limits say. */
export function keyOf(...strings: readonly (string | Uint8Array)[]): Uint8Array {
  const c = writer(1024);
  for (const s of strings) writeString(c, typeof s === "string" ? utf8(s) : s);
  return written(c).slice();
}

export function adKey(adId: string, country = "DE", device = "mobile", reason = ""): Uint8Array {
  return keyOf(adId, country, device, reason);
}

export function blockOf(rows: readonly TestRow[]): Uint8Array {
  const c = writer(rows.reduce((sum, r) => sum + 8 + r.key.length, 0));
  for (const r of rows) writePartial(c, r.window, r.key, r.clicks);
  return written(c);
}

export const UNIT: EmissionUnit = {
  job: "",
  partitions: 4,
  partition: 3,
  emission: 77,
  emittedOn: 20_780,
};

export function closeRequest(over: Partial<CloseRequest> = {}): CloseRequest {
  return {
    closedThroughSeconds: 2 ** 40,
    lateThroughSeconds: 0,
    windowSeconds: 60,
    unit: UNIT,
    chunkBytesMax: BLOCK_BODY_BYTES_MAX,
    ...over,
  };
}

function u64(x: bigint): bigint {
  return BigInt.asUintN(64, x);
}

/** The number that undoes a multiplication by the odd `factor`, modulo 2^64. */
function inverse(factor: bigint): bigint {
  let x = factor;
  for (let i = 0; i < 6; i++) x = u64(x * (2n - factor * x));
  return x;
}

/** The factors of key-hash.ts. */
const M = 0x880355f21e6d1965n;
const MIX = 0x2127599bf4325c37n;

function mix(h: bigint): bigint {
  h = u64((h ^ (h >> 23n)) * MIX);
  return h ^ (h >> 47n);
}

function unmix(h: bigint): bigint {
  h = u64((h ^ (h >> 47n)) * inverse(MIX));
  return h ^ (h >> 23n) ^ (h >> 46n);
}

/**
 * A key that has this hash, another for each `variant`. (fasthash64 is invertible: nobody stumbles
 * over such keys, but someone can make them.)
 *
 * An ad_id of 23 bytes: 7 by variant, 8 that lead to the hash, 8 zeros; then three empty strings.
 */
export function keyWithHash(hash: bigint, variant: number): Uint8Array {
  const key = new Uint8Array(27);
  const view = new DataView(key.buffer);
  key[0] = 23;
  view.setUint32(1, Math.imul(variant, 0x85ebca6b), true);
  const before = u64((u64(27n * M) ^ mix(view.getBigUint64(0, true))) * M);
  // Backwards through the tail, the 8 zeros and the 8 bytes to be found; mix(0) is 0.
  let after = unmix(hash);
  for (let step = 0; step < 3; step++) after = u64(after * inverse(M));
  view.setBigUint64(8, unmix(after ^ before), true);
  return key;
}
