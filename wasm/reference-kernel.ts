/** The kernel in plain TypeScript: slow, obviously right, the oracle of the one in WebAssembly. */
import { ORIGIN } from "../wire/columns.ts";
import {
  reserve,
  writeBytes,
  writeI64,
  writer,
  writeU32,
  writeU8,
  written,
} from "../wire/cursor.ts";
import {
  AD_ID_BYTES_MAX,
  BLOCK_BODY_BYTES_MAX,
  COUNTRY_BYTES_MAX,
  DEVICE_BYTES_MAX,
  INVALID_REASON_BYTES_MAX,
} from "../wire/limits.ts";
import { RESULT_BYTES_MAX, resultTail } from "../wire/result.ts";
import type { ClosedChunk, CloseRequest, IngestOutcome, Kernel } from "./kernel.ts";
import { keyHash } from "./key-hash.ts";
import { faultReason } from "./layout.ts";
import type { Fault } from "./layout.ts";
import { assertCloseRequest, assertRows } from "./preconditions.ts";

interface Count {
  readonly key: Uint8Array;
  clicks: number;
}

/** Counts by the key's bytes as text, one character each. */
type WindowCounts = Map<string, Count>;

interface Row {
  readonly windowStartSeconds: number;
  readonly key: Uint8Array;
  readonly clicks: number;
}

export function createReferenceKernel(): Kernel {
  const windows = new Map<number, WindowCounts>();
  const starts = () => [...windows.keys()].toSorted((a, b) => a - b);

  return {
    ingest(body, rows) {
      assertRows(rows);
      const parsed = parseRows(body, rows);
      if ("ok" in parsed) return parsed;
      let clicks = 0;
      for (const row of parsed) {
        addRow(windows, row);
        clicks += row.clicks;
      }
      return { ok: true, clicks };
    },

    close(request) {
      assertCloseRequest(request);
      const chunks = new ChunkWriter(request);
      for (const start of starts()) {
        const end = start + request.windowSeconds;
        if (end > request.closedThroughSeconds) continue;
        const origin = end <= request.lateThroughSeconds ? ORIGIN.late : ORIGIN.on_time;
        for (const { key, clicks } of canonical(windows.get(start)!)) {
          chunks.add(start, key, clicks, origin);
        }
        windows.delete(start);
      }
      return chunks.finish();
    },

    windows: starts,

    rowCount() {
      let rows = 0;
      for (const counts of windows.values()) rows += counts.size;
      return rows;
    },
  };
}

function addRow(windows: Map<number, WindowCounts>, row: Row): void {
  let counts = windows.get(row.windowStartSeconds);
  if (counts === undefined) {
    counts = new Map();
    windows.set(row.windowStartSeconds, counts);
  }
  const name = Buffer.from(row.key).toString("latin1");
  const count = counts.get(name);
  if (count === undefined) counts.set(name, { key: row.key, clicks: row.clicks });
  else count.clicks += row.clicks;
}

function canonical(counts: WindowCounts): Count[] {
  return [...counts.values()]
    .map((count) => ({ count, hash: keyHash(count.key) }))
    .toSorted((a, b) => {
      if (a.hash !== b.hash) return a.hash < b.hash ? -1 : 1;
      return Buffer.compare(a.count.key, b.count.key);
    })
    .map(({ count }) => count);
}

/** Fills chunks to the limit, row by row. */
class ChunkWriter {
  readonly #request: CloseRequest;
  readonly #chunks: ClosedChunk[] = [];
  #tail: Uint8Array;
  #body = writer();
  #rows = 0;
  #clicks = 0;

  constructor(request: CloseRequest) {
    this.#request = request;
    this.#tail = resultTail(request.unit, 0);
  }

  add(start: number, key: Uint8Array, clicks: number, origin: number): void {
    const rowBytes = 4 + key.length + 8 + 1 + this.#tail.length;
    if (this.#body.at + rowBytes > this.#request.chunkBytesMax) this.#endChunk();
    const c = this.#body;
    reserve(c, RESULT_BYTES_MAX);
    writeU32(c, start);
    writeBytes(c, key);
    writeI64(c, clicks);
    writeU8(c, origin);
    writeBytes(c, this.#tail);
    this.#rows += 1;
    this.#clicks += clicks;
  }

  finish(): ClosedChunk[] {
    if (this.#rows > 0) this.#endChunk();
    return this.#chunks;
  }

  #endChunk(): void {
    this.#chunks.push({
      rows: this.#rows,
      clicks: this.#clicks,
      body: written(this.#body).slice(),
    });
    this.#tail = resultTail(this.#request.unit, this.#chunks.length);
    this.#body = writer();
    this.#rows = 0;
    this.#clicks = 0;
  }
}

/** The strings of a key in their order: greatest length, and the fault of a longer one. */
const STRINGS: readonly (readonly [number, Fault])[] = [
  [AD_ID_BYTES_MAX, "long_ad_id"],
  [COUNTRY_BYTES_MAX, "long_country"],
  [DEVICE_BYTES_MAX, "long_device"],
  [INVALID_REASON_BYTES_MAX, "long_invalid_reason"],
];

/** All rows of a block, or the first fault: where the value begins that breaks a rule. */
function parseRows(body: Uint8Array, rows: number): Row[] | IngestOutcome {
  if (body.length > BLOCK_BODY_BYTES_MAX) return refused("long_block", BLOCK_BODY_BYTES_MAX);
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const parsed: Row[] = [];
  let at = 0;
  while (parsed.length < rows) {
    if (at + 4 > body.length) return refused("cut_off", at);
    const windowStartSeconds = view.getUint32(at, true);
    at += 4;
    const keyStart = at;
    for (const [bytesMax, tooLong] of STRINGS) {
      const length = body[at];
      if (length === undefined) return refused("cut_off", at);
      if (length >= 128) return refused("long_length", at);
      if (length > bytesMax) return refused(tooLong, at);
      if (at + 1 + length > body.length) return refused("cut_off", at);
      at += 1 + length;
    }
    const key = body.slice(keyStart, at);
    if (at + 4 > body.length) return refused("cut_off", at);
    const clicks = view.getUint32(at, true);
    if (clicks === 0) return refused("no_clicks", at);
    at += 4;
    parsed.push({ windowStartSeconds, key, clicks });
  }
  if (at < body.length) return refused("left_over", at);
  return parsed;
}

function refused(fault: Fault, offset: number): IngestOutcome {
  return { ok: false, offset, reason: faultReason(fault) };
}
