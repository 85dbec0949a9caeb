/** The data of INSERTs on its way into the engine: files, because memory must not grow with a request. */
import { createWriteStream, mkdirSync, rmSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { refusal } from "./engine-error.ts";
import { INSERT_BYTES_MAX, SPOOL_BYTES_MAX } from "./limits.ts";

export interface SpoolFile {
  readonly path: string;
  readonly byteCount: number;
  remove(): Promise<void>;
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
    const path = join(this.#directory, `${++this.#fileCount}.data`);
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
          done(refusal(223, "QUERY_IS_TOO_LARGE", 413, why));
        } else if (this.#bytesInUse > SPOOL_BYTES_MAX) {
          const why = `INSERTs under way have filled ${SPOOL_BYTES_MAX} bytes`;
          done(refusal(202, "TOO_MANY_SIMULTANEOUS_QUERIES", 503, why));
        } else done(null, chunk);
      },
    });
    try {
      await pipeline(Readable.from(data, { objectMode: false }), count, createWriteStream(path));
    } catch (error) {
      await remove();
      throw error;
    }
    return { path, byteCount, remove };
  }
}
