/** Ports that nobody listens on now, for processes that are started next. */
import { createServer } from "node:net";
import { PORT_MAX, PORT_MIN } from "./limits.ts";

/**
 * @param first the first of so many in a row; undefined: any that are free
 * @throws Error when there are not so many, or one of those in a row is taken
 */
export async function freePorts(count: number, first: number | undefined): Promise<number[]> {
  const ports: number[] = [];
  for (const port of first === undefined ? candidates(count) : inRow(first, count)) {
    // oxlint-disable-next-line no-await-in-loop
    if (await isFree(port)) ports.push(port);
    else if (first !== undefined)
      throw new Error(`port ${port} is taken: choose others with --port`);
    if (ports.length === count) return ports;
  }
  throw new Error(`there are no ${count} free ports from ${PORT_MIN} to ${PORT_MAX}`);
}

/** Two commands at a time begin at different places. */
function candidates(count: number): number[] {
  const span = PORT_MAX - PORT_MIN + 1;
  return Array.from({ length: span }, (_, i) => PORT_MIN + ((process.pid * count + i) % span));
}

function inRow(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => first + i);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
