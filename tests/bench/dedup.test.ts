/** bench:dedup, small. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { NodeSql } from "../helpers/node-sql.ts";
import { BUCKETS, firstOf, Remembered } from "./dedup/remembered.ts";

test("the command's last line is JSON with its figures, in Node and in workerd, and its files are gone", () => {
  const directory = mkdtempSync(join(tmpdir(), "clickmill-test-"));
  try {
    const command = ["--expose-gc", join(import.meta.dirname, "dedup.ts"), "--ids", "24000"];
    const stdout = execFileSync(process.execPath, command, {
      encoding: "utf8",
      env: { ...process.env, TMPDIR: directory },
      stdio: ["ignore", "pipe", "ignore"],
    });
    const printed = JSON.parse(stdout.trim().split("\n").at(-1)!) as Record<string, unknown>;
    expect(Object.keys(printed).slice(0, 6)).toEqual([
      "ids",
      "heap_mb",
      "lookups_per_s",
      "oldest_duplicate_ms_p99",
      "missed_duplicates",
      "false_duplicates",
    ]);
    expect(printed).toMatchObject({
      ids: 24_000,
      missed_duplicates: 0,
      false_duplicates: 0,
      workerd_missed_duplicates: 0,
      segments: BUCKETS - 1,
    });
    expect(readdirSync(directory)).toEqual([]);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test("what the bench calls remembered is known, and nothing else is, in every life", () => {
  const sql = new NodeSql(":memory:");
  const shard = new Remembered(sql);
  const ids = 5_000;
  for (let bucket = 0; bucket < BUCKETS; bucket++) {
    shard.receive(bucket, firstOf(bucket, ids), firstOf(bucket + 1, ids), bucket < BUCKETS - 1);
  }
  for (const life of [shard, new Remembered(sql)]) {
    expect(life.size).toBe(ids);
    for (let n = 0; n < 2 * ids; n++) expect(life.has(n)).toBe(n < ids);
  }
  sql.close();
});
