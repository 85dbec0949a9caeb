/**
 * A flush's partial rows: its clicks counted by window, ad, country, device and invalid reason, apart for each
 * partition, in order of first sight. Keys are compared where they stand in the raw rows: no string and no object
 * for a click.
 */
import { bodyWriter } from "../../wire/block.ts";
import { reserve } from "../../wire/cursor.ts";
import type { Cursor } from "../../wire/cursor.ts";
import { PARTIAL_BYTES_MAX, writePartialFrom } from "../../wire/partial.ts";
import { partitionOf } from "../../wire/routing.ts";

export interface PartitionPart {
  readonly partition: number;
  /** For `sealBlock`. */
  readonly body: Cursor;
  rows: number;
  clicks: number;
}

export class Partials {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #windowSeconds: number;
  readonly #seed: number;
  /** Numbers of keys, from 1 on; 0 is an empty slot. Linear probing, at most half full. */
  readonly #slots: Uint32Array;
  /** By a key's number. */
  readonly #hashes: Int32Array;
  readonly #windowStarts: Uint32Array;
  readonly #keyStarts: Uint32Array;
  readonly #keyEnds: Uint32Array;
  readonly #clicks: Uint32Array;
  #keyCount = 0;

  /**
   * @param rows where the clicks' rows are written; it must not grow
   * @param clickCountMax clicks that will be counted, at most
   * @param seed 32 bits that nobody outside knows: no sender can choose ads that fill one place of the table
   */
  constructor(rows: Cursor, clickCountMax: number, windowSeconds: number, seed: number) {
    this.#bytes = rows.bytes;
    this.#view = rows.view;
    this.#windowSeconds = windowSeconds;
    this.#seed = seed;
    this.#slots = new Uint32Array(2 ** Math.ceil(Math.log2(2 * clickCountMax + 1)));
    this.#hashes = new Int32Array(clickCountMax + 1);
    this.#windowStarts = new Uint32Array(clickCountMax + 1);
    this.#keyStarts = new Uint32Array(clickCountMax + 1);
    this.#keyEnds = new Uint32Array(clickCountMax + 1);
    this.#clicks = new Uint32Array(clickCountMax + 1);
  }

  /** Counts a click whose key is the rows' bytes `[keyStart, keyEnd)`. */
  count(eventTimeMs: number, keyStart: number, keyEnd: number): void {
    const windowSeconds = this.#windowSeconds;
    const windowStart = Math.floor(eventTimeMs / (1_000 * windowSeconds)) * windowSeconds;
    const hash = hashOf(this.#bytes, keyStart, keyEnd, this.#seed ^ windowStart);
    const slots = this.#slots;
    const mask = slots.length - 1;
    let slot = hash & mask;
    for (let key = slots[slot]!; key !== 0; key = slots[slot]!) {
      if (
        this.#hashes[key] === hash &&
        this.#windowStarts[key] === windowStart &&
        this.#hasBytes(key, keyStart, keyEnd)
      ) {
        this.#clicks[key]!++;
        return;
      }
      slot = (slot + 1) & mask;
    }
    const key = ++this.#keyCount;
    slots[slot] = key;
    this.#hashes[key] = hash;
    this.#windowStarts[key] = windowStart;
    this.#keyStarts[key] = keyStart;
    this.#keyEnds[key] = keyEnd;
    this.#clicks[key] = 1;
  }

  #hasBytes(key: number, start: number, end: number): boolean {
    const bytes = this.#bytes;
    const offset = this.#keyStarts[key]! - start;
    if (this.#keyEnds[key]! - end !== offset) return false;
    for (let i = start; i < end; i++) if (bytes[i] !== bytes[i + offset]) return false;
    return true;
  }

  byPartition(partitions: number): PartitionPart[] {
    const bytes = this.#bytes;
    const parts = new Map<number, PartitionPart>();
    for (let key = 1; key <= this.#keyCount; key++) {
      const start = this.#keyStarts[key]!;
      // The key starts with the ad id: one byte of length (AD_ID_BYTES_MAX < 128), then its bytes.
      const adEnd = start + 1 + bytes[start]!;
      const partition = partitionOf(this.#view, start + 1, adEnd, partitions);
      let part = parts.get(partition);
      if (part === undefined) {
        part = { partition, body: bodyWriter(), rows: 0, clicks: 0 };
        parts.set(partition, part);
      }
      reserve(part.body, PARTIAL_BYTES_MAX);
      const clicks = this.#clicks[key]!;
      const end = this.#keyEnds[key]!;
      writePartialFrom(part.body, this.#windowStarts[key]!, bytes, start, end, clicks);
      part.rows++;
      part.clicks += clicks;
    }
    return [...parts.values()].toSorted((a, b) => a.partition - b.partition);
  }
}

/** FNV-1a, folded: for the table alone, nothing written depends on it. */
function hashOf(bytes: Uint8Array, start: number, end: number, seed: number): number {
  let hash = seed;
  for (let i = start; i < end; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
  return hash ^ (hash >>> 15);
}
