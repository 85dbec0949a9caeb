/** Builds the contender in C, where there is a C compiler. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const SOURCE = fileURLToPath(new URL("native/kernel.c", import.meta.url));
const FLAGS = ["-O3", "-march=native", "-std=gnu11", "-Wall"];

export type NativeBuild =
  | { readonly program: string; readonly compiler: string }
  | { readonly program: null; readonly reason: string };

/** @param compiler a C compiler's command, `cc` but in tests */
export async function buildNative(directory: string, compiler = "cc"): Promise<NativeBuild> {
  const run = promisify(execFile);
  const program = `${directory}/kernel`;
  try {
    const { stdout } = await run(compiler, ["--version"]);
    await run(compiler, [...FLAGS, SOURCE, "-o", program]);
    return { program, compiler: `${stdout.split("\n")[0]} ${FLAGS.slice(0, 2).join(" ")}` };
  } catch (error) {
    const { code, stderr } = error as { code?: string | number; stderr?: string };
    if (code === "ENOENT") return { program: null, reason: `there is no ${compiler}` };
    return { program: null, reason: `${compiler} failed: ${(stderr ?? String(error)).trim()}` };
  }
}
