/** The public API of the official client, run against the embedded server. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { once } from "node:events";
import { Readable } from "node:stream";
import {
  ClickHouseError,
  ClickHouseLogLevel,
  createClient,
  SupportedJSONFormats,
  SupportedRawFormats,
  TupleParam,
} from "@clickhouse/client";
import type { ClickHouseClient, DataFormat, Row } from "@clickhouse/client";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { startEmbeddedClickHouse } from "../../tests/helpers/embedded-clickhouse.ts";
import type { EmbeddedClickHouse } from "../../tests/helpers/embedded-clickhouse.ts";

const ALICE = { name: "alice", password: "it's: ü&%" };
type ClientOptions = NonNullable<Parameters<typeof createClient>[0]>;

/** Open to all, and one that answers only Alice. */
let open: EmbeddedClickHouse;
let locked: EmbeddedClickHouse;
let client: ClickHouseClient;
const clients: ClickHouseClient[] = [];
/** Errors are expected here; the client would print each. */
function clientWith(options: ClientOptions = {}): ClickHouseClient {
  const made = createClient({
    url: open.url,
    log: { level: ClickHouseLogLevel.OFF },
    ...options,
  });
  clients.push(made);
  return made;
}
beforeAll(async () => {
  [open, locked] = await Promise.all([
    startEmbeddedClickHouse(),
    startEmbeddedClickHouse(undefined, ALICE),
  ]);
  client = clientWith();
});
afterAll(async () => {
  await Promise.all(clients.map((made) => made.close()));
  await Promise.all([open?.stop(), locked?.stop()]);
});

/** The first row of a query, as an array. */
async function valuesOf(query: string, more: object = {}, by = client): Promise<unknown[]> {
  const result = await by.query({ query, format: "JSONCompactEachRow", ...more });
  return (await result.json<unknown[]>())[0]!;
}

const META = [
  { name: "n", type: "UInt64" },
  { name: "s", type: "String" },
];
/** Of a single document, beside its rows: the time is another each time. */
const WHOLE = { meta: META, rows: 2, statistics: expect.objectContaining({ rows_read: 2 }) };
const NAMES = ["n", "s"];
const TYPES = ["UInt64", "String"];
/** What two rows are in each format that the client decodes. */
const DECODED: Record<(typeof SupportedJSONFormats)[number], unknown> = {
  JSONObjectEachRow: { row_1: { n: 0, s: "é" }, row_2: { n: 1, s: "é" } },
  JSON: { ...WHOLE, data: [0, 1].map((n) => ({ n, s: "é" })) },
  JSONStrings: { ...WHOLE, data: ["0", "1"].map((n) => ({ n, s: "é" })) },
  JSONCompact: { ...WHOLE, data: [0, 1].map((n) => [n, "é"]) },
  JSONCompactStrings: { ...WHOLE, data: ["0", "1"].map((n) => [n, "é"]) },
  JSONColumnsWithMetadata: { ...WHOLE, data: { n: [0, 1], s: ["é", "é"] } },
  JSONEachRow: [0, 1].map((n) => ({ n, s: "é" })),
  JSONStringsEachRow: ["0", "1"].map((n) => ({ n, s: "é" })),
  JSONCompactEachRow: [0, 1].map((n) => [n, "é"]),
  JSONCompactStringsEachRow: ["0", "1"].map((n) => [n, "é"]),
  JSONCompactEachRowWithNames: [NAMES, [0, "é"], [1, "é"]],
  JSONCompactEachRowWithNamesAndTypes: [NAMES, TYPES, [0, "é"], [1, "é"]],
  JSONCompactStringsEachRowWithNames: [NAMES, ["0", "é"], ["1", "é"]],
  JSONCompactStringsEachRowWithNamesAndTypes: [NAMES, TYPES, ["0", "é"], ["1", "é"]],
  JSONEachRowWithProgress: [
    { meta: META },
    { row: { n: 0, s: "é" } },
    { row: { n: 1, s: "é" } },
    { progress: expect.objectContaining({ read_rows: "2" }) },
  ],
};
const CSV_TYPES = '"UInt64","String"\n';
const TSV_TYPES = "UInt64\tString\n";
const TEXT: Record<Exclude<(typeof SupportedRawFormats)[number], "Parquet">, string> = {
  CSV: '0,"é"\n1,"é"\n',
  CSVWithNames: '"n","s"\n0,"é"\n1,"é"\n',
  CSVWithNamesAndTypes: `"n","s"\n${CSV_TYPES}0,"é"\n1,"é"\n`,
  TabSeparated: "0\té\n1\té\n",
  TabSeparatedRaw: "0\té\n1\té\n",
  TabSeparatedWithNames: "n\ts\n0\té\n1\té\n",
  TabSeparatedWithNamesAndTypes: `n\ts\n${TSV_TYPES}0\té\n1\té\n`,
  CustomSeparated: "0\té\n1\té\n",
  CustomSeparatedWithNames: "n\ts\n0\té\n1\té\n",
  CustomSeparatedWithNamesAndTypes: `n\ts\n${TSV_TYPES}0\té\n1\té\n`,
};
const TWO_ROWS = "SELECT number AS n, 'é' AS s FROM numbers(2)";

describe("query", () => {
  test("is tried in every format of the client", () => {
    expect(Object.keys(DECODED).toSorted()).toEqual([...SupportedJSONFormats].toSorted());
    expect([...Object.keys(TEXT), "Parquet"].toSorted()).toEqual(
      [...SupportedRawFormats].toSorted(),
    );
  });

  test.each(SupportedJSONFormats)("decodes %s", async (format) => {
    const result = await client.query({ query: TWO_ROWS, format });
    expect(await result.json()).toEqual(DECODED[format]);
    expect(result.response_headers["x-clickhouse-format"]).toBe(format);
  });

  test.each(Object.entries(TEXT))("gives the text of %s", async (format, text) => {
    const result = await client.query({ query: TWO_ROWS, format: format as DataFormat });
    expect(await result.text()).toBe(text);
  });

  test("gives Parquet that the engine can read back", async () => {
    const { stream } = await client.exec({ query: `${TWO_ROWS} FORMAT Parquet` });
    const bytes = Buffer.concat((await stream.toArray()) as Buffer[]);
    expect(bytes.subarray(0, 4).toString()).toBe("PAR1");
    await client.command({ query: "CREATE TABLE parquet (n UInt64, s String) ENGINE = Memory" });
    const insert = { query: "INSERT INTO parquet FORMAT Parquet", values: Readable.from([bytes]) };
    await (await client.exec(insert)).stream.resume().toArray();
    expect(await valuesOf("SELECT count(), sum(n), any(s) FROM parquet")).toEqual([2, 1, "é"]);
  });

  test.each(["JSONEachRow", "CSV", "JSONCompactEachRowWithNames"] as const)(
    "streams 300,000 rows of %s, in pieces",
    async (format: DataFormat) => {
      const query = "SELECT number FROM numbers(300000)";
      const stream = (await client.query({ query, format })).stream();
      let rowCount = 0;
      let pieceCount = 0;
      for await (const rows of stream as AsyncIterable<Row[]>) {
        rowCount += rows.length;
        pieceCount++;
      }
      expect(rowCount).toBe(format.endsWith("WithNames") ? 300_001 : 300_000);
      expect(pieceCount).toBeGreaterThan(10);
    },
  );

  test("gives the first rows while later ones are not there yet", async () => {
    const query = `SELECT number, sleepEachRow(0.3) FROM numbers(20)
                   SETTINGS max_block_size = 1, max_threads = 1`;
    const started = performance.now();
    const result = await client.query({ query, format: "JSONEachRow" });
    for await (const rows of result.stream()) {
      expect(rows[0]!.json()).toMatchObject({ number: 0 });
      break;
    }
    expect(performance.now() - started).toBeLessThan(3_000);
  });

  test("can be closed before its end, and the client goes on", async () => {
    const query = "SELECT number FROM numbers(1000000000)";
    const result = await client.query({ query, format: "JSONEachRow" });
    result.close();
    await expect
      .poll(() => valuesOf("SELECT count() FROM system.processes"), { timeout: 5_000 })
      .toEqual([1]);
  });

  test("knows statements that are no SELECT", async () => {
    await client.command({ query: "CREATE TABLE known (a UInt8) ENGINE = MergeTree ORDER BY a" });
    expect(await valuesOf("DESCRIBE TABLE known")).toContain("UInt8");
    expect(await valuesOf("SHOW TABLES LIKE 'known'")).toEqual(["known"]);
    expect(await valuesOf("EXISTS TABLE known")).toEqual([1]);
    expect(String(await valuesOf("SHOW CREATE TABLE known"))).toContain(
      "CREATE TABLE default.known",
    );
    expect(await valuesOf("SHOW SETTINGS LIKE 'max_threads'")).toContain("max_threads");
    const explained = await client.query({ query: "EXPLAIN SELECT 1", format: "JSON" });
    expect((await explained.json()).rows).toBeGreaterThan(0);
    await client.command({ query: "INSERT INTO known VALUES (1)" });
    expect(
      await valuesOf("CHECK TABLE known SETTINGS check_query_single_value_result = 1"),
    ).toEqual([1]);
    expect(await valuesOf("WITH 1 AS x SELECT x UNION ALL SELECT 1")).toEqual([1]);
    expect(await valuesOf("FROM known SELECT count()")).toEqual([1]);
  });

  test("sends settings, database, query id, headers and application", async () => {
    await client.command({ query: "CREATE DATABASE other" });
    const byClient = clientWith({
      database: "other",
      application: "my-app",
      clickhouse_settings: { max_threads: 3 },
      http_headers: { "X-Mine": "1" },
    });
    const query = "SELECT currentDatabase(), getSetting('max_threads')::UInt8";
    expect(await valuesOf(query, {}, byClient)).toEqual(["other", 3]);
    const more = { clickhouse_settings: { max_threads: 5 }, http_headers: { "X-Other": "2" } };
    expect(await valuesOf(query, more, byClient)).toEqual(["other", 5]);
    const byUrl = clientWith({ url: `${open.url}/system?clickhouse_setting_max_threads=7` });
    expect(await valuesOf(query, {}, byUrl)).toEqual(["system", 7]);
    const named = await client.query({ query: "SELECT 1", query_id: "mine" });
    expect([named.query_id, named.response_headers["x-clickhouse-query-id"]]).toEqual([
      "mine",
      "mine",
    ]);
    await named.text();
    const zone = { clickhouse_settings: { session_timezone: "Asia/Tokyo" } };
    const zoned = await client.query({
      query: "SELECT timezone()",
      format: "TSV" as never,
      ...zone,
    });
    expect(await zoned.text()).toBe("Asia/Tokyo\n");
    expect(zoned.response_headers["x-clickhouse-timezone"]).toBe("Asia/Tokyo");
  });

  test("is parsed by the JSON functions of the application", async () => {
    const bigger = clientWith({
      json: {
        parse: (text) => JSON.parse(text.replaceAll(/:(\d{16,})/g, ':"big $1"')),
      },
    });
    const query = "SELECT 18446744073709551615 AS n";
    const result = await bigger.query({ query, format: "JSONEachRow" });
    expect(await result.json()).toEqual([{ n: "big 18446744073709551615" }]);
  });

  test("works without keep-alive, with few connections, and behind a path of a proxy", async () => {
    const single = clientWith({ keep_alive: { enabled: false }, max_open_connections: 1 });
    const answers = await Promise.all([1, 2, 3].map((n) => valuesOf(`SELECT ${n}`, {}, single)));
    expect(answers).toEqual([[1], [2], [3]]);
    // The embedded server itself is at the root: a path is what a proxy in front takes away.
    const proxied = clientWith({ pathname: "/proxy" });
    await expect(valuesOf("SELECT 1", {}, proxied)).rejects.toThrow("There is no handle /proxy");
  });
});

describe("parameters", () => {
  test("of every kind arrive as they are", async () => {
    const kinds: [type: string, sent: unknown, back: unknown][] = [
      ["UInt8", 1, 1],
      ["Float64", -1.5e-7, -1.5e-7],
      ["Float64", Infinity, "inf"],
      ["Float64", Number.NaN, "nan"],
      ["Int64", -9223372036854775808n, "-9223372036854775808"],
      ["UInt64", 18446744073709551615n, "18446744073709551615"],
      ["Decimal(10, 2)", "1.25", 1.25],
      ["String", 'it\'s\t\\ \n\r "é" {x} 😀', 'it\'s\t\\ \n\r "é" {x} 😀'],
      ["String", "", ""],
      ["String", "\\N", "\\N"],
      ["Bool", true, true],
      ["Nullable(String)", null, null],
      ["Nullable(Int8)", undefined, null],
      ["DateTime('UTC')", new Date("2026-01-02T03:04:05Z"), "2026-01-02 03:04:05"],
      ["DateTime64(3, 'UTC')", new Date("2026-01-02T03:04:05.678Z"), "2026-01-02 03:04:05.678"],
      ["Date", "2026-01-02", "2026-01-02"],
      ["UUID", "11111111-2222-3333-4444-555555555555", "11111111-2222-3333-4444-555555555555"],
      ["Array(String)", ["a'", "b\\", "c\td"], ["a'", "b\\", "c\td"]],
      ["Array(Array(Nullable(Int8)))", [[1, null], []], [[1, null], []]],
      ["Array(Bool)", [true, false], [true, false]],
      ["Tuple(UInt8, String, Nullable(String))", new TupleParam([1, "x'", null]), [1, "x'", null]],
      ["Map(String, UInt8)", { k: 1 }, { k: 1 }],
      ["Map(UInt8, String)", new Map([[1, "a"]]), { 1: "a" }],
      ["Map(String, Array(UInt8))", new Map([["a", [1, 2]]]), { a: [1, 2] }],
    ];
    const query = `SELECT ${kinds.map(([type], index) => `{p${index}:${type}}`).join(", ")}`;
    const query_params = Object.fromEntries(kinds.map(([, sent], index) => [`p${index}`, sent]));
    const settings = {
      output_format_json_quote_64bit_integers: 1,
      output_format_json_quote_denormals: 1,
    } as const;
    const back = kinds.map(([, , value]) => value);
    for (const use_multipart_params of [false, true]) {
      const more = { query_params, clickhouse_settings: settings, use_multipart_params };
      // oxlint-disable-next-line no-await-in-loop
      expect(await valuesOf(query, more)).toEqual(back);
    }
  });

  test("may be identifiers", async () => {
    const query_params = { column: "dummy", database: "system", table: "one" };
    const query = "SELECT {column:Identifier} FROM {database:Identifier}.{table:Identifier}";
    expect(await valuesOf(query, { query_params })).toEqual([0]);
  });

  test("may be too long for a URL and for a statement of the engine", async () => {
    const list = Array.from({ length: 30_000 }, (_, index) => `id-${index}-${"x".repeat(30)}`);
    const query = "SELECT length({list:Array(String)}), {list:Array(String)}[30000]";
    const more = { query_params: { list }, use_multipart_params_auto: true };
    expect(await valuesOf(query, more)).toEqual([30_000, list.at(-1)]);
  });

  test("that are missing or do not fit their type are errors with their code", async () => {
    await expect(valuesOf("SELECT {a:UInt8}")).rejects.toMatchObject({
      code: "456",
      type: "UNKNOWN_QUERY_PARAMETER",
    });
    const query_params = { a: "x" };
    await expect(valuesOf("SELECT {a:UInt8}", { query_params })).rejects.toMatchObject({
      code: "457",
      type: "BAD_QUERY_PARAMETER",
    });
  });
});

describe("insert", () => {
  const created = async (name: string) => {
    await client.command({
      query: `CREATE TABLE ${name} (a UInt32, b String DEFAULT 'none') ENGINE = MergeTree ORDER BY a`,
    });
    return name;
  };
  const rowsOf = async (table: string) =>
    (
      await client.query({
        query: `SELECT a, b FROM ${table} ORDER BY a`,
        format: "JSONCompactEachRow",
      })
    ).json();
  const ONE_TWO = [
    [1, "é\t\n"],
    [2, "y"],
  ];

  const OBJECTS = [
    { a: 1, b: "é\t\n" },
    { a: 2, b: "y" },
  ];
  const STRINGS = [
    ["1", "é\t\n"],
    ["2", "y"],
  ];
  const COLUMNS = ["a", "b"];
  const COLUMN_TYPES = ["UInt32", "String"];
  const COLUMN_META = [
    { name: "a", type: "UInt32" },
    { name: "b", type: "String" },
  ];
  const ARRAYS: [DataFormat, unknown][] = [
    ["JSONEachRow", OBJECTS],
    ["JSONStringsEachRow", OBJECTS.map(({ a, b }) => ({ a: String(a), b }))],
    ["JSONCompactEachRow", ONE_TWO],
    ["JSONCompactStringsEachRow", STRINGS],
    ["JSONCompactEachRowWithNames", [COLUMNS, ...ONE_TWO]],
    ["JSONCompactEachRowWithNamesAndTypes", [COLUMNS, COLUMN_TYPES, ...ONE_TWO]],
    ["JSONCompactStringsEachRowWithNames", [COLUMNS, ...STRINGS]],
    ["JSONCompactStringsEachRowWithNamesAndTypes", [COLUMNS, COLUMN_TYPES, ...STRINGS]],
    ["JSON", { meta: COLUMN_META, data: OBJECTS }],
    ["JSONCompact", { meta: COLUMN_META, data: ONE_TWO }],
    ["JSONColumnsWithMetadata", { meta: COLUMN_META, data: { a: [1, 2], b: ["é\t\n", "y"] } }],
    ["JSONObjectEachRow", { row_1: OBJECTS[0], row_2: OBJECTS[1] }],
  ];
  test.each(ARRAYS)("takes values as %s", async (format, values) => {
    const table = await created(`array_${format}`);
    const result = await client.insert({ table, format, values: values as never });
    expect([result.executed, result.summary?.written_rows]).toEqual([true, "2"]);
    expect(await rowsOf(table)).toEqual(ONE_TWO);
  });

  const raw = (text: string) => Readable.from([text], { objectMode: false });
  const STREAMS: [string, DataFormat, () => Readable][] = [
    ["objects", "JSONEachRow", () => Readable.from(OBJECTS)],
    ["arrays", "JSONCompactEachRow", () => Readable.from(ONE_TWO)],
    ["csv", "CSV", () => raw('1,"é\t\n"\n2,y\n')],
    ["csv_names", "CSVWithNames", () => raw('"b","a"\n"é\t\n",1\ny,2\n')],
    ["csv_types", "CSVWithNamesAndTypes", () => raw('a,b\nUInt32,String\n1,"é\t\n"\n2,y\n')],
    ["tsv", "TabSeparated", () => raw("1\té\\t\\n\n2\ty\n")],
    ["tsv_names", "TabSeparatedWithNames", () => raw("b\ta\né\\t\\n\t1\ny\t2\n")],
    [
      "tsv_types",
      "TabSeparatedWithNamesAndTypes",
      () => raw("a\tb\nUInt32\tString\n1\té\\t\\n\n2\ty\n"),
    ],
    ["custom", "CustomSeparated", () => raw("1\té\\t\\n\n2\ty\n")],
  ];
  test.each(STREAMS)("takes a stream of %s as %s", async (name, format, values) => {
    const table = await created(`stream_${name}`);
    await client.insert({ table, format, values: values() });
    expect(await rowsOf(table)).toEqual(ONE_TWO);
  });

  test("takes some columns, or all but some", async () => {
    const table = await created("columns");
    const format = "JSONEachRow";
    await client.insert({ table, values: [{ a: 1 }], format, columns: ["a"] });
    await client.insert({ table, values: [{ a: 2 }], format, columns: { except: ["b"] } });
    expect(await rowsOf(table)).toEqual([
      [1, "none"],
      [2, "none"],
    ]);
  });

  test("says its query id and its rows; an empty array is not sent", async () => {
    const table = await created("said");
    const values = [[1, "x"]];
    const result = await client.insert({
      table,
      values,
      format: "JSONCompactEachRow",
      query_id: "i1",
    });
    expect(result).toMatchObject({
      query_id: "i1",
      http_status_code: 200,
      summary: { written_rows: "1" },
      response_headers: { "x-clickhouse-query-id": "i1" },
    });
    expect(await client.insert({ table, values: [] })).toMatchObject({ executed: false });
  });

  test("of rows that do not fit is an error with its code, and inserts none", async () => {
    const table = await created("unfit");
    const bad = client.insert({ table, values: [{ a: 1 }, { a: "x" }], format: "JSONEachRow" });
    await expect(bad).rejects.toBeInstanceOf(ClickHouseError);
    await expect(bad).rejects.toMatchObject({
      code: "27",
      type: "CANNOT_PARSE_INPUT_ASSERTION_FAILED",
    });
    const nowhere = client.insert({ table: "nowhere", values: [{ a: 1 }], format: "JSONEachRow" });
    await expect(nowhere).rejects.toMatchObject({ code: "60", type: "UNKNOWN_TABLE" });
    expect(await rowsOf(table)).toEqual([]);
  });

  test("that is aborted inserts nothing", async () => {
    const table = await created("aborted");
    // The client prints the error of the stream that it was given, besides rejecting.
    const printed = vi.spyOn(console, "error").mockReturnValue();
    const abort = new AbortController();
    async function* endless() {
      for (let a = 0; ; a++) {
        if (a === 10) abort.abort();
        yield { a };
        // oxlint-disable-next-line no-await-in-loop
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    // A client of its own: a request that is aborted before it has its socket leaves the client's timer for
    // idle sockets running, and that closes the socket 2.5 s later, under whichever request has it then.
    const insert = clientWith().insert({
      table,
      values: Readable.from(endless()),
      format: "JSONEachRow",
      abort_signal: abort.signal,
    });
    await expect(insert).rejects.toThrow("aborted");
    expect(await rowsOf(table)).toEqual([]);
    printed.mockRestore();
  });
});

describe("exec and command", () => {
  test("exec gives the bytes of any statement, and takes values", async () => {
    const text = async (query: string) => {
      const { stream, summary } = await client.exec({ query });
      return [Buffer.concat((await stream.toArray()) as Buffer[]).toString(), summary];
    };
    expect(await text("SELECT 1, 'a' FORMAT Pretty")).toEqual([
      expect.stringContaining("┃ 1 ┃ 'a' ┃"),
      { result_rows: "1", result_bytes: expect.any(String), elapsed_ns: expect.any(String) },
    ]);
    await client.command({ query: "CREATE TABLE executed (a UInt32) ENGINE = Memory" });
    const values = Readable.from([Buffer.from([1, 0, 0, 0])], { objectMode: false });
    const query = "INSERT INTO executed FORMAT RowBinary";
    const { stream, summary } = await client.exec({ query, values });
    expect([await stream.toArray(), summary?.written_rows]).toEqual([[], "1"]);
    expect(await text("SELECT a FROM executed FORMAT RowBinary")).toContain("\x01\0\0\0");
  });

  test("exec can leave errors and compression to the caller", async () => {
    const lenient = await client.exec({ query: "SELECT nope", ignore_error_response: true });
    expect(lenient.response_headers["x-clickhouse-exception-code"]).toBe("47");
    expect(String(Buffer.concat((await lenient.stream.toArray()) as Buffer[]))).toContain(
      "UNKNOWN_IDENTIFIER",
    );
    const compressing = clientWith({ compression: { response: true } });
    const query = "SELECT 1 FORMAT TSV";
    const packed = await compressing.exec({ query, decompress_response_stream: false });
    const bytes = Buffer.concat((await packed.stream.toArray()) as Buffer[]);
    expect([...bytes.subarray(0, 2)]).toEqual([0x1f, 0x8b]);
  });

  test("command answers ids, headers and a summary", async () => {
    const query = "CREATE TABLE commanded (a UInt32) ENGINE = Memory";
    expect(await client.command({ query, query_id: "c1" })).toMatchObject({
      query_id: "c1",
      response_headers: { "x-clickhouse-query-id": "c1" },
      summary: { elapsed_ns: expect.any(String) },
    });
    await client.command({ query: "INSERT INTO commanded SELECT number FROM numbers(3)" });
    await client.command({ query: "INSERT INTO commanded VALUES (3), (4)" });
    const query_params = { a: 5 };
    await client.command({ query: "INSERT INTO commanded SELECT {a:UInt32}", query_params });
    expect(
      await valuesOf("SELECT groupArray(a) FROM (FROM commanded SELECT a ORDER BY a)"),
    ).toEqual([[0, 1, 2, 3, 4, 5]]);
  });
});

describe("compression", () => {
  test.each(["gzip", "br", "zstd"] as const)("%s goes both ways", async (codec) => {
    const packed = clientWith({ compression: { request: { codec }, response: { codec } } });
    const table = `packed_${codec}`;
    await packed.command({ query: `CREATE TABLE ${table} (a UInt32) ENGINE = Memory` });
    const values = Readable.from(Array.from({ length: 20_000 }, (_, a) => ({ a })));
    await packed.insert({ table, values, format: "JSONEachRow" });
    for (const format of ["JSONEachRow", "JSON"] as const) {
      // oxlint-disable-next-line no-await-in-loop
      const result = await packed.query({ query: `SELECT a FROM ${table}`, format });
      expect(result.response_headers["content-encoding"]).toBe(codec);
      // oxlint-disable-next-line no-await-in-loop
      const json = await result.json<{ a: number }>();
      expect("rows" in json ? json.rows : (json as unknown[]).length).toBe(20_000);
    }
  });
});

describe("ping", () => {
  test("needs no user at its path, and one in its query", async () => {
    expect(await client.ping()).toEqual({ success: true });
    expect(await client.ping({ select: true })).toEqual({ success: true });
    const stranger = clientWith({ url: locked.url });
    expect(await stranger.ping()).toEqual({ success: true });
    expect(await stranger.ping({ select: true })).toMatchObject({
      success: false,
      error: { code: "194", type: "REQUIRED_PASSWORD" },
    });
  });

  test("of nobody fails without throwing", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, "close");
    const result = await clientWith({ url: `http://127.0.0.1:${port}` }).ping();
    expect(result).toMatchObject({ success: false, error: { code: "ECONNREFUSED" } });
  });
});

describe("users", () => {
  const ask = (options: ClientOptions, more: object = {}) =>
    valuesOf("SELECT 1", more, clientWith({ url: locked.url, ...options }));
  const { name: username, password } = ALICE;

  test("come by options, by URL and by request", async () => {
    expect(await ask({ username, password })).toEqual([1]);
    const url = new URL(locked.url);
    url.username = username;
    url.password = encodeURIComponent(password);
    expect(await ask({ url })).toEqual([1]);
    expect(await ask({}, { auth: { username, password } })).toEqual([1]);
    const byHeaders = {
      set_basic_auth_header: false,
      http_headers: {
        "X-ClickHouse-User": username,
        "X-ClickHouse-Key": Buffer.from(password).toString("latin1"),
      },
    };
    expect(await ask(byHeaders)).toEqual([1]);
  });

  test("that are not the one are refused, with code and type", async () => {
    const failed = { code: "516", type: "AUTHENTICATION_FAILED" };
    await expect(ask({ username, password: "x" })).rejects.toMatchObject(failed);
    await expect(ask({ username: "bob", password })).rejects.toMatchObject(failed);
    await expect(ask({ access_token: "jwt" })).rejects.toMatchObject({
      ...failed,
      message: expect.stringContaining("'Bearer' HTTP Authorization scheme is not supported"),
    });
    const both = { username, password, http_headers: { "X-ClickHouse-User": username } };
    await expect(ask(both)).rejects.toMatchObject(failed);
    await expect(ask({})).rejects.toMatchObject({ code: "194", type: "REQUIRED_PASSWORD" });
    const insert = clientWith({ url: locked.url }).insert({ table: "t", values: [[1]] });
    await expect(insert).rejects.toMatchObject({ code: "194" });
  });
});

describe("errors", () => {
  const KINDS: [string, string, string][] = [
    // Not `SELEC 1`: the client takes the first capitals in brackets for the type, and the engine quotes the word.
    ["SELECT 1 1", "62", "SYNTAX_ERROR"],
    ["SELECT nope", "47", "UNKNOWN_IDENTIFIER"],
    ["SELECT * FROM nowhere", "60", "UNKNOWN_TABLE"],
    ["SELECT nope()", "46", "UNKNOWN_FUNCTION"],
    ["SELECT toUInt8('x')", "6", "CANNOT_PARSE_TEXT"],
    ["SELECT 1; SELECT 2", "62", "SYNTAX_ERROR"],
    ["SELECT throwIf(1, 'mine')", "395", "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"],
  ];
  test.each(KINDS)("%s has code %s and type %s", async (query, code, type) => {
    for (const format of ["JSON", "JSONEachRow"] as const) {
      const result = client.query({ query, format });
      // oxlint-disable-next-line no-await-in-loop
      await expect(result).rejects.toBeInstanceOf(ClickHouseError);
      // oxlint-disable-next-line no-await-in-loop
      await expect(result).rejects.toMatchObject({ code, type });
    }
  });

  test("have the words of the query", async () => {
    await expect(valuesOf("SELECT throwIf(1, 'mine')")).rejects.toThrow("mine");
  });

  test("after the first rows reach who reads the rows, with code and type", async () => {
    const query = `SELECT sleepEachRow(0.01), throwIf(number = 20) FROM numbers(50)
                   SETTINGS max_block_size = 1, max_threads = 1`;
    const result = await client.query({ query, format: "JSONEachRow" });
    await expect(result.json()).rejects.toMatchObject({
      code: "395",
      type: "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO",
    });
    // Text is not parsed by the client: there the broken connection is what tells.
    const text = await client.query({ query, format: "CSV" });
    await expect(text.text()).rejects.toThrow("aborted");
  });

  test("come before the first rows when the answer waits for the end", async () => {
    const query = "SELECT number, throwIf(number = 2000000) FROM numbers(3000000)";
    for (const more of [
      { wait_end_of_query: 1 as const },
      { http_wait_end_of_query: 1 as const },
    ]) {
      const waited = client.query({ query, format: "JSONEachRow", clickhouse_settings: more });
      // oxlint-disable-next-line no-await-in-loop
      await expect(waited).rejects.toMatchObject({ code: "395" });
    }
  });

  test("say in words what the server does not have", async () => {
    const missing = { code: "48", type: "NOT_IMPLEMENTED" };
    await expect(valuesOf("SELECT 1", { session_id: "s" })).rejects.toMatchObject({
      ...missing,
      message: expect.stringContaining("The embedded server has no session_id"),
    });
    const roles = { role: ["a", "b"] };
    await expect(valuesOf("SELECT 1", roles)).rejects.toMatchObject({
      ...missing,
      message: expect.stringContaining("The embedded server has no role"),
    });
    const inSession = clientWith({ session_id: "s" });
    await expect(inSession.command({ query: "SELECT 1" })).rejects.toMatchObject(missing);
    const asRole = clientWith({ role: "r" }).insert({ table: "t", values: [[1]] });
    await expect(asRole).rejects.toMatchObject(missing);
  });

  test("of time are errors too: the engine's, the client's, the caller's", async () => {
    const slow = "SELECT sum(sleepEachRow(0.05)) FROM numbers(1000) SETTINGS max_block_size = 1";
    const limit = { clickhouse_settings: { max_execution_time: 1 } };
    for (const format of ["JSON", "JSONEachRow"] as const) {
      // oxlint-disable-next-line no-await-in-loop
      await expect(client.query({ query: slow, format, ...limit })).rejects.toMatchObject({
        code: "159",
        type: "TIMEOUT_EXCEEDED",
      });
    }
    const impatient = clientWith({ request_timeout: 200 });
    await expect(valuesOf(slow, {}, impatient)).rejects.toThrow("Timeout error");
    const abort = AbortSignal.timeout(200);
    await expect(valuesOf(slow, { abort_signal: abort })).rejects.toThrow("aborted");
    await expect
      .poll(() => valuesOf("SELECT count() FROM system.processes"), { timeout: 5_000 })
      .toEqual([1]);
  });
});

test("a tracer sees every operation, and a client can be disposed", async () => {
  const names: string[] = [];
  const span = {
    setAttribute: () => span,
    setAttributes: () => span,
    setStatus: () => span,
    recordException: () => undefined,
    end: () => undefined,
  };
  {
    await using traced = createClient({
      url: open.url,
      tracer: {
        startActiveSpan: (name: string, ...rest: unknown[]) => {
          names.push(name);
          return (rest.at(-1) as (of: typeof span) => never)(span);
        },
        startSpan: (name: string) => {
          names.push(name);
          return span;
        },
      } as never,
    });
    await traced.ping();
    await traced.command({ query: "SELECT 1" });
  }
  expect(names).toEqual(["clickhouse.ping", "clickhouse.command"]);
});
