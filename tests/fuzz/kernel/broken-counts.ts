/** Faults in ingest, close and early emission: in what is counted, and in how it leaves. */
import { ORIGIN } from "../../../wire/columns.ts";
import { RESULT_BYTES_MAX } from "../../../wire/result.ts";
import { keyHash } from "../../../wasm/key-hash.ts";
import { OUT_OF_MEMORY_REASON } from "../../../wasm/kernel.ts";
import type { CloseRequest, Kernel, RowChunk } from "../../../wasm/kernel.ts";
import { blockOf } from "../../../wasm/kernel-rows.ts";
import type { TestRow } from "../../../wasm/kernel-rows.ts";
import { createReferenceKernel } from "../../../wasm/reference-kernel.ts";
import { oneIn } from "./breaker.ts";
import type { Breaker } from "./breaker.ts";
import { blockRows, firstTwoSwapped, resultPlaces, viewOf } from "./places.ts";

/** Rare faults are in one row of so many; a kernel lives for one sequence. */
const RARE = 1_000;

export const COUNT_BREAKERS: Readonly<Record<string, Breaker>> = {
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
          if (isRare()) body.set(firstTwoSwapped(body, resultPlaces(body)));
        }
        return chunks;
      },
    };
  },

  "forgets the late origin": (good) => ({
    ...good,
    close: (request) => good.close({ ...request, lateThroughSeconds: 0 }),
  }),

  "closes a window that ends one second later": (good) => {
    let closedThroughSeconds = 0;
    return {
      ...good,
      close(request) {
        ({ closedThroughSeconds } = request);
        return good.close(later(request));
      },
      emitEarly(request) {
        ({ closedThroughSeconds } = request);
        return good.emitEarly(later(request));
      },
      state: () => ({ ...good.state(), closedThroughSeconds }),
    };
  },

  "keeps a row after closing": (good) => {
    const isRare = oneIn(3);
    return {
      ...good,
      close(request) {
        const chunks = good.close(request);
        if (isRare()) countFirstRow(good, chunks);
        return chunks;
      },
    };
  },

  "keeps a row after an early emission": (good) => ({
    ...good,
    emitEarly(request) {
      const chunks = good.emitEarly(request);
      countFirstRow(good, chunks);
      return chunks;
    },
  }),

  "marks all early rows late": (good) => ({
    ...good,
    emitEarly: (request) => withOrigin(good.emitEarly(request), ORIGIN.late),
  }),

  "marks no early row late": (good) => ({
    ...good,
    emitEarly: (request) => withOrigin(good.emitEarly(request), ORIGIN.on_time),
  }),

  "leaves closed windows out of an early emission": (good) => ({
    ...good,
    emitEarly(request) {
      const closed: CloseRequest = { ...request, lateThroughSeconds: 0 };
      const { closedThroughSeconds, windowSeconds } = good.state();
      if (good.windows().some((start) => start + windowSeconds <= closedThroughSeconds)) {
        good.close({ ...closed, closedThroughSeconds, windowSeconds });
      }
      return good.emitEarly(request);
    },
  }),

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
      const before = blockRows(body).filter((row) => row.end <= outcome.offset);
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
        good.ingest(blockOf(blockRows(body).slice(0, 1)), 1);
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
      const changed = change(blockRows(body));
      const found = good.ingest(blockOf(changed), changed.length);
      return found.ok ? outcome : found;
    },
  };
}

function later<R extends { readonly closedThroughSeconds: number }>(request: R): R {
  return { ...request, closedThroughSeconds: request.closedThroughSeconds + 1 };
}

/** The key of the first row, once more. */
function countFirstRow(good: Kernel, chunks: readonly RowChunk[]): void {
  const [chunk] = chunks;
  if (chunk === undefined) return;
  const key = chunk.body.slice(4, resultPlaces(chunk.body)[0]!.clicksAt);
  good.ingest(blockOf([{ window: viewOf(chunk.body).getUint32(0, true), key, clicks: 1 }]), 1);
}

function withOrigin(chunks: readonly RowChunk[], origin: number): RowChunk[] {
  for (const { body } of chunks) {
    for (const { clicksAt } of resultPlaces(body)) body[clicksAt + 8] = origin;
  }
  return [...chunks];
}
