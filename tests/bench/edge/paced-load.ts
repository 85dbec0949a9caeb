/** An open loop: requests arrive when they arrive, whether or not those before are answered. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Random } from "../../traffic/random.ts";
import { WrongResultError } from "../bench-case.ts";
import { poissonArrivals } from "./arrivals.ts";
import type { Book } from "./book.ts";
import type { Clicks } from "./clicks.ts";
import { Connection } from "./connection.ts";
import { IDLE_MS_MAX, PACED_CONNECTIONS_MAX } from "./limits.ts";

export interface PacedLoad {
  readonly port: number;
  readonly requestsPerSecond: number;
  readonly seconds: number;
  readonly clicksPerRequest: number;
  readonly clicks: Clicks;
  readonly book: Book;
  readonly random: Random;
}

export interface PacedOutcome {
  /** For each request, from the moment it was due to its answer. */
  readonly latenciesMs: readonly number[];
  /** For each request, by how much it was sent later than it was due: the generator's part of the latency. */
  readonly lagsMs: readonly number[];
}

interface Idle {
  readonly connection: Connection;
  readonly sinceMs: number;
}

/** @throws WrongResultError when a request gets no answer, or too many wait for one */
export async function pacedLoad(load: PacedLoad): Promise<PacedOutcome> {
  const { clicks, book, clicksPerRequest } = load;
  const { promise: failed, reject: lose } = Promise.withResolvers<never>();
  failed.catch(() => undefined);
  const latenciesMs: number[] = [];
  const lagsMs: number[] = [];
  const open = new Set<Connection>();
  /** The last used is used first, so that those of a burst grow old and are closed. */
  const idle: Idle[] = [];
  let underWay = 0;
  let over = false;

  const connect = async () => {
    const connection = await Connection.open(load.port, clicks.template(clicksPerRequest), lose);
    open.add(connection);
    return connection;
  };
  const retireOld = (nowMs: number) => {
    while (idle.length > 0 && nowMs - idle[0]!.sinceMs > IDLE_MS_MAX) {
      const { connection } = idle.shift()!;
      connection.close();
      open.delete(connection);
    }
  };
  const send = async (dueMs: number) => {
    retireOld(performance.now());
    const connection = idle.pop()?.connection ?? (await connect());
    lagsMs.push(performance.now() - dueMs);
    book.sending(clicksPerRequest);
    await new Promise<void>((resolve) => {
      connection.send(clicks.fill(connection.template), (status, body) => {
        const nowMs = performance.now();
        book.answered(clicksPerRequest, status, body);
        latenciesMs.push(nowMs - dueMs);
        idle.push({ connection, sinceMs: nowMs });
        resolve();
      });
    });
  };

  const requests: Promise<void>[] = [];
  const arrive = async () => {
    const startMs = performance.now();
    for (const atMs of poissonArrivals(load.requestsPerSecond, load.random)) {
      if (atMs > load.seconds * 1_000) return;
      const waitMs = startMs + atMs - performance.now();
      // The pace itself: nothing is waited for here but the next arrival.
      // oxlint-disable-next-line no-await-in-loop
      if (waitMs > 0) await sleep(Math.ceil(waitMs));
      if (over) return;
      if (++underWay > PACED_CONNECTIONS_MAX) {
        throw new WrongResultError([
          `${PACED_CONNECTIONS_MAX} requests wait for an answer: the edge does not keep this pace`,
        ]);
      }
      const request = send(startMs + atMs).finally(() => underWay--);
      request.catch(lose);
      requests.push(request);
    }
  };
  try {
    await Promise.race([failed, arrive().then(() => Promise.all(requests))]);
    return { latenciesMs, lagsMs };
  } finally {
    over = true;
    for (const connection of open) connection.close();
  }
}
