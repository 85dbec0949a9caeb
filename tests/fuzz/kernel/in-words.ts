/** An operation as a line that a person reads. */
import { blockFor } from "./damage.ts";
import type { Dump, DumpAndRestore, Ingest, Operation } from "./operations.ts";

/** Longer blocks are cut; the seed and the sequence make them again. */
const BODY_BYTES_LISTED_MAX = 600;

export function inWords(operation: Operation): string {
  switch (operation.do) {
    case "ingest":
      return ingestInWords(operation);
    case "close":
    case "emit early":
      return `${operation.do} ${JSON.stringify(operation.request)}`;
    case "drain":
      return `drain: ${operation.how} ${JSON.stringify(operation.request)}`;
    case "top":
      return operation.requests
        .map(
          ({ windows, count, unit }) =>
            `top ${count} of ${windows} windows ${JSON.stringify(unit)}`,
        )
        .join("; ");
    case "dump":
      return `dump ${chunksInWords(operation)}`;
    case "dump and restore":
      return restoreInWords(operation);
  }
}

function ingestInWords(operation: Ingest): string {
  const { body, rows } = blockFor(operation);
  const hex = Buffer.from(body.subarray(0, BODY_BYTES_LISTED_MAX)).toString("hex");
  const cut = body.length > BODY_BYTES_LISTED_MAX ? "…" : "";
  const damage = operation.damage === null ? "" : ` (${operation.damage.kind})`;
  return `ingest ${rows} rows, ${body.length} bytes${damage} ${hex}${cut}`;
}

function chunksInWords({ windowChunkBytesMax, runChunkBytesMax }: Omit<Dump, "do">): string {
  return `with chunks to ${windowChunkBytesMax} bytes of windows, ${runChunkBytesMax} of runs`;
}

function restoreInWords(operation: DumpAndRestore): string {
  const { whose, fromOther, orderSeed, trouble } = operation;
  const words = [
    `dump ${chunksInWords(operation)}, restore ${whose}`,
    `from ${fromOther ? "the other's" : "its own"} rows in order ${orderSeed}`,
  ];
  if (trouble?.trouble === "a damaged chunk") {
    words.push(`before that a damaged chunk (${trouble.damage.kind})`);
  } else if (trouble !== null) {
    words.push(`instead new kernels are given ${trouble.trouble}`);
  }
  return words.join(", ");
}
