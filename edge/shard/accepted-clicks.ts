/** What a batch gives to the commit: its accepted clicks, in packs that fit a journal row. */
import { packOf } from "../../wire/packed-clicks.ts";
import type { ClickPlaces, Pack } from "../../wire/packed-clicks.ts";
import { FATE } from "./fate.ts";
import type { GroupPiece } from "./group-commit.ts";

/**
 * @param fates of the pack's clicks
 * @param fingerprints of the accepted ones, in order, two lanes each
 * @param messageBytesMax of one piece, as rows of a message
 * @returns pieces whose bytes may be views of the pack
 */
export function acceptedPieces(
  pack: Pack,
  { starts }: ClickPlaces,
  fates: Uint8Array,
  fingerprints: Uint32Array,
  messageBytesMax: number,
): GroupPiece[] {
  const acceptedCount = fingerprints.length / 2;
  if (acceptedCount === 0) return [];
  if (acceptedCount === pack.clickCount && pack.rowsByteCount <= messageBytesMax) {
    const { bytes, rowsByteCount } = pack;
    return [{ bytes, rowCount: acceptedCount, messageByteCount: rowsByteCount, fingerprints }];
  }
  const pieces: GroupPiece[] = [];
  let clicks: Uint8Array[] = [];
  let messageByteCount = 0;
  let from = 0;
  const close = () => {
    const to = from + clicks.length;
    pieces.push({
      bytes: packOf(pack, clicks),
      rowCount: clicks.length,
      messageByteCount,
      fingerprints: fingerprints.subarray(2 * from, 2 * to),
    });
    from = to;
    clicks = [];
    messageByteCount = 0;
  };
  for (const [i, fate] of fates.entries()) {
    if (fate !== FATE.accepted) continue;
    const click = pack.bytes.subarray(starts[i], starts[i + 1]);
    const rowByteCount = pack.commonByteCount + click.length;
    if (messageByteCount + rowByteCount > messageBytesMax && clicks.length > 0) close();
    clicks.push(click);
    messageByteCount += rowByteCount;
  }
  close();
  return pieces;
}
