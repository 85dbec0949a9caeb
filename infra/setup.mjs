/**
 * Set-up: everything that has to be there before Clickmill runs. Plain JavaScript for Node 20 with
 * nothing installed, because it is what installs. Quiet when there is nothing to do.
 *
 * `--only=edge` builds the edge bundle alone.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { findNatsServer, findProgram, NATS_SERVER_DIRECTORY } from "./find-program.mjs";
import { livingProcess, processIdentity } from "./process-identity.mjs";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const MODULES = join(ROOT, "node_modules");
const CLICKMILL = join(ROOT, ".clickmill");
const TOOLS = join(CLICKMILL, "tools");
const LOCK = join(CLICKMILL, "setup.lock");
const LOCK_OWNER = join(LOCK, "owner");
const EDGE_BUNDLE = join(CLICKMILL, "edge-bundle");
const WASM_BUILD = join(ROOT, "wasm/build");
const INSTALL_STAMP = join(MODULES, ".clickmill-lock-hash");
const WASM_STAMP = join(WASM_BUILD, ".inputs-hash");
const EDGE_STAMP = join(EDGE_BUNDLE, ".inputs-hash");

/** Lines of a failing command's output that are shown. */
const FAILURE_LINES = 20;
/** How long another set-up is waited for; a whole one takes 2 to 10 minutes. */
const LOCK_MS_MAX = 20 * 60_000;
/** From making the lock to writing into it whose it is: microseconds. Older without a name, its owner has died. */
const LOCK_NAMED_MS_MAX = 10_000;
const LOCK_POLL_MS = 200;
/** `npm ci` of chDB's 500 MB on a slow line is the longest. */
const COMMAND_MS_MAX = 15 * 60_000;
/** Output of a command that is kept for its failure. */
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;
/** Our code strips types without a flag and asks `import.meta.main` (24.2). wrangler's floor, 22.12, is below. */
const NODE_MAJOR_MIN = 24;
const NODE_MINOR_MIN = 2;
/** npm puts its directory first in PATH, so this is what scripts run on, if it is there. */
const NODE_OF_MODULES = join(MODULES, ".bin/node");

class SetupError extends Error {
  /** All that the failing command wrote, where there is one. */
  output;
}

/** Each step says whether there is something to do, and does it. The order is the order of need. */
const STEPS = [
  { name: "modules", isNeeded: modulesNeeded, run: installModules },
  { name: "node", isNeeded: nodeNeeded, run: failOnNode },
  {
    name: "nats",
    isNeeded: () => findNatsServer(process.env.PATH) === undefined,
    run: installNatsServer,
  },
  { name: "wasm", isNeeded: wasmNeeded, run: buildWasm },
  { name: "edge", isNeeded: edgeNeeded, run: buildEdge },
];

try {
  const only = process.argv.find((argument) => argument.startsWith("--only="))?.slice(7);
  const steps = STEPS.filter((step) => only === undefined || step.name === only);
  if (steps.length === 0) throw new SetupError(`--only=${only}: no such step`);
  // Looked at without the lock first: usually there is nothing to do.
  if (steps.some((step) => step.isNeeded())) {
    takeLock();
    process.on("exit", releaseLock);
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
      process.on(signal, () => process.exit(1));
    }
    for (const step of steps) if (step.isNeeded()) step.run();
  }
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  process.stderr.write(`set-up: ${error.message}\n`);
  process.exit(1);
}

// ---- node_modules

function modulesNeeded() {
  const hash = hashFiles(["package-lock.json"]);
  if (readText(INSTALL_STAMP) === hash) return false;
  // Installed by hand, from the same lock file: as good as by us.
  if (installedMatchesLock()) {
    writeFileSync(INSTALL_STAMP, hash);
    return false;
  }
  return true;
}

/** Compares npm's own record of what it installed with the lock file. */
function installedMatchesLock() {
  const installedText = readText(join(MODULES, ".package-lock.json"));
  if (installedText === undefined) return false;
  const installed = JSON.parse(installedText).packages;
  const { "": root, ...wanted } = JSON.parse(
    readFileSync(join(ROOT, "package-lock.json"), "utf8"),
  ).packages;
  const same = (path) => installed[path]?.version === wanted[path]?.version;
  return (
    root !== undefined &&
    Object.keys(installed).every(same) &&
    // Packages for other platforms are in the lock file only.
    Object.keys(wanted).every((path) => same(path) || wanted[path].optional === true)
  );
}

function installModules() {
  say("installing npm packages (a few minutes the first time)");
  const npm = process.env.npm_execpath;
  const [command, prefix] =
    npm !== undefined && npm.endsWith("npm-cli.js") ? [machineNode(), [npm]] : ["npm", []];
  const flags = ["--include=dev", "--no-audit", "--no-fund", "--loglevel=error"];
  const environment = {
    // Not the node in node_modules/.bin: `npm ci` removes it while it works.
    PATH: pathWithoutModules(),
    npm_config_update_notifier: "false",
  };
  run(command, [...prefix, "ci", ...flags], environment);
  writeFileSync(INSTALL_STAMP, hashFiles(["package-lock.json"]));
}

function pathWithoutModules() {
  return (process.env.PATH ?? "")
    .split(delimiter)
    .filter((path) => !path.startsWith(MODULES))
    .join(delimiter);
}

function machineNode() {
  if (!process.execPath.startsWith(MODULES)) return process.execPath;
  return findProgram("node", pathWithoutModules().split(delimiter)) ?? process.execPath;
}

// ---- Node

/** The Node that everything after this script runs on: the npm package's, or else the machine's own. */
function nodeOfScripts() {
  return findProgram("node", [dirname(NODE_OF_MODULES)]) ?? machineNode();
}

/** What it says of itself; a program that does not run here says nothing. */
function versionOf(node) {
  // Spawning costs 40 ms; the version of the Node that runs this is free.
  if (realpathSync(node) === realpathSync(process.execPath)) return process.versions.node;
  const { stdout, status } = spawnSync(node, ["--version"], { encoding: "utf8" });
  return status === 0 ? stdout.trim().replace("v", "") : undefined;
}

function isNewEnough(version) {
  const [major = 0, minor = 0] = (version ?? "").split(".").map(Number);
  return major > NODE_MAJOR_MIN || (major === NODE_MAJOR_MIN && minor >= NODE_MINOR_MIN);
}

function nodeNeeded() {
  return !isNewEnough(versionOf(nodeOfScripts()));
}

function failOnNode() {
  const node = nodeOfScripts();
  const version = versionOf(node);
  const floor = `Node ${NODE_MAJOR_MIN}.${NODE_MINOR_MIN} or newer`;
  const again = "delete node_modules and run this again";
  if (node !== NODE_OF_MODULES) {
    throw new SetupError(
      `${node} is Node ${version}, and the npm package "node" has left no program in node_modules: ` +
        `let npm run install scripts (npm config get ignore-scripts), ${again}; or install ${floor}.`,
    );
  }
  const fault = version === undefined ? "does not run on this machine" : `is Node ${version}`;
  throw new SetupError(
    `${node} ${fault}; ${floor} is needed: ${again}. ` +
      `If it stays so, install ${floor} yourself and delete that one file.`,
  );
}

// ---- nats-server

function installNatsServer() {
  if (process.platform === "darwin") throw noNatsServer("brew install nats-server");
  if (process.platform === "win32") {
    throw new SetupError("Windows is not supported; use WSL with Debian or Ubuntu.");
  }
  const path = (process.env.PATH ?? "").split(delimiter);
  if (!findProgram("apt-get", path) || !findProgram("dpkg-deb", path)) {
    throw noNatsServer("see https://docs.nats.io/running-a-nats-service/introduction/installation");
  }
  // Unpacked, not installed: the package would start a system service on the user's machine.
  say("fetching nats-server from the system's package source");
  const fresh = `${NATS_SERVER_DIRECTORY}.new`;
  rmSync(fresh, { recursive: true, force: true });
  mkdirSync(fresh, { recursive: true });
  try {
    if (process.getuid?.() === 0) run("apt-get", ["update", "-qq"]);
    run("apt-get", ["download", "-qq", "nats-server"], {}, fresh);
    const packageFile = readdirSync(fresh).find((name) => name.endsWith(".deb"));
    if (packageFile === undefined) throw new SetupError("apt-get download left no package");
    run("dpkg-deb", ["-x", join(fresh, packageFile), fresh]);
    rmSync(join(fresh, packageFile));
    run(join(fresh, "usr/sbin/nats-server"), ["--version"]);
  } catch (error) {
    rmSync(fresh, { recursive: true, force: true });
    if (!(error instanceof SetupError)) throw error;
    throw noNatsServer("sudo apt-get update && sudo apt-get install nats-server", error.message);
  }
  rmSync(NATS_SERVER_DIRECTORY, { recursive: true, force: true });
  renameSync(fresh, NATS_SERVER_DIRECTORY);
}

function noNatsServer(how, why) {
  const reason = why === undefined ? "" : `\n${why}`;
  return new SetupError(`nats-server is missing. Install it: ${how}${reason}`);
}

// ---- WASM

/** All of wasm/ but its tests, because the kernel may be generated or share files with its typed face. */
function hashWasm() {
  return hashFiles(["wasm", "wire", "package.json", "package-lock.json"]);
}

function wasmNeeded() {
  return readText(WASM_STAMP) !== hashWasm();
}

function buildWasm() {
  say("building the WASM kernel");
  const hash = hashWasm();
  runScript("build:wasm");
  writeFileSync(WASM_STAMP, hash);
}

// ---- edge bundle

function hashEdge() {
  return hashFiles(["edge", "wire", "wrangler.toml", "package-lock.json"]);
}

function edgeNeeded() {
  return readText(EDGE_STAMP) !== hashEdge();
}

function buildEdge() {
  say("building the edge bundle");
  const fresh = `${EDGE_BUNDLE}.new`;
  rmSync(fresh, { recursive: true, force: true });
  // Taken before the build: a file that changes during it is built again next time.
  const hash = hashEdge();
  run(
    nodeOfScripts(),
    [join(MODULES, "wrangler/bin/wrangler.js"), "deploy", "--dry-run", "--outdir", fresh],
    {
      // No telemetry, no question, no look for updates, nothing written outside this directory.
      WRANGLER_SEND_METRICS: "false",
      WRANGLER_HIDE_BANNER: "true",
      CLOUDFLARE_TELEMETRY_DISABLED: "true",
      WRANGLER_LOG_PATH: join(TOOLS, "wrangler"),
      WRANGLER_WRITE_LOGS: "false",
      XDG_CONFIG_HOME: join(TOOLS, "wrangler"),
      CI: "true",
    },
  );
  writeFileSync(join(fresh, basename(EDGE_STAMP)), hash);
  rmSync(EDGE_BUNDLE, { recursive: true, force: true });
  renameSync(fresh, EDGE_BUNDLE);
}

// ---- what the steps share

/** One hash over the names and bytes of files and directories; tests and what a build writes do not count. */
function hashFiles(paths) {
  const hash = createHash("sha256");
  const add = (path) => {
    const full = join(ROOT, path);
    if (!existsSync(full)) return;
    if (statSync(full).isDirectory()) {
      for (const name of readdirSync(full).toSorted()) {
        if (name !== "build" && name !== "node_modules") add(`${path}/${name}`);
      }
    } else if (!/\.(test|generated)\.ts$/.test(path)) {
      const bytes = readFileSync(full);
      hash.update(`${path}\n${bytes.length}\n`).update(bytes);
    }
  };
  for (const path of paths) add(path);
  return hash.digest("hex");
}

function readText(file) {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}

/** Runs an npm script of package.json with the new Node first in PATH. */
function runScript(name) {
  const npm = process.env.npm_execpath;
  const [command, prefix] =
    npm !== undefined && npm.endsWith("npm-cli.js") ? [process.execPath, [npm]] : ["npm", []];
  run(command, [...prefix, "run", "--silent", name]);
}

/** Runs a command silently; its last lines are in the error when it fails. */
function run(command, args, environment = {}, directory = ROOT) {
  const result = spawnSync(command, args, {
    cwd: directory,
    env: { ...process.env, ...environment },
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    timeout: COMMAND_MS_MAX,
    maxBuffer: OUTPUT_BYTES_MAX,
  });
  if (result.status === 0) return;
  const how =
    result.error?.message ??
    (result.signal === null ? `exit code ${result.status}` : result.signal);
  const output = `${result.stdout ?? ""}\n${result.stderr ?? ""}`.trim();
  const lines = output.split("\n").slice(-FAILURE_LINES);
  const error = new SetupError(
    `${[command, ...args].join(" ")} failed (${how}):\n  ${lines.join("\n  ")}`,
  );
  error.output = output;
  throw error;
}

function say(text) {
  process.stdout.write(`set-up: ${text}\n`);
}

// ---- one set-up at a time

/** A directory, because making one succeeds for one process only, on every file system. */
function takeLock() {
  mkdirSync(CLICKMILL, { recursive: true });
  const deadlineMs = Date.now() + LOCK_MS_MAX;
  let said = false;
  for (;;) {
    try {
      mkdirSync(LOCK);
      writeFileSync(LOCK_OWNER, processIdentity(process.pid));
      return;
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
    }
    const owner = readText(LOCK_OWNER);
    if (lockIsStale(owner)) {
      // Renamed first: of two that see it stale, one gets it, and a lock made meanwhile is not hit twice.
      const stale = `${LOCK}.${process.pid}`;
      try {
        renameSync(LOCK, stale);
        rmSync(stale, { recursive: true, force: true });
      } catch (error) {
        if (error.code !== "ENOENT") throw error;
      }
      continue;
    }
    const who = `another set-up (process ${Number.parseInt(owner ?? "", 10) || "unknown"})`;
    if (Date.now() > deadlineMs) {
      throw new SetupError(
        `${who} has been under way for ${LOCK_MS_MAX / 60_000} minutes. ` +
          `End it; if there is no such set-up, delete ${LOCK} and run this again.`,
      );
    }
    if (!said) say(`waiting for ${who}`);
    said = true;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOCK_POLL_MS);
  }
}

function releaseLock() {
  if (readText(LOCK_OWNER) === processIdentity(process.pid)) {
    rmSync(LOCK, { recursive: true, force: true });
  }
}

/** On Linux a pid that was used again is told by its start time; elsewhere the wait is bounded. */
function lockIsStale(owner) {
  if (owner !== undefined && owner !== "") return livingProcess(owner) === undefined;
  try {
    return Date.now() - statSync(LOCK).mtimeMs > LOCK_NAMED_MS_MAX;
  } catch {
    return false;
  }
}
