/** A Worker in TypeScript as modules that workerd takes: types stripped, as Node strips them, and nothing bundled. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const REPOSITORY = fileURLToPath(new URL("../../../", import.meta.url));
const RELATIVE_IMPORT = /(\bfrom\s+|\bimport\s+)"(\.[^"]+)\.ts"/g;

/**
 * Writes a module and all that it imports by relative paths, under their paths in the repository.
 *
 * @returns the modules' names, the given one first
 */
export function writeWorkerModules(entry: string, directory: string): string[] {
  const names: string[] = [];
  const open = [entry];
  const seen = new Set(open);
  for (let file = open.shift(); file !== undefined; file = open.shift()) {
    const code = stripTypeScriptTypes(readFileSync(file, "utf8"));
    for (const [, , path] of code.matchAll(RELATIVE_IMPORT)) {
      const imported = resolve(dirname(file), `${path}.ts`);
      if (!seen.has(imported)) open.push(imported);
      seen.add(imported);
    }
    const name = relative(REPOSITORY, file).replace(/\.ts$/, ".js");
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), code.replace(RELATIVE_IMPORT, '$1"$2.js"'));
    names.push(name);
  }
  return names;
}
