import { expect, test } from "vitest";
import { renderEdgeConfig, type EdgeConfigOptions } from "./render-edge-config.ts";

const OPTIONS: EdgeConfigOptions = {
  manifest: {
    name: "clickmill-edge",
    compatibilityDate: "2026-10-01",
    compatibilityFlags: ["a_flag"],
    vars: { SHARDS: "64", KEPT: "yes" },
    durableObjects: [{ binding: "SHARD_OBJECTS", className: "ClickShard", sqlite: true }],
  },
  moduleNames: ["worker.js", "kernel.wasm"],
  bundleDirectory: "bundle",
  textBindings: { SHARDS: "4", TEXT: 'a "quoted"\nline \\' },
  port: 8787,
  storageDirectory: "/state/storage",
};
const text = renderEdgeConfig(OPTIONS);

test("the stack's text bindings win over wrangler.toml's", () => {
  expect(text).toContain('( name = "SHARDS", text = "4" )');
  expect(text).not.toContain('"64"');
  expect(text).toContain('( name = "KEPT", text = "yes" )');
});

test("a text binding stays one string whatever it holds", () => {
  expect(text).toContain(String.raw`text = "a \"quoted\"\nline \\" ),`);
});

test("a class of new_sqlite_classes gets SQLite on local disk under a key that stays", () => {
  expect(text).toContain(
    '( className = "ClickShard", uniqueKey = "clickmill-edge-ClickShard", enableSql = true )',
  );
  expect(text).toContain('path = "/state/storage", writable = true');
});

test("modules are embedded by their kind, the Worker first", () => {
  expect(text.indexOf('esModule = embed "bundle/worker.js"')).toBeLessThan(
    text.indexOf('wasm = embed "bundle/kernel.wasm"'),
  );
});

test("a module of an unknown kind is refused", () => {
  expect(() => renderEdgeConfig({ ...OPTIONS, moduleNames: ["worker.exe"] })).toThrow(
    /worker\.exe/,
  );
});
