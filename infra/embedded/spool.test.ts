/** The limits of what is on disk, with files that have a length but no bytes. */
import { mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterEach, beforeEach, expect, test } from "vitest";
import { RESULT_BYTES_MAX, SPOOL_BYTES_MAX } from "./limits.ts";
import { Spool } from "./spool.ts";

let directory: string;
beforeEach(() => (directory = mkdtempSync(join(tmpdir(), "clickmill-spool-"))));
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function resultOf(spool: Spool, byteCount: number) {
  const file = spool.result();
  writeFileSync(file.path, "");
  truncateSync(file.path, byteCount);
  return file;
}

test("files of an earlier process are removed", () => {
  writeFileSync(join(directory, "1.data"), "x");
  const spool = new Spool(directory);
  expect([readdirSync(directory), spool.result().read()]).toEqual([[], []]);
});

test("a result is stopped while it grows beyond its limit, and not before", async () => {
  const spool = new Spool(directory);
  const fits = resultOf(spool, RESULT_BYTES_MAX);
  const tooLarge = resultOf(spool, RESULT_BYTES_MAX + 1);
  await expect.poll(() => tooLarge.exceeded.reason as unknown).toMatchObject({ code: 396 });
  expect(fits.exceeded.aborted).toBe(false);
  await Promise.all([fits.remove(), tooLarge.remove()]);
  expect(readdirSync(directory)).toEqual([]);
});

test("all files together have a limit, and what is removed makes room", async () => {
  const spool = new Spool(directory);
  const files = Array.from({ length: SPOOL_BYTES_MAX / RESULT_BYTES_MAX }, () =>
    resultOf(spool, RESULT_BYTES_MAX),
  );
  for (const file of files) file.read();
  const late = resultOf(spool, 1);
  late.read();
  expect(late.exceeded.reason).toMatchObject({ code: 202, status: 503 });
  const data = Readable.from([Buffer.alloc(1)]);
  await expect(spool.write(data)).rejects.toMatchObject({ code: 202, status: 503 });
  await Promise.all([...files, late].map((file) => file.remove()));
  const fits = await spool.write(Readable.from([Buffer.alloc(1)]));
  await fits.remove();
  expect(readdirSync(directory)).toEqual([]);
});
