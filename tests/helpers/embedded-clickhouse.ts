/** Starts the embedded ClickHouse as a process of its own, on a free port, for tests. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../../infra/embedded/main.ts", import.meta.url));
/** Loading a library of 500 MB from a cold disk takes seconds. */
const START_MS_MAX = 30_000;

export interface EmbeddedClickHouse {
  readonly url: string;
  readonly pid: number;
  /** Asks it to end, and waits; removes the data directory if it was made here. */
  stop(): Promise<void>;
  /** SIGKILL, and waits; keeps the data directory. */
  kill(): Promise<void>;
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** @param dataDirectory made, and removed by `stop`, when not given */
export async function startEmbeddedClickHouse(dataDirectory?: string): Promise<EmbeddedClickHouse> {
  const directory = dataDirectory ?? (await mkdtemp(join(tmpdir(), "clickmill-clickhouse-")));
  const port = await freePort();
  const child = spawn(process.execPath, [MAIN, "--port", String(port), "--data", directory], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let errorText = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    errorText = (errorText + text).slice(-4096);
  });
  const exited = once(child, "exit");
  const removeData = async () => {
    if (dataDirectory === undefined) await rm(directory, { recursive: true, force: true });
  };
  const end = async (signal: NodeJS.Signals) => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    await exited;
  };
  const url = `http://127.0.0.1:${port}`;
  const ready = (async () => {
    for await (const line of createInterface(child.stdout)) {
      if (line === `clickhouse ready on ${url}`) return true;
    }
    return false;
  })();
  const timer = setTimeout(() => child.kill("SIGKILL"), START_MS_MAX);
  const isReady = await ready;
  clearTimeout(timer);
  if (!isReady) {
    await exited;
    await removeData();
    throw new Error(`the embedded ClickHouse did not start: ${errorText}`);
  }
  child.stdout.resume();
  return {
    url,
    pid: child.pid!,
    stop: async () => {
      await end("SIGTERM");
      await removeData();
    },
    kill: () => end("SIGKILL"),
  };
}
