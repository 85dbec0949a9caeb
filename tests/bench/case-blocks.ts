/** Reads a case from disk: views of one buffer, block by block. */
import { closeSync, fstatSync, openSync, readFileSync, readSync } from "node:fs";
import type { CaseFiles } from "./cases.ts";

export interface PartialBlock {
  readonly body: Uint8Array;
  readonly rows: number;
}

/** Contenders may read so many bytes past a block's end, and must ignore them. */
export const SLACK_BYTES = 8;

export function readCase(files: CaseFiles): PartialBlock[] {
  const file = openSync(files.rowsFile, "r");
  const { size } = fstatSync(file);
  const bytes = new Uint8Array(size + SLACK_BYTES);
  const readBytes = readSync(file, bytes, 0, size, 0);
  closeSync(file);
  if (readBytes !== size) throw new Error(`${readBytes} bytes of ${size} were read`);
  const index = readFileSync(files.indexFile);
  const blocks: PartialBlock[] = [];
  let at = 0;
  for (let i = 0; i < index.length; i += 8) {
    const end = at + index.readUInt32LE(i);
    blocks.push({ body: bytes.subarray(at, end), rows: index.readUInt32LE(i + 4) });
    at = end;
  }
  if (at !== size) throw new Error("the index does not fit the rows");
  return blocks;
}
