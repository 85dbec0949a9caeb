/** What a shard says about itself with its flushes is what happened: compared with what the sender did. */
import { expect, test, vi } from "vitest";
import { readShardMessages } from "../../aggregator/source/shard-messages.ts";
import type { IngestAnswer } from "../../wire/ingest.ts";
import { parseReport } from "../../wire/report.ts";
import type { ShardReport } from "../../wire/report.ts";
import { startEdgeStack } from "../helpers/edge-stack.ts";

const HOUR = 3_600_000;
const ARRIVES = { timeout: 20_000, interval: 200 };
const BROWSER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/130.0 Safari/537.36";

let unique = 0;
const clicks = (count: number) =>
  Array.from({ length: count }, () => ({
    click_id: `report.${unique++}`,
    ad_id: "ad",
    timestamp: Date.now(),
  }));

test("counts, reasons, clocks, journal and index of a report are the sender's own", async () => {
  const t = await startEdgeStack("shard-reports", {
    shards: 1,
    partitions: 2,
    windowSeconds: 60,
    // All that is sent here is in the first flush of its chain.
    edgeVars: { FLUSH_INTERVAL_MS: "3000" },
  });
  try {
    const send = async (body: object, userAgent = BROWSER): Promise<IngestAnswer> => {
      const response = await fetch(`${t.stack.urls.edge}/v1/clicks`, {
        method: "POST",
        headers: { "content-type": "application/json", "user-agent": userAgent },
        body: JSON.stringify(body),
      });
      expect(response.status).toBe(202);
      return (await response.json()) as IngestAnswer;
    };
    const now = () => Date.now();
    const honest = clicks(40);
    expect(await send({ sent_at: now(), clicks: honest })).toMatchObject({ accepted: 40 });
    expect(await send({ sent_at: now(), clicks: honest.slice(0, 7) })).toMatchObject({
      duplicate: 7,
    });
    expect(await send({ sent_at: now(), clicks: clicks(5) }, "Googlebot/2.1")).toMatchObject({
      accepted: 5,
    });
    // A clock that is two hours ahead, one that is a minute and a half behind, and none.
    const shifted = (ms: number, count: number) => ({
      sent_at: now() + ms,
      clicks: clicks(count).map((click) => ({ ...click, timestamp: click.timestamp + ms })),
    });
    expect(await send(shifted(2 * HOUR, 4))).toMatchObject({ accepted: 4 });
    expect(await send(shifted(-90_000, 3))).toMatchObject({ accepted: 3 });
    expect(await send({ clicks: clicks(2) })).toMatchObject({ accepted: 2 });
    const old = clicks(1).map((click) => ({ ...click, timestamp: now() - 48 * HOUR }));
    const nameless = clicks(3).map(({ click_id, timestamp }) => ({ click_id, timestamp }));
    expect(await send({ sent_at: now(), clicks: [...old, ...nameless] })).toMatchObject({
      rejected: 4,
    });

    const reports = await vi.waitFor(async () => {
      const { messages } = await readShardMessages(t.stack.urls.nats);
      const found = messages.flatMap(({ report }) => parseReport(report) ?? []);
      expect(found).toHaveLength(2);
      return found;
    }, ARRIVES);
    const sum = (of: (report: ShardReport) => number) =>
      reports.reduce((total, report) => total + of(report), 0);
    expect(sum((r) => r.accepted)).toBe(54);
    expect(sum((r) => r.duplicate)).toBe(7);
    expect(sum((r) => r.unavailable)).toBe(0);
    expect(sum((r) => r.rejected["missing"] ?? 0)).toBe(3);
    expect(sum((r) => r.rejected["too_old"] ?? 0)).toBe(1);
    expect(reports.flatMap((r) => Object.keys(r.invalid))).toEqual(["bot"]);
    expect(sum((r) => r.invalid["bot"] ?? 0)).toBe(5);
    expect(sum((r) => r.withoutClock)).toBe(2);
    const skew = reports[0]!.skew.map((_, place) => sum((r) => r.skew[place]!));
    expect(skew).toEqual([0, 4, 0, 0, 45, 0, 3, 0, 0]);
    const first = reports.toSorted((a, b) => a.atMs - b.atMs)[0]!;
    expect(first).toMatchObject({ dedupIds: 54, dedupSegments: 0, flushFailures: 0, flushMs: 0 });
    // Packed: of each click at least its times, its lengths and its ids.
    expect(first.journalBytes).toBeGreaterThan(54 * (20 + 10));
    expect(sum((r) => r.commits)).toBeGreaterThan(0);
    expect(first.commitMsMax).toBeGreaterThanOrEqual(first.commitMsMean);
    // A commit is a row for each chain that it has clicks for, at most; first lives write their identity too.
    expect(sum((r) => r.rowsWritten)).toBeGreaterThanOrEqual(sum((r) => r.commits));
  } finally {
    await t.stop();
  }
});
