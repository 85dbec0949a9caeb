/** Runs as rows of wire/snapshot.ts: out of the kernel into the transfer area, and back. */
import { RECORD_ID, records } from "./ads";
import {
  AD_ID_BYTES_MAX,
  FAULT_CUT_OFF,
  FAULT_LEFT_OVER,
  FAULT_LONG_AD_ID,
  FAULT_LONG_LENGTH,
  FAULT_NONE,
} from "./constants.generated";
import { clicksFault, SAFE_MAX } from "./ingest";
import { copyBytes } from "./keys";
import { transfer } from "./memory";
import {
  beginEntries,
  endRestoredRun,
  entries,
  findRun,
  nextEntries,
  restoreRow,
  rowsMissing,
} from "./runs";

export let runChunkRows: u32 = 0;
export let runChunkClicks: u64 = 0;
export let runFaultOffset: u32 = 0;

let count: u32 = 0;
let next: u32 = 0;

/** Starts at the first row of a run; false when there is none of that number. */
export function beginRunDump(number: u32): bool {
  const run = findRun(number);
  if (run == 0) return false;
  beginEntries(run);
  count = 0;
  next = 0;
  return true;
}

/** Fills the transfer area with rows while they fit `bytesMax`. Returns the chunk's bytes; 0 when all is written. */
export function writeRunChunk(bytesMax: u32): u32 {
  const end = transfer + bytesMax;
  let at = transfer;
  runChunkRows = 0;
  runChunkClicks = 0;
  while (true) {
    if (next == count) {
      count = nextEntries();
      next = 0;
      if (count == 0) break;
    }
    const entry = entries + (next << 4);
    const id = (load<u32>(records + (load<u32>(entry) << 2)) as usize) + RECORD_ID;
    const idBytes = 1 + (load<u8>(id) as u32);
    if (at + idBytes + 8 > end) break;
    copyBytes(at, id, idBytes);
    store<u64>(at + idBytes, load<u64>(entry, 8));
    at += idBytes + 8;
    runChunkRows++;
    runChunkClicks += load<u64>(entry, 8);
    next++;
  }
  return (at - transfer) as u32;
}

/** Checks `rows` rows in the transfer area. Returns a fault code, with `runFaultOffset`. */
export function checkRunRows(bytes: u32, rows: u32): u32 {
  const end = transfer + bytes;
  let at = transfer;
  runChunkClicks = 0;
  for (let row: u32 = 0; row < rows; row++) {
    if (at >= end) return fail(FAULT_CUT_OFF, at);
    const length = load<u8>(at) as u32;
    if (length >= 128) return fail(FAULT_LONG_LENGTH, at);
    if (length > AD_ID_BYTES_MAX) return fail(FAULT_LONG_AD_ID, at);
    if (at + 1 + length > end) return fail(FAULT_CUT_OFF, at);
    at += 1 + length;
    if (at + 8 > end) return fail(FAULT_CUT_OFF, at);
    const clicks = load<u64>(at);
    if (clicks - 1 >= SAFE_MAX) return fail(clicksFault(clicks), at);
    runChunkClicks += clicks;
    at += 8;
  }
  return at == end ? FAULT_NONE : fail(FAULT_LEFT_OVER, at);
}

function fail(fault: u32, at: usize): u32 {
  runFaultOffset = (at - transfer) as u32;
  return fault;
}

/**
 * Adds the checked rows to a run. Returns how many were added: fewer when an ad comes twice or memory is at
 * its limit, and the kernel is of no use then.
 */
export function addRunRows(number: u32, rows: u32): u32 {
  const run = findRun(number);
  if (run == 0 || rows > rowsMissing(run)) unreachable();
  let at = transfer;
  for (let row: u32 = 0; row < rows; row++) {
    const idBytes = 1 + (load<u8>(at) as u32);
    if (!restoreRow(run, at, load<u64>(at + idBytes))) return row;
    at += idBytes + 8;
  }
  if (rows > 0 && rowsMissing(run) == 0 && !endRestoredRun(run)) return 0;
  return rows;
}
