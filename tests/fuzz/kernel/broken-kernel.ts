/** Kernels with one fault each, planted around a good one: a comparison that cannot find them finds nothing. */
import { OUT_OF_MEMORY_REASON } from "../../../wasm/kernel.ts";
import type { Kernel } from "../../../wasm/kernel.ts";
import { blockOf } from "../../../wasm/kernel-rows.ts";
import type { TestRow } from "../../../wasm/kernel-rows.ts";
import { keyHash } from "../../../wasm/key-hash.ts";
import { createReferenceKernel } from "../../../wasm/reference-kernel.ts";
import { RESULT_BYTES_MAX } from "../../../wire/result.ts";
import { compareSequence } from "./compare.ts";
import type { KernelMaker } from "./compare.ts";
import { makeSequence } from "./operations.ts";

/** Rare faults are in one row of so many; a kernel lives for one sequence. */
const RARE = 1_000;

type Breaker = (good: Kernel) => Kernel;

export const BREAKERS: Readonly<Record<string, Breaker>> = {
  "drops one row in 1,000": (good) => {
    const isRare = oneIn(RARE);
    return changedRows(good, (rows) => rows.filter(() => !isRare()));
  },

  "adds a row in 1,000 to another window": (good) => {
    const isRare = oneIn(RARE);
    return changedRows(good, (rows) =>
      rows.map((row) => (isRare() ? { ...row, window: rows[0]!.window } : row)),
    );
  },

  "takes keys of one hash for one key": (good) => {
    const firstOf = new Map<bigint, Uint8Array>();
    return changedRows(good, (rows) =>
      rows.map((row) => {
        const hash = keyHash(row.key);
        if (!firstOf.has(hash)) firstOf.set(hash, row.key);
        return { ...row, key: firstOf.get(hash)! };
      }),
    );
  },

  "counts in 32 bits": (good) => ({
    ...good,
    close(request) {
      const chunks = good.close(request);
      for (const { body } of chunks) {
        for (const { clicksAt } of resultPlaces(body)) body.fill(0, clicksAt + 4, clicksAt + 8);
      }
      return chunks;
    },
  }),

  "swaps two rows of a chunk": (good) => {
    const isRare = oneIn(10);
    return {
      ...good,
      close(request) {
        const chunks = good.close(request);
        for (const { body } of chunks) {
          const [first, second] = resultPlaces(body);
          if (second === undefined || !isRare()) continue;
          const rows = [body.slice(first!.end, second.end), body.slice(0, first!.end)];
          body.set(Buffer.concat(rows));
        }
        return chunks;
      },
    };
  },

  "forgets the late origin": (good) => ({
    ...good,
    close: (request) => good.close({ ...request, lateThroughSeconds: 0 }),
  }),

  "closes a window that ends one second later": (good) => ({
    ...good,
    close: (request) =>
      good.close({ ...request, closedThroughSeconds: request.closedThroughSeconds + 1 }),
  }),

  "keeps a row after closing": (good) => {
    const isRare = oneIn(3);
    return {
      ...good,
      close(request) {
        const chunks = good.close(request);
        const [chunk] = chunks;
        if (chunk === undefined || !isRare()) return chunks;
        const window = new DataView(chunk.body.buffer, chunk.body.byteOffset).getUint32(0, true);
        const key = chunk.body.slice(4, resultPlaces(chunk.body)[0]!.clicksAt);
        good.ingest(blockOf([{ window, key, clicks: 1 }]), 1);
        return chunks;
      },
    };
  },

  "splits a chunk at another place": (good) => ({
    ...good,
    close(request) {
      const chunkBytesMax = Math.max(request.chunkBytesMax - 1, RESULT_BYTES_MAX);
      return good.close({ ...request, chunkBytesMax });
    },
  }),

  "writes over a chunk that it gave away": (good) => {
    let given: Uint8Array | undefined;
    return {
      ...good,
      close(request) {
        given?.fill(0);
        const chunks = good.close(request);
        given = chunks.at(-1)?.body;
        return chunks;
      },
    };
  },

  "accepts a malformed block": (good) => {
    const isRare = oneIn(3);
    return {
      ...good,
      ingest(body, rows) {
        const outcome = good.ingest(body, rows);
        const isMalformed = !outcome.ok && outcome.reason !== OUT_OF_MEMORY_REASON;
        return isMalformed && isRare() ? { ok: true, clicks: 0 } : outcome;
      },
    };
  },

  "counts the rows before a fault": (good) => ({
    ...good,
    ingest(body, rows) {
      const outcome = good.ingest(body, rows);
      if (outcome.ok || outcome.reason === OUT_OF_MEMORY_REASON) return outcome;
      // A body without its faulty end: as many rows as it takes.
      const before = rowsOf(body).filter((row) => row.end <= outcome.offset);
      if (before.length > 0) good.ingest(blockOf(before), before.length);
      return outcome;
    },
  }),

  "says another place of a fault": (good) => ({
    ...good,
    ingest(body, rows) {
      const outcome = good.ingest(body, rows);
      return outcome.ok ? outcome : { ...outcome, offset: Math.max(outcome.offset - 1, 0) };
    },
  }),

  "is off in rowCount": (good) => {
    const isRare = oneIn(10);
    return { ...good, rowCount: () => good.rowCount() + (isRare() ? 1 : 0) };
  },

  "keeps the row of a block that found no memory": (good) => ({
    ...good,
    ingest(body, rows) {
      const outcome = good.ingest(body, rows);
      if (!outcome.ok && outcome.reason === OUT_OF_MEMORY_REASON) {
        good.ingest(blockOf(rowsOf(body).slice(0, 1)), 1);
      }
      return outcome;
    },
  }),

  "has no memory ever after it once had none": (good) => {
    let refusedBytes = Number.POSITIVE_INFINITY;
    return {
      ...good,
      ingest(body, rows) {
        const isGood = createReferenceKernel().ingest(body, rows).ok;
        if (isGood && body.length >= refusedBytes) {
          return { ok: false, offset: 0, reason: OUT_OF_MEMORY_REASON };
        }
        const outcome = good.ingest(body, rows);
        if (!outcome.ok && outcome.reason === OUT_OF_MEMORY_REASON) refusedBytes = body.length;
        return outcome;
      },
    };
  },

  "is out of memory without a limit": (good) => ({
    ...good,
    ingest: (body, rows) =>
      rows > 500 && createReferenceKernel().ingest(body, rows).ok
        ? { ok: false, offset: 0, reason: OUT_OF_MEMORY_REASON }
        : good.ingest(body, rows),
  }),
};

/** Sequences in which each of them must be found: over 20 seeds the hardest takes 25 on average, 92 at most. */
export const CANARY_SEQUENCES_MAX = 1_000;

/** The number of the first sequence that shows the fault, or null when none of so many does. */
export function sequenceThatCatches(
  breaker: Breaker,
  seed: number,
  makeKernel: KernelMaker,
): number | null {
  const makeBroken: KernelMaker = (memoryBytesMax) => breaker(makeKernel(memoryBytesMax));
  for (let sequence = 0; sequence < CANARY_SEQUENCES_MAX; sequence++) {
    if (compareSequence(makeSequence(seed, sequence), makeBroken) !== undefined) return sequence;
  }
  return null;
}

/** True for every `count`th call. */
function oneIn(count: number): () => boolean {
  let calls = 0;
  return () => ++calls % count === 0;
}

/** Gives a good block's rows changed to the kernel, and says what the block as it was would have said. */
function changedRows(
  good: Kernel,
  change: (rows: readonly TestRow[]) => readonly TestRow[],
): Kernel {
  return {
    ...good,
    ingest(body, rows) {
      const outcome = createReferenceKernel().ingest(body, rows);
      if (!outcome.ok) return good.ingest(body, rows);
      const changed = change(rowsOf(body));
      const found = good.ingest(blockOf(changed), changed.length);
      return found.ok ? outcome : found;
    },
  };
}

interface PlacedRow extends TestRow {
  readonly end: number;
}

/** The rows at the start of a body that are whole, limits aside. */
function rowsOf(body: Uint8Array): PlacedRow[] {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const rows: PlacedRow[] = [];
  for (let at = 0; at < body.length;) {
    const keyEnd = endOfKey(body, at + 4);
    if (keyEnd + 4 > body.length) break;
    const clicks = view.getUint32(keyEnd, true);
    const key = body.slice(at + 4, keyEnd);
    at = keyEnd + 4;
    rows.push({ window: view.getUint32(keyEnd - key.length - 4, true), key, clicks, end: at });
  }
  return rows;
}

/** Where the rows of a chunk have their clicks, and where they end. */
function resultPlaces(body: Uint8Array): { readonly clicksAt: number; readonly end: number }[] {
  const places: { clicksAt: number; end: number }[] = [];
  for (let at = 0; at < body.length;) {
    const clicksAt = endOfKey(body, at + 4);
    const jobAt = clicksAt + 8 + 1;
    at = jobAt + 1 + body[jobAt]! + 2 + 2 + 8 + 4 + 2;
    places.push({ clicksAt, end: at });
  }
  return places;
}

function endOfKey(body: Uint8Array, from: number): number {
  let at = from;
  for (let i = 0; i < 4; i++) at += 1 + (body[at] ?? body.length);
  return at;
}
