/**
 * chDB as a set of short sessions on one data directory: one fresh session for each request, so that
 * no setting, parameter or database of one request is seen by another.
 *
 * Opening a session costs 0.3 ms beside an open one (measured; the first costs 20 ms and more). A
 * closed session's memory (0.3 MB) is freed when the queries that ran at its closing have ended.
 */
import { fileURLToPath } from "node:url";
import { Session } from "chdb";
import { refusal } from "./engine-error.ts";
import { KILL_AGAIN_MS, RUNNING_QUERIES_MAX, WAITING_QUERIES_MAX } from "./limits.ts";
import { quote } from "./quote.ts";

/** What may be reached by a statement. The first session reads it, for all. */
const CONFIG = fileURLToPath(new URL("engine.xml", import.meta.url));
const SESSION_OPTIONS = { connectionArgs: [`--config-file=${CONFIG}`, `--users_config=${CONFIG}`] };

export interface EngineQuery {
  /** Finds the query again, to kill it; the setup sets it as log_comment. */
  readonly tag: string;
  /** Statements that prepare the session. */
  readonly setup: readonly string[];
  readonly sql: string;
  readonly format: string;
  /** Writes nothing, and is killed when nobody waits for it; what writes is finished, as on a server. */
  readonly reads: boolean;
  readonly streams: boolean;
}

/** What the engine reports of a finished query. */
export interface EngineFigures {
  readonly rows: number;
  readonly bytes: number;
  readonly elapsedNs: number;
}

export type EngineResult =
  | { readonly kind: "whole"; readonly bytes: Uint8Array; readonly figures: EngineFigures }
  | { readonly kind: "stream"; readonly chunks: AsyncIterable<Uint8Array> };

/** One of the places in the queue and on the engine; `release` exactly once. */
export interface Slot {
  release(): void;
}

export class Engine {
  /** Keeps the engine loaded between requests; it runs cancellations only. */
  readonly #root: Session;
  readonly #directory: string;
  readonly #waiting: (() => void)[] = [];
  #admitted = 0;
  #running = 0;

  /** Throws when the directory cannot be opened, above all because another process has it open. */
  constructor(directory: string) {
    this.#directory = directory;
    this.#root = new Session(directory, SESSION_OPTIONS);
  }

  /** The time zone of queries that name none. */
  async timezone(): Promise<string> {
    return (await this.#root.queryAsync("SELECT timezone()", { format: "TSVRaw" })).text().trim();
  }

  get admittedCount(): number {
    return this.#admitted;
  }

  /**
   * Takes a place in the queue, before anything of a request's body is kept.
   * Throws QueryFailure 503 when the queue is full.
   */
  admit(): Slot {
    if (this.#admitted >= RUNNING_QUERIES_MAX + WAITING_QUERIES_MAX) {
      throw refusal(202, "TOO_MANY_SIMULTANEOUS_QUERIES", 503, "Too many simultaneous queries");
    }
    this.#admitted++;
    return { release: () => void this.#admitted-- };
  }

  /**
   * Runs one query when its turn comes and hands its result to `send`; the turn lasts until `send` has
   * ended. Rejects with the engine's error. Aborted before its turn, a query leaves the queue.
   */
  async run<T>(
    query: EngineQuery,
    signal: AbortSignal,
    send: (result: EngineResult) => Promise<T>,
  ): Promise<T> {
    await this.#takeTurn(signal);
    try {
      return await this.#runNow(query, signal, send);
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#running--;
    }
  }

  /** When it rejects, the query has no turn and is not waiting for one. */
  async #takeTurn(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#running < RUNNING_QUERIES_MAX) {
      this.#running++;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const leave = () => {
        this.#waiting.splice(this.#waiting.indexOf(takeTurn), 1);
        reject(signal.reason);
      };
      const takeTurn = () => {
        signal.removeEventListener("abort", leave);
        resolve();
      };
      this.#waiting.push(takeTurn);
      signal.addEventListener("abort", leave, { once: true });
    });
  }

  async #runNow<T>(
    query: EngineQuery,
    signal: AbortSignal,
    send: (result: EngineResult) => Promise<T>,
  ): Promise<T> {
    const session = new Session(this.#directory, SESSION_OPTIONS);
    let again: NodeJS.Timeout | undefined;
    const kill = () => void this.#kill(`Settings['log_comment'] = ${quote(query.tag)}`);
    const onAbort = () => {
      kill();
      again = setInterval(kill, KILL_AGAIN_MS);
    };
    if (query.reads) signal.addEventListener("abort", onAbort, { once: true });
    try {
      // In order, on one connection: each statement stands on the one before.
      // oxlint-disable-next-line no-await-in-loop
      for (const statement of query.setup) await session.queryAsync(statement);
      signal.throwIfAborted();
      if (query.streams) {
        const stream = session.queryStream(query.sql, { format: query.format });
        return await send({ kind: "stream", chunks: chunkBytes(stream) });
      }
      const result = await session.queryAsync(query.sql, { format: query.format });
      return await send({
        kind: "whole",
        bytes: result.bytes(),
        figures: {
          rows: result.rowsRead,
          bytes: result.bytesRead,
          elapsedNs: Math.round(result.elapsed * 1e9),
        },
      });
    } finally {
      signal.removeEventListener("abort", onAbort);
      clearInterval(again);
      session.close();
    }
  }

  /** Kills what is still running, for a process that has to end. */
  async killAll(): Promise<void> {
    await this.#kill("Settings['log_comment'] != ''");
  }

  /** chDB has no other way to interrupt a query. None found is no error: it has ended. */
  async #kill(where: string): Promise<void> {
    try {
      await this.#root.queryAsync(`KILL QUERY WHERE ${where} ASYNC`);
    } catch (error) {
      console.error(`queries with ${where} could not be killed:`, error);
    }
  }

  close(): void {
    this.#root.close();
  }
}

async function* chunkBytes(
  stream: AsyncIterable<{ raw(): Uint8Array }>,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of stream) yield chunk.raw();
}
