/**
 * Completes package-lock.json after an install from a registry that has binaries for one platform
 * only: without an entry for every optional package, `npm ci` refuses the file on every platform.
 * Runs on Node 20; changes nothing when nothing is missing.
 */
import { readFileSync, writeFileSync } from "node:fs";

const FILE = new URL("../package-lock.json", import.meta.url);
const PLATFORM =
  /(darwin|linux|win32|windows|android|freebsd|openharmony)-(arm64|x64|64|ia32|arm|ppc64|riscv64|s390x)/;

const lock = JSON.parse(readFileSync(FILE, "utf8"));
const missing = [];
for (const [path, entry] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    if (
      `node_modules/${name}` in lock.packages ||
      `${path}/node_modules/${name}` in lock.packages
    ) {
      continue;
    }
    const match = PLATFORM.exec(name);
    if (match === null) throw new Error(`${name}: its platform cannot be told from its name`);
    const [, os, cpu] = match;
    const libc = name.includes("musl") ? ["musl"] : name.includes("gnu") ? ["glibc"] : undefined;
    // No integrity: npm checks what it can, and on the platform at hand the entry has one.
    lock.packages[`node_modules/${name}`] = {
      version,
      cpu: [cpu === "64" ? "x64" : cpu],
      ...(entry.dev ? { dev: true } : {}),
      ...(libc === undefined ? {} : { libc }),
      optional: true,
      os: [os === "windows" ? "win32" : os],
    };
    missing.push(name);
  }
}
if (missing.length > 0) {
  lock.packages = Object.fromEntries(
    Object.entries(lock.packages).toSorted(([a], [b]) => (a < b ? -1 : 1)),
  );
  writeFileSync(FILE, `${JSON.stringify(lock, null, 2)}\n`);
  console.log(`package-lock.json: added ${missing.length} packages of other platforms`);
}
