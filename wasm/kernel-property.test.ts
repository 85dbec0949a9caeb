/** The two kernels do the same, byte for byte, whatever happens to them in whatever order. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { AD_ID_BYTES_MAX, BLOCK_BODY_BYTES_MAX } from "../wire/limits.ts";
import { RESULT_BYTES_MAX } from "../wire/result.ts";
import { adKey, blockOf, closeRequest, keyOf, UNIT } from "./kernel-contract.ts";
import type { TestRow } from "./kernel-contract.ts";
import type { CloseRequest, Kernel } from "./kernel.ts";
import { createReferenceKernel } from "./reference-kernel.ts";
import { createWasmKernel, loadKernelModule } from "./wasm-kernel.ts";

type Operation =
  | { readonly do: "ingest"; readonly body: Uint8Array; readonly rows: number }
  | { readonly do: "close"; readonly request: CloseRequest };

const SECONDS = 60;
/** Windows are few, so that blocks meet in them; the last ends beyond 32 bits. */
const windowStart = fc.oneof(
  { weight: 20, arbitrary: fc.nat({ max: 7 }).map((n) => n * SECONDS) },
  { weight: 1, arbitrary: fc.constant(0xffff_ffff) },
);

/** Few keys that come again, and some of any bytes and every length. */
const key = fc.oneof(
  fc.nat({ max: 30 }).map((n) => adKey(`ad-${n}`)),
  fc
    .tuple(
      fc.uint8Array({ maxLength: AD_ID_BYTES_MAX }),
      fc.constantFrom("", "DE", "US"),
      fc.constantFrom("", "mobile", "sixteen-bytes-ok"),
      fc.constantFrom("", "bot"),
    )
    .map((strings) => keyOf(...strings)),
);

const row: fc.Arbitrary<TestRow> = fc.record({
  window: windowStart,
  key,
  clicks: fc.oneof(fc.integer({ min: 1, max: 9 }), fc.constant(0xffff_ffff)),
});

/** Enough rows for tables to grow, arenas to go over chunks and batches to be full. */
const bulk: fc.Arbitrary<TestRow[]> = fc
  .record({
    count: fc.integer({ min: 1, max: 700 }),
    keys: fc.integer({ min: 1, max: 2_000 }),
    windows: fc.integer({ min: 1, max: 8 }),
    seed: fc.nat(),
  })
  .map(({ count, keys, windows, seed }) =>
    Array.from({ length: count }, (_, i) => {
      const spread = Math.imul(i + seed, 0x9e3779b1) >>> 0;
      return {
        window: ((spread >>> 24) % windows) * SECONDS,
        key: adKey(`ad-${spread % keys}`),
        clicks: (i % 5) + 1,
      };
    }),
  );

const rows = fc.oneof(fc.array(row, { maxLength: 70 }), bulk);

const ingest: fc.Arbitrary<Operation> = rows.map((list) => ({
  do: "ingest",
  body: blockOf(list),
  rows: list.length,
}));

/** A block after a byte was changed, cut off, added, or its row count changed. By chance it may be valid. */
const ingestDamaged: fc.Arbitrary<Operation> = fc
  .record({
    list: rows,
    where: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    damage: fc.oneof(
      fc.record({ kind: fc.constant("byte" as const), value: fc.nat({ max: 255 }) }),
      fc.record({ kind: fc.constant("cut" as const) }),
      fc.record({ kind: fc.constant("more" as const), value: fc.nat({ max: 255 }) }),
      fc.record({ kind: fc.constant("rows" as const), by: fc.constantFrom(-1, 1, 1_000_000) }),
      fc.record({ kind: fc.constant("no clicks" as const) }),
    ),
  })
  .map(({ list, where, damage }) => {
    const body = blockOf(list);
    const at = Math.floor(where * body.length);
    switch (damage.kind) {
      case "byte":
        return { body: body.map((b, i) => (i === at ? damage.value : b)), rows: list.length };
      case "cut":
        return { body: body.subarray(0, at), rows: list.length };
      case "more":
        return { body: Uint8Array.from([...body, damage.value]), rows: list.length };
      case "rows":
        return { body, rows: Math.max(0, list.length + damage.by) };
      case "no clicks": {
        const index = Math.floor(where * list.length);
        const changed = list.map((r, i) => (i === index ? { ...r, clicks: 0 } : r));
        return { body: blockOf(changed), rows: list.length };
      }
    }
  })
  .map((block) => ({ do: "ingest", ...block }));

/** At the end of a window more often than not. */
const boundary = fc.oneof(
  { weight: 3, arbitrary: fc.nat({ max: 9 }).map((n) => n * SECONDS) },
  { weight: 1, arbitrary: fc.nat({ max: 9 * SECONDS }) },
);

const close: fc.Arbitrary<Operation> = fc
  .record({
    closedThroughSeconds: boundary,
    lateThroughSeconds: boundary,
    windowSeconds: fc.constantFrom(SECONDS, SECONDS, 1, 7 * SECONDS),
    chunkBytesMax: fc.oneof(
      fc.integer({ min: RESULT_BYTES_MAX, max: RESULT_BYTES_MAX + 1_000 }),
      fc.constant(BLOCK_BODY_BYTES_MAX),
    ),
    unit: fc.record({
      job: fc.constantFrom("", "j", "a-job-of-some-length"),
      partitions: fc.constant(4),
      partition: fc.nat({ max: 3 }),
      emission: fc.maxSafeNat(),
      emittedOn: fc.nat({ max: 0xffff }),
    }),
  })
  .map((request) => ({ do: "close", request }));

const operations = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: ingest },
    { weight: 2, arbitrary: ingestDamaged },
    { weight: 2, arbitrary: close },
  ),
  { maxLength: 25 },
);

/** Does it, and returns all that can be seen afterwards; bodies as text, for a readable difference. */
function observe(kernel: Kernel, operation: Operation): unknown {
  const outcome =
    operation.do === "ingest"
      ? kernel.ingest(operation.body, operation.rows)
      : kernel
          .close(operation.request)
          .map((chunk) => ({ ...chunk, body: Buffer.from(chunk.body).toString("latin1") }));
  return { outcome, windows: kernel.windows(), rowCount: kernel.rowCount() };
}

const module = await loadKernelModule();
const CLOSE_ALL: Operation = { do: "close", request: closeRequest({ unit: UNIT }) };

test("the wasm kernel and the reference kernel cannot be told apart", () => {
  fc.assert(
    fc.property(operations, (list) => {
      const kernel = createWasmKernel(module);
      const reference = createReferenceKernel();
      for (const operation of [...list, CLOSE_ALL]) {
        expect(observe(kernel, operation)).toEqual(observe(reference, operation));
      }
    }),
    { numRuns: 200 },
  );
});
