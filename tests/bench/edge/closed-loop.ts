/** Throughput: every connection sends its next request when it has the answer to the one before. */
import type { Book } from "./book.ts";
import type { Clicks } from "./clicks.ts";
import { Connection } from "./connection.ts";

export interface ClosedLoop {
  readonly port: number;
  readonly connections: number;
  readonly seconds: number;
  readonly clicksPerRequest: number;
  readonly clicks: Clicks;
  readonly book: Book;
}

/**
 * @returns answers a second: those that came in time, and not the last ones, on which nothing followed
 * @throws WrongResultError when a request gets no answer; the book knows what is wrong with answers
 */
export async function closedLoop(loop: ClosedLoop): Promise<number> {
  const { clicks, book, clicksPerRequest } = loop;
  const { promise: failed, reject: lose } = Promise.withResolvers<never>();
  // A request may be lost while the connections are still being made.
  failed.catch(() => undefined);
  const connections = await Promise.all(
    Array.from({ length: loop.connections }, () =>
      Connection.open(loop.port, clicks.template(clicksPerRequest), lose),
    ),
  );
  try {
    const startMs = performance.now();
    const endMs = startMs + loop.seconds * 1_000;
    let inTime = 0;
    const drive = (connection: Connection) =>
      new Promise<void>((resolve) => {
        const send = () => {
          book.sending(clicksPerRequest);
          connection.send(clicks.fill(connection.template), (status, body) => {
            book.answered(clicksPerRequest, status, body);
            if (performance.now() >= endMs) return resolve();
            inTime++;
            send();
          });
        };
        send();
      });
    await Promise.race([failed, Promise.all(connections.map(drive))]);
    return inTime / loop.seconds;
  } finally {
    for (const connection of connections) connection.close();
  }
}
