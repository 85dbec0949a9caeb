/** Resident memory of another process, in bytes. */
import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { promisify } from "node:util";

/** From Linux itself where there is one: `ps` is missing in small images. */
export async function residentBytes(pid: number): Promise<number> {
  const statusFile = `/proc/${pid}/status`;
  const kibibytes = existsSync(statusFile)
    ? /^VmRSS:\s+(\d+)/m.exec(readFileSync(statusFile, "utf8"))![1]
    : (await promisify(execFile)("ps", ["-o", "rss=", "-p", String(pid)])).stdout;
  return Number(kibibytes) * 1_024;
}
