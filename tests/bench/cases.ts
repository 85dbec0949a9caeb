/**
 * The cases of `npm run bench:kernel` and their partial rows, which follow from case, row count and seed.
 *
 * An ad has one country (campaigns are sold by country); device and invalid reason differ from row to
 * row, so an ad has several keys. One window gets most rows and the one before it a few, as around the
 * turn of a minute.
 */
import { closeSync, openSync, writeSync } from "node:fs";
import { reserve, textOf, utf8, writer, writeString, written } from "../../wire/cursor.ts";
import { AD_ID_BYTES_MAX, BLOCK_BODY_BYTES_MAX } from "../../wire/limits.ts";
import { PARTIAL_BYTES_MAX, writePartial } from "../../wire/partial.ts";
import { Random } from "../traffic/random.ts";
import { Zipf } from "../traffic/zipf.ts";

export interface BenchCase {
  readonly name: string;
  readonly adCount: number;
  readonly adIdBytes: number;
  /** null: every ad is as likely as any other. */
  readonly zipfExponent: number | null;
}

export const CASES: readonly BenchCase[] = [
  { name: "ads-2m-uniform-id-11", adCount: 2_000_000, adIdBytes: 11, zipfExponent: null },
  { name: "ads-100k-uniform-id-11", adCount: 100_000, adIdBytes: 11, zipfExponent: null },
  { name: "ads-2m-zipf-1.1-id-11", adCount: 2_000_000, adIdBytes: 11, zipfExponent: 1.1 },
  { name: "ads-2m-uniform-id-20", adCount: 2_000_000, adIdBytes: 20, zipfExponent: null },
  { name: "ads-2m-uniform-id-64", adCount: 2_000_000, adIdBytes: 64, zipfExponent: null },
];

export const WINDOW_SECONDS = 60;
const WINDOW_START_SECONDS = 1_800_000_000;
/** Through here all windows of a case have ended. */
export const CASE_END_SECONDS = WINDOW_START_SECONDS + WINDOW_SECONDS;
const WINDOW_BEFORE_SHARE = 0.01;
const COUNTRIES = ["US", "KR", "JP", "DE", "BR", "IN", "GB", "FR"].map(utf8);
/** Of rows, cumulative; about what web traffic shows. */
const DEVICES = [
  [0.7, utf8("mobile")],
  [0.95, utf8("desktop")],
  [1, utf8("tablet")],
] as const;
const INVALID_SHARE = 0.03;
const INVALID_REASON = utf8("bot_user_agent");
const VALID = utf8("");
/** A shard's flush gathers few clicks of one key: most rows have one. */
const ONE_CLICK_SHARE = 0.8;
const CLICKS_MAX = 20;

/** A case on disk: the rows of all blocks one after the other, and for each block its bytes and rows (u32 each). */
export interface CaseFiles {
  readonly rowsFile: string;
  readonly indexFile: string;
}

export interface WrittenCase extends CaseFiles {
  readonly rows: number;
  readonly bytes: number;
  readonly clicks: number;
}

/** Greatest size of a case on disk: for the question whether there is room. */
export function caseBytesMax(rows: number): number {
  return rows * PARTIAL_BYTES_MAX;
}

/** @param path without an extension */
export function writeCase(
  benchCase: BenchCase,
  rows: number,
  seed: number,
  path: string,
): WrittenCase {
  const files = { rowsFile: `${path}.bin`, indexFile: `${path}.index` };
  const random = new Random(seed);
  const { adCount, adIdBytes, zipfExponent } = benchCase;
  const zipf = zipfExponent === null ? null : new Zipf(adCount, zipfExponent);
  const drawAd = () => (zipf === null ? random.whole(0, adCount - 1) : zipf.rank(random.next()));
  const id = new Uint8Array(adIdBytes);
  const key = writer(PARTIAL_BYTES_MAX);
  const block = writer(BLOCK_BODY_BYTES_MAX + PARTIAL_BYTES_MAX);
  const index: number[] = [];
  const file = openSync(files.rowsFile, "w");
  let blockRows = 0;
  let bytes = 0;
  let clicks = 0;
  const endBlock = (bodyBytes: number) => {
    writeSync(file, block.bytes, 0, bodyBytes);
    index.push(bodyBytes, blockRows);
    bytes += bodyBytes;
    block.bytes.copyWithin(0, bodyBytes, block.at);
    block.at -= bodyBytes;
    blockRows = 0;
  };
  for (let row = 0; row < rows; row++) {
    const ad = drawAd();
    writeAdId(id, ad);
    const chance = random.next();
    key.at = 0;
    writeString(key, id);
    writeString(key, COUNTRIES[ad % COUNTRIES.length]!);
    writeString(key, DEVICES.find(([share]) => chance < share)![1]);
    writeString(key, random.chance(INVALID_SHARE) ? INVALID_REASON : VALID);
    const before = random.chance(WINDOW_BEFORE_SHARE);
    const clickCount = drawClicks(random);
    const start = block.at;
    reserve(block, PARTIAL_BYTES_MAX);
    writePartial(
      block,
      before ? WINDOW_START_SECONDS - WINDOW_SECONDS : WINDOW_START_SECONDS,
      written(key),
      clickCount,
    );
    if (block.at > BLOCK_BODY_BYTES_MAX) endBlock(start);
    blockRows++;
    clicks += clickCount;
  }
  if (blockRows > 0) endBlock(block.at);
  closeSync(file);
  const indexFile = openSync(files.indexFile, "w");
  writeSync(indexFile, new Uint8Array(Uint32Array.from(index).buffer));
  closeSync(indexFile);
  return { ...files, rows, bytes, clicks };
}

/** The clicks of a row. */
export function drawClicks(random: Random): number {
  return random.chance(ONE_CLICK_SHARE) ? 1 : random.whole(2, CLICKS_MAX);
}

/** @param bytes at least 7 */
export function adIdOf(ad: number, bytes: number): string {
  const id = new Uint8Array(bytes);
  writeAdId(id, ad);
  return textOf(id);
}

const DIGITS = utf8("0123456789abcdefghijklmnopqrstuvwxyz");
/** 36^7 > 2^32: as many digits tell all ads apart. */
const DISTINCT_DIGITS = 7;

/** Letters and digits without order: each 7 of them, from the end, spell another permutation of the ads. */
function writeAdId(id: Uint8Array, ad: number): void {
  let bits = 0;
  for (let i = 0; i < id.length; i++) {
    if (i % DISTINCT_DIGITS === 0) bits = scrambled(ad + 1 + i);
    const rest = Math.floor(bits / 36);
    id[id.length - 1 - i] = DIGITS[bits - rest * 36]!;
    bits = rest;
  }
}

/** A permutation of the 32-bit numbers (the end of MurmurHash3). */
function scrambled(x: number): number {
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}

for (const { name, adIdBytes } of CASES) {
  if (adIdBytes < DISTINCT_DIGITS || adIdBytes > AD_ID_BYTES_MAX) {
    throw new Error(`${name}: ads have no ids of ${adIdBytes} bytes`);
  }
}
