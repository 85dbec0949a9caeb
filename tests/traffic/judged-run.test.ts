/** What a run leaves behind for the one who has to find out. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { writeDifferences } from "./judged-run.ts";
import { Ledger } from "./ledger.ts";
import { Judge } from "./verdict.ts";

test("the file of differences has every one, a line each", async () => {
  const directory = mkdtempSync(join(tmpdir(), "clickmill-differences-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const judged = new Judge(new Ledger());
  for (let i = 0; i < 5_000; i++) {
    judged.rawRow({ clickId: `x${i}`, adId: "ad", eventTimeMs: 0, timeSource: "client" });
  }
  const file = join(directory, "differences.txt");
  await writeDifferences(judged.verdict(), file);
  const lines = readFileSync(file, "utf8").split("\n");
  expect(lines).toHaveLength(5_001);
  expect(lines[4_999]).toBe("foreign_id  x4999: in raw, never sent");
});
