/** The edge's bench without its servers: what is read, booked, paced, priced and printed. */
import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { describe, expect, test } from "vitest";
import { ALARM_DELAY_MS } from "../../../edge/limits.ts";
import type { ShardReport } from "../../../wire/report.ts";
import { shardOf } from "../../../wire/routing.ts";
import { makeInstallations } from "../../traffic/installations.ts";
import { Random } from "../../traffic/random.ts";
import { percentile, poissonArrivals } from "./arrivals.ts";
import { Book } from "./book.ts";
import { Clicks } from "./clicks.ts";
import { Connection } from "./connection.ts";
import { figuresOf, judge } from "./figures.ts";
import { ResponseReader } from "./http-response.ts";
import type { PacedCaseOutcome, ThroughputOutcome } from "./measure.ts";
import {
  dollarsPerBillion,
  objectRequestsPerMillion,
  SHARD_CLICKS_PER_SECOND,
  sumOf,
} from "./price.ts";
import { NoReportError, rowsWrittenPerMillion } from "./reported-rows.ts";
import { RequestTemplate } from "./request-template.ts";

describe("responses", () => {
  /** As workerd sends them: with a length, or chunked. */
  const withLength =
    'HTTP/1.1 202 Accepted\r\nContent-Length: 14\r\nContent-Type: application/json\r\n\r\n{"accepted":1}';
  const chunked =
    "HTTP/1.1 503 Service Unavailable\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nno r\r\nB;x=y\r\noom\r\n there\r\n0\r\n\r\n";
  const trailers =
    "HTTP/1.1 200 OK\r\ntransfer-encoding:chunked\r\n\r\n0\r\nx-why: because\r\n\r\n";
  const empty = "HTTP/1.1 204 No Content\r\n\r\n";
  const interim = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
  const stream = withLength + chunked + interim + empty + trailers + withLength;
  const expected = [
    [202, '{"accepted":1}'],
    [503, "no room\r\n there"],
    [204, ""],
    [200, ""],
    [202, '{"accepted":1}'],
  ];

  function readIn(chunks: readonly string[]) {
    const found: [number, string][] = [];
    const reader = new ResponseReader((status, body) => {
      found.push([status, Buffer.from(body).toString()]);
    });
    for (const chunk of chunks) reader.push(Buffer.from(chunk));
    return found;
  }

  test("are read one after the other out of one piece", () => {
    expect(readIn([stream])).toEqual(expected);
  });

  test("are read wherever their bytes are cut, byte by byte too", () => {
    for (let cut = 1; cut < stream.length; cut++) {
      expect(readIn([stream.slice(0, cut), stream.slice(cut)])).toEqual(expected);
    }
    expect(readIn(stream.split(""))).toEqual(expected);
  });

  test("are there as soon as their last byte is, and not before", () => {
    expect(readIn([withLength.slice(0, -1)])).toEqual([]);
    expect(readIn([chunked.slice(0, -1)])).toEqual([]);
    expect(readIn([withLength])).toHaveLength(1);
    expect(readIn([chunked])).toHaveLength(1);
  });

  test.each([
    ["this is no HTTP/1.1 response: SSH-2.0", "SSH-2.0\r\n\r\n"],
    ["a response of unknown length", "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nabc"],
    ["a chunk's size is many", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nmany\r\n"],
    ["a response's head has no end", `HTTP/1.1 200 OK\r\nx: ${"y".repeat(20_000)}`],
  ])("%s: refused", (message, bytes) => {
    expect(() => readIn([bytes])).toThrow(message);
  });
});

describe("the book", () => {
  const answer = (clicks: number, counts: object = {}) =>
    Buffer.from(
      JSON.stringify({
        accepted: clicks,
        duplicate: 0,
        rejected: 0,
        unavailable: 0,
        ...counts,
        results: Array.from({ length: clicks }, () => ({ click_id: "a", status: "accepted" })),
      }),
    );

  test("has nothing to say when every click sent was accepted", () => {
    const book = new Book();
    for (const clicks of [1, 100]) {
      book.sending(clicks);
      book.answered(clicks, 202, answer(clicks));
    }
    expect(book).toMatchObject({ sent: 101, accepted: 101 });
    expect(book.faults()).toEqual([]);
  });

  test("notes a request without an answer", () => {
    const book = new Book();
    book.sending(100);
    expect(book.faults()).toEqual(["of 100 clicks sent 0 were accepted"]);
  });

  test.each<[what: string, status: number, body: Buffer]>([
    ["another status", 503, answer(2)],
    ["a duplicate", 202, answer(1, { duplicate: 1 })],
    ["a rejected click", 202, answer(1, { rejected: 1 })],
    ["an unavailable one", 202, answer(1, { unavailable: 1 })],
    ["fewer clicks than were sent", 202, answer(1)],
    ["more clicks than were sent", 202, answer(20)],
    ["an answer that is cut off", 202, answer(2).subarray(0, 20)],
    ["an answer that is no JSON", 202, Buffer.from("ok")],
  ])("notes %s", (_, status, body) => {
    const book = new Book();
    book.sending(2);
    book.answered(2, status, body);
    expect(book.accepted).toBe(0);
    expect(book.faults()[0]).toContain(`2 clicks were answered with ${status} `);
  });

  test("tells the first wrong answers and counts them all", () => {
    const book = new Book();
    for (let i = 0; i < 9; i++) {
      book.sending(1);
      book.answered(1, 500, Buffer.from(`no ${i}`));
    }
    expect(book.faults()).toHaveLength(7);
    expect(book.faults().slice(-2)).toEqual([
      "9 answers are wrong in all",
      "of 9 clicks sent 0 were accepted",
    ]);
  });
});

describe("requests", () => {
  const [sender] = makeInstallations(1, "test", new Random(1));

  function sent(template: RequestTemplate, install: number, nowMs: number) {
    let ad = 7;
    const text = Buffer.from(template.fill(install, nowMs, () => ad++)).toString();
    const [head = "", body = ""] = text.split("\r\n\r\n");
    expect(head).toContain(`\r\ncontent-length: ${body.length}`);
    return JSON.parse(body) as Record<string, unknown>;
  }

  test("of one click are the click itself", () => {
    expect(sent(new RequestTemplate(1, sender!), 42, 1_795_420_000_123)).toEqual({
      click_id: "i000000000042.000",
      ad_id: "ad-00000007",
      timestamp: 1_795_420_000_123,
      user_id: sender!.id,
    });
  });

  test("of more are one installation's, so they go to one shard", () => {
    const template = new RequestTemplate(100, sender!);
    sent(template, 999_999_999_999, 1_795_420_000_000);
    const { sent_at, clicks } = sent(template, 3, 1_795_420_009_000) as {
      sent_at: number;
      clicks: Record<string, string>[];
    };
    expect(sent_at).toBe(1_795_420_009_000);
    expect(clicks).toHaveLength(100);
    expect(clicks[99]).toEqual({
      click_id: "i000000000003.099",
      ad_id: "ad-00000106",
      timestamp: 1_795_420_009_000 - 99 * 40,
      user_id: sender!.id,
    });
    expect(new Set(clicks.map(({ click_id }) => click_id)).size).toBe(100);
    expect(new Set(clicks.map(({ click_id }) => shardOf(click_id!, 64))).size).toBe(1);
  });

  test("never have an id that another had, whatever template they are made of", () => {
    const clicks = new Clicks(1);
    const templates = [clicks.template(1), clicks.template(10), clicks.template(1)];
    const ids = templates
      .flatMap((template) => [template, template])
      .flatMap((template) =>
        Buffer.from(clicks.fill(template))
          .toString()
          .match(/"click_id":"[^"]+"/g),
      );
    expect(ids).toHaveLength(24);
    expect(new Set(ids).size).toBe(24);
  });

  test("do not fit a number that has more digits", () => {
    const template = new RequestTemplate(1, sender!);
    expect(() => template.fill(10 ** 12, 1_795_420_000_000, () => 1)).toThrow(
      "more than 12 digits",
    );
  });
});

describe("arrivals", () => {
  function gapsMs(perSecond: number, seed: number, count: number): number[] {
    const gaps: number[] = [];
    let beforeMs = 0;
    for (const atMs of poissonArrivals(perSecond, new Random(seed))) {
      gaps.push(atMs - beforeMs);
      beforeMs = atMs;
      if (gaps.length === count) break;
    }
    return gaps;
  }

  test("come at their rate, with gaps as irregular as chance has them", () => {
    const gaps = gapsMs(724, 1, 20_000);
    const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length;
    expect(mean).toBeCloseTo(1_000 / 724, 1);
    // Of an exponential distribution the mean and the deviation are the same; a metronome has none.
    const variance = gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / gaps.length;
    expect(Math.sqrt(variance) / mean).toBeCloseTo(1, 1);
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(0);
  });

  test("follow from the seed", () => {
    expect(gapsMs(100, 5, 50)).toEqual(gapsMs(100, 5, 50));
    expect(gapsMs(100, 5, 50)).not.toEqual(gapsMs(100, 6, 50));
  });

  test("a percentile is a value that was there", () => {
    const values = Array.from({ length: 100 }, (_, i) => 100 - i);
    expect([percentile(values, 0.5), percentile(values, 0.99), percentile(values, 1)]).toEqual([
      50, 99, 100,
    ]);
    expect(percentile([3], 0.99)).toBe(3);
    expect(() => percentile([], 0.5)).toThrow("a percentile of nothing");
  });
});

test("a request that is never answered is lost after its time, and not waited for", async () => {
  const silent = createServer((socket) => socket.resume()).listen(0, "127.0.0.1");
  await once(silent, "listening");
  const { port } = silent.address() as AddressInfo;
  const clicks = new Clicks(1);
  const lost = Promise.withResolvers<Error>();
  const connection = await Connection.open(port, clicks.template(1), lost.resolve, 20);
  expect(connection.isLost).toBe(false);
  connection.send(clicks.fill(connection.template), () => undefined);
  expect((await lost.promise).message).toContain("nothing came within 20 ms");
  expect(connection.isLost).toBe(true);
  silent.close();
  await once(silent, "close");
});

describe("dollars", () => {
  test("of a billion single clicks, each a request, a call, half a row and 500 µs", () => {
    const dollars = dollarsPerBillion({
      clicksPerRequest: 1,
      objectRequestsPerMillion: 1_000_000,
      rowsWrittenPerMillion: 500_000,
      cpuUsPerClick: 500,
    });
    expect(dollars.workerRequests).toBeCloseTo(300);
    expect(dollars.workerCpu).toBeCloseTo(10);
    expect(dollars.objectRequests).toBeCloseTo(150);
    expect(dollars.rowsWritten).toBeCloseTo(500);
    // 64 objects × 86,400 s × 0.128 GB = 707,788.8 GB-s.
    expect(dollars.objectDuration).toBeCloseTo(8.847, 3);
    expect(sumOf(dollars)).toBeCloseTo(968.847, 3);
  });

  test("batches of 10 make a tenth of the requests and calls", () => {
    const dollars = dollarsPerBillion({
      clicksPerRequest: 10,
      objectRequestsPerMillion: 100_000,
      rowsWrittenPerMillion: 70_000,
      cpuUsPerClick: 100,
    });
    expect(dollars).toMatchObject({ workerRequests: 30, workerCpu: 2 });
    expect(sumOf(dollars)).toBeCloseTo(30 + 2 + 15 + 70 + 8.847, 3);
  });

  test("alarms are requests to objects too", () => {
    expect(SHARD_CLICKS_PER_SECOND).toBe(181);
    expect(objectRequestsPerMillion(1, 10_000)).toBeCloseTo(1_000_000 + 1_000_000 / 1_810);
    expect(objectRequestsPerMillion(10, 10_000)).toBeCloseTo(100_000 + 1_000_000 / 1_810);
  });
});

describe("rows written", () => {
  const report = (atMs: number, accepted: number, rowsWritten: number) =>
    ({ atMs, accepted, rowsWritten }) as ShardReport;

  test("are those of reports within the time, over the clicks of the same reports", () => {
    const reports = [
      report(1_000, 9_999, 1),
      report(1_001, 100, 10),
      report(1_500, 200, 20),
      report(2_000, 100, 50),
      report(2_001, 1, 9_999),
    ];
    expect(rowsWrittenPerMillion(reports, 1_000, 2_000)).toBe(200_000);
  });

  test("cannot be told without reports, or from reports without clicks", () => {
    expect(() => rowsWrittenPerMillion([], 0, 9)).toThrow(NoReportError);
    expect(() => rowsWrittenPerMillion([report(5, 0, 3)], 0, 9)).toThrow("Clickmill-Report");
  });
});

describe("what is printed", () => {
  const run = (requestsPerSecond: number, cpuUsPerClick: number | null = 8): ThroughputOutcome => ({
    requestsPerSecond,
    cpuUsPerClick,
    generatorCpuShare: 0.1,
    clicks: 10,
  });
  const paced = (rows: number, cpuUsPerClick: number | null = 100): PacedCaseOutcome => ({
    latenciesMs: [1, 2, 9],
    lagsMs: [0.1, 0.2, 0.3],
    rowsWrittenPerMillion: rows,
    cpuUsPerClick,
    generatorCpuShare: 0.1,
    clicks: 5,
    clicksPerSecond: 724,
  });
  const rounds = [
    { bare: run(1_000), grouped: run(800), single: run(700), batch100: run(300) },
    { bare: run(2_000), single: run(900), batch100: run(400) },
    { bare: run(1_500), single: run(975), batch100: run(450, null) },
  ];

  test("are medians of rates, and of the ratios within a round", () => {
    const figures = figuresOf(rounds, { single: paced(500_000), batch10: paced(50_000) });
    expect(figures).toMatchObject({
      bare_rps: 1_500,
      single_rps: 900,
      batch100_clicks_per_s: 40_000,
      ratio_single: 0.65,
      ratio_batch: 30,
      cpu_us_per_click_batch100: 8,
      rows_written_per_million: { single: 500_000, batch10: 50_000 },
      usd_per_billion: { batch10: 105.93 },
      paced: { single: { latency_ms: { p50: 2, p99: 9 } } },
      grouped_rps: 800,
      ratio_grouped: 0.8,
      spread_percent: { bare: 100, grouped: 0, single: 39, batch100: 50 },
      clicks: 110,
    });
    expect(figures.object_requests_per_million.batch10).toBe(
      Math.round(objectRequestsPerMillion(10, ALARM_DELAY_MS)),
    );
    expect(judge(figures)).toEqual([
      "ratio_single 0.65: met (at least 0.6)",
      "ratio_batch 30: met (at least 25)",
      "usd_per_billion.batch10 105.93: met (at most 150)",
    ]);
  });

  test("a bar that is missed is said so", () => {
    const slow = [{ bare: run(1_000), single: run(599), batch100: run(249) }];
    const lines = judge(figuresOf(slow, { batch10: paced(150_000) }));
    expect(lines.map((line) => / NOT met /.test(line))).toEqual([true, true, true]);
  });

  test("what was not measured is null, and has no bar", () => {
    const figures = figuresOf([{ single: run(700) }, { single: run(900) }], {});
    expect(figures).toMatchObject({
      bare_rps: null,
      single_rps: 800,
      ratio_single: null,
      ratio_batch: null,
      usd_per_billion: { single: null, batch10: null },
    });
    expect(judge(figures)).toEqual([]);
    expect(figuresOf([], { single: paced(1, null) }).paced.single?.cpu_us_per_click).toBeNull();
  });
});
