/** The embedded server as its clients see it: the official client, plain HTTP, and a SIGKILL. */
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { ClickHouseLogLevel, createClient } from "@clickhouse/client";
import type { ClickHouseClient, ClickHouseSettings } from "@clickhouse/client";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { FORMAT_NAMES } from "./format-names.ts";
import { INSERT_HEAD_BYTES_MAX, RUNNING_QUERIES_MAX, WAITING_QUERIES_MAX } from "./limits.ts";
import { CLICKHOUSE_READY_MS_MAX } from "../stack/limits.ts";
import { startEmbeddedClickHouse } from "../../tests/helpers/embedded-clickhouse.ts";
import type { EmbeddedClickHouse } from "../../tests/helpers/embedded-clickhouse.ts";

let directory: string;
let clickhouse: EmbeddedClickHouse;
let client: ClickHouseClient;
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "clickmill-embedded-"));
  clickhouse = await startEmbeddedClickHouse(directory);
  client = createClient({ url: clickhouse.url, log: QUIET });
});
afterAll(async () => {
  await client?.close();
  await clickhouse?.stop();
  rmSync(directory, { recursive: true, force: true });
});

/** A start, and what one test else may take. */
const CLICKHOUSE_RESTART_MS_MAX = CLICKHOUSE_READY_MS_MAX + 30_000;

/** Errors are expected here; the client would print each. */
const QUIET = { level: ClickHouseLogLevel.OFF };

const INSERT_SETTINGS: ClickHouseSettings = {
  async_insert: 0,
  insert_deduplicate: 1,
  deduplicate_blocks_in_dependent_materialized_views: 1,
  max_insert_block_size: "10000000",
  min_insert_block_size_rows: "10000000",
  min_insert_block_size_bytes: "1073741824",
};

async function insertBinary(table: string, data: Readable, settings: ClickHouseSettings) {
  const { stream } = await client.exec({
    query: `INSERT INTO ${table} (id, name) FORMAT RowBinary`,
    values: data,
    clickhouse_settings: { ...INSERT_SETTINGS, ...settings },
  });
  await stream.resume().toArray();
}
async function rowsOf<Row>(query: string, more: object = {}): Promise<Row[]> {
  return (await client.query({ query, format: "JSONEachRow", ...more })).json<Row>();
}
const numberOf = async (expression: string) =>
  (await rowsOf<{ n: number }>(`SELECT toUInt32(${expression}) AS n`))[0]!.n;
/** Active parts that are one inserted block each. */
const newParts = (table: string) =>
  numberOf(`(SELECT count() FROM system.parts WHERE table = '${table}' AND active
    AND min_block_number = max_block_number)`);

/** Rows (id, "A") in RowBinary, in pieces that do not end where rows end. */
function rowsInPieces(rowCount: number): Readable {
  const bytes = Buffer.alloc(rowCount * 6);
  for (let i = 0; i < rowCount; i++) {
    bytes.writeUInt32LE(i, i * 6);
    bytes[i * 6 + 4] = 1;
    bytes[i * 6 + 5] = 65;
  }
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += 65_521) pieces.push(bytes.subarray(at, at + 65_521));
  return Readable.from(pieces, { objectMode: false });
}

async function createTables(name: string): Promise<void> {
  const settings = "SETTINGS non_replicated_deduplication_window = 100, fsync_after_insert = 1";
  const statements = [
    `CREATE TABLE ${name} (id UInt32, name String) ENGINE = MergeTree ORDER BY id ${settings}`,
    `CREATE TABLE ${name}_sums (bucket UInt32, rows Int64) ENGINE = SummingMergeTree ORDER BY bucket ${settings}`,
    `CREATE MATERIALIZED VIEW ${name}_view TO ${name}_sums AS
     SELECT id % 10 AS bucket, toInt64(count()) AS rows FROM ${name} GROUP BY bucket`,
  ];
  // oxlint-disable-next-line no-await-in-loop
  for (const query of statements) await client.command({ query });
}

describe("inserts", () => {
  test("one binary insert of 200,000 rows is one part, in the table and in its view's target", async () => {
    await createTables("big");
    await insertBinary("big", rowsInPieces(200_000), { insert_deduplication_token: "a" });
    expect(await numberOf("(SELECT count() FROM big)")).toBe(200_000);
    expect(await newParts("big")).toBe(1);
    expect(await newParts("big_sums")).toBe(1);
  });

  test("block sizes of the request decide the number of parts", async () => {
    await createTables("blocks");
    await client.command({ query: "SYSTEM STOP MERGES blocks" });
    await insertBinary("blocks", rowsInPieces(200_000), {
      max_insert_block_size: "65536",
      min_insert_block_size_rows: "0",
      min_insert_block_size_bytes: "0",
    });
    expect(await newParts("blocks")).toBeGreaterThan(1);
  });

  test("the same token twice leaves the rows once, in the table and in its view's target", async () => {
    await createTables("twice");
    const token = { insert_deduplication_token: "t1" };
    await insertBinary("twice", rowsInPieces(1000), token);
    await insertBinary("twice", rowsInPieces(1000), token);
    expect(await numberOf("(SELECT count() FROM twice)")).toBe(1000);
    expect(await numberOf("(SELECT sum(rows) FROM twice_sums)")).toBe(1000);
    await insertBinary("twice", rowsInPieces(1000), { insert_deduplication_token: "t2" });
    expect(await numberOf("(SELECT count() FROM twice)")).toBe(2000);
    expect(await numberOf("(SELECT sum(rows) FROM twice_sums)")).toBe(2000);
  });

  test("rows come as objects, as a stream, as VALUES, and compressed", async () => {
    await createTables("kinds");
    await client.insert({
      table: "kinds",
      values: [{ id: 1, name: "é\n" }],
      format: "JSONEachRow",
    });
    const stream = Readable.from([{ id: 2, name: "b" }]);
    await client.insert({ table: "kinds", values: stream, format: "JSONEachRow" });
    await client.command({ query: "INSERT INTO kinds VALUES (3, concat('x', 'y'))" });
    const url = `${clickhouse.url}/?query=INSERT+INTO+kinds+FORMAT+TSV`;
    const headers = { "Content-Encoding": "gzip" };
    const answer = await fetch(url, { method: "POST", headers, body: gzipSync("4\td\n") });
    expect(answer.status).toBe(200);
    expect(JSON.parse(answer.headers.get("x-clickhouse-summary")!)).toMatchObject({
      written_rows: "1",
    });
    expect(await rowsOf("SELECT * FROM kinds ORDER BY id")).toEqual([
      { id: 1, name: "é\n" },
      { id: 2, name: "b" },
      { id: 3, name: "xy" },
      { id: 4, name: "d" },
    ]);
  });

  test("data that is cut off inserts nothing and says so", async () => {
    await createTables("cut");
    const cut = Readable.from([Buffer.from([1, 0, 0, 0, 1, 65, 2])], { objectMode: false });
    await expect(insertBinary("cut", cut, {})).rejects.toMatchObject({ code: "33" });
    expect(await numberOf("(SELECT count() FROM cut)")).toBe(0);
  });

  test("a body that is not what its encoding says is refused", async () => {
    const headers = { "Content-Encoding": "gzip" };
    const answer = await fetch(clickhouse.url, { method: "POST", headers, body: "SELECT 1" });
    expect([answer.status, answer.headers.get("x-clickhouse-exception-code")]).toEqual([
      400,
      "354",
    ]);
  });

  test("leave nothing in the spool", async () => {
    await expect.poll(() => readdirSync(join(directory, "spool"))).toEqual([]);
  });
});

/** Sends bytes as they are; resolves with the open socket once the server has had time to take them. */
async function sendRaw(...pieces: (string | Uint8Array)[]): Promise<Socket> {
  const socket = connect(Number(new URL(clickhouse.url).port), "127.0.0.1");
  socket.on("error", () => {});
  await once(socket, "connect");
  for (const piece of pieces) socket.write(piece);
  await sleep(100);
  return socket;
}

describe("an upload that its client cuts off", () => {
  const head = (table: string, ...headers: string[]) =>
    [
      `POST /?query=INSERT+INTO+${table}+FORMAT+RowBinary HTTP/1.1`,
      "Host: localhost",
      ...headers,
      "\r\n",
    ].join("\r\n");
  /** Whole rows: what is cut is the request, never a row. Few are held in memory, many are in the spool. */
  const rowBytes = async (rowCount: number) =>
    Buffer.concat((await rowsInPieces(rowCount).toArray()) as Buffer[]);
  const chunk = (data: Uint8Array) =>
    Buffer.concat([Buffer.from(`${data.length.toString(16)}\r\n`), data, Buffer.from("\r\n")]);
  const spooled = () => readdirSync(join(directory, "spool")).length;

  const whole = (data: Uint8Array) => data;
  const member = (data: Uint8Array) => gzipSync(data);
  const LENGTH = "Content-Length: 1000000";
  const CHUNKED = "Transfer-Encoding: chunked";
  const GZIP = "Content-Encoding: gzip";
  const CUTS = [
    { name: "a body shorter than its length", headers: [LENGTH], bytes: whole },
    { name: "chunks without the last", headers: [CHUNKED], bytes: chunk },
    { name: "a whole gzip member of a longer body", headers: [GZIP, LENGTH], bytes: member },
    {
      name: "a whole gzip member in chunks without the last",
      headers: [GZIP, CHUNKED],
      bytes: (data: Uint8Array) => chunk(member(data)),
    },
  ];
  const ROW_COUNTS = [20, 20_000];
  test.each(CUTS.flatMap((cut) => ROW_COUNTS.map((rowCount) => ({ ...cut, rowCount }))))(
    "$name, $rowCount rows, inserts nothing and leaves nothing",
    async ({ name, headers, bytes, rowCount }) => {
      const table = `cut_${name.replaceAll(" ", "_")}_${rowCount}`;
      await createTables(table);
      const body = bytes(await rowBytes(rowCount));
      const fin = await sendRaw(head(table, ...headers), body);
      const reset = await sendRaw(head(table, ...headers), body);
      expect(spooled()).toBe(rowCount * 6 > INSERT_HEAD_BYTES_MAX ? 2 : 0);
      fin.end();
      reset.resetAndDestroy();
      await expect.poll(spooled, { timeout: 5000 }).toBe(0);
      // What might still be on its way into the engine would be there by now.
      await sleep(200);
      expect(await numberOf(`(SELECT count() FROM ${table})`)).toBe(0);
      expect(await client.ping()).toEqual({ success: true });
      fin.destroy();
    },
  );

  test("but the same bytes to their end are inserted", async () => {
    await createTables("not_cut");
    const socket = await sendRaw(
      head("not_cut", GZIP, CHUNKED),
      chunk(member(await rowBytes(20_000))),
      "0\r\n\r\n",
    );
    await expect.poll(() => numberOf("(SELECT count() FROM not_cut)")).toBe(20_000);
    socket.destroy();
  });
});

describe("a request that no client would send", () => {
  test.each([
    ["no path", "GET //?query=1", "400"],
    ["a host for a path", "GET //a/?query=1", "400"],
    ["a backslash", "GET /\\?query=1", "400"],
    ["a star", "GET *", "400"],
    ["OPTIONS of a star", "OPTIONS *", "400"],
    ["a POST without a length", "POST /?query=SELECT+1", "411"],
    ["half an escape in the path", "GET /%zz", "404"],
    ["half an escape in the query", "GET /?query=%zz", "400"],
    ["a setting that is no text", "GET /?%ff=%00&query=SELECT+1", "404"],
    ["a database that is no name", "GET /?query=SELECT+1&database=%00%27%60", "404"],
    ["a line end in the format", "GET /?query=SELECT+1&default_format=%0d%0aX", "404"],
    ["a line end in the query id", "GET /?query=SELECT+1&query_id=%0d%0aX:1", "200"],
    ["a long target", `GET /?query=SELECT+'${"x".repeat(10_000)}'`, "200"],
    ["a target that is too long", `GET /${"x".repeat(20_000)}`, "431"],
    ["a method of its own", "BREW /", "400"],
  ])("%s is answered", async (_, line, status) => {
    const socket = await sendRaw(
      `${line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`,
    );
    const answer = (await socket.toArray()).join("");
    expect(answer.split(" ")[1]).toBe(status);
    expect(await client.ping()).toEqual({ success: true });
  });
});

const get = (query: string) => fetch(`${clickhouse.url}/?query=${encodeURIComponent(query)}`);
const post = (body: string) => fetch(clickhouse.url, { method: "POST", body });

describe("queries", () => {
  test("parameters are values, never SQL", async () => {
    const text = "it's \\ a\ttab, 'quotes' and\nlines";
    const query_params = { text, list: ["a'", "b"], nothing: null };
    const query =
      "SELECT {text:String} AS text, {list:Array(String)} AS list, {nothing:Nullable(Int8)} AS nothing";
    expect(await rowsOf(query, { query_params })).toEqual([
      { text, list: ["a'", "b"], nothing: null },
    ]);
  });

  test("settings, parameters and databases of a request are unknown to the next", async () => {
    const ask = (more: object) =>
      rowsOf<{ threads: string; db: string }>(
        "SELECT getSetting('max_threads')::String AS threads, currentDatabase() AS db",
        more,
      );
    const before = await ask({});
    const settings = { clickhouse_settings: { max_threads: 77 } };
    expect(await ask(settings)).toEqual([{ threads: "77", db: "default" }]);
    const other = await fetch(`${clickhouse.url}/?database=system&max_threads=78&param_x=1`, {
      method: "POST",
      body: "SELECT currentDatabase(), {x:UInt8}",
    });
    expect(await other.text()).toBe("system\t1\n");
    await client.command({ query: "SET max_threads = 79" });
    expect(await Promise.all(Array.from({ length: 20 }, () => ask({})))).toEqual(
      Array.from({ length: 20 }, () => before),
    );
    await expect(rowsOf("SELECT {x:UInt8}")).rejects.toMatchObject({ code: "456" });
  });

  test("GET reads and does not write", async () => {
    expect(await (await get("SELECT 1")).text()).toBe("1\n");
    const write = await get("CREATE TABLE never (a Int8) ENGINE = Memory");
    // 500, as a server answers this code.
    expect([write.status, write.headers.get("x-clickhouse-exception-code")]).toEqual([500, "164"]);
  });

  test("errors carry the engine's text, code and a status of their kind", async () => {
    const unknown = await post("SELECT * FROM nowhere");
    expect([unknown.status, unknown.headers.get("x-clickhouse-exception-code")]).toEqual([
      404,
      "60",
    ]);
    expect(await unknown.text()).toMatch(/^Code: 60\. DB::Exception: .*\(UNKNOWN_TABLE\)\n$/s);
    expect((await post("SELEC 1")).status).toBe(400);
    expect((await post("SELECT throwIf(1)")).status).toBe(500);
    await expect(rowsOf("SELECT 1", { clickhouse_settings: { nope: 1 } })).rejects.toMatchObject({
      type: "UNKNOWN_SETTING",
    });
  });

  test.each([
    "SELECT * FROM file('/etc/hostname', 'LineAsString')",
    "SELECT * FROM `/etc/hostname`",
    "INSERT INTO FUNCTION file('/tmp/clickmill-never', 'TSV', 'a Int8') SELECT 1",
    "CREATE TABLE never (a String) ENGINE = File(TSV)",
    "CREATE DATABASE never ENGINE = Filesystem('/etc')",
    "CREATE DATABASE never ENGINE = SQLite('/tmp/clickmill-never')",
    "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
    "SELECT * FROM remote('127.0.0.1:1', 'system.one')",
    "SELECT * FROM s3('http://127.0.0.1:1/abc/b', 'TSV', 'a String')",
    `CREATE DICTIONARY never (a UInt64, b String) PRIMARY KEY a SOURCE(EXECUTABLE(command 'ls' format 'TSV'))
     LAYOUT(FLAT()) LIFETIME(0)`,
    "CREATE VIEW never SQL SECURITY NONE AS SELECT * FROM file('/etc/hostname')",
    "SYSTEM SHUTDOWN",
    "SELECT file('/etc/hostname')",
  ])("may not reach beyond the tables: %s", async (sql) => {
    const answer = await post(sql);
    expect([answer.status, await answer.text()]).toEqual([
      403,
      expect.stringContaining("ACCESS_DENIED"),
    ]);
  });

  test("may not name files in settings, nor evaluate data", async () => {
    for (const sql of [
      "SELECT 1 FORMAT Template SETTINGS format_template_row = '/etc/hostname'",
      "SET input_format_record_errors_file_path = '/tmp/clickmill-never'",
      "SELECT * FROM eval('SELECT 1') SETTINGS allow_experimental_eval_table_function = 1",
      "SELECT * FROM format(Values, 'a String', '(fi' || 'le(''/etc/hostname''))')",
    ]) {
      // oxlint-disable-next-line no-await-in-loop
      expect([sql, (await post(sql)).ok]).toEqual([sql, false]);
    }
  });

  test("an expression alone is no statement", async () => {
    for (const sql of ["1+1", "VALUES (1,2)", "(1)"]) {
      // oxlint-disable-next-line no-await-in-loop
      expect((await post(sql)).status).toBe(400);
    }
    expect(
      (await fetch(`${clickhouse.url}/?implicit_select=1`, { method: "POST", body: "1+1" })).ok,
    ).toBe(false);
  });

  test("rows as an array are one JSON document, by URL and by statement", async () => {
    const setting = "output_format_json_array_of_rows=1";
    const sql = "SELECT number FROM numbers(200000) FORMAT JSONEachRow";
    const answers = [
      await fetch(`${clickhouse.url}/?${setting}`, { method: "POST", body: sql }),
      await post(`${sql} SETTINGS ${setting}`),
    ];
    for (const answer of answers) {
      // oxlint-disable-next-line no-await-in-loop
      expect(await answer.json()).toHaveLength(200_000);
    }
  });

  test("an error in an INSERT names none of our files, and comments stand anywhere", async () => {
    await client.command({ query: "CREATE TABLE commented (a UInt8, b String) ENGINE = Memory" });
    expect((await post("INSERT INTO commented -- c\nVALUES (1, 'x')")).status).toBe(200);
    const wrong = await post("INSERT INTO commented FORMAT TSV\nx\ty\n");
    const text = await wrong.text();
    expect([wrong.ok, text.includes("spool"), text.includes(directory)]).toEqual([
      false,
      false,
      false,
    ]);
    expect(await numberOf("(SELECT count() FROM commented)")).toBe(1);
  });

  test("all formats of the engine are known by their names", async () => {
    const rows = await rowsOf<{ name: string }>("SELECT name FROM system.formats");
    expect(rows.map(({ name }) => name).toSorted()).toEqual(FORMAT_NAMES.toSorted());
    const answer = await post("SELECT 1 AS a FORMAT json");
    expect(answer.headers.get("x-clickhouse-format")).toBe("JSON");
    expect(answer.headers.get("content-type")).toContain("application/json");
  });

  test("an error after the first rows breaks the connection instead of ending the answer", async () => {
    const sql = "SELECT number, throwIf(number = 2000000) FROM numbers(3000000) FORMAT TSV";
    const answer = await fetch(clickhouse.url, { method: "POST", body: sql });
    expect(answer.status).toBe(200);
    await expect(answer.text()).rejects.toThrow("terminated");
  });

  test("answers name format and query, and are compressed on demand", async () => {
    const answer = await fetch(`${clickhouse.url}/?query_id=mine&enable_http_compression=1`, {
      method: "POST",
      headers: { "Accept-Encoding": "gzip" },
      body: "SELECT number FROM numbers(1000) FORMAT JSONCompact",
    });
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      "content-encoding": "gzip",
      "x-clickhouse-format": "JSONCompact",
      "x-clickhouse-query-id": "mine",
    });
    expect(((await answer.json()) as { rows: number }).rows).toBe(1000);
    const compressed = createClient({
      url: clickhouse.url,
      compression: { request: true, response: true },
    });
    expect((await (await compressed.query({ query: "SELECT 1" })).json()).rows).toBe(1);
    await compressed.close();
  });

  test("run beside each other", async () => {
    const started = performance.now();
    await Promise.all([1, 2, 3].map(() => rowsOf("SELECT sleep(0.6)")));
    expect(performance.now() - started).toBeLessThan(1500);
  });

  test("are killed when their client has gone", async () => {
    const abort = new AbortController();
    const query = "SELECT sum(sleepEachRow(0.05)) FROM numbers(400) SETTINGS max_block_size = 1";
    const gone = rowsOf(query, { abort_signal: abort.signal });
    await sleep(200);
    abort.abort();
    await expect(gone).rejects.toThrow("aborted");
    await expect
      .poll(
        () =>
          numberOf(
            "(SELECT count() FROM system.processes WHERE query LIKE '%sleepEachRow%numbers(400)%')",
          ),
        {
          timeout: 5000,
        },
      )
      // The asking query names the same text.
      .toBe(1);
  });

  const spooled = () => readdirSync(join(directory, "spool"));
  const SLOW = "SELECT sleepEachRow(0.05) FROM numbers(400) SETTINGS max_block_size = 1";

  /** Answers nothing before its end. */
  const SLOW_SUM = SLOW.replace("sleepEachRow(0.05)", "sum(sleepEachRow(0.05))");

  test("into a file are killed when their client has gone, and leave no file", async () => {
    const abort = new AbortController();
    const gone = fetch(clickhouse.url, {
      method: "POST",
      body: SLOW.replace(" SETTINGS", " FORMAT JSON SETTINGS"),
      signal: abort.signal,
    });
    await expect.poll(spooled).toHaveLength(1);
    abort.abort();
    await expect(gone).rejects.toThrow("aborted");
    await expect.poll(spooled).toEqual([]);
    expect(await numberOf("(SELECT count() FROM system.processes)")).toBe(1);
  });

  test("into a file that fail late answer their error only, and leave no file", async () => {
    const sql = "SELECT number, throwIf(number = 2000000) FROM numbers(3000000) FORMAT JSON";
    const answer = await post(sql);
    expect([answer.status, answer.headers.get("x-clickhouse-exception-code")]).toEqual([
      500,
      "395",
    ]);
    expect(await answer.text()).toMatch(/^Code: 395\. /);
    expect(spooled()).toEqual([]);
  });

  test("that nobody waits for any more leave the queue before their turn", async () => {
    const ask = (body: string, signal: AbortSignal) =>
      fetch(clickhouse.url, { method: "POST", body, signal }).then(
        ({ status }) => status,
        () => "given up",
      );
    const many = (count: number, body: string, signal: AbortSignal) =>
      Array.from({ length: count }, () => ask(body, signal));
    /** 503 when there is no place, and given up when there is one but no turn. */
    const askShortly = () => ask("SELECT 2", AbortSignal.timeout(300));
    const [turns, places] = [new AbortController(), new AbortController()];
    const running = many(RUNNING_QUERIES_MAX, SLOW_SUM, turns.signal);
    const waiting = many(WAITING_QUERIES_MAX * 2, "SELECT 1", places.signal);
    await expect.poll(askShortly, { timeout: 5_000 }).toBe(503);
    places.abort();
    await Promise.all(waiting);
    await expect.poll(askShortly, { timeout: 5_000 }).toBe("given up");
    turns.abort();
    expect(await Promise.all(running)).toEqual(running.map(() => "given up"));
    await expect.poll(askShortly, { timeout: 5_000 }).toBe(200);
  });

  test("that write are finished even when their client has gone", async () => {
    await client.command({ query: "CREATE TABLE slow (n UInt64) ENGINE = MergeTree ORDER BY n" });
    const abort = new AbortController();
    const query = `INSERT INTO slow SELECT number FROM numbers(20) WHERE sleepEachRow(0.03) = 0
                   SETTINGS max_block_size = 1`;
    const gone = client.command({ query, abort_signal: abort.signal });
    await sleep(200);
    abort.abort();
    await expect(gone).rejects.toThrow("aborted");
    await expect.poll(() => numberOf("(SELECT count() FROM slow)"), { timeout: 5000 }).toBe(20);
  });

  test("longer than the limit are refused, and the server goes on", async () => {
    const answer = await post(`SELECT '${"x".repeat(3_000_000)}'`);
    expect([answer.status, await answer.text()]).toEqual([
      413,
      "Code: 229. DB::Exception: A statement is limited to 1048576 bytes. (QUERY_IS_TOO_LARGE)\n",
    ]);
    expect(await (await post("SELECT 1")).text()).toBe("1\n");
  });

  test("beyond the queue are told to come back", async () => {
    const answers = await Promise.all(
      Array.from({ length: 90 }, () =>
        fetch(clickhouse.url, { method: "POST", body: "SELECT sleep(0.02)" }),
      ),
    );
    const statuses = new Set(answers.map((answer) => answer.status));
    expect(statuses).toEqual(new Set([200, 503]));
    expect(answers.find((answer) => answer.status === 503)!.headers.get("retry-after")).toBe("1");
    expect(await client.ping()).toEqual({ success: true });
  });
});

describe("the process", () => {
  test("refuses a taken port with one message and exit code 1", async () => {
    const main = new URL("main.ts", import.meta.url).pathname;
    const port = new URL(clickhouse.url).port;
    const other = mkdtempSync(join(tmpdir(), "clickmill-embedded-"));
    const child = spawn(process.execPath, [main, "--port", port, "--data", other]);
    let errors = "";
    child.stderr.on("data", (text) => (errors += String(text)));
    const [code] = await once(child, "exit");
    rmSync(other, { recursive: true, force: true });
    expect([code, errors]).toEqual([1, `port ${port} on 127.0.0.1 is taken\n`]);
  });

  test(
    "has after a SIGKILL what it had answered, and tables that work",
    async () => {
      await createTables("survivor");
      await insertBinary("survivor", rowsInPieces(500), { insert_deduplication_token: "s" });
      await clickhouse.kill();
      clickhouse = await startEmbeddedClickHouse(directory);
      await client.close();
      client = createClient({ url: clickhouse.url, log: QUIET });
      expect(await numberOf("(SELECT count() FROM survivor)")).toBe(500);
      expect(await numberOf("(SELECT sum(rows) FROM survivor_sums)")).toBe(500);
      await insertBinary("survivor", rowsInPieces(10), { insert_deduplication_token: "s2" });
      expect(await numberOf("(SELECT sum(rows) FROM survivor_sums)")).toBe(510);
    },
    CLICKHOUSE_RESTART_MS_MAX,
  );

  test(
    "has after a SIGKILL in the middle of inserts what it had answered, whole blocks, and no files",
    async () => {
      await createTables("interrupted");
      const rowCount = 500;
      let answered = 0;
      const inserting = [0, 1, 2].map(async () => {
        for (;;) {
          // One after another, until the process is gone.
          // oxlint-disable-next-line no-await-in-loop
          await insertBinary("interrupted", rowsInPieces(rowCount), {
            insert_deduplication_token: randomUUID(),
          });
          answered++;
        }
      });
      const failed = Promise.allSettled(inserting);
      const upload = await sendRaw(
        "POST /?query=INSERT+INTO+interrupted+FORMAT+RowBinary HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n\r\n",
        new Uint8Array(INSERT_HEAD_BYTES_MAX * 2),
      );
      await expect.poll(() => answered).toBeGreaterThan(5);
      await clickhouse.kill();
      await failed;
      upload.destroy();
      expect(readdirSync(join(directory, "spool")).length).toBeGreaterThan(0);
      clickhouse = await startEmbeddedClickHouse(directory);
      await client.close();
      client = createClient({ url: clickhouse.url, log: QUIET });
      expect(readdirSync(join(directory, "spool"))).toEqual([]);
      const there = await numberOf("(SELECT count() FROM interrupted)");
      expect(there % rowCount).toBe(0);
      // Beyond what was answered, at most what was under way.
      expect(there / rowCount).toBeGreaterThanOrEqual(answered);
      expect(there / rowCount).toBeLessThanOrEqual(answered + inserting.length);
    },
    CLICKHOUSE_RESTART_MS_MAX,
  );
});
