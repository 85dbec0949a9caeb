/** The scanner steps over everything that only looks like SQL. */
import { expect, test } from "vitest";
import { scanTokens, splitStatements } from "./sql-scan.ts";

const words = (sql: string) =>
  [...scanTokens(sql)].filter((token) => token.kind === "word").map((token) => token.text);

test("words inside strings, quoted names and comments are not words", () => {
  const sql =
    "select 'format ''x'' \\' y', `a\\`b`, \"c\"\"d\" -- format\n from /* insert */ t # z\n x";
  expect(words(sql)).toEqual(["SELECT", "FROM", "T", "X"]);
});

test("a string that does not end says so", () => {
  expect([...scanTokens("select 'abc")].at(-1)).toMatchObject({ kind: "string", closed: false });
  expect([...scanTokens("select /* abc")].at(-1)).toMatchObject({ closed: false });
});

test("depth counts open brackets", () => {
  const depths = [...scanTokens("a (b [c]) d")].map(({ text, depth }) => `${text}${depth}`);
  expect(depths).toEqual(["A0", "(0", "B1", "[1", "C2", "]1", ")0", "D0"]);
});

test("a script is split at its semicolons only, and comments alone are no statement", () => {
  expect(splitStatements("-- a;\nSELECT ';' ;; /* b; */ SELECT 2\n-- end")).toEqual([
    "SELECT ';'",
    "SELECT 2",
  ]);
});

test("a heredoc is a string, whatever it holds; a lone dollar is none", () => {
  expect(words("SELECT $a$ ' -- FROM $b$ ; $a$ x $$ INTO '$$ y")).toEqual(["SELECT", "X", "Y"]);
  expect(splitStatements("SELECT $a$;'$a$; SELECT 2")).toHaveLength(2);
  expect(words("SELECT $a$ FROM")).toEqual(["SELECT", "A$", "FROM"]);
});

test("typographic quotes are quotes, in UTF-8 read byte by byte too", () => {
  const sql = "SELECT “'” x, ‘\"’ INTO";
  const bytewise = Buffer.from(sql).toString("latin1");
  for (const text of [sql, bytewise]) expect(words(text)).toEqual(["SELECT", "X", "INTO"]);
});

test("a quoted name is what it names", () => {
  const names = [...scanTokens('`log\\x5fa` "b``" `c``d`')].map(({ kind, text }) => [kind, text]);
  expect(names).toEqual([
    ["name", "log_a"],
    ["name", "b``"],
    ["name", "c`d"],
  ]);
});
