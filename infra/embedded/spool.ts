/** Data of INSERTs on its way into the engine, and results on their way out: files, because memory must not grow with a request. */
import { createReadStream, createWriteStream, mkdirSync, rmSync, statSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { refusal } from "./engine-error.ts";
import { INSERT_BYTES_MAX, RESULT_BYTES_MAX, RESULT_POLL_MS, SPOOL_BYTES_MAX } from "./limits.ts";

export interface SpoolFile {
  readonly path: string;
  remove(): Promise<void>;
}

/** A file that the engine writes; `remove` exactly once, after the engine has ended. */
export interface ResultFile extends SpoolFile {
  /** Aborted with the QueryFailure when the file has grown beyond a limit. */
  readonly exceeded: AbortSignal;
  /** The whole of it; a result without a byte may be no file at all. */
  read(): AsyncIterable<Uint8Array> | [];
}

export class Spool {
  readonly #directory: string;
  #fileCount = 0;
  #bytesInUse = 0;

  /** Empties the directory: what is there belongs to requests that a dead process never answered. */
  constructor(directory: string) {
    rmSync(directory, { recursive: true, force: true });
    mkdirSync(directory, { recursive: true });
    this.#directory = directory;
  }

  /** Writes a stream of bytes to a file. Throws QueryFailure (413, 503) beyond the limits, and removes it. */
  async write(data: AsyncIterable<Uint8Array>): Promise<SpoolFile> {
    const path = this.#newPath();
    let byteCount = 0;
    const remove = async () => {
      this.#bytesInUse -= byteCount;
      byteCount = 0;
      await rm(path, { force: true });
    };
    const count = new Transform({
      transform: (chunk: Uint8Array, _encoding, done) => {
        byteCount += chunk.length;
        this.#bytesInUse += chunk.length;
        if (byteCount > INSERT_BYTES_MAX) {
          const why = `An INSERT's data is limited to ${INSERT_BYTES_MAX} bytes`;
          done(refusal(229, "QUERY_IS_TOO_LARGE", 413, why));
        } else if (this.#bytesInUse > SPOOL_BYTES_MAX) {
          done(this.#full());
        } else done(null, chunk);
      },
    });
    try {
      await pipeline(Readable.from(data, { objectMode: false }), count, createWriteStream(path));
    } catch (error) {
      await remove();
      throw error;
    }
    return { path, remove };
  }

  /** A name for a result, and a watch on it: the engine has no limit of its own for the bytes it writes. */
  result(): ResultFile {
    const path = this.#newPath();
    const exceeded = new AbortController();
    let byteCount = 0;
    const measure = () => {
      const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
      this.#bytesInUse += size - byteCount;
      byteCount = size;
      if (size > RESULT_BYTES_MAX) {
        const why = `A result that is not streamed is limited to ${RESULT_BYTES_MAX} bytes`;
        exceeded.abort(refusal(396, "TOO_MANY_ROWS_OR_BYTES", 500, why));
      } else if (this.#bytesInUse > SPOOL_BYTES_MAX) exceeded.abort(this.#full());
      return size;
    };
    const watch = setInterval(measure, RESULT_POLL_MS);
    return {
      path,
      exceeded: exceeded.signal,
      read: () => {
        clearInterval(watch);
        return measure() === 0 ? [] : createReadStream(path);
      },
      remove: async () => {
        clearInterval(watch);
        this.#bytesInUse -= byteCount;
        await rm(path, { force: true });
      },
    };
  }

  #newPath(): string {
    return join(this.#directory, `${++this.#fileCount}.data`);
  }

  #full() {
    const why = `Requests under way have filled ${SPOOL_BYTES_MAX} bytes`;
    return refusal(202, "TOO_MANY_SIMULTANEOUS_QUERIES", 503, why);
  }
}
