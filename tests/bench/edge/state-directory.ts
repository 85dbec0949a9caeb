/** Where the bench keeps its processes' files: on a disk, because a journal's fsync is part of what is measured. */
import { mkdirSync, mkdtempSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CLICKMILL_DIRECTORY } from "../../../infra/stack/config.ts";

/** What Linux says of a file system that is memory. */
const TMPFS = 0x01021994;

export interface StateDirectory {
  readonly path: string;
  /** False where even the repository is in memory; true also where nobody can tell. */
  readonly onDisk: boolean;
  remove(): void;
}

/** In the system's place for temporary files, or, where that is memory, beside the local stack's state. */
export function makeStateDirectory(): StateDirectory {
  let parent = tmpdir();
  if (isMemory(parent)) {
    mkdirSync(CLICKMILL_DIRECTORY, { recursive: true });
    parent = CLICKMILL_DIRECTORY;
  }
  const path = mkdtempSync(join(parent, "clickmill-bench-edge-"));
  const remove = () => rmSync(path, { recursive: true, force: true });
  // Also when the bench fails: what it has started is gone by then, or goes with it.
  process.once("exit", remove);
  return { path, onDisk: !isMemory(path), remove };
}

function isMemory(directory: string): boolean {
  return statfsSync(directory).type === TMPFS;
}
