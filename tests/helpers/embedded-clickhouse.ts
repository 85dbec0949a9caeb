/** Starts the embedded ClickHouse as a process of its own, on a free port, for tests. */
import { once } from "node:events";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DEFAULT_USER } from "../../infra/embedded/credentials.ts";
import { clickhouseLaunch } from "../../infra/stack/clickhouse.ts";
import { StackProcess } from "../../infra/stack/stack-process.ts";

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

/**
 * Started as the stack starts it: watched until ready, and gone when the test's worker is, however it ends.
 *
 * @param dataDirectory made, and removed by `stop`, when not given
 * @param user the one it answers; by default the one without a password
 * @throws StackError with the end of its log when it does not get ready
 */
export async function startEmbeddedClickHouse(
  dataDirectory?: string,
  user = DEFAULT_USER,
): Promise<EmbeddedClickHouse> {
  const directory = dataDirectory ?? (await mkdtemp(join(tmpdir(), "clickmill-clickhouse-")));
  await mkdir(directory, { recursive: true });
  const port = await freePort();
  // Its unasked end needs no report of its own: every request of the test fails.
  const server = new StackProcess(
    "the embedded ClickHouse",
    join(directory, "server.log"),
    () => clickhouseLaunch(port, directory, user),
    () => {},
  );
  const removeData = async () => {
    if (dataDirectory === undefined) await rm(directory, { recursive: true, force: true });
  };
  try {
    await server.start();
  } catch (error) {
    await removeData();
    throw error;
  }
  return {
    url: `http://127.0.0.1:${port}`,
    pid: server.pid,
    stop: async () => {
      await server.stop();
      await removeData();
    },
    kill: () => server.kill(),
  };
}
