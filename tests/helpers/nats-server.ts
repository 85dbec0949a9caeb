/** A nats-server of its own for a test: on a free port, with JetStream, and the given lines of configuration. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { findNatsServer } from "../../infra/find-program.mjs";
import { endingWithParent } from "../../infra/stack/children.ts";
import { inheritedEnvironment } from "../../infra/stack/config.ts";
import type { Environment } from "../../infra/stack/config.ts";

export interface StartedNatsServer {
  /** `127.0.0.1:port` */
  readonly host: string;
  /** Waits until it is gone, and removes its files. */
  stop(): Promise<void>;
}

/** @param environment what `$NAME` stands for in the configuration */
export async function startNatsServer(
  configuration: string,
  environment: Environment = {},
): Promise<StartedNatsServer> {
  const program = findNatsServer(inheritedEnvironment()["PATH"]);
  if (program === undefined) throw new Error("nats-server is not installed: run `npm run setup`");
  const directory = mkdtempSync(join(tmpdir(), "clickmill-nats-"));
  const file = join(directory, "nats.conf");
  // The server chooses the port itself: there is no moment in which another one could take it.
  writeFileSync(
    file,
    `listen: "127.0.0.1:-1"\njetstream { store_dir: ${JSON.stringify(directory)} }\n${configuration}\n`,
  );
  const server = spawn(...endingWithParent(program, ["-c", file]), {
    env: { ...inheritedEnvironment(), ...environment },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const exited = once(server, "exit");
  const stop = async () => {
    server.kill("SIGKILL");
    await exited;
    rmSync(directory, { recursive: true, force: true });
  };
  const log: string[] = [];
  let host: string | undefined;
  for await (const line of createInterface({ input: server.stderr })) {
    log.push(line);
    host ??= /Listening for client connections on (\S+)/.exec(line)?.[1];
    if (host !== undefined && line.includes("Server is ready")) break;
  }
  // Nobody reads on, and a full pipe would stop it.
  server.stderr.resume();
  if (host !== undefined) return { host, stop };
  await stop();
  throw new Error(`nats-server did not start:\n${log.join("\n")}`);
}
