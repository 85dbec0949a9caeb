/** Finds out before anything is started which ports are taken. */
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { PORT_SETTINGS, type StackPorts } from "./config.ts";
import { PORT_FREE_MS_MAX, READY_POLL_MS } from "./limits.ts";
import { StackError } from "./stack-error.ts";

const WANTED_BY: Readonly<Record<keyof StackPorts, string>> = {
  edge: "the edge (workerd)",
  clickhouse: "the embedded ClickHouse",
  nats: "nats-server",
  natsWebSocket: "nats-server's websocket",
  natsMonitor: "nats-server's monitoring",
};

/** @throws StackError that names every taken port, who wanted it and which setting changes it. */
export async function requireFreePorts(ports: StackPorts): Promise<void> {
  const deadlineMs = performance.now() + PORT_FREE_MS_MAX;
  for (;;) {
    const taken: (keyof StackPorts)[] = [];
    for (const key of Object.keys(ports) as (keyof StackPorts)[]) {
      if (!(await isFree(ports[key]))) taken.push(key);
    }
    if (taken.length === 0) return;
    if (performance.now() > deadlineMs) throw new StackError(taken.map(message(ports)).join("\n"));
    await sleep(READY_POLL_MS);
  }
}

const message = (ports: StackPorts) => (key: keyof StackPorts) =>
  `port ${ports[key]} is taken by another program; ${WANTED_BY[key]} wants it. ` +
  `Stop that program, or choose another port with ${PORT_SETTINGS[key]}=…`;

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
