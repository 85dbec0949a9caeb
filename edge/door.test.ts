/** What the edge says to input that is not as it should be: real requests, inside workerd. */
import { env, runInDurableObject, SELF } from "cloudflare:test";
import { describe, expect, test, vi } from "vitest";
import { reader, skipString, readString, readU32, textOf, utf8 } from "../wire/cursor.ts";
import type { ClickResult, IngestAnswer } from "../wire/ingest.ts";
import { BATCH_CLICKS_MAX, BODY_BYTES_MAX, USER_ID_BYTES_MAX } from "../wire/limits.ts";
import { UNIT_BYTES } from "../wire/raw-click.ts";
import { skipRejectedClick } from "../wire/rejected-click.ts";
import { respond } from "./app.ts";
import type { Env } from "./config.ts";
import { REFUSED_BODY_BYTES_MAX, REJECTED_KEPT_AT_ONCE_MAX } from "./limits.ts";
import { setShardCount } from "./shard/fixtures.ts";

const SHARDS = 4;
const URL = "https://edge/v1/clicks";
let unique = 0;
const goodClick = () => ({ click_id: `door${unique++}.1`, ad_id: "ad", timestamp: Date.now() });

interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly code: string;
  readonly detail: string;
}

/** What this file was refused: its own book, compared with the shards' at the end. */
const refusals = new Map<string, number>();

async function send(body: BodyInit | null, headers: Record<string, string> = {}) {
  const response = await SELF.fetch(URL, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body,
  });
  if (response.status !== 202) {
    const { code } = await response.clone().json<Problem>();
    refusals.set(code, (refusals.get(code) ?? 0) + 1);
  }
  return response;
}

async function problemOf(response: Response): Promise<Problem> {
  expect(response.headers.get("content-type")).toBe("application/problem+json");
  const problem: Problem = await response.json();
  expect(problem.status).toBe(response.status);
  expect(problem.title).toBe(problem.code.replaceAll("_", " "));
  return problem;
}

async function fates(clicks: readonly unknown[]): Promise<readonly ClickResult[]> {
  const response = await send(JSON.stringify({ sent_at: Date.now(), clicks }));
  expect(response.status).toBe(202);
  return (await response.json<IngestAnswer>()).results;
}

async function gzip(text: string | Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new Blob([text]).stream().pipeThrough(new CompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

const utf16 = (text: string) => {
  const units = Uint16Array.from(text, (character) => character.charCodeAt(0));
  return new Uint8Array(units.buffer);
};
const joined = (...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(parts.flatMap((part) => [...part]));
const batch = (count: number) =>
  JSON.stringify({ clicks: Array.from({ length: count }, goodClick) });
const deep = (depth: number) => `${"[".repeat(depth)}${"]".repeat(depth)}`;

describe("a body that is no envelope", () => {
  type Case = [string, string | Uint8Array<ArrayBuffer>, number, string, RegExp];
  test.each<Case>([
    ["nothing", "", 400, "empty_body", /send \{/],
    ["not JSON", "{", 400, "not_json", /send \{/],
    ["a trailing comma", `{"clicks":[1,]}`, 400, "not_json", /send \{/],
    ["two documents", "{}{}", 400, "not_json", /send \{/],
    ["NaN for a number", `{"clicks":[{"timestamp":NaN}]}`, 400, "not_json", /send \{/],
    ["a leading zero", `{"clicks":[{"timestamp":01}]}`, 400, "not_json", /send \{/],
    ["a raw control character", `{"clicks":["\u0001"]}`, 400, "not_json", /send \{/],
    ["half a nesting", "[".repeat(100_000), 400, "not_json", /send \{/],
    ["a form", "click_id=1&ad_id=2", 400, "not_json", /send \{/],
    ["a list", "[]", 400, "wrong_shape", /no JSON object: send \{/],
    ["a word", "null", 400, "wrong_shape", /send \{/],
    ["a text", `"clicks"`, 400, "wrong_shape", /send \{/],
    ["a number", "7", 400, "wrong_shape", /send \{/],
    ["an object without clicks", `{"sent_at":1}`, 400, "wrong_shape", /no clicks: send \{/],
    ["an object for clicks", `{"clicks":{}}`, 400, "wrong_shape", /not a list: send \{/],
    ["no clicks at all", `{"clicks":null}`, 400, "wrong_shape", /not a list: send \{/],
    ["the last of two clicks wrong", `{"clicks":[1],"clicks":1}`, 400, "wrong_shape", /not a list/],
    ["an empty batch", `{"clicks":[]}`, 400, "empty_batch", /send at least one/],
    ["1,001 clicks", batch(BATCH_CLICKS_MAX + 1), 413, "too_many_clicks", /1001 .* at most 1000/],
    ["1 MB + 1", " ".repeat(BODY_BYTES_MAX + 1), 413, "too_large", /fewer clicks/],
    [
      "bytes that are no UTF-8",
      new Uint8Array([0x22, 0xff, 0x22]),
      400,
      "unreadable_body",
      /UTF-8/,
    ],
    ["Latin-1", new Uint8Array([0x22, 0xe4, 0x22]), 400, "unreadable_body", /send UTF-8/],
    ["UTF-16", utf16(`{"clicks":[1]}`), 400, "not_json", /send \{/],
    [
      "UTF-16 with its mark",
      joined(new Uint8Array([0xff, 0xfe]), utf16("{}")),
      400,
      "unreadable_body",
      /send UTF-8/,
    ],
    [
      "a lone surrogate in UTF-8",
      new Uint8Array([0x22, 0xed, 0xa0, 0x80, 0x22]),
      400,
      "unreadable_body",
      /send UTF-8/,
    ],
    [
      "gzip that is not declared",
      new Uint8Array([0x1f, 0x8b, 8, 0]),
      400,
      "unreadable_body",
      /send UTF-8/,
    ],
  ])("%s is refused with code and sentence", async (_, body, status, code, sentence) => {
    const problem = await problemOf(await send(body));
    expect(problem).toMatchObject({ type: "about:blank", status, code });
    expect(problem.detail).toMatch(sentence);
  });

  test("a body of exactly 1 MB is read", async () => {
    const text = JSON.stringify({ clicks: [goodClick()] });
    const response = await send(text.padEnd(BODY_BYTES_MAX, " "));
    expect(await response.json()).toMatchObject({ accepted: 1 });
  });

  test.each([
    ["one byte", [0xff]],
    ["two bytes of three", [0xe2, 0x82]],
    ["an overlong slash", [0xc0, 0xaf]],
    ["Latin-1", [0xfc]],
  ])("a click is refused with its body when %s in its user id are no UTF-8", async (_, broken) => {
    const parts = JSON.stringify({ ...goodClick(), user_id: "J|rgen" })
      .split("|")
      .map(utf8);
    const body = joined(parts[0]!, Uint8Array.from(broken), parts[1]!);
    const problem = await problemOf(await send(body));
    expect(problem).toMatchObject({ status: 400, code: "unreadable_body" });
    expect(problem.detail).toMatch(/send UTF-8/);
  });

  test("a replacement character that was sent is a character like others", async () => {
    expect(await fates([{ ...goodClick(), user_id: "J\uFFFDrgen" }])).toMatchObject([
      { status: "accepted" },
    ]);
  });

  test("a byte order mark is no fault", async () => {
    const response = await send(`\ufeff${batch(1)}`);
    expect(await response.json()).toMatchObject({ accepted: 1 });
  });

  test("deep nesting inside a click is that click's fault alone, and keeps its text", async () => {
    const depth = 200_000;
    const body = `{"clicks":[${deep(depth)},${JSON.stringify(goodClick())},{"click_id":${deep(depth)}}]}`;
    const answer: IngestAnswer = await (await send(body)).json();
    expect(answer.results).toMatchObject([
      { status: "rejected", code: "not_an_object" },
      { status: "accepted" },
      { status: "rejected", code: "wrong_type", field: "click_id" },
    ]);
  });
});

describe("gzip", () => {
  test("is inflated", async () => {
    const response = await send(await gzip(batch(2)), { "content-encoding": "GZIP" });
    expect(await response.json()).toMatchObject({ accepted: 2 });
  });

  /** A body that comes piece by piece, without a length. */
  function inPieces(piece: (number: number) => Uint8Array | null): ReadableStream<Uint8Array> {
    let number = 0;
    return new ReadableStream({
      pull(controller) {
        const bytes = piece(number++);
        if (bytes === null) controller.close();
        else controller.enqueue(bytes);
      },
    });
  }

  test("of 1,000 clicks, in pieces that do not end where anything ends", async () => {
    const bytes = await gzip(batch(BATCH_CLICKS_MAX));
    const body = inPieces((number) => {
      const at = number * 97;
      return at < bytes.length ? bytes.subarray(at, at + 97) : null;
    });
    const response = await send(body, { "content-encoding": "gzip" });
    expect(await response.json()).toMatchObject({ accepted: BATCH_CLICKS_MAX });
  });

  test("in two members is one body, and bytes after it are nobody's", async () => {
    const text = batch(3);
    const halves = [await gzip(text.slice(0, 50)), await gzip(text.slice(50))];
    const body = joined(...halves, new Uint8Array(9));
    const response = await send(body, { "content-encoding": "gzip" });
    expect(await response.json()).toMatchObject({ accepted: 3 });
  });

  test("that inflates to nothing, for ever, is refused at the limit of what is taken", async () => {
    const head = (await gzip("")).subarray(0, 10);
    // A stored block of no bytes, which is not the last: 5 bytes.
    const empty = Uint8Array.from({ length: 5 * 1_000 }, (_, i) => [0, 0, 0, 0xff, 0xff][i % 5]!);
    const piecesMax = (4 * REFUSED_BODY_BYTES_MAX) / empty.length;
    let sent = 0;
    const body = inPieces((number) => {
      sent = number;
      return number === 0 ? head : number < piecesMax ? empty : null;
    });
    const response = await send(body, { "content-encoding": "gzip" });
    expect(await problemOf(response)).toMatchObject({ status: 413, code: "too_large" });
    // Read on, for the sender to hear the answer, and no further.
    expect(sent).toBeGreaterThan(REFUSED_BODY_BYTES_MAX / empty.length);
    expect(sent).toBeLessThan((1.1 * REFUSED_BODY_BYTES_MAX) / empty.length);
  });

  const bomb = gzip(new Uint8Array(64 * 1_000_000).fill(0x20));
  type Case = [string, () => Promise<Uint8Array<ArrayBuffer>>, number, string];
  test.each<Case>([
    ["cut off", async () => (await gzip(batch(2))).slice(0, 40), 400, "unreadable_body"],
    [
      "without its trailer",
      async () => (await gzip(batch(2))).slice(0, -8),
      400,
      "unreadable_body",
    ],
    [
      "with a wrong checksum",
      async () => {
        const bytes = await gzip(batch(2));
        bytes[bytes.length - 8]! ^= 1;
        return bytes;
      },
      400,
      "unreadable_body",
    ],
    [
      "that is none",
      async () => Uint8Array.from(new TextEncoder().encode(batch(1))),
      400,
      "unreadable_body",
    ],
    ["of nothing", async () => gzip(""), 400, "empty_body"],
    ["of no UTF-8", async () => gzip(new Uint8Array([0xff])), 400, "unreadable_body"],
    ["of gzip", async () => gzip(await gzip(batch(1))), 400, "unreadable_body"],
    ["of 1 MB + 1", async () => gzip(" ".repeat(BODY_BYTES_MAX + 1)), 413, "too_large"],
    ["that is a bomb of 64 MB", () => bomb, 413, "too_large"],
  ])("%s is refused", async (_, bytes, status, code) => {
    const response = await send(await bytes(), { "content-encoding": "gzip" });
    const problem = await problemOf(response);
    expect(problem).toMatchObject({ status, code });
    expect(problem.detail).toMatch(/send /);
  });
});

describe("headers, methods and paths", () => {
  test.each<[string, Record<string, string>, string, RegExp]>([
    [
      "a web page",
      { "content-type": "text/html" },
      "unsupported_type",
      /text\/html.*application\/json/,
    ],
    ["a form", { "content-type": "multipart/form-data; boundary=x" }, "unsupported_type", /send/],
    ["nonsense", { "content-type": ";;;" }, "unsupported_type", /send/],
    ["brotli", { "content-encoding": "br" }, "unsupported_encoding", /br .*send gzip/],
    ["gzip twice", { "content-encoding": "gzip, gzip" }, "unsupported_encoding", /send gzip/],
  ])("%s is refused with 415", async (_, headers, code, sentence) => {
    const problem = await problemOf(await send(batch(1), headers));
    expect(problem).toMatchObject({ status: 415, code });
    expect(problem.detail).toMatch(sentence);
  });

  test.each(["text/plain;charset=UTF-8", "APPLICATION/JSON", " application/json ; x=y"])(
    "content-type %j is read as JSON",
    async (type) => {
      const response = await send(batch(1), { "content-type": type });
      expect(await response.json()).toMatchObject({ accepted: 1 });
    },
  );

  test.each(["GET", "PUT", "PATCH", "DELETE", "OPTIONS"])(
    "%s of clicks is told POST",
    async (method) => {
      const response = await SELF.fetch(URL, { method });
      expect(response.headers.get("allow")).toBe("POST");
      const problem = await problemOf(response);
      expect(problem).toMatchObject({ status: 405, code: "wrong_method" });
      expect(problem.detail).toBe(`${method} is not taken here: send clicks by POST`);
    },
  );

  test.each([
    "/",
    "/v1",
    "/v1/clicks/",
    "/v1/click",
    "/V1/CLICKS",
    "/v1/clicks%00",
    "/%ff%fe",
    "//v1/clicks",
    `/${"x".repeat(500)}`,
  ])("the path %s is told where clicks go", async (path) => {
    const problem = await problemOf(await SELF.fetch(`https://edge${path}`, { method: "POST" }));
    expect(problem).toMatchObject({ status: 404, code: "no_such_path" });
    expect(problem.detail).toMatch(/send clicks to POST \/v1\/clicks$/);
  });

  test("a query after the path changes nothing", async () => {
    const response = await SELF.fetch(`${URL}?x=1`, { method: "POST", body: batch(1) });
    expect(response.status).toBe(202);
    await response.text();
  });
});

describe("other paths", () => {
  test.each(["GET", "HEAD"])("%s of /health says that the edge is there", async (method) => {
    const response = await SELF.fetch("https://edge/health", { method });
    expect(response.status).toBe(200);
    expect(await response.text()).toBe(method === "HEAD" ? "" : `{"status":"ok"}`);
  });

  test("a health that is posted is not served", async () => {
    const problem = await problemOf(await SELF.fetch("https://edge/health", { method: "POST" }));
    expect(problem).toMatchObject({ status: 404, code: "no_such_path" });
  });

  test.each(["/health", "/v1/clicks"])(
    "what fails in %s is told to be sent again, and says nothing of why",
    async (path) => {
      const log = vi.spyOn(console, "error").mockReturnValue(undefined);
      const posted = path === "/health" ? {} : { method: "POST", body: batch(1) };
      const request = new Request(`https://edge${path}`, posted);
      const context = { waitUntil: () => undefined };
      const response = await respond(request, { ...(env as Env), SHARDS: "none" }, context);
      expect(response.headers.get("retry-after")).toBe("1");
      const problem = await problemOf(response);
      expect(problem).toMatchObject({ status: 503, code: "internal" });
      expect(problem.detail).toMatch(/send the same request again, that is safe$/);
      expect(log.mock.calls.flat().join("")).toContain("SHARDS must be a whole number");
      log.mockRestore();
    },
  );
});

describe("a click that is none", () => {
  const now = Date.now();
  const of = (changes: object) => ({ ...goodClick(), ...changes });
  type Case = [string, unknown, string, string | undefined, RegExp];
  test.each<Case>([
    ["null", null, "not_an_object", undefined, /send a click with/],
    ["a number", 7, "not_an_object", undefined, /send a click with/],
    ["a list", [goodClick()], "not_an_object", undefined, /send a click with/],
    ["an empty object", {}, "missing", "click_id", /send it as text/],
    ["an id that is null", of({ click_id: null }), "missing", "click_id", /send it as text/],
    ["a number for an id", of({ click_id: 7 }), "wrong_type", "click_id", /as text/],
    ["a list for an ad", of({ ad_id: ["a"] }), "wrong_type", "ad_id", /as text/],
    ["an empty id", of({ click_id: "" }), "empty", "click_id", /send 1 to 64/],
    ["an empty ad", of({ ad_id: "" }), "empty", "ad_id", /send 1 to 64/],
    [
      "65 characters of id",
      of({ click_id: "x".repeat(65) }),
      "too_long",
      "click_id",
      /65 .*at most 64/,
    ],
    ["65 characters of ad", of({ ad_id: "x".repeat(65) }), "too_long", "ad_id", /65 .*at most 64/],
    [
      "900,000 characters of ad",
      of({ ad_id: "x".repeat(900_000) }),
      "too_long",
      "ad_id",
      /at most 64/,
    ],
    [
      "a zero byte in an id",
      of({ click_id: "a\0b" }),
      "bad_characters",
      "click_id",
      /character 2 .*send/,
    ],
    ["a line end in an ad", of({ ad_id: "a\n" }), "bad_characters", "ad_id", /character 2 .*send/],
    ["DEL in an ad", of({ ad_id: "\u007f" }), "bad_characters", "ad_id", /send/],
    [
      "a letter beyond ASCII",
      of({ ad_id: "광고" }),
      "bad_characters",
      "ad_id",
      /character 1 .*send/,
    ],
    ["a lone surrogate", of({ click_id: "\ud800" }), "bad_characters", "click_id", /send/],
    ["no timestamp", of({ timestamp: undefined }), "missing", "timestamp", /send milliseconds/],
    [
      "a date as text",
      of({ timestamp: "2026-01-01T00:00:00Z" }),
      "wrong_type",
      "timestamp",
      /as a number/,
    ],
    [
      "a number in quotes",
      of({ timestamp: String(now) }),
      "wrong_type",
      "timestamp",
      /as a number/,
    ],
    ["a word for a time", of({ timestamp: true }), "wrong_type", "timestamp", /as a number/],
    [
      "seconds",
      of({ timestamp: Math.floor(now / 1_000) }),
      "timestamp_in_seconds",
      "timestamp",
      /in seconds: send milliseconds/,
    ],
    [
      "microseconds",
      of({ timestamp: now * 1_000 }),
      "bad_timestamp",
      "timestamp",
      /1970 and 2100: send/,
    ],
    ["a time before 1970", of({ timestamp: -1 }), "bad_timestamp", "timestamp", /send/],
    ["a number for a user", of({ user_id: 1 }), "wrong_type", "user_id", /leave it out/],
    [
      "129 bytes of user",
      of({ user_id: "ü".repeat(USER_ID_BYTES_MAX / 2 + 1) }),
      "too_long",
      "user_id",
      /130 bytes .*at most 128/,
    ],
  ])("%s is rejected by code, field and sentence", async (_, click, code, field, sentence) => {
    const [result] = await fates([click]);
    expect(result).toMatchObject({ status: "rejected", code });
    expect(result!.field).toBe(field);
    expect(result!.message).toMatch(sentence);
  });

  test.each<[string, string, string | undefined]>([
    ["1e999", "rejected", "bad_timestamp"],
    ["-1e999", "rejected", "bad_timestamp"],
    ["123456789012345678901234567890", "rejected", "bad_timestamp"],
    // 0: a clock that was never set. The time policy takes the server's then.
    ["1e-999", "accepted", undefined],
  ])("the timestamp %s is %s", async (number, status, code) => {
    const click = JSON.stringify(of({ timestamp: 0 })).replace(
      `"timestamp":0`,
      `"timestamp":${number}`,
    );
    const answer: IngestAnswer = await (await send(`{"clicks":[${click}]}`)).json();
    expect([answer.results[0]!.status, answer.results[0]!.code]).toEqual([status, code]);
  });

  test("unknown fields are ignored, even those with meaning to JavaScript", async () => {
    const click = JSON.stringify(of({})).replace(
      "{",
      `{"__proto__":{"ad_id":1},"constructor":1,"more":[{}],`,
    );
    const response = await send(`{"more":1,"__proto__":[],"clicks":[${click}]}`);
    expect(await response.json()).toMatchObject({ accepted: 1 });
  });

  test("a sender's clock that is none is no clock, and no fault", async () => {
    // Microseconds among them: no time before 2100, so not taken for a clock that is off.
    for (const sent_at of ["noon", null, -5, 1e300, Date.now() * 1_000, {}, true]) {
      // oxlint-disable-next-line no-await-in-loop -- one answer for each
      const response = await send(JSON.stringify({ sent_at, clicks: [goodClick()] }));
      // oxlint-disable-next-line no-await-in-loop
      expect(await response.json()).toMatchObject({ accepted: 1 });
    }
  });

  test("good clicks in the same batch are accepted, and a repeated id is a duplicate", async () => {
    const good = goodClick();
    const results = await fates([
      1,
      good,
      { ...good, ad_id: "another" },
      of({ ad_id: "" }),
      goodClick(),
    ]);
    expect(results.map(({ status }) => status)).toEqual([
      "rejected",
      "accepted",
      "duplicate",
      "rejected",
      "accepted",
    ]);
    expect(results[3]).toMatchObject({ click_id: expect.stringMatching(/^door/), code: "empty" });
  });
});

interface Kept {
  readonly code: string;
  readonly field: string;
  readonly body: string;
  readonly bodyBytes: number;
  readonly occurrences: number;
}

async function inShards<T>(work: (sql: SqlStorage) => T): Promise<T[]> {
  const { SHARD_OBJECTS } = env as unknown as Env;
  const stubs = Array.from({ length: SHARDS }, (_, shard) =>
    SHARD_OBJECTS.get(SHARD_OBJECTS.idFromName(`shard-${shard}`)),
  );
  return Promise.all(
    stubs.map((stub) => runInDurableObject(stub, (_, state) => work(state.storage.sql))),
  );
}

/** The count that shards believe in; they refuse senders who know another. */
async function setShardCounts(count: number): Promise<void> {
  const { SHARD_OBJECTS } = env as unknown as Env;
  const names = Array.from({ length: SHARDS }, (_, shard) => `shard-${shard}`);
  await Promise.all(
    names.map((name) => setShardCount(SHARD_OBJECTS.get(SHARD_OBJECTS.idFromName(name)), count)),
  );
}

/** All rows of all shards' rejected journals. */
async function rejectedRows(): Promise<Kept[]> {
  const kept: Kept[] = [];
  const shards = await inShards((sql) =>
    sql.exec<{ bytes: ArrayBuffer }>("SELECT bytes FROM journal_rejected").toArray(),
  );
  for (const rows of shards) {
    for (const row of rows) {
      const c = reader(new Uint8Array(row.bytes));
      while (c.at < c.bytes.length) {
        const start = c.at;
        skipRejectedClick(c);
        const end = c.at;
        c.at = start + UNIT_BYTES + 8;
        skipString(c);
        skipString(c);
        const code = textOf(readString(c));
        const field = textOf(readString(c));
        for (let i = 0; i < 5; i++) skipString(c);
        const body = textOf(readString(c));
        const bodyBytes = readU32(c);
        c.at = end - 4;
        kept.push({ code, field, body, bodyBytes, occurrences: readU32(c) });
      }
    }
  }
  return kept;
}

const totalOf = (rows: readonly Kept[]) => rows.reduce((sum, row) => sum + row.occurrences, 0);

describe("what was refused reaches clicks_rejected", () => {
  test("a click with its reason and the bytes that were sent", async () => {
    const mark = `mark${unique++}`;
    const sent = `{ "click_id" : "${mark}", "ad_id":1e999, "ad_id" : 1e999 }`;
    await (await send(`{"clicks":[${sent}]}`)).text();
    const kept = (await rejectedRows()).filter(({ body }) => body.includes(mark));
    expect(kept).toEqual([
      { code: "wrong_type", field: "ad_id", body: sent, bodyBytes: sent.length, occurrences: 1 },
    ]);
  });

  test("a long one cut, with its true length", async () => {
    const mark = `mark${unique++}`;
    const sent = JSON.stringify({ click_id: mark, ad_id: "x".repeat(100_000) });
    await (await send(`{"clicks":[${sent}]}`)).text();
    const [kept] = (await rejectedRows()).filter(({ body }) => body.includes(mark));
    expect(kept!.bodyBytes).toBe(sent.length);
    expect(sent.startsWith(kept!.body)).toBe(true);
    expect(kept!.body.length).toBeLessThan(sent.length);
  });

  test("beyond what is kept of a key every click is still counted", async () => {
    const flood = Array.from({ length: BATCH_CLICKS_MAX }, (_, i) => ({
      click_id: `flood.${i}`,
      ad_id: "a",
      timestamp: "flood",
    }));
    const isFlood = ({ code, field }: Kept) => code === "wrong_type" && field === "timestamp";
    const before = (await rejectedRows()).filter(isFlood);
    const rounds = SHARDS + 2;
    for (let round = 0; round < rounds; round++) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other: at once they would be one commit
      const results = await fates(flood);
      expect(results.every(({ status }) => status === "rejected")).toBe(true);
    }
    const after = (await rejectedRows()).filter(isFlood);
    expect(totalOf(after) - totalOf(before)).toBe(rounds * BATCH_CLICKS_MAX);
    // All went to one shard: what that one keeps at once, some that time has earned, a row for each commit.
    const added = after.length - before.length;
    expect(added).toBeLessThan(REJECTED_KEPT_AT_ONCE_MAX + 2 * rounds);
    expect(after.some(({ occurrences, body }) => occurrences > 1 && body === "")).toBe(true);
  });

  /** What the shards have counted of requests, by the codes of this file's book. */
  async function counted(): Promise<Map<string, number>> {
    const rows = (await rejectedRows()).filter(({ code }) => refusals.has(code));
    return new Map(
      [...refusals.keys()].map((code) => [code, totalOf(rows.filter((row) => row.code === code))]),
    );
  }

  test("every request that could not be read is counted by reason, many in one row", async () => {
    const flood = Array.from({ length: 30 }, () => send("{"));
    // oxlint-disable-next-line no-await-in-loop -- bodies must be read to their end
    for (const response of await Promise.all(flood)) await response.text();
    await expect.poll(counted, { timeout: 10_000 }).toEqual(refusals);
    const rows = (await rejectedRows()).filter(({ code }) => code === "not_json");
    // A hand-over that was on its way may have parted the flood in two.
    expect(Math.max(...rows.map(({ occurrences }) => occurrences))).toBeGreaterThanOrEqual(15);
  });

  test("what a shard that is away cannot take is handed over later", async () => {
    await expect.poll(counted, { timeout: 10_000 }).toEqual(refusals);
    const before = refusals.get("not_json")!;
    const log = vi.spyOn(console, "error");
    await setShardCounts(SHARDS + 1);
    await (await send("{")).text();
    await expect.poll(() => log.mock.calls.join(), { timeout: 10_000 }).toContain("a batch failed");
    log.mockRestore();
    expect((await counted()).get("not_json")).toBe(before);
    await setShardCounts(SHARDS);
    await (await send("{")).text();
    await expect.poll(counted, { timeout: 10_000 }).toEqual(refusals);
    expect(refusals.get("not_json")).toBe(before + 2);
  });
});
