/** Proves that .oxlintrc.imports.json refuses what ARCHITECTURE.md's "The house" forbids: a check that cannot fail is none. */
import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "clickmill-imports-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

/** The complaints about a house with these files only. */
function complaints(files: Readonly<Record<string, string>>): string {
  const house = mkdtempSync(join(directory, "house-"));
  copyFileSync(join(ROOT, ".oxlintrc.imports.json"), join(house, ".oxlintrc.imports.json"));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(house, dirname(path)), { recursive: true });
    writeFileSync(join(house, path), text);
  }
  const { stdout, status } = spawnSync(
    process.execPath,
    [join(ROOT, "node_modules/oxlint/bin/oxlint"), "-c", ".oxlintrc.imports.json", "-f", "unix"],
    { cwd: house, encoding: "utf8" },
  );
  // Anything else is a linter that did not run.
  expect(status).toBe(stdout.includes("Error/") ? 1 : 0);
  return stdout;
}

test.each([
  ["wire/a.ts", `import { x } from "../edge/b.ts";`],
  ["wire/a.ts", `import type { x } from "node:fs";`],
  ["wire/a.ts", `export { x } from "isbot";`],
  ["edge/shard/a.ts", `import type { x } from "../../aggregator/b.ts";`],
  ["edge/a.ts", `const b = await import("../aggregator/b.ts");`],
  ["edge/a.ts", `import { x } from "../wasm/kernel.ts";`],
  ["aggregator/partition/a.ts", `import { x } from "../../edge/b.ts";`],
  ["aggregator/a.ts", `import { x } from "../tests/helpers/b.ts";`],
  ["aggregator/a.ts", `import { x } from "../wasm/key-hash.ts";`],
  ["aggregator/a.ts", `import x from "../wasm/build/kernel.wasm";`],
  ["infra/stack/a.ts", `import { x } from "../../tests/traffic/b.ts";`],
  ["wasm/a.ts", `import { x } from "../aggregator/b.ts";`],
  ["tests/e2e/a.ts", `import { x } from "../../wasm/assembly/kernel.ts";`],
  ["edge/click/a.ts", `import { x } from "../shard/storage.ts";`],
  ["edge/click/a.ts", `import { x } from "cloudflare:workers";`],
  ["edge/click/a.ts", `import type { x } from "../../aggregator/b.ts";`],
  ["edge/shard/flush-plan.ts", `import { x } from "./storage.ts";`],
  ["edge/shard/dedup-index.ts", `import { x } from "@nats-io/nats-core";`],
  ["aggregator/partition/step.ts", `import { x } from "./partition.ts";`],
  ["aggregator/partition/step.ts", `import { x } from "node:fs";`],
  ["aggregator/partition/emission.ts", `import { x } from "../../edge/b.ts";`],
  ["aggregator/sink/decide-units.ts", `import { x } from "@clickhouse/client";`],
  ["aggregator/sink/unit.ts", `import { x } from "../source/stream-reader.ts";`],
  ["aggregator/sink/plan-batch.ts", `const x = await import("@nats-io/nats-core");`],
  ["wasm/reference-kernel.ts", `import { x } from "./wasm-kernel.ts";`],
  ["infra/embedded/request-head.ts", `export { x } from "./spool.ts";`],
  ["tests/traffic/verdict.ts", `import { x } from "./read-verdict.ts";`],
  ["tests/fuzz/a.ts", `import { x } from "../../wasm/kernel-rows.ts";`],
  ["tests/fuzz/kernel/a.ts", `import { x } from "../../../wasm/layout.ts";`],
  ["tests/fuzz/kernel/operations.ts", `import { x } from "./compare.ts";`],
  ["aggregator/a.ts", `import { x } from "../wasm/kernel-rows.ts";`],
  ["aggregator/a.ts", `export const home = process.env["HOME"];`],
  ["tests/traffic/a.ts", `import { env } from "node:process";`],
])("%s may not say %s", (path, text) => {
  expect(complaints({ [path]: text })).toContain(path);
});

test("every file that the rules name is there", () => {
  const { overrides } = JSON.parse(readFileSync(join(ROOT, ".oxlintrc.imports.json"), "utf8")) as {
    overrides: { files: string[] }[];
  };
  const named = overrides.flatMap(({ files }) => files).filter((file) => !file.includes("*"));
  expect(named.filter((file) => !existsSync(join(ROOT, file)))).toEqual([]);
});

test("two files may not import each other", () => {
  const output = complaints({
    "edge/a.ts": `import { b } from "./b.ts"; export const a = () => b;`,
    "edge/b.ts": `import { a } from "./a.ts"; export const b = () => a;`,
  });
  expect(output).toContain("no-cycle");
});

test("what the house allows passes", () => {
  const output = complaints({
    "wire/a.ts": `import { b } from "./b.ts"; export const a = b;`,
    "wire/b.ts": `export const b = 1;`,
    "wire/a.test.ts": `import { test } from "vitest"; test("a", () => {});`,
    "edge/a.ts": `import { a } from "../wire/a.ts"; import { b } from "./shard/b.ts"; import { c } from "isbot"; export const x = [a, b, c];`,
    "edge/click/a.ts": `import { a } from "../../wire/a.ts"; import { b } from "./stamp.ts"; import type { c } from "../shard/storage.ts"; import { d } from "isbot"; export const x = [a, b, d]; export type T = typeof c;`,
    "aggregator/sink/unit.ts": `import { a } from "../limits.ts"; import type { b } from "../source/stream-reader.ts"; export const x = [a]; export type T = typeof b;`,
    "edge/shard/b.ts": `import { a } from "../../wire/a.ts"; export const b = a;`,
    "aggregator/a.ts": `import { a } from "../wasm/kernel.ts"; import { b } from "../wasm/wasm-kernel.ts"; import { c } from "../wasm/reference-kernel.ts"; import { d } from "../wasm/limits.ts"; export const x = [a, b, c, d];`,
    "aggregator/config.ts": `export const home = process.env["HOME"];`,
    "wasm/wasm-kernel.ts": `import { a } from "./layout.ts"; import { b } from "../wire/b.ts"; export const x = [a, b];`,
    "wasm/layout.ts": `export const a = 1;`,
    "tests/e2e/a.ts": `import { a } from "../../aggregator/a.ts"; export const x = a;`,
  });
  expect(output).not.toContain("Error/");
});
