/**
 * Holds docs/concepts.md against the repository: paths, names, scripts and test names are there, and
 * every section says everything in both languages. What the words claim, only a reader can check.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const DOCS = join(ROOT, "docs");
const TEXT = readFileSync(join(DOCS, "concepts.md"), "utf8");

const HANGUL = /\p{Script=Hangul}/u;
const WHERE = "**Where**";
const SEE_IT = "**See it**";

interface Place {
  readonly path: string;
  readonly names: readonly string[];
}

interface Section {
  readonly title: string;
  /** Blocks between empty lines: before "Where", and after the command. */
  readonly prose: readonly string[];
  readonly places: readonly Place[];
  readonly command: string;
  readonly outcome: readonly string[];
}

const [preface = "", ...rest] = TEXT.split(/^## /m);
const sections = rest.map(sectionOf);

/** Throws where the section does not have the one form that all have. */
function sectionOf(text: string): Section {
  const title = text.slice(0, text.indexOf("\n"));
  const parts = new RegExp(
    `^.*\\n([^]*)\\n${escaped(WHERE)}\\n\\n([^]*)\\n${escaped(SEE_IT)}\\n\\n\`\`\`sh\\n([^]*?)\\n\`\`\`\\n([^]*)$`,
  ).exec(text);
  if (parts === null) throw new Error(`"${title}" is not in the form of a section`);
  const [, prose = "", where = "", command = "", outcome = ""] = parts;
  return {
    title,
    prose: blocks(prose),
    places: where.trim().split("\n").map(placeOf),
    command,
    outcome: blocks(outcome),
  };
}

/** A line "- `path`" or "- `path`: `name`, `name`". */
function placeOf(line: string): Place {
  if (!/^- `[^`]+`(: `[^`]+`(, `[^`]+`)*)?$/.test(line)) throw new Error(`not a place: ${line}`);
  const [path = "", ...names] = [...line.matchAll(/`([^`]+)`/g)].map((m) => m[1]!);
  return { path, names };
}

function blocks(text: string): string[] {
  return text.trim().split(/\n{2,}/);
}

function escaped(text: string): string {
  return text.replaceAll("*", "\\*");
}

function read(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}

/** As a whole word, so that `step` is not found in `steps`. */
function hasWord(text: string, word: string): boolean {
  return new RegExp(`(?<![\\w])${word}(?![\\w])`).test(text);
}

test("every idea of the study guide has its section, numbered in order", () => {
  expect(sections.map((s) => Number.parseInt(s.title, 10))).toEqual(sections.map((_, i) => i + 1));
  const titles = sections.map((s) => s.title.toLowerCase()).join("\n");
  for (const idea of [
    "raw and aggregated",
    "mapreduce",
    "streaming and batch",
    "recalculation",
    "event time",
    "watermark",
    "tumbling",
    "sliding",
    "deduplication and offsets",
    "distributed transaction",
    "hot spots",
    "snapshots",
    "reconciliation",
    "star schema",
  ]) {
    expect(titles).toContain(idea);
  }
});

test("the preface says everything in both languages", () => {
  const korean = blocks(preface).filter((block) => HANGUL.test(block) && !block.startsWith("#"));
  expect(korean).toHaveLength(2);
});

describe.each(sections.map((section) => [section.title, section] as const))("%s", (_, section) => {
  test("is in both languages: title, paragraph, tables, outcome", () => {
    expect(section.title).toMatch(/^\d+\. \P{Script=Hangul}+ · .*\p{Script=Hangul}/u);
    const isTable = (block: string) => block.startsWith("|");
    for (const kind of [section.prose.filter(isTable), section.prose.filter((b) => !isTable(b))]) {
      const korean = kind.filter((block) => HANGUL.test(block));
      // English first, then the same in Korean.
      expect(kind.map((block) => HANGUL.test(block))).toEqual(
        kind.map((__, i) => i >= kind.length / 2),
      );
      expect(korean).toHaveLength(kind.length / 2);
    }
    expect(section.prose.length).toBeGreaterThanOrEqual(2);
    expect(section.outcome.map((block) => HANGUL.test(block))).toEqual([false, true]);
  });

  test("names places that exist, and what stands there", () => {
    const missing = section.places.flatMap(({ path, names }) => {
      if (!existsSync(join(ROOT, path))) return [path];
      if (names.length === 0) return [];
      const text = read(path);
      return names.filter((name) => !hasWord(text, name)).map((name) => `${path}: ${name}`);
    });
    expect(missing).toEqual([]);
  });

  test("has a command whose scripts, files and test names exist", () => {
    expect(section.command).not.toBe("");
    expect(missingScripts(section.command)).toEqual([]);
    const runs = section.command.split("\n").filter((line) => line.startsWith("npx vitest"));
    expect(runs.filter((line) => !namesTest(line))).toEqual([]);
  });

  test("asks tables and columns that the migrations make", () => {
    const queries = section.command.split("\n").filter((line) => line.startsWith("ask "));
    const unknown = queries.flatMap((query) => {
      const tables = all(query, /\b(?:FROM|INTO|JOIN) ([a-z]\w*)/g).map(
        (table) => `CREATE (TABLE|VIEW) IF NOT EXISTS ${table}`,
      );
      const given = all(query, /\bAS (\w+)/g);
      const columns = all(query, /\b([a-z]+_[a-z_]+)\b/g).filter((w) => !given.includes(w));
      return [...tables, ...columns].filter((word) => !hasWord(MIGRATIONS, word));
    });
    expect(unknown).toEqual([]);
  });
});

const MIGRATIONS = [
  "0001_clicks.sql",
  "0002_counts.sql",
  "0003_analysts_and_operators.sql",
  "0004_rejections_counted.sql",
  "0005_top_ads.sql",
]
  .map((name) => read(`infra/clickhouse/migrations/${name}`))
  .join("\n");

test("scripts, settings and links that the text names exist", () => {
  expect(missingScripts(TEXT)).toEqual([]);
  const links = all(TEXT, /\]\(([^)]+)\)/g);
  expect(links.filter((target) => !existsSync(join(DOCS, target)))).toEqual([]);
  const readme = read("README.md");
  const prose = [preface, ...sections.flatMap((s) => s.prose)].join("\n");
  const settings = all(prose, /`([A-Z]+(?:_[A-Z]+)+)`/g);
  expect(settings.filter((setting) => !hasWord(readme, setting))).toEqual([]);
});

test("the ports and the database are those of npm start", () => {
  const config = read("infra/stack/config.ts");
  const ports = new Set(all(TEXT, /127\.0\.0\.1:(\d+)/g));
  expect([...ports].toSorted()).toEqual(["8123", "8787"]);
  for (const port of ports) expect(config).toMatch(new RegExp(`: ${port},`));
  expect(config).toMatch(/start: \{ portOffset: 0, database: "clickmill"/);
  expect(TEXT).toContain("database=clickmill&");
});

function missingScripts(text: string): string[] {
  const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };
  return all(text, /\bnpm (?:run )?((?<=run )[\w:]+|start|test)\b/g).filter((s) => !(s in scripts));
}

/** Whether an `npx vitest` line names an end-to-end file, and tests in it by the start of their names. */
function namesTest(line: string): boolean {
  const run = /--project e2e (tests\/e2e\/\S+\.test\.ts) -t "([^"]+)"$/.exec(line);
  if (run === null) return false;
  const [, file = "", pattern = ""] = run;
  if (!existsSync(join(ROOT, file))) return false;
  return all(read(file), /\b(?:test|describe)\(\s*"([^"]+)"/g).some((n) => n.startsWith(pattern));
}

/** The first group of every match. */
function all(text: string, pattern: RegExp): string[] {
  return [...text.matchAll(pattern)].map((match) => match[1]!);
}
