/** Resident memory of another process. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";

export async function residentBytes(pid: number): Promise<number> {
  const { stdout } = await promisify(execFile)("ps", ["-o", "rss=", "-p", String(pid)]);
  return Number(stdout) * 1_024;
}
