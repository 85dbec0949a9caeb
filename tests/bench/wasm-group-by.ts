/** The kernel as production runs it, through its typed face: copies into and out of linear memory included. */
import { BLOCK_BODY_BYTES_MAX } from "../../wire/limits.ts";
import { resultTail } from "../../wire/result.ts";
import type { ClosedChunk } from "../../wasm/kernel.ts";
import { createWasmKernel } from "../../wasm/wasm-kernel.ts";
import type { GroupBy } from "./group-by.ts";
import type { TallyMaker } from "./tally.ts";

const UNIT = { job: "bench", partitions: 1, partition: 0, emission: 1, emittedOn: 20_000 };
const WINDOW_SECONDS = 60;
const ALL_SECONDS = 2 ** 32;

export interface WasmGroupBy extends GroupBy {
  /** Closes all windows: their rows in canonical order, as result rows. */
  close(): ClosedChunk[];
}

export function createWasmGroupBy(module: WebAssembly.Module): WasmGroupBy {
  const kernel = createWasmKernel(module);
  const close = () =>
    kernel.close({
      closedThroughSeconds: ALL_SECONDS,
      lateThroughSeconds: 0,
      windowSeconds: WINDOW_SECONDS,
      unit: UNIT,
      chunkBytesMax: BLOCK_BODY_BYTES_MAX,
    });
  return {
    add({ body, rows }) {
      const outcome = kernel.ingest(body, rows);
      if (!outcome.ok) throw new Error(`${outcome.reason} at byte ${outcome.offset}`);
    },
    close,
    tell: (tally) => tellChunks(close(), tally),
  };
}

/** window_start u32, key, clicks i64, origin u8, then the tail: see wire/result.ts. */
export function tellChunks(chunks: readonly ClosedChunk[], tally: TallyMaker): void {
  for (const [index, { body, rows }] of chunks.entries()) {
    const tailBytes = resultTail(UNIT, index).length;
    const view = new DataView(body.buffer, body.byteOffset, body.length);
    let at = 0;
    for (let row = 0; row < rows; row++) {
      const windowStartSeconds = view.getUint32(at, true);
      const key = at + 4;
      at = key;
      for (let field = 0; field < 4; field++) at += 1 + body[at]!;
      tally.add(body, key, windowStartSeconds, Number(view.getBigInt64(at, true)));
      at += 8 + 1 + tailBytes;
    }
    if (at !== body.length) throw new Error("bytes are left over in a chunk");
  }
}
