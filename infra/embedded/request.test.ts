/** What a request means, without a server or an engine. */
import { describe, expect, test } from "vitest";
import { failureOf, withoutPath } from "./engine-error.ts";
import type { QueryFailure } from "./engine-error.ts";
import { VALUES_ARE_LITERALS } from "./confinement.ts";
import { DEFAULT_USER } from "./credentials.ts";
import { parseForm } from "./form-data.ts";
import { readUser } from "./config.ts";
import { planHead } from "./request-head.ts";
import type { HeadPlan, RequestHead } from "./request-head.ts";
import { contentType, exceptionFrame, exceptionTag } from "./response-plan.ts";
import { readStackOptions } from "../stack/config.ts";
import { sessionSetup } from "./session-setup.ts";
import {
  insertFromFile,
  isFramed,
  planInsert,
  planStatement,
  resultIntoFile,
} from "./statement-plan.ts";
import type { InsertPlan, StatementPlan } from "./statement-plan.ts";

const HOST = { host: "localhost:8123" };
function plan(
  method: string,
  url: string,
  headers: Record<string, string> = {},
  user = DEFAULT_USER,
): HeadPlan {
  const all = { ...HOST, "content-length": "0", ...headers };
  return planHead(method, url, all, "new-id", user);
}
function headOf(url: string, method = "POST", headers: Record<string, string> = {}): RequestHead {
  const planned = plan(method, url, headers);
  if (planned.kind !== "query") throw new Error(JSON.stringify(planned));
  return planned.head;
}
function failureIn(planned: { kind: string }): QueryFailure {
  if (!("failure" in planned)) throw new Error(`not refused: ${JSON.stringify(planned)}`);
  return planned.failure as QueryFailure;
}
const refusalOf = (planned: { kind: string }) => failureIn(planned).message;
function insertOf(text: string, all = true): InsertPlan {
  const planned = planInsert(text, all);
  if (planned?.kind !== "insert") throw new Error(`no insert: ${JSON.stringify(planned)}`);
  return planned;
}
function statementOf(sql: string, format = "TabSeparated", waitsForEnd = false): StatementPlan {
  const planned = planStatement(sql, format, waitsForEnd);
  if (planned.kind !== "statement") throw new Error(JSON.stringify(planned));
  return planned;
}

describe("the head of a request", () => {
  test("a bare GET, /ping and /replicas_status ask whether the server is there", () => {
    for (const url of ["/", "/ping", "/ping?query=SELECT+1", "/replicas_status"]) {
      expect(plan("GET", url, {}, { name: "a", password: "b" })).toEqual({ kind: "ok" });
    }
    expect(plan("HEAD", "/")).toEqual({ kind: "ok" });
    expect(headOf("/?database=a", "GET").database).toBe("a");
  });

  test("a target that is no path is refused", () => {
    for (const url of ["//?query=1", "//a/?query=1", "/\\?query=1", "*", "", "http://", "a"]) {
      expect(refusalOf(plan("GET", url))).toContain("must be a path");
    }
    expect(refusalOf(plan("GET", "/%zz"))).toContain("no handle /%zz");
    expect(headOf("http://other:1/?query=a").urlQuery).toBe("a");
  });

  test("what is not ours in a URL is a setting or a parameter", () => {
    const url =
      "/?query=SELECT+1&max_threads=2&param_x=a%09b&database=d&query_id=q&buffer_size=1&&quota_key=k";
    const head = headOf(url);
    expect([...head.settings]).toEqual([["max_threads", "2"]]);
    expect([...head.parameters]).toEqual([["x", "a\tb"]]);
    expect(head).toMatchObject({ database: "d", queryId: "q", urlQuery: "SELECT 1" });
  });

  test("headers name database, format and query id, and win over the URL but for the id", () => {
    const headers = {
      "x-clickhouse-database": "h",
      "x-clickhouse-format": "CSV",
      "x-clickhouse-query-id": "hq",
    };
    const named = { database: "h", defaultFormat: "CSV" };
    expect(headOf("/", "POST", headers)).toMatchObject({ ...named, queryId: "hq" });
    const url = "/?database=u&default_format=JSON&query_id=uq";
    expect(headOf(url, "POST", headers)).toMatchObject({ ...named, queryId: "uq" });
    expect(headOf("/").queryId).toBe("new-id");
  });

  test("a setting's name cannot carry SQL", () => {
    expect(refusalOf(plan("POST", "/?a%3D1,b=2"))).toContain("Unknown setting");
  });

  test("what is not supported is refused in words", () => {
    for (const name of ["session_id", "session_timeout", "close_session", "role"]) {
      expect(failureIn(plan("POST", `/?${name}=1`))).toMatchObject({
        code: 48,
        status: 501,
        message: `Code: 48. DB::Exception: The embedded server has no ${name}. (NOT_IMPLEMENTED)`,
      });
    }
    expect(refusalOf(plan("POST", "/?decompress=1"))).toContain("gzip, deflate");
    expect(headOf("/?compress=0&decompress=0").settings.size).toBe(0);
    expect(failureIn(plan("POST", "/", { "content-encoding": "lz4" }))).toMatchObject({
      status: 501,
    });
    expect(refusalOf(plan("POST", "/play"))).toContain("/play");
    expect(refusalOf(plan("DELETE", "/"))).toContain("DELETE");
  });

  test("a POST that does not say how long it is is refused, as on a server", () => {
    const planned = planHead("POST", "/?query=SELECT+1", HOST, "x", DEFAULT_USER);
    expect(failureIn(planned)).toMatchObject({ code: 381, status: 411 });
    const chunked = { ...HOST, "transfer-encoding": "chunked" };
    expect(planHead("POST", "/", chunked, "x", DEFAULT_USER).kind).toBe("query");
    expect(planHead("GET", "/?query=SELECT+1", HOST, "x", DEFAULT_USER).kind).toBe("query");
  });

  test("answers are compressed only when both the URL and the client ask for it", () => {
    const answered = (url: string, accept: string) =>
      headOf(url, "POST", { "accept-encoding": accept }).answerEncoding;
    expect(answered("/?enable_http_compression=1", "gzip")).toBe("gzip");
    expect(answered("/?enable_http_compression=1", "deflate, gzip")).toBe("gzip");
    expect(answered("/?enable_http_compression=1", "deflate")).toBe("deflate");
    expect(answered("/?enable_http_compression=1", "gzip, zstd")).toBe("zstd");
    expect(answered("/?enable_http_compression=1", "lz4")).toBe("identity");
    expect(answered("/?enable_http_compression=0", "gzip")).toBe("identity");
    expect(answered("/", "gzip")).toBe("identity");
  });
});

describe("the user of a request", () => {
  const alice = { name: "alice", password: "it's: ü" };
  const basic = (text: string) => ({
    authorization: `Basic ${Buffer.from(text).toString("base64")}`,
  });
  const byHeader = (name: string, key: string) => ({
    "x-clickhouse-user": name,
    "x-clickhouse-key": key,
  });

  test("is named by header, by URL or by basic auth", () => {
    const password = encodeURIComponent(alice.password);
    for (const [url, headers] of [
      ["/", byHeader("alice", Buffer.from(alice.password).toString("latin1"))],
      [`/?user=alice&password=${password}`, {}],
      ["/", basic(`alice:${alice.password}`)],
    ] as const) {
      expect(plan("POST", url, headers, alice).kind).toBe("query");
    }
  });

  test("is refused with a wrong or missing name or password", () => {
    for (const [url, headers] of [
      ["/", basic("alice:it's: u")],
      ["/", basic("alice:")],
      ["/", basic("alice")],
      ["/", basic("Alice:it's: ü")],
      ["/?user=alice", {}],
      ["/?user=alice&password=it%27s%3A+%C3%BC2", {}],
      ["/", byHeader("alice", "x")],
      ["/", byHeader("bob", Buffer.from(alice.password).toString("latin1"))],
    ] as const) {
      expect(failureIn(plan("POST", url, headers, alice))).toMatchObject({
        code: 516,
        status: 403,
      });
    }
  });

  test("is asked for, as by a server, when it is the default user's password that is wrong", () => {
    const secret = { name: "default", password: "p" };
    for (const url of ["/", "/?user=default", "/?password=q"]) {
      expect(failureIn(plan("POST", url, {}, secret))).toMatchObject({ code: 194, status: 401 });
    }
    expect(plan("POST", "/?password=p", {}, secret).kind).toBe("query");
    expect(failureIn(plan("POST", "/", {}, alice))).toMatchObject({ code: 194 });
  });

  test("is the default user without a password unless one is configured", () => {
    expect(plan("POST", "/", basic("default:")).kind).toBe("query");
    expect(plan("POST", "/", byHeader("default", "")).kind).toBe("query");
    expect(failureIn(plan("POST", "/", basic("default:x")))).toMatchObject({ code: 194 });
    expect(failureIn(plan("POST", "/", basic("bob:")))).toMatchObject({ code: 516 });
    expect(readUser({})).toEqual(DEFAULT_USER);
    expect(readUser({ CLICKHOUSE_USER: "a", CLICKHOUSE_PASSWORD: "b" })).toEqual({
      name: "a",
      password: "b",
    });
  });

  test("of the local stack is configured for `npm start` only", () => {
    const environment = { CLICKHOUSE_USER: "a", CLICKHOUSE_PASSWORD: "b" };
    const userOf = (profile: "start" | "demo" | "test") =>
      readStackOptions(profile, environment).clickhouseUser;
    expect(userOf("start")).toEqual({ name: "a", password: "b" });
    expect([userOf("demo"), userOf("test")]).toEqual([DEFAULT_USER, DEFAULT_USER]);
  });

  test("is named in one way only, with a name, and by no other scheme", () => {
    const both = plan("POST", "/?user=alice", basic("alice:it's: ü"), alice);
    expect(refusalOf(both)).toContain(
      "Authorization HTTP header and authentication via parameters",
    );
    const three = plan("POST", "/", { ...basic("a:b"), ...byHeader("a", "b") }, alice);
    expect(refusalOf(three)).toContain("X-ClickHouse HTTP headers and Authorization HTTP header");
    expect(refusalOf(plan("POST", "/", byHeader("", "x"), alice))).toContain("empty user name");
    expect(failureIn(plan("POST", "/", { authorization: "Bearer x" }, alice))).toMatchObject({
      code: 516,
      status: 403,
      message: expect.stringContaining("'Bearer' HTTP Authorization scheme is not supported"),
    });
  });
});

describe("a form", () => {
  const part = (name: string, value: string, more = "") =>
    `--B\r\nContent-Disposition: form-data; name="${name}"${more}\r\n\r\n${value}\r\n`;
  const parse = (text: string, boundary = "B") => parseForm(Buffer.from(text), boundary);

  test("carries a query and its parameters, to the byte", () => {
    const text = `${part("query", "SELECT {a:String}")}${part("param_a", "é\r\n--\tx")}--B--\r\n`;
    expect(parse(text)).toEqual({
      kind: "form",
      query: "SELECT {a:String}",
      parameters: new Map([["a", "é\r\n--\tx"]]),
    });
    expect(headOf("/", "POST", { "content-type": 'multipart/form-data; boundary="B"' })).toEqual({
      ...headOf("/"),
      formBoundary: "B",
    });
  });

  test("may not carry a table, and must be whole", () => {
    const table = part("data", "1", '; filename="data.tsv"');
    expect(refusalOf(parse(`${table}--B--`))).toContain("no external tables: data");
    expect(refusalOf(parse(part("query", "SELECT 1")))).toContain("its end is missing");
    expect(refusalOf(parse("x"))).toContain("its end is missing");
    expect(refusalOf(parse("x", ""))).toContain("no boundary");
    expect(refusalOf(parse("--B\r\nX: 1\r\n\r\n1\r\n--B--"))).toContain("without a name");
  });
});

describe("an answer", () => {
  test("names its format's media type", () => {
    expect(contentType("JSONEachRow")).toContain("application/x-ndjson");
    expect(contentType("JSONCompact")).toContain("application/json");
    expect(contentType("CSVWithNames")).toBe("text/csv; charset=UTF-8; header=present");
    expect(contentType("TSVRaw")).toContain("text/tab-separated-values");
    expect(contentType("Parquet")).toBe("application/octet-stream");
    expect(contentType("Pretty")).toContain("text/plain");
  });

  test("frames an error after the first rows with its length in bytes and its tag", () => {
    expect(exceptionTag(Uint8Array.of(0, 25, 26, 255))).toBe("azav");
    expect(exceptionFrame("tag", "bé")).toBe(
      "\r\n__exception__\r\ntag\r\nbé\n4 tag\r\n__exception__\r\n",
    );
  });
});

const setup = (format: string, url = "/", sql = "SELECT 1") =>
  sessionSetup(headOf(url), statementOf(sql, format), "q1").find((statement) =>
    statement.includes("log_comment"),
  );

describe("the setup of a session", () => {
  test("values are quoted, the database named, and GET may only read", () => {
    const head = headOf("/?query=S&a=1&param_b=it's%5C&database=we`ird", "GET");
    expect(sessionSetup(head, statementOf("SELECT 1"), "q1")).toEqual([
      "SET param_b = 'it\\'s\\\\'",
      `SET log_comment = 'q1', max_execution_time = 300, a = '1', ${VALUES_ARE_LITERALS}`,
      "USE `we\\`ird`",
      "SET readonly = 2",
    ]);
  });

  test("GET cannot talk itself out of being read-only", () => {
    const head = headOf("/?query=S&readonly=0", "GET");
    expect(sessionSetup(head, statementOf("SELECT 1"), "q1").at(-1)).toBe("SET readonly = 2");
  });

  test("readonly is 0, 1 or 2, however GET is asked to write", () => {
    for (const value of ["00", "0x0", "+0", "-0", " 0", "false", "3", ""]) {
      const planned = plan("GET", `/?query=S&readonly=${encodeURIComponent(value)}`);
      expect(failureIn(planned)).toMatchObject({ code: 36, status: 400 });
    }
    const one = headOf("/?query=S&readonly=1", "GET");
    expect(sessionSetup(one, statementOf("SELECT 1"), "q1").at(-1)).toBe("SET readonly = '1'");
  });

  test("only what is held in memory has a limit of its bytes", () => {
    expect(setup("JSON", "/", "CHECK TABLE t")).toContain("max_result_bytes = 16777216");
    expect(setup("JSON")).not.toContain("max_result_bytes");
    expect(setup("JSONEachRow")).not.toContain("max_result_bytes");
    const own = setup("JSON", "/?max_result_bytes=5", "CHECK TABLE t");
    expect(own).toContain("max_result_bytes = 5,");
    const more = setup("JSON", "/?max_result_bytes=99999999999", "CHECK TABLE t");
    expect(more).toContain("max_result_bytes = 16777216, result_overflow_mode = 'throw'");
  });

  test("a read has a time limit, unless the request has its own; a write has none", () => {
    expect(setup("JSON")).toContain("max_execution_time = 300");
    expect(setup("JSON", "/?max_execution_time=0")).toContain("max_execution_time = '0'");
    expect(setup("JSON", "/", "INSERT INTO t SELECT 1")).not.toContain("max_execution_time");
  });

  test("an INSERT's file is read and not mapped into memory", () => {
    expect(sessionSetup(headOf("/"), insertOf("INSERT INTO t FORMAT TSV\n"), "q1")).toEqual([
      "SET log_comment = 'q1', storage_file_read_method = 'pread'",
    ]);
  });

  test("parameters may be longer than a statement", () => {
    const head = { ...headOf("/"), parameters: new Map([["a", "x".repeat(300_000)]]) };
    const statements = sessionSetup(head, statementOf("SELECT 1"), "q1");
    expect(statements[0]).toBe(`SET max_query_size = ${statements[1]!.length + 1}`);
    expect(statements[2]).toBe("SET max_query_size = 262144");
  });
});

describe("an INSERT with data", () => {
  test("is cut where its data starts, to the byte", () => {
    const head = "INSERT INTO t (a, b) FORMAT RowBinary\n";
    expect(insertOf(`${head}\n\x00\xff`)).toEqual({
      kind: "insert",
      target: "INSERT INTO t (a, b)",
      settings: "",
      format: "RowBinary",
      dataOffset: head.length,
      isScanned: true,
    });
    expect(insertOf("insert into t format CSV \r\n1").dataOffset).toBe(27);
    expect(insertOf("INSERT INTO t VALUES (1)")).toMatchObject({
      format: "Values",
      dataOffset: 21,
    });
  });

  test("keeps its settings, behind the file", () => {
    const insert = insertOf("INSERT INTO t (a) SETTINGS async_insert=0 FORMAT TSV\n1");
    expect(insertFromFile(insert, "/it's")).toBe(
      "INSERT INTO t (a)\nFROM INFILE '/it\\'s' COMPRESSION 'none' SETTINGS async_insert=0\nFORMAT TSV",
    );
    expect(insertFromFile(insertOf("INSERT INTO t -- c\nVALUES (1)"), "/x")).toBe(
      "INSERT INTO t -- c\nFROM INFILE '/x' COMPRESSION 'none'\nFORMAT Values",
    );
  });

  test("may name a table like a keyword, and anything in quotes or comments", () => {
    expect(insertOf("INSERT INTO format FORMAT TSV\n").target).toBe("INSERT INTO format");
    expect(insertOf("INSERT INTO d.values (`format`) VALUES (1)").target).toBe(
      "INSERT INTO d.values (`format`)",
    );
    expect(insertOf("/* select */ INSERT INTO TABLE t /* values */ FORMAT TSV\n").format).toBe(
      "TSV",
    );
  });

  test("carries names beyond ASCII", () => {
    const bytes = Buffer.from("INSERT INTO `größe` FORMAT TSV\n1");
    expect(insertOf(bytes.toString("latin1")).target).toBe("INSERT INTO `größe`");
  });

  test("is none when rows come from a query", () => {
    expect(planInsert("INSERT INTO t SELECT 1 FORMAT TSV", true)).toBeNull();
    expect(planInsert("INSERT INTO t (a) WITH 1 AS x SELECT x", true)).toBeNull();
    expect(planInsert("SELECT 'INSERT INTO t VALUES (1)'", true)).toBeNull();
  });

  test("may not read the server's files", () => {
    expect(
      refusalOf(planInsert("INSERT INTO t FROM INFILE '/etc/passwd' FORMAT TSV", true)!),
    ).toContain("FROM INFILE");
  });

  test("is refused when its data does not start in the bytes looked at", () => {
    const endless = `INSERT INTO t (${"a, ".repeat(100)}`;
    expect(refusalOf(planInsert(endless, false)!)).toContain("must start in its first");
  });
});

describe("any other statement", () => {
  test("has the format it names at its end, or the default", () => {
    expect(statementOf("SELECT 1 FORMAT JSON").format).toBe("JSON");
    expect(statementOf("SELECT 1 FORMAT CSV SETTINGS max_threads=1;").format).toBe("CSV");
    expect(statementOf("SELECT 'x' FROM (SELECT 1 AS format) WHERE 1").format).toBe("TabSeparated");
    expect(statementOf("SELECT format('{}', 1) AS format FROM t").format).toBe("TabSeparated");
  });

  test("streams when it reads rows in a format without header or frame", () => {
    const delivery = (sql: string, waitsForEnd = false) =>
      statementOf(sql, "TabSeparated", waitsForEnd).delivery;
    expect(delivery("SELECT 1 FORMAT JSONEachRow")).toBe("stream");
    expect(delivery("(SELECT 1) FORMAT RowBinary")).toBe("stream");
    expect(delivery("SELECT 1 FORMAT JSONEachRow", true)).toBe("file");
    expect(delivery("SELECT 1 FORMAT JSON")).toBe("file");
    expect(delivery("SELECT 1 FORMAT CSVWithNames")).toBe("file");
    expect(delivery("FROM t SELECT a FORMAT JSON")).toBe("file");
    expect(delivery("SHOW TABLES FORMAT TSV")).toBe("memory");
    expect(delivery("EXPLAIN SELECT 1 FORMAT JSON")).toBe("memory");
    expect(delivery("WITH 1 AS x INSERT INTO t SELECT x")).toBe("memory");
    expect(delivery("CHECK TABLE t")).toBe("memory");
  });

  test("is read whole when a setting or a total frames its rows", () => {
    const delivery = (sql: string) => statementOf(sql).delivery;
    expect(
      delivery("SELECT 1 FORMAT JSONEachRow SETTINGS output_format_json_array_of_rows=1"),
    ).toBe("file");
    expect(delivery("SELECT 1 SETTINGS `extremes`=1")).toBe("file");
    expect(delivery("SELECT a, count() FROM t GROUP BY a WITH TOTALS")).toBe("file");
    expect(isFramed(headOf("/?output_format_json_array_of_rows=1").settings)).toBe(true);
    expect(isFramed(headOf("/").settings)).toBe(false);
  });

  test("is an INSERT only where an INSERT can stand", () => {
    const delivery = (sql: string) => statementOf(sql, "JSON").delivery;
    expect(delivery("SELECT 1 AS insert FROM t")).toBe("file");
    expect(delivery("SELECT 1 insert FROM t")).toBe("file");
    expect(delivery("WITH 1 AS insert SELECT insert")).toBe("file");
    expect(delivery("WITH (SELECT 1) AS x INSERT INTO t SELECT x")).toBe("memory");
  });

  test("may write its format in any case", () => {
    expect(statementOf("SELECT 1 FORMAT jsoneachrow")).toMatchObject({
      format: "JSONEachRow",
      delivery: "stream",
    });
    expect(statementOf("SELECT 1", "json").format).toBe("JSON");
    expect(insertOf("INSERT INTO t FORMAT rowbinary\n").format).toBe("RowBinary");
  });

  test("names a file for its result before its format", () => {
    const into = (sql: string) => resultIntoFile(statementOf(sql), "/it's");
    const clause = "INTO OUTFILE '/it\\'s' COMPRESSION 'none' FORMAT";
    expect(into("SELECT 1 FORMAT JSON")).toBe(`SELECT 1 \n${clause} JSON`);
    expect(into("SELECT 1 format CSV SETTINGS max_threads=1; -- end")).toBe(
      `SELECT 1 \n${clause} CSV SETTINGS max_threads=1`,
    );
    expect(into("SELECT 'FORMAT JSON' -- end\n;")).toBe(
      `SELECT 'FORMAT JSON'\n${clause} TabSeparated`,
    );
  });

  test("is whole: a file's name must not end up in a string of its own", () => {
    for (const sql of ["SELECT 'a", "SELECT `a", "SELECT 1 /* a"]) {
      expect(refusalOf(planStatement(sql, "TSV", false))).toContain("is not closed");
    }
  });

  test("is one statement", () => {
    expect(refusalOf(planStatement("SELECT 1; DROP TABLE t", "TSV", false))).toContain(
      "Multi-statements",
    );
    expect(refusalOf(planStatement(" -- nothing\n;", "TSV", false))).toContain("Empty query");
    expect(statementOf("SELECT ';' ; -- end").sql).toContain("SELECT");
  });

  test("may not write the server's files", () => {
    expect(refusalOf(planStatement("SELECT 1 INTO OUTFILE '/tmp/x'", "TSV", false))).toContain(
      "OUTFILE",
    );
  });
});

describe("a statement may not", () => {
  const refusedIn = (sql: string) => refusalOf(planStatement(sql, "TSV", false));

  test("take the tag by which it is killed", () => {
    for (const name of ["log_comment", "`log_comment`", '"log_comment"', "`log\\x5fcomment`"]) {
      expect(refusedIn(`SELECT 1 SETTINGS max_threads=1, ${name} = 'a'`)).toContain("log_comment");
      expect(refusedIn(`SET ${name}='a'`)).toContain("ACCESS_DENIED");
    }
    const insert = planInsert("INSERT INTO t SETTINGS log_comment='a' FORMAT TSV\n1", true);
    expect(refusalOf(insert!)).toContain("log_comment");
    expect(statementOf("SELECT log_comment FROM system.query_log").reads).toBe(true);
  });

  test("reach files and programs by names that the engine does not confine", () => {
    for (const sql of [
      "SELECT file('/etc/hostname')",
      "SELECT `file`('/x')",
      "SELECT * APPLY file FROM t",
      "SELECT arrayMap(file, ['/x'])",
      "CREATE FUNCTION f AS x -> file(x)",
      "CREATE TABLE t (a Int8) ENGINE = EmbeddedRocksDB(0, '/x') PRIMARY KEY a",
      "CREATE TABLE t (a Int8) ENGINE = Executable('ls', TSV)",
      "SELECT * FROM format(Values, 'a String', 'x') SETTINGS input_format_values_interpret_expressions=1",
      "BACKUP TABLE t TO File('/x')",
      "RESTORE TABLE t FROM File('/x')",
    ]) {
      expect(refusedIn(sql)).toContain("ACCESS_DENIED");
    }
    expect(refusedIn("SELECT $a$'$a$ INTO OUTFILE $a$/tmp/x$a$")).toContain("OUTFILE");
    expect(refusedIn("SELECT “'” INTO OUTFILE '/tmp/x'")).toContain("OUTFILE");
    expect(refusedIn("EXPLAIN INSERT INTO t FROM INFILE '/x'")).toContain("INFILE");
    expect(statementOf("SELECT t.file, 'file' FROM t").reads).toBe(true);
    const values = planInsert("INSERT INTO t VALUES (file('/etc/hostname'))", true);
    expect(refusalOf(values!)).toContain("file");
    expect(insertOf("INSERT INTO t VALUES ('file')").isScanned).toBe(true);
    const more = insertOf("INSERT INTO t VALUES (1),", false);
    expect(sessionSetup(headOf("/"), more, "q1")[0]).toContain(VALUES_ARE_LITERALS);
  });
});

describe("without a password", () => {
  const denied = { code: 497, status: 403 };

  test("only names of this machine are answered", () => {
    for (const host of ["localhost", "127.0.0.1:8123", "[::1]:1", "127.9.9.9", "a.localhost:1"]) {
      expect(plan("GET", "/ping", { host }).kind).toBe("ok");
    }
    for (const host of [
      "evil.example",
      "127.0.0.1.evil.example",
      "10.0.0.1",
      "",
      "localhost@evil",
    ]) {
      expect(failureIn(plan("POST", "/?query=SELECT+1", { host }))).toMatchObject(denied);
    }
    const withPassword = { name: "a", password: "b" };
    expect(plan("POST", "/?user=a&password=b", { host: "x" }, withPassword).kind).toBe("query");
  });

  test("only pages of this machine may ask", () => {
    for (const origin of ["http://localhost:3000", "https://127.0.0.1"]) {
      expect(plan("POST", "/", { origin }).kind).toBe("query");
    }
    for (const origin of ["https://evil.example", "null", "http://localhost.evil.example"]) {
      expect(failureIn(plan("POST", "/", { origin }))).toMatchObject(denied);
      expect(failureIn(plan("OPTIONS", "/", { origin }))).toMatchObject(denied);
    }
  });
});

describe("an engine's error", () => {
  test("does not name our files", () => {
    const error = withoutPath(
      new Error("Code: 27. DB::Exception: bad (in file/uri /d/1.data)"),
      "/d/1.data",
    );
    expect((error as Error).message).not.toContain("/d/");
  });

  test("keeps its text and gets the status of its kind", () => {
    const kinds = [
      ["Code: 62. DB::Exception: Syntax error. (SYNTAX_ERROR)", 62, 400],
      ["Code: 60. DB::Exception: No table. (UNKNOWN_TABLE)", 60, 404],
      ["Code: 241. DB::Exception: Memory. (MEMORY_LIMIT_EXCEEDED)", 241, 500],
    ] as const;
    for (const [message, code, status] of kinds) {
      expect(failureOf(new Error(message))).toMatchObject({ message, code, status });
    }
    expect(failureOf(new Error("ENOSPC"))).toBeNull();
  });
});
