/**
 * What a contender's result comes to: three numbers that are equal when the counts are, in whatever order.
 *
 * The checksum is the sum modulo 2^64, over all keys, of the CRC-32 of
 * `ad_id \n country \n device \n invalid_reason \n window_start \n clicks` (numbers in decimal): TypeScript,
 * C and ClickHouse can all say it. native/kernel.c and clickhouse.ts have it in their languages.
 */
import { crc32 } from "node:zlib";

export interface Tally {
  readonly keys: number;
  readonly clicks: number;
  /** Decimal: beyond 2^53. */
  readonly checksum: string;
}

const NEW_LINE = 10;
const LINE_BYTES_MAX = 256;

export class TallyMaker {
  #keys = 0;
  #clicks = 0;
  /** Of at most 2^21 CRCs, so that the sum stays a safe integer. */
  #part = 0;
  #sum = 0n;
  readonly #line = Buffer.alloc(LINE_BYTES_MAX);

  /** @param at where in `bytes` the key begins: four strings, each with one byte of length */
  add(bytes: Uint8Array, at: number, windowStartSeconds: number, clicks: number): void {
    const line = this.#line;
    let length = 0;
    for (let field = 0; field < 4; field++) {
      const end = at + 1 + bytes[at]!;
      for (at++; at < end; at++) line[length++] = bytes[at]!;
      line[length++] = NEW_LINE;
    }
    length += line.write(`${windowStartSeconds}\n${clicks}`, length, "latin1");
    this.#keys++;
    this.#clicks += clicks;
    this.#part += crc32(line.subarray(0, length));
    if (this.#keys % 2 ** 20 === 0) this.#carry();
  }

  finish(): Tally {
    this.#carry();
    return {
      keys: this.#keys,
      clicks: this.#clicks,
      checksum: String(BigInt.asUintN(64, this.#sum)),
    };
  }

  #carry(): void {
    this.#sum += BigInt(this.#part);
    this.#part = 0;
  }
}

/** Where results differ from the first one, in words; empty when all agree. */
export function disagreements(
  results: readonly { readonly name: string; readonly tally: Tally }[],
): string[] {
  const [first, ...others] = results;
  if (first === undefined) return [];
  return others.flatMap(({ name, tally }) =>
    (["keys", "clicks", "checksum"] as const)
      .filter((field) => tally[field] !== first.tally[field])
      .map(
        (field) => `${field}: ${first.name} has ${first.tally[field]}, ${name} has ${tally[field]}`,
      ),
  );
}
