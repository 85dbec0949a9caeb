/** What `start` prints for a person to paste. */
import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { curlUser } from "./start.ts";

test("the printed curl names the user wherever one is needed", () => {
  expect(curlUser({ name: "default", password: "" })).toBe("");
  expect(curlUser({ name: "default", password: "p" })).toBe("-u 'default' ");
  expect(curlUser({ name: "ann", password: "p" })).toBe("-u 'ann' ");
  // Without the colon, curl would ask for a password that is not there.
  expect(curlUser({ name: "ann", password: "" })).toBe("-u 'ann:' ");
});

test("a name is one word to the shell, whatever is in it", () => {
  const name = `o'neill "$(exit 1)" \\`;
  const words = execFileSync("sh", ["-c", `printf '%s\\n' ${curlUser({ name, password: "p" })}`], {
    encoding: "utf8",
  });
  expect(words).toBe(`-u\n${name}\n`);
});
