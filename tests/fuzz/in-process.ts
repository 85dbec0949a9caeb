/** The parser of the door by itself, in this process: bytes to rows, without workerd around it. */
import { isDeepStrictEqual } from "node:util";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { sortIntoBatches } from "../../edge/click/batches.ts";
import { classify } from "../../edge/click/classify.ts";
import { isProblem, parseEnvelope } from "../../edge/click/parse-envelope.ts";
import { readBody } from "../../edge/click/read-body.ts";
import { reader } from "../../wire/cursor.ts";
import { AD_ID_BYTES_MAX, BATCH_CLICKS_MAX, CLICK_ID_BYTES_MAX } from "../../wire/limits.ts";
import { clicksOf } from "../helpers/raw-rows.ts";
import { skipRejectedClick } from "../../wire/rejected-click.ts";
import type { Random } from "../traffic/random.ts";
import { checkProblem, WrongAnswer } from "./check-answer.ts";
import { makeRequest } from "./fuzz-request.ts";
import type { FuzzRequest } from "./fuzz-request.ts";

const SHARDS = 8;
/** Texts of larger bodies are compared by the click-texts' own tests. */
const COMPARED_BYTES_MAX = 20_000;

/** Takes one request the whole way to rows. @throws whatever the parser throws, or WrongAnswer */
export async function passDoor({ body, headers, changes }: FuzzRequest): Promise<void> {
  const request = new Request("http://edge/v1/clicks", { method: "POST", headers, body });
  const text = await readBody(request);
  const envelope = typeof text === "string" ? parseEnvelope(text) : text;
  if (isProblem(envelope)) {
    const { status, code, detail } = envelope;
    checkProblem(status, { type: "about:blank", title: code, status, code, detail });
    return;
  }
  const { clicks } = envelope;
  if (clicks.length < 1 || clicks.length > BATCH_CLICKS_MAX) {
    throw new WrongAnswer(`${clicks.length} clicks were let in`);
  }
  const { batches, rejections } = sortIntoBatches(envelope, {
    receivedAtMs: Date.now(),
    sentAtMs: envelope.sentAtMs,
    sender: { country: "XX", ip: "" },
    classified: classify(request.headers.get("user-agent")),
    shards: SHARDS,
  });
  const places = new Set(batches.flatMap((batch) => batch.places));
  const rejectedCount = rejections.filter((rejection) => rejection !== undefined).length;
  if (places.size + rejectedCount !== clicks.length) {
    throw new WrongAnswer(
      `${clicks.length} clicks: ${places.size} sorted, ${rejectedCount} rejected`,
    );
  }
  let rejectedRows = 0;
  for (const batch of batches) {
    checkClicks(batch.clicks, batch.places.length);
    const rejected = reader(batch.rejectedRows);
    for (; rejected.at < batch.rejectedRows.length; rejectedRows++) skipRejectedClick(rejected);
  }
  if (rejectedRows !== rejectedCount) {
    throw new WrongAnswer(`${rejectedCount} rejected, ${rejectedRows} rows of them`);
  }
  // The comparison is recursive; what it compares is not.
  if (body.length > COMPARED_BYTES_MAX || changes.includes("deep nesting")) return;
  for (const [place, click] of clicks.entries()) {
    if (!isDeepStrictEqual(JSON.parse(envelope.textOf(place)), click)) {
      throw new WrongAnswer(`the text of click ${place} is another's`);
    }
  }
}

function checkClicks(packed: Uint8Array, clickCount: number): void {
  const clicks = clicksOf(packed);
  if (clicks.length !== clickCount) {
    throw new WrongAnswer(`${clickCount} clicks are packed as ${clicks.length}`);
  }
  for (const { clickId, adId, eventTimeMs } of clicks) {
    if (!isId(clickId, CLICK_ID_BYTES_MAX) || !isId(adId, AD_ID_BYTES_MAX)) {
      throw new WrongAnswer(`a row has the ids ${JSON.stringify([clickId, adId])}`);
    }
    if (!Number.isSafeInteger(eventTimeMs)) throw new WrongAnswer(`event time ${eventTimeMs}`);
  }
}

function isId(text: string, lengthMax: number): boolean {
  return text.length <= lengthMax && /^[\x20-\x7e]+$/.test(text);
}

export interface InProcessResult {
  readonly bodies: number;
  /** The first of each kind, with what was sent. */
  readonly crashes: readonly Crash[];
  /** Of the heap with array buffers, after collections: what later bodies left behind. */
  readonly grownBytes: number;
}

export interface Crash {
  readonly error: string;
  readonly changes: readonly string[];
  /** Base64, cut. */
  readonly body: string;
}

const CRASHES_LISTED_MAX = 20;
const CRASH_BODY_BYTES_MAX = 2_000;
const ERROR_CHARACTERS_MAX = 500;

export function crashOf(error: unknown, { body, changes }: FuzzRequest): Crash {
  return {
    error: inWords(error),
    changes,
    body: Buffer.from(body.subarray(0, CRASH_BODY_BYTES_MAX)).toString("base64"),
  };
}

/** With its cause: "fetch failed" alone says nothing. */
function inWords(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause instanceof Error ? ` (${error.cause.message})` : "";
  return `${error.name}: ${error.message}`.slice(0, ERROR_CHARACTERS_MAX) + cause;
}

/**
 * Runs for this long, and for at least so many bodies.
 *
 * @param pass what takes each request; it throws where something is wrong
 */
export async function fuzzInProcess(
  random: Random,
  timeMs: number,
  bodiesMin: number,
  pass: (request: FuzzRequest) => Promise<void> = passDoor,
): Promise<InProcessResult> {
  let startMs = performance.now();
  const crashes: Crash[] = [];
  let bodies = 0;
  let baselineBytes: number | null = null;
  for (;;) {
    const share = Math.min((performance.now() - startMs) / timeMs, bodies / bodiesMin);
    if (share >= WARM_SHARE && baselineBytes === null) {
      // Compiled code, caches and lists of user agents are there by now.
      const measuredFromMs = performance.now();
      // oxlint-disable-next-line no-await-in-loop -- once
      baselineBytes = await usedBytes();
      startMs += performance.now() - measuredFromMs;
    }
    if (share >= 1) break;
    const request = makeRequest(random, Date.now());
    try {
      // oxlint-disable-next-line no-await-in-loop -- one at a time: memory is measured
      await pass(request);
    } catch (error) {
      if (crashes.length < CRASHES_LISTED_MAX) crashes.push(crashOf(error, request));
    }
    bodies++;
  }
  return { bodies, crashes, grownBytes: (await usedBytes()) - baselineBytes! };
}

const WARM_SHARE = 0.3;
const COLLECTIONS = 5;

/** After full collections: streams that were given up hold their buffers until turns after the first. */
async function usedBytes(): Promise<number> {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  for (let round = 0; round < COLLECTIONS; round++) {
    collect();
    // oxlint-disable-next-line no-await-in-loop -- finalizers run between collections
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}
