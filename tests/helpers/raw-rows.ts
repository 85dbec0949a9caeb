/** clicks_raw rows for tests, made as a flush makes them: out of packs. */
import { reader, reserve, textOf, writer, written } from "../../wire/cursor.ts";
import type { Cursor } from "../../wire/cursor.ts";
import {
  newClickSpans,
  newPack,
  openPack,
  packClick,
  unpackClick,
  walkClick,
} from "../../wire/packed-clicks.ts";
import {
  EPOCH_BYTES,
  newRawClickSpans,
  RAW_CLICK_BYTES_MAX,
  readRawClick,
  unitBytes,
} from "../../wire/raw-click.ts";
import type { RawClick } from "../../wire/raw-click.ts";

const NO_EPOCH = "\0".repeat(EPOCH_BYTES);

/** Appends a row without a unit (but for its shard); the caller has reserved RAW_CLICK_BYTES_MAX. */
export function writeRawClick(c: Cursor, click: RawClick): void {
  const packing = newPack(click);
  packClick(packing, { ...click, userId: textOf(click.userId) }, click);
  const packed = reader(written(packing));
  unpackNext(packed, click.shard, c);
}

/** The clicks of packs that stand one behind the other, as the rows that a flush would make of them. */
export function clicksOf(packs: Uint8Array): RawClick[] {
  const packed = reader(packs);
  const rows = writer();
  while (packed.at < packs.length) unpackNext(packed, 0, rows);
  const c = reader(written(rows));
  const clicks: RawClick[] = [];
  while (c.at < c.bytes.length) clicks.push(readRawClick(c));
  return clicks;
}

function unpackNext(packed: Cursor, shard: number, rows: Cursor): void {
  const unit = unitBytes({ flush: 0, flushedOn: 0, shard, epoch: NO_EPOCH });
  const pack = openPack(packed);
  const end = packed.at - pack.clicksStart + pack.bytes.length;
  const click = newClickSpans();
  for (let i = 0; i < pack.clickCount; i++) {
    reserve(rows, RAW_CLICK_BYTES_MAX);
    walkClick(packed, click);
    unpackClick(rows, unit, pack, packed, click, newRawClickSpans());
  }
  if (packed.at !== end) throw new Error(`a pack ends at ${packed.at}, not ${end}`);
}
