/** The running edge under the same requests, with a book of what it answered, compared with the tables. */
import { setTimeout as sleep } from "node:timers/promises";
import type { ClickHouseClient } from "@clickhouse/client";
import type { Random } from "../traffic/random.ts";
import { checkFates, checkProblem } from "./check-answer.ts";
import { crashOf } from "./in-process.ts";
import type { Crash } from "./in-process.ts";
import { makeRequest } from "./fuzz-request.ts";
import type { FuzzRequest } from "./fuzz-request.ts";

/** What the edge said. */
export interface Book {
  accepted: number;
  /** By code: rejected clicks, and requests refused whole. */
  readonly refused: Map<string, number>;
  unavailable: number;
}

export interface OverHttpResult {
  readonly bodies: number;
  readonly serverErrors: number;
  /** No answer, or one that is wrong. */
  readonly crashes: readonly Crash[];
  readonly crashCount: number;
  readonly book: Book;
}

export interface OverHttpRun {
  readonly url: string;
  readonly random: Random;
  readonly timeMs: number;
  readonly bodiesMin: number;
  /** Called once, when half of the run is over. */
  readonly atHalf?: () => Promise<void>;
}

/** Connections at once: enough to keep both cores busy. */
const SENDERS = 16;
const ANSWER_MS_MAX = 30_000;
const CRASHES_LISTED_MAX = 20;

/** Sends for this long, and at least so many bodies. */
export async function fuzzOverHttp(run: OverHttpRun): Promise<OverHttpResult> {
  const { random, timeMs, bodiesMin } = run;
  const startMs = performance.now();
  const crashes: Crash[] = [];
  const book: Book = { accepted: 0, refused: new Map(), unavailable: 0 };
  let bodies = 0;
  let serverErrors = 0;
  let crashCount = 0;
  let { atHalf } = run;
  const share = () => Math.min((performance.now() - startMs) / timeMs, bodies / bodiesMin);
  async function sender(): Promise<void> {
    while (share() < 1) {
      if (atHalf !== undefined && share() >= 0.5) {
        const once = atHalf;
        atHalf = undefined;
        // oxlint-disable-next-line no-await-in-loop
        await once();
      }
      const request = makeRequest(random, Date.now());
      bodies++;
      try {
        // oxlint-disable-next-line no-await-in-loop -- each sender has one request on its way
        if ((await send(run.url, request, book)) >= 500) serverErrors++;
      } catch (error) {
        crashCount++;
        if (crashes.length < CRASHES_LISTED_MAX) crashes.push(crashOf(error, request));
      }
    }
  }
  await Promise.all(Array.from({ length: SENDERS }, sender));
  return { bodies, serverErrors, crashes, crashCount, book };
}

/** The answer's status; writes a right answer into the book. @throws on none, and on a wrong one */
async function send(url: string, { body, headers }: FuzzRequest, book: Book): Promise<number> {
  const signal = AbortSignal.timeout(ANSWER_MS_MAX);
  const response = await fetch(`${url}/v1/clicks`, { method: "POST", headers, body, signal });
  const text = await response.text();
  if (response.status >= 500) return response.status;
  const answer: unknown = JSON.parse(text);
  if (response.status !== 202) {
    note(book, checkProblem(response.status, answer));
    return response.status;
  }
  const { accepted, unavailable, results } = checkFates(answer);
  book.accepted += accepted;
  book.unavailable += unavailable;
  for (const { code } of results) if (code !== undefined) note(book, code);
  return response.status;
}

function note(book: Book, code: string): void {
  book.refused.set(code, (book.refused.get(code) ?? 0) + 1);
}

/** How long the edge's last hand-over and the sinks may take: seconds, when nothing is wrong. */
const ARRIVAL_MS_MAX = 60_000;
const ARRIVAL_POLL_MS = 250;

/**
 * Waits, bounded, until the tables hold what the book says.
 *
 * @returns what differs, in words; empty when everything is there once
 */
export async function differences(book: Book, client: ClickHouseClient): Promise<string[]> {
  const deadlineMs = performance.now() + ARRIVAL_MS_MAX;
  for (;;) {
    // oxlint-disable-next-line no-await-in-loop -- polling
    const found = await compare(book, client);
    if (found.length === 0 || performance.now() > deadlineMs) return found;
    // oxlint-disable-next-line no-await-in-loop
    await sleep(ARRIVAL_POLL_MS);
  }
}

async function compare(book: Book, client: ClickHouseClient): Promise<string[]> {
  const rows = async <Row>(query: string) =>
    (await client.query({ query, format: "JSONEachRow" })).json<Row>();
  const [raw] = await rows<{ clicks: number; ids: number }>(
    "SELECT toUInt32(count()) AS clicks, toUInt32(uniqExact(click_id)) AS ids FROM clicks_raw",
  );
  const refused = await rows<{ code: string; rejected: number }>(
    "SELECT code, toUInt32(sum(rejected)) AS rejected FROM rejection_counts GROUP BY code",
  );
  const table = new Map(refused.map(({ code, rejected }) => [code, rejected]));
  const codes = new Set([...table.keys(), ...book.refused.keys()]);
  const found: string[] = [];
  const expect = (what: string, said: number, held: number) => {
    if (said !== held) found.push(`${what}: the edge said ${said}, the tables hold ${held}`);
  };
  expect("unavailable clicks", book.unavailable, 0);
  expect("accepted clicks", book.accepted, raw!.clicks);
  expect("their ids", book.accepted, raw!.ids);
  for (const code of codes) expect(code, book.refused.get(code) ?? 0, table.get(code) ?? 0);
  return found;
}
