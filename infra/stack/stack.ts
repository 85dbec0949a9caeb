/** The local stack: every component as the real program, in processes of its own, on 127.0.0.1. */
import { ClickHouseLogLevel, createClient } from "@clickhouse/client";
import { execFile } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { migrate } from "../clickhouse/migrate.ts";
import { findNatsServer } from "../find-program.mjs";
import { renderNatsConfig } from "../nats/render-nats-config.ts";
import { inheritedEnvironment, STACK_PARTS, type StackOptions, type StackPart } from "./config.ts";
import { clickhouseLaunch, withUser } from "./clickhouse.ts";
import { prepareEdge } from "./edge.ts";
import {
  AGGREGATOR_READY_MS_MAX,
  EDGE_BUILD_MS_MAX,
  EDGE_READY_MS_MAX,
  MIGRATION_MS_MAX,
  NATS_READY_MS_MAX,
} from "./limits.ts";
import { clearState, releasePidFile, takePidFile } from "./pid-file.ts";
import { requireFreePorts } from "./ports.ts";
import { StackError } from "./stack-error.ts";
import { answersOk, StackProcess, type LaunchSpec, type ManagedProcess } from "./stack-process.ts";
import { onStopSignal } from "./stop-signals.ts";

export { readStackOptions, type StackOptions, type StackPorts } from "./config.ts";
export { StackError } from "./stack-error.ts";
export type { ManagedProcess, ProcessExit } from "./stack-process.ts";

export interface Stack {
  readonly urls: {
    readonly edge: string;
    readonly clickhouse: string;
    readonly nats: string;
    readonly natsWebSocket: string;
    readonly natsMonitor: string;
  };
  /** What `parts` leaves out was never started. */
  readonly processes: Readonly<Record<StackPart, ManagedProcess>>;
  /** Where what lasts is on disk. */
  readonly directories: { readonly streams: string };
  /** Resolves when a process ends that nobody asked to: which, how, and the end of its log. */
  readonly unaskedExit: Promise<StackError>;
  /** Stops every process, in the order that loses no work. Calling it again waits for the same stop. */
  stop(): Promise<void>;
}

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/**
 * Starts nats-server, the embedded ClickHouse, the aggregator and the edge (or the `parts` asked for), in
 * this order, each when the one before is ready. State from earlier runs is kept, unless `fresh`; logs begin anew.
 *
 * Until stop(), SIGINT, SIGTERM and SIGHUP stop the stack and end this process.
 *
 * @throws StackError when a port or the state directory is taken or a process does not get ready;
 *   nothing runs then
 */
export async function startStack(options: StackOptions): Promise<Stack> {
  const { ports, stateDirectory } = options;
  const urls = {
    edge: `http://127.0.0.1:${ports.edge}`,
    clickhouse: `http://127.0.0.1:${ports.clickhouse}`,
    nats: `nats://127.0.0.1:${ports.nats}`,
    natsWebSocket: `ws://127.0.0.1:${ports.natsWebSocket}`,
    natsMonitor: `http://127.0.0.1:${ports.natsMonitor}`,
  };
  takePidFile(stateDirectory);
  if (options.fresh === true) clearState(stateDirectory);
  let unasked!: (error: StackError) => void;
  const unaskedExit = new Promise<StackError>((resolve) => (unasked = resolve));

  const logDirectory = join(stateDirectory, "logs");
  mkdirSync(logDirectory, { recursive: true });
  const part = (name: string, launch: (overrides: Overrides) => LaunchSpec) => {
    const logFile = join(logDirectory, `${name}.log`);
    rmSync(logFile, { force: true });
    return new StackProcess(name, logFile, launch, unasked);
  };

  const nats = part("nats", () => natsLaunch(options, urls));
  const clickhouse = part("clickhouse", () =>
    clickhouseLaunch(ports.clickhouse, join(stateDirectory, "clickhouse"), options.clickhouseUser),
  );
  const aggregator = part("aggregator", (overrides) => aggregatorLaunch(options, urls, overrides));
  const edgeDirectory = join(stateDirectory, "edge");
  let edgeFiles: ReturnType<typeof prepareEdge> | undefined;
  const edge = part("edge", (overrides) => {
    edgeFiles ??= prepareEdge(edgeDirectory, ports.edge);
    const textBindings = {
      PLATFORM: "local",
      SHARDS: String(options.shards),
      PARTITIONS: String(options.partitions),
      WINDOW_SECONDS: String(options.windowSeconds),
      NATS_URL: urls.natsWebSocket,
      ...options.edgeVars,
      ...overrides,
    };
    return {
      command: edgeFiles.workerd,
      arguments: ["serve", edgeFiles.writeConfig(textBindings)],
      // Workers see bindings, not the environment.
      environment: {},
      workingDirectory: edgeDirectory,
      readyMsMax: EDGE_READY_MS_MAX,
      isReady: () => answersOk(`${urls.edge}/health`),
    };
  });

  const processes = { nats, clickhouse, aggregator, edge };
  let stopping: Promise<void> | undefined;
  const stop = () => (stopping ??= stopAll());
  const stopAll = async () => {
    // Against the stream: who has work in hand can still pass it on.
    const inOrder = [edge, aggregator, clickhouse, nats];
    // All before the first is awaited: without process groups a Ctrl-C has reached every one of them.
    for (const process of inOrder) process.expectEnd();
    for (const process of inOrder) await process.stop();
    releasePidFile(stateDirectory);
    forgetSignals();
  };
  const forgetSignals = onStopSignal(stop);

  try {
    await requireFreePorts(ports);
    await buildEdgeBundle();
    for (const name of STACK_PARTS) {
      if (options.parts?.includes(name) === false) continue;
      if (name === "aggregator") await migrateDatabase(options, urls.clickhouse);
      if (stopping !== undefined) break;
      await processes[name].start();
    }
    if (stopping !== undefined) throw new StackError(STOPPED);
  } catch (error) {
    // What fails because it was stopped is only the echo.
    const cause = stopping === undefined ? error : new StackError(STOPPED);
    await stop();
    throw cause;
  }
  const directories = {
    streams: streamsDirectory(stateDirectory),
  };
  return { urls, processes, directories, unaskedExit, stop };
}

const STOPPED = "stopped while starting";

type Overrides = Readonly<Record<string, string>>;
type Urls = Stack["urls"];

function streamsDirectory(stateDirectory: string): string {
  return join(stateDirectory, "nats/jetstream");
}

function natsLaunch(options: StackOptions, urls: Urls): LaunchSpec {
  const directory = join(options.stateDirectory, "nats");
  const configFile = join(directory, "nats.conf");
  mkdirSync(directory, { recursive: true });
  writeFileSync(
    configFile,
    renderNatsConfig({
      port: options.ports.nats,
      webSocketPort: options.ports.natsWebSocket,
      monitorPort: options.ports.natsMonitor,
      storeDirectory: streamsDirectory(options.stateDirectory),
    }),
  );
  const command = findNatsServer(inheritedEnvironment()["PATH"]);
  if (command === undefined)
    throw new StackError("nats-server is not installed: run `npm run setup`");
  return {
    command,
    arguments: ["-c", configFile],
    environment: inheritedEnvironment(),
    workingDirectory: directory,
    readyMsMax: NATS_READY_MS_MAX,
    isReady: () => answersOk(`${urls.natsMonitor}/healthz`),
  };
}

function aggregatorLaunch(options: StackOptions, urls: Urls, overrides: Overrides): LaunchSpec {
  return {
    command: process.execPath,
    arguments: [join(ROOT, "aggregator/main.ts")],
    environment: {
      ...inheritedEnvironment(),
      NATS_URL: urls.nats,
      CLICKHOUSE_URL: withUser(urls.clickhouse, options.clickhouseUser),
      CLICKHOUSE_DATABASE: options.database,
      PARTITIONS: String(options.partitions),
      WINDOW_SECONDS: String(options.windowSeconds),
      ...options.aggregatorEnvironment,
      ...overrides,
    },
    workingDirectory: ROOT,
    readyMsMax: AGGREGATOR_READY_MS_MAX,
    isReady: async (log) => log().includes('"msg":"ready"'),
  };
}

async function migrateDatabase(options: StackOptions, url: string): Promise<void> {
  const client = createClient({
    url: withUser(url, options.clickhouseUser),
    request_timeout: MIGRATION_MS_MAX,
    // A failure is the caller's to say; after Ctrl-C it is only the echo.
    log: { level: ClickHouseLogLevel.OFF },
  });
  try {
    await migrate(client, options.database);
  } finally {
    await client.close();
  }
}

/** Someone who runs one test file, without npm's set-up before it, must not test yesterday's edge. */
async function buildEdgeBundle(): Promise<void> {
  try {
    await promisify(execFile)(process.execPath, [join(ROOT, "infra/setup.mjs"), "--only=edge"], {
      timeout: EDGE_BUILD_MS_MAX,
    });
  } catch (error) {
    const { killed, stderr } = error as { killed?: boolean; stderr?: string };
    if (killed === true) {
      const seconds = EDGE_BUILD_MS_MAX / 1_000;
      throw new StackError(
        `the edge bundle was not built within ${seconds} s: run \`npm run setup\``,
      );
    }
    throw new StackError(stderr?.trim() || String(error));
  }
}
