/** What a request means, without a server or an engine. */
import { describe, expect, test } from "vitest";
import { failureOf } from "./engine-error.ts";
import {
  insertFromFile,
  planHead,
  planInsert,
  planStatement,
  sessionSetup,
} from "./request-plan.ts";
import type { InsertPlan, RequestHead, StatementPlan } from "./request-plan.ts";

function headOf(url: string, method = "POST", headers: Record<string, string> = {}): RequestHead {
  const plan = planHead(method, url, headers, "new-id");
  if (plan.kind !== "query") throw new Error(JSON.stringify(plan));
  return plan.head;
}
function refusalOf(plan: { kind: string }): string {
  if (!("failure" in plan)) throw new Error(`not refused: ${JSON.stringify(plan)}`);
  return (plan.failure as Error).message;
}
function insertOf(text: string, all = true): InsertPlan {
  const plan = planInsert(text, all);
  if (plan?.kind !== "insert") throw new Error(`no insert: ${JSON.stringify(plan)}`);
  return plan;
}
function statementOf(sql: string, format = "TabSeparated"): StatementPlan {
  const plan = planStatement(sql, format);
  if (plan.kind !== "statement") throw new Error(JSON.stringify(plan));
  return plan;
}

describe("the head of a request", () => {
  test("a bare GET and /ping ask whether the server is there", () => {
    expect(planHead("GET", "/", {}, "x")).toEqual({ kind: "ping" });
    expect(planHead("GET", "/ping?query=SELECT+1", {}, "x")).toEqual({ kind: "ping" });
  });

  test("a target that is no path is refused", () => {
    for (const url of ["//?query=1", "//a/?query=1", "/\\?query=1", "*", "", "http://", "a"]) {
      expect(refusalOf(planHead("GET", url, {}, "x"))).toContain("must be a path");
    }
    expect(refusalOf(planHead("GET", "/%zz", {}, "x"))).toContain("no handle /%zz");
    expect(headOf("http://other:1/?query=a").urlQuery).toBe("a");
  });

  test("what is not ours in a URL is a setting or a parameter", () => {
    const head = headOf("/?query=SELECT+1&max_threads=2&param_x=a%09b&database=d&query_id=q");
    expect([...head.settings]).toEqual([["max_threads", "2"]]);
    expect([...head.parameters]).toEqual([["x", "a\tb"]]);
    expect(head).toMatchObject({ database: "d", queryId: "q", urlQuery: "SELECT 1" });
  });

  test("a setting's name cannot carry SQL", () => {
    const plan = planHead("POST", "/?a%3D1,b=2", {}, "x");
    expect(refusalOf(plan)).toContain("Unknown setting");
  });

  test("what is not supported is refused in words", () => {
    expect(refusalOf(planHead("POST", "/?session_id=1", {}, "x"))).toContain("session_id");
    expect(refusalOf(planHead("POST", "/?decompress=1", {}, "x"))).toContain("gzip only");
    expect(refusalOf(planHead("POST", "/", { "content-encoding": "br" }, "x"))).toContain("br");
    expect(refusalOf(planHead("POST", "/play", {}, "x"))).toContain("/play");
    expect(refusalOf(planHead("DELETE", "/", {}, "x"))).toContain("DELETE");
  });

  test("answers are compressed only when both the URL and the client ask for it", () => {
    const gzip = { "accept-encoding": "gzip, br" };
    expect(headOf("/?enable_http_compression=1", "POST", gzip).answerIsGzip).toBe(true);
    expect(headOf("/", "POST", gzip).answerIsGzip).toBe(false);
    expect(headOf("/?enable_http_compression=1").answerIsGzip).toBe(false);
  });
});

const setup = (format: string, url = "/") =>
  sessionSetup(headOf(url), statementOf("SELECT 1", format), "q1")[0];

describe("the setup of a session", () => {
  test("values are quoted, the database named, and GET may only read", () => {
    const head = headOf("/?query=S&a=1&param_b=it's%5C&database=we`ird", "GET");
    expect(sessionSetup(head, statementOf("SELECT 1"), "q1")).toEqual([
      "SET log_comment = 'q1', a = '1', param_b = 'it\\'s\\\\'",
      "USE `we\\`ird`",
      "SET readonly = 2",
    ]);
  });

  test("GET cannot talk itself out of being read-only", () => {
    const head = headOf("/?query=S&readonly=0", "GET");
    expect(sessionSetup(head, statementOf("SELECT 1"), "q1").at(-1)).toBe("SET readonly = 2");
  });

  test("a result that is held in memory has a limit", () => {
    expect(setup("JSON")).toContain("max_result_bytes = 268435456");
    expect(setup("JSONEachRow")).not.toContain("max_result_bytes");
    expect(setup("JSON", "/?max_result_bytes=5")).toContain("max_result_bytes = '5'");
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
    });
    expect(insertOf("insert into t format CSV \r\n1").dataOffset).toBe(27);
    expect(insertOf("INSERT INTO t VALUES (1)")).toMatchObject({
      format: "Values",
      dataOffset: 21,
    });
  });

  test("keeps its settings, behind the file", () => {
    const plan = insertOf("INSERT INTO t (a) SETTINGS async_insert=0 FORMAT TSV\n1");
    expect(insertFromFile(plan, "/it's")).toBe(
      "INSERT INTO t (a) FROM INFILE '/it\\'s' COMPRESSION 'none' SETTINGS async_insert=0 FORMAT TSV",
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
    expect(statementOf("SELECT 1 FORMAT JSONEachRow").streams).toBe(true);
    expect(statementOf("(SELECT 1) FORMAT RowBinary").streams).toBe(true);
    expect(statementOf("SELECT 1 FORMAT JSON").streams).toBe(false);
    expect(statementOf("SELECT 1 FORMAT CSVWithNames").streams).toBe(false);
    expect(statementOf("SHOW TABLES FORMAT TSV").streams).toBe(false);
    expect(statementOf("WITH 1 AS x INSERT INTO t SELECT x").streams).toBe(false);
  });

  test("is one statement", () => {
    expect(refusalOf(planStatement("SELECT 1; DROP TABLE t", "TSV"))).toContain("Multi-statements");
    expect(refusalOf(planStatement(" -- nothing\n;", "TSV"))).toContain("Empty query");
    expect(statementOf("SELECT ';' ; -- end").sql).toContain("SELECT");
  });

  test("may not write the server's files", () => {
    expect(refusalOf(planStatement("SELECT 1 INTO OUTFILE '/tmp/x'", "TSV"))).toContain("OUTFILE");
  });
});

describe("an engine's error", () => {
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
