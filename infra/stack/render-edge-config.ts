/**
 * workerd's configuration of the local edge as text: one Worker, its Durable Objects on local disk,
 * one HTTP socket. What wrangler would do for `wrangler dev`, without its proxy and request log, which cost nine tenths of the speed.
 */

/** What of wrangler.toml the local edge needs. */
export interface EdgeManifest {
  readonly name: string;
  readonly compatibilityDate: string;
  readonly compatibilityFlags: readonly string[];
  readonly vars: Readonly<Record<string, string>>;
  readonly durableObjects: readonly DurableObject[];
}

export interface DurableObject {
  readonly binding: string;
  readonly className: string;
  /** From the migrations: new_sqlite_classes. */
  readonly sqlite: boolean;
}

export interface EdgeConfigOptions {
  readonly manifest: EdgeManifest;
  /** Where the bundle is, relative to the configuration file. */
  readonly bundleDirectory: string;
  /** Paths in the bundle, as the modules import one another; the Worker itself first. */
  readonly moduleNames: readonly string[];
  readonly textBindings: Readonly<Record<string, string>>;
  readonly port: number;
  /** Absolute. */
  readonly storageDirectory: string;
}

/** @throws Error on a module of a kind that workerd's configuration has no field for here. */
export function renderEdgeConfig(options: EdgeConfigOptions): string {
  const { manifest } = options;
  const modules = options.moduleNames.map(
    (name) =>
      `    ( name = ${quote(name)}, ${moduleKind(name)} = embed ${quote(`${options.bundleDirectory}/${name}`)} ),`,
  );
  const texts = Object.entries({ ...manifest.vars, ...options.textBindings }).map(
    ([name, value]) => `    ( name = ${quote(name)}, text = ${quote(value)} ),`,
  );
  const namespaces = manifest.durableObjects.map(
    ({ binding, className }) =>
      `    ( name = ${quote(binding)}, durableObjectNamespace = ${quote(className)} ),`,
  );
  const classes = manifest.durableObjects.map(
    ({ className, sqlite }) =>
      `    ( className = ${quote(className)}, uniqueKey = ${quote(`${manifest.name}-${className}`)}, enableSql = ${String(sqlite)} ),`,
  );
  return `# Written by infra/stack/render-edge-config.ts at every start; changes here are lost.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    ( name = "edge", worker = .edge ),
    # "local" lets a shard reach nats-server on 127.0.0.1.
    ( name = "internet", network = ( allow = ["public", "private", "local"], tlsOptions = ( trustBrowserCas = true ) ) ),
    ( name = "storage", disk = ( path = ${quote(options.storageDirectory)}, writable = true ) ),
  ],
  sockets = [
    ( name = "http", address = "127.0.0.1:${options.port}", http = (), service = "edge" ),
  ],
);

const edge :Workerd.Worker = (
  modules = [
${modules.join("\n")}
  ],
  compatibilityDate = ${quote(manifest.compatibilityDate)},
  compatibilityFlags = [${manifest.compatibilityFlags.map(quote).join(", ")}],
  bindings = [
${[...texts, ...namespaces].join("\n")}
  ],
  durableObjectNamespaces = [
${classes.join("\n")}
  ],
  durableObjectStorage = ( localDisk = "storage" ),
);
`;
}

const MODULE_KINDS: Readonly<Record<string, string>> = {
  js: "esModule",
  mjs: "esModule",
  wasm: "wasm",
  txt: "text",
  html: "text",
  sql: "text",
  bin: "data",
  json: "json",
};

function moduleKind(name: string): string {
  const kind = MODULE_KINDS[name.slice(name.lastIndexOf(".") + 1)];
  if (kind === undefined)
    throw new Error(`the edge bundle holds ${name}: no module of a known kind`);
  return kind;
}

/** Cap'n Proto text has C's escapes. Bytes beyond ASCII go as they are: the file is UTF-8. */
function quote(text: string): string {
  const escaped = text
    .replaceAll("\\", "\\\\")
    .replaceAll('"', '\\"')
    .replaceAll("\n", "\\n")
    .replaceAll("\r", "\\r")
    .replaceAll("\t", "\\t");
  return `"${escaped}"`;
}
