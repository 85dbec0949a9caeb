/** Prepares the local edge: workerd itself on the bundle that `wrangler deploy` would upload. */
import { copyFileSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { unstable_readConfig } from "wrangler";
import { CLICKMILL_DIRECTORY } from "./config.ts";
import { renderEdgeConfig, type EdgeManifest } from "./render-edge-config.ts";
import { StackError } from "./stack-error.ts";

/** What infra/setup.mjs builds. */
const BUNDLE_DIRECTORY = join(CLICKMILL_DIRECTORY, "edge-bundle");
const WRANGLER_FILE = fileURLToPath(new URL("../../wrangler.toml", import.meta.url));
/** wrangler names the bundle after `main`. */
const ENTRY_MODULE = "worker.js";

export interface EdgeFiles {
  readonly workerd: string;
  /** Writes workerd's configuration for one life of the edge and returns its path. */
  writeConfig(textBindings: Readonly<Record<string, string>>): string;
}

/** Where workerd keeps the objects' SQLite files. @param directory of the edge's own state */
export function edgeStorageDirectory(directory: string): string {
  return join(directory, "storage");
}

/** @param directory of the edge's own state: bundle, configuration and storage. */
export function prepareEdge(directory: string, port: number): EdgeFiles {
  const manifest = readEdgeManifest();
  const storageDirectory = edgeStorageDirectory(directory);
  mkdirSync(storageDirectory, { recursive: true });
  // A copy, because a restart in the middle of a test must run the same code as the start, whatever
  // is built meanwhile.
  const moduleNames = copyBundle(join(directory, "bundle"));
  const configFile = join(directory, "config.capnp");
  return {
    workerd: workerdBinary(),
    writeConfig(textBindings) {
      const text = renderEdgeConfig({
        manifest,
        bundleDirectory: "bundle",
        moduleNames,
        textBindings,
        port,
        storageDirectory,
      });
      writeFileSync(configFile, text);
      return configFile;
    },
  };
}

/** What we use of wrangler's configuration; its own type refers to a package that it does not install. */
interface WranglerConfig {
  readonly name?: string;
  readonly compatibility_date?: string;
  readonly compatibility_flags: readonly string[];
  readonly vars: Readonly<Record<string, unknown>>;
  readonly migrations: readonly { readonly new_sqlite_classes?: readonly string[] }[];
  readonly durable_objects: {
    readonly bindings: readonly { readonly name: string; readonly class_name: string }[];
  };
}

/** wrangler.toml, read by wrangler itself, so that the local edge cannot drift from the deployed one. */
function readEdgeManifest(): EdgeManifest {
  const config = unstable_readConfig(
    { config: WRANGLER_FILE },
    { hideWarnings: true },
  ) as WranglerConfig;
  const { name, compatibility_date: compatibilityDate } = config;
  if (name === undefined || compatibilityDate === undefined) {
    throw new StackError("wrangler.toml needs name and compatibility_date");
  }
  const vars: Record<string, string> = {};
  for (const [key, value] of Object.entries(config.vars)) {
    if (typeof value !== "string") throw new StackError(`wrangler.toml: ${key} must be text`);
    vars[key] = value;
  }
  const sqliteClasses = new Set(config.migrations.flatMap((m) => m.new_sqlite_classes ?? []));
  return {
    name,
    compatibilityDate,
    compatibilityFlags: config.compatibility_flags,
    vars,
    durableObjects: config.durable_objects.bindings.map((binding) => ({
      binding: binding.name,
      className: binding.class_name,
      sqlite: sqliteClasses.has(binding.class_name),
    })),
  };
}

function copyBundle(target: string): string[] {
  let files: string[];
  try {
    files = readdirSync(BUNDLE_DIRECTORY, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(BUNDLE_DIRECTORY.length + 1))
      // Beside the modules wrangler writes a README.md and source maps; set-up leaves its stamp.
      .filter((name) => !/(^|\/)\.|\.(md|map)$/.test(name));
  } catch {
    files = [];
  }
  if (!files.includes(ENTRY_MODULE)) {
    throw new StackError(`${BUNDLE_DIRECTORY} holds no edge bundle: run \`npm run setup\``);
  }
  rmSync(target, { recursive: true, force: true });
  for (const name of files) {
    mkdirSync(dirname(join(target, name)), { recursive: true });
    copyFileSync(join(BUNDLE_DIRECTORY, name), join(target, name));
  }
  return [ENTRY_MODULE, ...files.filter((name) => name !== ENTRY_MODULE)];
}

/** The program itself, not the Node wrapper that npm links: the pid we kill has to be workerd's. */
function workerdBinary(): string {
  const require = createRequire(import.meta.url);
  // workerd is wrangler's dependency, not ours: the version that wrangler tests against.
  const requireOfWrangler = createRequire(require.resolve("wrangler/package.json"));
  return (requireOfWrangler("workerd") as { default: string }).default;
}
