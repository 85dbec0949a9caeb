/** The processes of the bench: nats-server for as long as it runs, and one workerd at a time, each with new state. */
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { COMMIT_FULL_PIECES, COMMIT_LINGER_MS } from "../../../edge/limits.ts";
import { findNatsServer } from "../../../infra/find-program.mjs";
import { renderNatsConfig } from "../../../infra/nats/render-nats-config.ts";
import { inheritedEnvironment } from "../../../infra/stack/config.ts";
import { prepareEdge } from "../../../infra/stack/edge.ts";
import type { EdgeFiles } from "../../../infra/stack/edge.ts";
import { EDGE_READY_MS_MAX, NATS_READY_MS_MAX } from "../../../infra/stack/limits.ts";
import { renderEdgeConfig } from "../../../infra/stack/render-edge-config.ts";
import { StackError } from "../../../infra/stack/stack-error.ts";
import { answersOk, StackProcess } from "../../../infra/stack/stack-process.ts";
import type { LaunchSpec } from "../../../infra/stack/stack-process.ts";
import { JOURNAL_KEEP_MS, PARTITIONS, SHARDS } from "./limits.ts";

/** What the edge is compared with: modules beside this one, as they are. */
const PLAIN_WORKERS = {
  bare: { module: "bare-worker.js", className: "BareObject" },
  grouped: { module: "grouped-worker.js", className: "GroupedObject" },
} as const;
/** How many `Servers` needs. */
export const PORTS = 4;

export type PlainKind = keyof typeof PLAIN_WORKERS;
export type ServerKind = "edge" | PlainKind;
export type Settings = Readonly<Record<string, string>>;

/** A workerd that answers. */
export interface Server {
  readonly port: number;
  readonly pid: number;
}

export class Servers {
  readonly natsUrl: string;
  /** Rejects when a process ends that nobody has asked to. */
  readonly failed: Promise<never>;
  readonly #directory: string;
  readonly #ports: readonly [
    workerd: number,
    nats: number,
    natsWebSocket: number,
    natsMonitor: number,
  ];
  readonly #edgeVars: Settings;
  readonly #fail: (error: Error) => void;
  readonly #nats: StackProcess;
  #workerd: StackProcess | null = null;
  #edge: EdgeFiles | null = null;
  #lives = 0;

  /**
   * @param directory that nobody else uses
   * @param edgeVars text bindings of the edge, which win over those of wrangler.toml and of the bench
   */
  constructor(directory: string, ports: readonly number[], edgeVars: Settings) {
    const [workerd, nats, natsWebSocket, natsMonitor] = ports;
    this.#directory = directory;
    this.#ports = [workerd!, nats!, natsWebSocket!, natsMonitor!];
    this.#edgeVars = edgeVars;
    this.natsUrl = `nats://127.0.0.1:${nats}`;
    const { promise, reject } = Promise.withResolvers<never>();
    promise.catch(() => undefined);
    this.failed = promise;
    this.#fail = reject;
    this.#nats = this.#process("nats", () => this.#natsLaunch());
  }

  async startNats(): Promise<void> {
    await this.#nats.start();
  }

  /** All text bindings of the edge. */
  edgeSettings(): Settings {
    return {
      ...this.#edgeFiles().manifest.vars,
      PLATFORM: "local",
      SHARDS: String(SHARDS),
      PARTITIONS: String(PARTITIONS),
      JOURNAL_KEEP_MS: String(JOURNAL_KEEP_MS),
      NATS_URL: `ws://127.0.0.1:${this.#ports[2]}`,
      ...this.#edgeVars,
    };
  }

  /** The program. */
  workerd(): string {
    return this.#edgeFiles().workerd;
  }

  /** Gives `use` a server that has never seen a click, and ends it afterwards, however `use` ends. */
  async with<T>(kind: ServerKind, use: (server: Server) => Promise<T>): Promise<T> {
    const workerd = this.#process(`${kind}-${++this.#lives}`, () =>
      this.#workerdLaunch(kind === "edge" ? this.#writeEdge() : this.#writePlain(kind)),
    );
    this.#workerd = workerd;
    try {
      await workerd.start();
      const used = use({ port: this.#ports[0], pid: workerd.pid });
      return await Promise.race([used, this.failed]);
    } finally {
      // Not SIGTERM: it would wait for connections, and nothing of this state is used again.
      await workerd.kill();
      rmSync(this.#workerdDirectory(), { recursive: true, force: true });
      rmSync(workerd.logFile, { force: true });
    }
  }

  async stop(): Promise<void> {
    this.#nats.expectEnd();
    await this.#workerd?.kill();
    await this.#nats.kill();
  }

  #process(name: string, launch: () => LaunchSpec): StackProcess {
    return new StackProcess(name, join(this.#directory, `${name}.log`), launch, this.#fail);
  }

  #natsLaunch(): LaunchSpec {
    const [, port, webSocketPort, monitorPort] = this.#ports;
    const command = findNatsServer(inheritedEnvironment()["PATH"]);
    if (command === undefined) {
      throw new StackError("nats-server is not installed: run `npm run setup`");
    }
    const configFile = join(this.#directory, "nats.conf");
    const storeDirectory = join(this.#directory, "jetstream");
    const config = renderNatsConfig({ port, webSocketPort, monitorPort, storeDirectory });
    writeFileSync(configFile, config);
    return {
      command,
      arguments: ["-c", configFile],
      environment: inheritedEnvironment(),
      workingDirectory: this.#directory,
      readyMsMax: NATS_READY_MS_MAX,
      isReady: () => answersOk(`http://127.0.0.1:${monitorPort}/healthz`),
    };
  }

  #workerdLaunch(configFile: string): LaunchSpec {
    return {
      command: this.#edgeFiles().workerd,
      arguments: ["serve", configFile],
      environment: {},
      workingDirectory: this.#workerdDirectory(),
      readyMsMax: EDGE_READY_MS_MAX,
      isReady: () => answersOk(`http://127.0.0.1:${this.#ports[0]}/health`),
    };
  }

  #writeEdge(): string {
    // Its directory is removed with each life.
    this.#edge = null;
    return this.#edgeFiles().writeConfig(this.edgeSettings());
  }

  /** The same workerd, flags and kind of objects, another Worker. */
  #writePlain(kind: PlainKind): string {
    const { module, className } = PLAIN_WORKERS[kind];
    const settings = this.edgeSettings();
    const directory = this.#workerdDirectory();
    const storageDirectory = join(directory, "storage");
    mkdirSync(storageDirectory, { recursive: true });
    copyFileSync(fileURLToPath(new URL(module, import.meta.url)), join(directory, module));
    const configFile = join(directory, "config.capnp");
    const text = renderEdgeConfig({
      manifest: {
        ...this.#edgeFiles().manifest,
        name: kind,
        vars: {},
        durableObjects: [{ binding: "OBJECTS", className, sqlite: true }],
      },
      bundleDirectory: ".",
      moduleNames: [module],
      textBindings: {
        SHARDS: settings["SHARDS"]!,
        COMMIT_FULL_PIECES: String(COMMIT_FULL_PIECES),
        COMMIT_LINGER_MS: settings["COMMIT_LINGER_MS"] ?? String(COMMIT_LINGER_MS),
      },
      port: this.#ports[0],
      storageDirectory,
    });
    writeFileSync(configFile, text);
    return configFile;
  }

  #edgeFiles(): EdgeFiles {
    this.#edge ??= prepareEdge(this.#workerdDirectory(), this.#ports[0]);
    return this.#edge;
  }

  #workerdDirectory(): string {
    return join(this.#directory, "workerd");
  }
}
