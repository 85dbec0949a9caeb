/** The embedded ClickHouse as a process: chDB behind ClickHouse's HTTP protocol, for development and tests. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Command, InvalidArgumentError } from "commander";
import { readUser } from "./config.ts";
import { KILL_MS_MAX, SHUTDOWN_MS_MAX, THREAD_POOL_SIZE } from "./limits.ts";

// libuv reads this once, at the first use of its pool: before chDB and anything else is loaded.
// oxlint-disable-next-line node/no-process-env -- it is set for libuv, not read
process.env["UV_THREADPOOL_SIZE"] = String(THREAD_POOL_SIZE);
const { Engine } = await import("./engine.ts");
const { Spool } = await import("./spool.ts");
const { createClickHouseServer } = await import("./http-server.ts");

const HOST = "127.0.0.1";

const command = new Command("embedded-clickhouse")
  .description(
    "ClickHouse for development and tests: the engine as a library, behind its HTTP protocol. " +
      "CLICKHOUSE_USER and CLICKHOUSE_PASSWORD name its one user; by default it is `default` without a password.",
  )
  .requiredOption("--port <number>", "port on 127.0.0.1", portOf)
  .requiredOption("--data <directory>", "where tables live; made when missing")
  .action(({ port, data }: { port: number; data: string }) => start(port, data));
await command.parseAsync();

function portOf(text: string): number {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 1 || port > 65_535) {
    throw new InvalidArgumentError("a port is a number from 1 to 65535");
  }
  return port;
}

async function start(port: number, dataDirectory: string): Promise<void> {
  const directory = join(dataDirectory, "engine");
  mkdirSync(directory, { recursive: true });
  let engine: InstanceType<typeof Engine>;
  try {
    engine = new Engine(directory);
  } catch (error) {
    fail(`${directory} cannot be opened; is another process using it? ${String(error)}`);
  }
  // Only now: the directory is ours, so what is in the spool is nobody's.
  const spool = new Spool(join(dataDirectory, "spool"));
  const server = createClickHouseServer({
    engine,
    spool,
    user: readUser(),
    timezone: await engine.timezone(),
  });
  server.once("error", (error: NodeJS.ErrnoException) => {
    const taken = error.code === "EADDRINUSE";
    fail(
      taken
        ? `port ${port} on ${HOST} is taken`
        : `cannot listen on ${HOST}:${port}: ${error.message}`,
    );
  });
  server.listen(port, HOST, () => console.log(`clickhouse ready on http://${HOST}:${port}`));

  const stop = async () => {
    server.close();
    server.closeIdleConnections();
    await idleBy(engine, Date.now() + SHUTDOWN_MS_MAX);
    if (engine.admittedCount > 0) {
      console.error(`killing ${engine.admittedCount} queries after ${SHUTDOWN_MS_MAX} ms`);
      await engine.killAll();
      await idleBy(engine, Date.now() + KILL_MS_MAX);
    }
    // Closing it under a running query would wait for the query.
    if (engine.admittedCount === 0) engine.close();
    process.exit(0);
  };
  let stopping = false;
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.on(signal, () => {
      if (!stopping) void stop();
      stopping = true;
    });
  }
}

async function idleBy(engine: { readonly admittedCount: number }, deadlineMs: number) {
  // oxlint-disable-next-line no-await-in-loop
  while (engine.admittedCount > 0 && Date.now() < deadlineMs) await sleep(20);
}

function fail(message: string): never {
  console.error(message);
  process.exit(1);
}
