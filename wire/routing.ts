/** Which shard remembers a click, and which partition counts an ad: both are hashes of ids alone. */
import { writer } from "./cursor.ts";
import { hash32 } from "./hash.ts";
import { CLICK_ID_BYTES_MAX } from "./limits.ts";

const scratch = writer(CLICK_ID_BYTES_MAX);

/**
 * The shard of a click id: `<install>.<rest>` goes by `<install>`, so that an SDK's batch stays
 * together; any other id by the whole. Never by ad: a hot ad is then just a bigger number.
 *
 * @param clickId printable ASCII. What is rejected is routed too, with an id of any length and letters: only the
 *   first CLICK_ID_BYTES_MAX count
 */
export function shardOf(clickId: string, shards: number): number {
  const dot = clickId.indexOf(".");
  const length = Math.min(dot > 0 ? dot : clickId.length, CLICK_ID_BYTES_MAX);
  for (let i = 0; i < length; i++) scratch.bytes[i] = clickId.charCodeAt(i);
  return hash32(scratch.view, 0, length) % shards;
}

/** `shardOf` for the clicks of one request, which are most often of one installation: its hash is made once. */
export function homes(shards: number): (clickId: string) => number {
  let install = "";
  let home = 0;
  return (clickId) => {
    if (install === "" || !clickId.startsWith(install)) {
      home = shardOf(clickId, shards);
      // With its dot: another's name may begin with the same letters. An id that begins with a dot is of none.
      const dot = clickId.indexOf(".");
      install = dot > 0 ? clickId.slice(0, dot + 1) : "";
    }
    return home;
  };
}

/** The partition of an ad, from the id's bytes `[start, end)` of a view, without their length. */
export function partitionOf(
  view: DataView,
  start: number,
  end: number,
  partitions: number,
): number {
  return hash32(view, start, end) % partitions;
}
