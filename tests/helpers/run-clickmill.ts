/** Runs the `clickmill` command as a user types it. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { inheritedEnvironment } from "../../infra/stack/config.ts";

export const CLICKMILL = fileURLToPath(
  new URL("../../aggregator/cli/clickmill.ts", import.meta.url),
);

export interface Run {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** @param environment on top of this process's; paths are taken from `INIT_CWD` */
export async function runClickmill(
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<Run> {
  const child = spawn(process.execPath, [CLICKMILL, ...args], {
    env: { ...inheritedEnvironment(), ...environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const [code] = (await once(child, "close")) as [number | null];
  return { code, stdout, stderr };
}
