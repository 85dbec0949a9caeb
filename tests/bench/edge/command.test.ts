/** bench:edge, small: real workerd, real nats-server. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";

test("the command's last line is JSON with its figures, rows that were written among them, and its files are gone", () => {
  const directory = mkdtempSync(join(tmpdir(), "clickmill-test-"));
  try {
    const seconds = ["--seconds", "1", "--warm-up", "1", "--paced-seconds", "2"];
    const more = ["--paced-warm-up", "1", "--rounds", "1", "--connections", "16"];
    const cases = ["--cases", "bare,grouped,single,paced_batch10"];
    const stdout = execFileSync(
      process.execPath,
      [join(import.meta.dirname, "main.ts"), ...seconds, ...more, ...cases],
      {
        encoding: "utf8",
        env: { ...process.env, TMPDIR: directory },
        stdio: ["ignore", "pipe", "ignore"],
      },
    );
    const printed = JSON.parse(stdout.trim().split("\n").at(-1)!) as {
      rows_written_per_million: { single: number | null; batch10: number };
      usd_per_billion: { batch10: number };
      ratio_single: number;
      grouped_rps: number;
    };
    expect(Object.keys(printed).slice(0, 9)).toEqual([
      "bare_rps",
      "single_rps",
      "batch100_clicks_per_s",
      "ratio_single",
      "ratio_batch",
      "cpu_us_per_click_batch100",
      "rows_written_per_million",
      "object_requests_per_million",
      "usd_per_billion",
    ]);
    expect(printed.rows_written_per_million.single).toBeNull();
    // A row for each commit, and at most one commit for each batch of ten, and some for flushes.
    expect(printed.rows_written_per_million.batch10).toBeGreaterThan(1_000);
    expect(printed.rows_written_per_million.batch10).toBeLessThan(200_000);
    expect(printed.usd_per_billion.batch10).toBeGreaterThan(0);
    expect(printed.grouped_rps).toBeGreaterThan(0);
    expect(readdirSync(directory)).toEqual([]);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
