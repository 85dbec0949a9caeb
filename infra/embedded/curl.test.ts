/** curl in the ways that ClickHouse's documentation of its HTTP interface shows. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deflateSync, gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startEmbeddedClickHouse } from "../../tests/helpers/embedded-clickhouse.ts";
import type { EmbeddedClickHouse } from "../../tests/helpers/embedded-clickhouse.ts";

let directory: string;
let open: EmbeddedClickHouse;
let locked: EmbeddedClickHouse;
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "clickmill-curl-"));
  [open, locked] = await Promise.all([
    startEmbeddedClickHouse(directory),
    startEmbeddedClickHouse(undefined, { name: "user", password: "password" }),
  ]);
  await curl(["/", "-d", "CREATE TABLE t (a UInt8) ENGINE = Memory"]);
});
afterAll(async () => {
  await Promise.all([open?.stop(), locked?.stop()]);
  rmSync(directory, { recursive: true, force: true });
});

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** 0, or curl's own word for what was wrong with the transfer. */
  readonly exitCode: number;
}

let headCount = 0;

/** Runs curl. `/…` among its arguments is a URL of the server, and so is `user:password@/…`. */
async function curl(
  parts: readonly string[],
  input: string | Uint8Array = "",
  server = open,
): Promise<Answer> {
  const urls = parts.map((part) => {
    const [, user, path] = /^(\w+:\w+@)?(\/(?!dev\/).*)$/s.exec(part) ?? [];
    return path === undefined ? part : server.url.replace("//", `//${user ?? ""}`) + path;
  });
  const headFile = join(directory, `head-${++headCount}`);
  // -q: no .curlrc of this machine; --globoff: brackets and braces are ours.
  const child = spawn("curl", ["-q", "-sS", "--globoff", "-D", headFile, ...urls], {
    stdio: ["pipe", "pipe", "ignore"],
  });
  // curl may end, answered, before it has read everything.
  child.stdin.on("error", () => {});
  child.stdin.end(input);
  const [body, [exitCode]] = await Promise.all([child.stdout.toArray(), once(child, "close")]);
  // The last head: before it there may be one of `100 Continue`.
  const heads = readFileSync(headFile, "utf8").split(/(?=^HTTP\/)/m);
  const lines = (heads.at(-1) ?? "").split("\r\n");
  const headers = lines.slice(1).flatMap((line) => {
    const [, name, value] = /^([^:]+): (.*)$/.exec(line) ?? [];
    return name === undefined ? [] : [[name.toLowerCase(), value!]];
  });
  return {
    status: Number(lines[0]!.split(" ")[1]),
    headers: Object.fromEntries(headers) as Record<string, string>,
    body: Buffer.concat(body).toString(),
    exitCode: Number(exitCode),
  };
}
async function said(parts: readonly string[], input?: string | Uint8Array): Promise<string> {
  return (await curl(parts, input)).body;
}

describe("the server is there", () => {
  test.each(["/", "/ping", "/replicas_status"])("%s", async (path) => {
    for (const server of [open, locked]) {
      // oxlint-disable-next-line no-await-in-loop
      const answer = await curl([path], "", server);
      expect([answer.status, answer.body]).toEqual([200, "Ok.\n"]);
    }
    // Of a HEAD, curl prints the head: it ends with an empty line, and nothing may follow.
    const head = await curl(["--head", path]);
    expect(head).toMatchObject({ status: 200, exitCode: 0 });
    expect(head.body).toMatch(/\r\n\r\n$/);
  });
});

describe("a query", () => {
  test("comes in the URL, in the body, or in both", async () => {
    expect(await said(["/?query=SELECT%201"])).toBe("1\n");
    expect(await said(["-G", "/", "--data-urlencode", "query=SELECT 1"])).toBe("1\n");
    expect(await said(["/", "--data-binary", "@-"], "SELECT 1\n")).toBe("1\n");
    expect(await said(["/?query=", "--data-binary", "@-"], "SELECT 1\n")).toBe("1\n");
    expect(await said(["/?query=SELECT", "--data-binary", "@-"], "1\n")).toBe("1\n");
    expect(await said(["/?", "--data-binary", "@-"], "SELECT 1")).toBe("1\n");
    expect(await said(["/", "-T", "-"], "SELECT 1")).toBe("1\n");
    expect(await said(["-X", "POST", "/", "-d", "SELECT 1"])).toBe("1\n");
    const split = await curl(["/?query=SEL", "--data-binary", "@-"], "ECT 1");
    expect([split.status, split.headers["x-clickhouse-exception-code"]]).toEqual([400, "62"]);
  });

  test("by GET reads only; by HEAD it has no body", async () => {
    const write = await curl(["/?query=INSERT%20INTO%20t%20VALUES%20(1)"]);
    expect([write.status, write.headers["x-clickhouse-exception-code"]]).toEqual([500, "164"]);
    const drop = await curl(["/?query=DROP%20TABLE%20t"]);
    expect([drop.status, drop.headers["x-clickhouse-exception-code"]]).toEqual([500, "164"]);
    expect(await said(["/?query=SELECT%20count()%20FROM%20t"])).toBe("0\n");
    for (const format of ["TSV", "JSON"]) {
      // oxlint-disable-next-line no-await-in-loop
      const head = await curl(["--head", `/?query=SELECT%201%20FORMAT%20${format}`]);
      expect(head).toMatchObject({ status: 200, exitCode: 0 });
      expect(head.headers["x-clickhouse-format"]).toBe(format);
      expect(head.body).toMatch(/\r\n\r\n$/);
    }
  });

  test("by POST without a length is refused", async () => {
    const answer = await curl(["-X", "POST", "/?query=SELECT%201"]);
    expect(answer).toMatchObject({ status: 411 });
    expect(answer.body).toContain("HTTP_LENGTH_REQUIRED");
    expect(await said(["-X", "POST", "-d", "", "/?query=SELECT%201"])).toBe("1\n");
  });

  test("has the format it names, or the one that URL or header name", async () => {
    expect(await said(["/?", "-d", ""])).toContain("Empty query");
    const json = JSON.parse(await said(["/?query=SELECT%201%20FORMAT%20JSON"])) as object;
    expect(json).toMatchObject({ data: [{ "1": 1 }], rows: 1 });
    expect(await said(["/?", "-d", "SELECT 1 FORMAT Pretty"])).toContain("┏━━━┓");
    const compact = await curl(["/?default_format=JSONCompact", "-d", "select 1"]);
    expect(JSON.parse(compact.body)).toMatchObject({ data: [[1]] });
    expect(compact.headers["x-clickhouse-format"]).toBe("JSONCompact");
    expect(await said(["-H", "X-ClickHouse-Format: CSV", "/", "-d", "SELECT 'a'"])).toBe('"a"\n');
    expect(await said(["/?database=system", "-d", "SELECT count() FROM one"])).toBe("1\n");
    const database = "X-ClickHouse-Database: system";
    expect(await said(["-H", database, "/", "-d", "SELECT count() FROM one"])).toBe("1\n");
  });

  test("has settings and parameters from its URL", async () => {
    const sql =
      "SELECT count() FROM (SELECT number FROM numbers(10)) WHERE number > {id:UInt8} AND {phrase:String} = 'a\tb'";
    expect(await said(["/?param_id=2&param_phrase=a%5Ctb", "-d", sql])).toBe("7\n");
    const limited = await curl([
      "/?max_result_rows=5&max_block_size=1",
      "-d",
      "SELECT number FROM numbers(9) FORMAT JSON",
    ]);
    expect([limited.status, limited.headers["x-clickhouse-exception-code"]]).toEqual([500, "396"]);
    const slow = await curl(["/?max_execution_time=1", "-d", "SELECT sleep(2)"]);
    expect([slow.status, slow.headers["x-clickhouse-exception-code"]]).toEqual([408, "159"]);
    const unknown = await curl(["/?nope=1", "-d", "SELECT 1"]);
    expect([unknown.status, unknown.headers["x-clickhouse-exception-code"]]).toEqual([404, "115"]);
  });

  test("in a form carries its parameters; a table in a form is refused", async () => {
    expect(await said(["/", "-F", "query=SELECT {a:String}", "-F", "param_a=it's"])).toBe(
      "it\\'s\n",
    );
    const table = [
      "-F",
      "data=@-;filename=data.tsv",
      "/?query=SELECT%201&data_structure=a%20UInt8",
    ];
    const refused = await curl(table, "1\n");
    expect([refused.status, refused.headers["x-clickhouse-exception-code"]]).toEqual([501, "48"]);
    expect(refused.body).toContain("no external tables: data");
  });

  test("is answered with a server's headers", async () => {
    const { headers } = await curl(["-i", "/?query_id=mine", "-d", "SELECT 1"]);
    expect(headers).toMatchObject({
      date: expect.any(String),
      connection: "keep-alive",
      "keep-alive": "timeout=10",
      "content-type": "text/tab-separated-values; charset=UTF-8",
      "x-clickhouse-server-display-name": "clickmill-embedded",
      "x-clickhouse-query-id": "mine",
      "x-clickhouse-format": "TabSeparated",
      "x-clickhouse-timezone": "Etc/UTC",
      "x-clickhouse-exception-tag": expect.stringMatching(/^[a-z]{16}$/),
    });
    expect(headers).not.toHaveProperty("access-control-allow-origin");
    const whole = await curl(["/?wait_end_of_query=1", "-d", "SELECT 1"]);
    expect(JSON.parse(whole.headers["x-clickhouse-summary"]!)).toMatchObject({ result_rows: "1" });
  });

  test("of a page in a browser is allowed with a password; without one, to pages of this machine only", async () => {
    const preflight = await curl(["-X", "OPTIONS", "-H", "Origin: http://localhost:3000", "/"]);
    expect(preflight).toMatchObject({ status: 204, body: "" });
    expect(preflight.headers["access-control-allow-methods"]).toBe("POST, GET, OPTIONS");
    const { headers } = await curl(["-H", "Origin: http://127.0.0.1", "/", "-d", "SELECT 1"]);
    expect(headers["access-control-allow-origin"]).toBe("*");
    const other = await curl(["-H", "Origin: http://a", "/", "-d", "SELECT 1"]);
    expect([other.status, other.headers["access-control-allow-origin"]]).toEqual([403, undefined]);
    const rebound = await curl(["-H", "Host: a:8123", "/", "-d", "SELECT 1"]);
    expect([rebound.status, rebound.headers["x-clickhouse-exception-code"]]).toEqual([403, "497"]);
    const known = await curl(
      ["-H", "Origin: http://a", "user:password@/", "-d", "SELECT 1"],
      "",
      locked,
    );
    expect([known.body, known.headers["access-control-allow-origin"]]).toEqual(["1\n", "*"]);
  });

  test("that fails after its first rows says so in the stream, and breaks it", async () => {
    const sql = `SELECT sleepEachRow(0.01), throwIf(number = 20, 'late') FROM numbers(50)
                 SETTINGS max_block_size = 1, max_threads = 1`;
    const late = await curl(["/", "-d", sql]);
    const tag = late.headers["x-clickhouse-exception-tag"];
    // 18: curl's word for an answer that ends before its end.
    expect([late.status, late.exitCode]).toEqual([200, 18]);
    expect(late.body).toMatch(
      new RegExp(
        `^(0\t0\n){20}\r\n__exception__\r\n${tag}\r\nCode: 395\\..*late.*\n\\d+ ${tag}\r\n__exception__\r\n$`,
      ),
    );
    const waits = "/?wait_end_of_query=1&buffer_size=1000";
    const early = await curl([waits, "-d", sql]);
    expect([early.status, early.exitCode, early.headers["x-clickhouse-exception-code"]]).toEqual([
      500,
      0,
      "395",
    ]);
  });

  test("may wait for its end with a result of millions of rows", async () => {
    const sql = "SELECT toUInt8(number) FROM system.numbers LIMIT 9000000 FORMAT RowBinary";
    const url = "/?max_result_bytes=10000000&buffer_size=3000000&wait_end_of_query=1";
    const answer = await curl([url, "-o", "/dev/null", "-w", "%{size_download}", "-d", sql]);
    expect([answer.status, answer.body]).toEqual([200, "9000000"]);
    await expect.poll(() => readdirSync(join(directory, "spool"))).toEqual([]);
  });
});

describe("an INSERT", () => {
  test("has its data behind it, or its beginning in the URL", async () => {
    const insert = "/?query=INSERT%20INTO%20t%20";
    await said(["/", "--data-binary", "@-"], "INSERT INTO t VALUES (1),(2),(3)\n");
    await said([`${insert}VALUES`, "--data-binary", "@-"], "(4),(5),(6)\n");
    await said([`${insert}FORMAT%20Values`, "--data-binary", "@-"], "(7),(8),(9)\n");
    await said([`${insert}FORMAT%20TabSeparated`, "--data-binary", "@-"], "10\n11\n12\n");
    await said([`${insert}FORMAT%20CSVWithNames`, "--data-binary", "@-"], "a\n13\n");
    await said([`${insert}FORMAT%20JSONEachRow`, "-d", '{"a":14}']);
    await said([`${insert}FORMAT%20RowBinary`, "--data-binary", "@-"], Uint8Array.of(15, 16));
    await said([`${insert}VALUES%20(17)`, "-d", ""]);
    const answer = await curl([`${insert}SETTINGS%20async_insert=0%20VALUES`, "-d", "(18)"]);
    expect(answer).toMatchObject({ status: 200, body: "" });
    expect(JSON.parse(answer.headers["x-clickhouse-summary"]!)).toMatchObject({
      written_rows: "1",
    });
    const sql = "SELECT groupArray(a) FROM (SELECT a FROM t ORDER BY a)";
    expect(await said(["/", "-d", sql])).toBe(
      `[${Array.from({ length: 18 }, (_, index) => index + 1).join(",")}]\n`,
    );
    expect(await said(["/", "-d", "TRUNCATE TABLE t"])).toBe("");
  });

  test.each([
    ["gzip", gzipSync],
    ["deflate", deflateSync],
    ["identity", (text: string) => text],
  ] as const)("is taken in %s", async (encoding, pack) => {
    const header = ["-H", `Content-Encoding: ${encoding}`];
    const send = [...header, "/?query=INSERT%20INTO%20t%20FORMAT%20TSV", "--data-binary", "@-"];
    expect(await curl(send, pack("20\n21\n"))).toMatchObject({ status: 200, body: "" });
    expect(await said([...header, "/", "--data-binary", "@-"], pack("SELECT sum(a) FROM t"))).toBe(
      "41\n",
    );
    await said(["/", "-d", "TRUNCATE TABLE t"]);
  });

  test("in an encoding that is not known, or not its own, is refused", async () => {
    const encoded = (encoding: string) =>
      curl(["-H", `Content-Encoding: ${encoding}`, "/", "--data-binary", "@-"], "SELECT 1");
    expect(await encoded("lz4")).toMatchObject({ status: 501 });
    expect((await encoded("deflate")).body).toContain("The body is not deflate");
  });
});

describe("an answer", () => {
  test("is compressed for who asks for it twice", async () => {
    const url = "/?enable_http_compression=1";
    const sql = "SELECT number FROM system.numbers LIMIT 3";
    for (const encoding of ["gzip", "deflate", "br", "zstd"]) {
      const accept = ["--compressed", "-H", `Accept-Encoding: ${encoding}`];
      // oxlint-disable-next-line no-await-in-loop
      const answer = await curl([...accept, url, "-d", sql]);
      expect([answer.headers["content-encoding"], answer.body]).toEqual([encoding, "0\n1\n2\n"]);
    }
    const plain = await curl(["--compressed", "/", "-d", sql]);
    expect([plain.headers["content-encoding"], plain.body]).toEqual([undefined, "0\n1\n2\n"]);
  });
});

describe("a user", () => {
  const ask = (parts: readonly string[]) => curl([...parts, "-d", "SELECT 1"], "", locked);

  test("is named by basic auth, by URL parameters, or by headers", async () => {
    const headers = ["-H", "X-ClickHouse-User: user", "-H", "X-ClickHouse-Key: password"];
    for (const parts of [
      ["user:password@/"],
      ["-u", "user:password", "/"],
      ["/?user=user&password=password"],
      [...headers, "/"],
    ]) {
      // oxlint-disable-next-line no-await-in-loop
      expect((await ask(parts)).body).toBe("1\n");
    }
  });

  test("that is not the one gets a server's status, code and header", async () => {
    const wrong = await ask(["user:wrong@/"]);
    expect(wrong).toMatchObject({ status: 403, headers: { "x-clickhouse-exception-code": "516" } });
    expect(wrong.body).toBe(
      "Code: 516. DB::Exception: user: Authentication failed: password is incorrect, or there is no user with such name. (AUTHENTICATION_FAILED)\n",
    );
    expect(wrong.headers).not.toHaveProperty("www-authenticate");
    const nobody = await ask(["/"]);
    expect(nobody).toMatchObject({
      status: 401,
      headers: {
        "x-clickhouse-exception-code": "194",
        "www-authenticate": 'Basic realm="ClickHouse server HTTP API"',
      },
    });
    const both = await ask(["user:password@/?user=user&password=password"]);
    expect(both).toMatchObject({ status: 403 });
    expect(both.body).toContain("it is not allowed to use");
  });

  test("is asked for before anything of a large body is kept", async () => {
    const insert = ["/?query=INSERT%20INTO%20t%20FORMAT%20TSV", "--data-binary", "@-"];
    expect(await curl(insert, "1\n".repeat(1_000_000), locked)).toMatchObject({ status: 401 });
  });
});
