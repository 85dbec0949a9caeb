/** Reading logs: the worst lines that a file can hold, times as people write them, and ids that stay. */
import { describe, expect, test } from "vitest";
import { shardOf } from "../../wire/routing.ts";
import { logClick, logClickId, wantedColumns } from "./log-click.ts";
import type { Mapping } from "./log-click.ts";
import { LINE_BYTES_MAX, LineSplitter } from "./log-lines.ts";
import { RECORD_LINES_MAX, rowReader } from "./log-rows.ts";
import type { LogFormat, LogRow } from "./log-rows.ts";
import { chooseSpeed, parseLogTime, replayTimeMs } from "./log-time.ts";
import { UsageError } from "./usage-error.ts";

/** Reads `bytes` in chunks of `chunkBytes`; what comes out must not depend on it. */
function read(
  bytes: string | Uint8Array,
  wanted: readonly string[],
  format: LogFormat = "csv",
  chunkBytes = 7,
): LogRow[] {
  const buffer = typeof bytes === "string" ? Buffer.from(bytes) : bytes;
  const splitter = new LineSplitter();
  const reader = rowReader(format, wanted, null);
  const rows: LogRow[] = [];
  for (let at = 0; at < buffer.length; at += chunkBytes) {
    // One buffer for all chunks, as a stream may do.
    const chunk = Uint8Array.from(buffer.subarray(at, at + chunkBytes));
    for (const line of splitter.push(chunk)) rows.push(...reader.push(line));
    chunk.fill(0);
  }
  for (const line of splitter.end()) rows.push(...reader.push(line));
  return [...rows, ...reader.end()];
}

/** A CSV with one quoted field over so many lines. */
function quotedOver(lines: number): string {
  return `a,b\n1,"${"x\n".repeat(lines - 1)}x"\n`;
}

describe("CSV", () => {
  test("columns are found by name, in the order asked for", () => {
    expect(read("a,b,c\n1,2,3\n4,5,6\n", ["c", "a"])).toEqual([
      { line: 2, values: ["3", "1"] },
      { line: 3, values: ["6", "4"] },
    ]);
  });

  test("BOM, CRLF, blank lines and a missing last line end change nothing", () => {
    expect(read("\uFEFFa,b\r\n1,2\r\n\r\n3,4", ["a", "b"])).toEqual([
      { line: 2, values: ["1", "2"] },
      { line: 4, values: ["3", "4"] },
    ]);
  });

  test("quotes hold delimiters, quotes and line ends", () => {
    expect(read('a,b\n"1,5","say ""x"""\n"two\nlines",2\n3,4\n', ["b"])).toEqual([
      { line: 2, values: ['say "x"'] },
      { line: 3, values: ["2"] },
      { line: 5, values: ["4"] },
    ]);
    expect(read('a\n"1,5"\n', ["a"])).toEqual([{ line: 2, values: ["1,5"] }]);
  });

  test("two stray quotes cost their lines, not the good rows between them", () => {
    const rows = read('ad,at,user\n"oops,1,2\nx,1,2\ny,3,4\ntv 55",4,5\nz,6,7\n', ["ad", "at"]);
    expect(rows).toEqual([
      { line: 2, bad: "a quote makes 4 lines one row, with a line break in ad" },
      { line: 3, values: ["x", "1"] },
      { line: 4, values: ["y", "3"] },
      { line: 5, bad: "a quote is out of place" },
      { line: 6, values: ["z", "6"] },
    ]);
  });

  test("the same where the joined row has too many or too few fields, and at the end of the file", () => {
    for (const end of ["", "\n"]) {
      expect(read(`ad,at\n1,"oops,2\n3,4\n5,tv",6,7${end}`, ["ad"])).toEqual([
        { line: 2, bad: "a quote makes 3 lines one row: 4 fields, the header has 2" },
        { line: 3, values: ["3"] },
        { line: 4, bad: "a quote is out of place" },
      ]);
    }
  });

  test("what is looked at again may hold another record over several lines", () => {
    expect(read('ad,note\n"oops,1\n2,"two\nlines"\n3,x\n', ["ad"])).toEqual([
      { line: 2, bad: "a quote is out of place" },
      { line: 3, values: ["2"] },
      { line: 5, values: ["3"] },
    ]);
  });

  test("a header over several lines is refused: a stray quote in it would swallow rows", () => {
    expect(() => read('ad,"note\n1,x\n2,y"\n3,z\n', ["ad"])).toThrow(
      "the header is not CSV: a quote makes 3 lines one row",
    );
  });

  test("short and long rows are bad, and the next one is read", () => {
    expect(read("a,b\n1\n1,2,3\n1,2\n", ["a"])).toEqual([
      { line: 2, bad: "1 fields, the header has 2" },
      { line: 3, bad: "3 fields, the header has 2" },
      { line: 4, values: ["1"] },
    ]);
  });

  test("a quote that is never closed costs one row, not the rest of the file", () => {
    const rows = Array.from({ length: 50 }, (_, i) => `${i},x`).join("\n");
    const found = read(`a,b\n"oops,1\n${rows}\n`, ["a"]);
    expect(found[0]).toEqual({ line: 2, bad: "a quote is not closed" });
    expect(found.slice(1)).toEqual(
      Array.from({ length: 50 }, (_, i) => ({ line: i + 3, values: [String(i)] })),
    );
  });

  test("the same near the end of the file, and twice within a few lines", () => {
    expect(read('a,b\n"oops,1\n2,x', ["a"])).toEqual([
      { line: 2, bad: "a quote is not closed" },
      { line: 3, values: ["2"] },
    ]);
    const twice = read('a,b\n"oops,1\n2,x\n"oops,3\n4,x\n', ["a"]);
    expect(twice.filter((row) => "values" in row).map((row) => row.line)).toEqual([3, 5]);
  });

  test("a quote out of place costs its row", () => {
    expect(read('a,b\n1,x"y\n"1"2,x\n3,4\n', ["a"])).toEqual([
      { line: 2, bad: "a quote is out of place" },
      { line: 3, bad: "a quote is out of place" },
      { line: 4, values: ["3"] },
    ]);
  });

  test("bytes that are not UTF-8 cost their row", () => {
    const bytes = Buffer.concat([
      Buffer.from("a,b\n1,"),
      Buffer.from([0xff, 0xfe]),
      Buffer.from("\n2,ü\n"),
    ]);
    expect(read(bytes, ["a", "b"])).toEqual([
      { line: 2, bad: "not UTF-8" },
      { line: 3, values: ["2", "ü"] },
    ]);
  });

  test("a huge line costs its row and no memory", () => {
    const huge = "x".repeat(3 * LINE_BYTES_MAX);
    for (const chunkBytes of [1_000, LINE_BYTES_MAX, 10_000_000]) {
      expect(read(`a,b\n1,${huge}\n2,y\n`, ["a"], "csv", chunkBytes)).toEqual([
        { line: 2, bad: `longer than ${LINE_BYTES_MAX} bytes` },
        { line: 3, values: ["2"] },
      ]);
    }
  });

  test("a huge last line without end is bad too", () => {
    expect(read(`a\n${"x".repeat(2 * LINE_BYTES_MAX)}`, ["a"], "csv", 5_000)).toEqual([
      { line: 2, bad: `longer than ${LINE_BYTES_MAX} bytes` },
    ]);
  });

  test("a column that is not there is the user's error, with the columns that are", () => {
    expect(() => read("ip,app,click_time\n1,2,3\n", ["ad_id"])).toThrow(
      new UsageError('no column "ad_id"; the log has: ip, app, click_time'),
    );
    expect(() => read("a,a\n1,2\n", ["a"])).toThrow("more than one");
  });

  test("a record spans a bounded number of lines", () => {
    expect(read(quotedOver(RECORD_LINES_MAX), ["a"])).toHaveLength(1);
    expect(read(quotedOver(RECORD_LINES_MAX + 1), ["a"])[0]).toHaveProperty("bad");
  });

  test("tabs separate a TSV", () => {
    expect(read("a\tb\n1,1\t2\n", ["a", "b"], "tsv")).toEqual([{ line: 2, values: ["1,1", "2"] }]);
  });
});

describe("NDJSON", () => {
  test("text, numbers, booleans and null become text", () => {
    expect(read('{"a":"x","b":1.5}\n{"a":true,"b":null}\n', ["a", "b"], "ndjson")).toEqual([
      { line: 1, values: ["x", "1.5"] },
      { line: 2, values: ["true", ""] },
    ]);
  });

  test("numbers keep their text: ads above 2^53 stay apart", () => {
    const lines = [
      "23843000000000001",
      "23843000000000002",
      "1.10",
      "-0",
      "007",
      "1.5e12",
      "1e400",
    ];
    const text = lines.map((n) => `{"a":${n},"b":{"c":[9007199254740993,{"a":1}]}}\n`).join("");
    expect(read(text, ["a"], "ndjson")).toEqual([
      { line: 1, values: ["23843000000000001"] },
      { line: 2, values: ["23843000000000002"] },
      { line: 3, values: ["1.10"] },
      { line: 4, values: ["-0"] },
      { line: 5, bad: "not JSON" },
      { line: 6, values: ["1500000000000"] },
      { line: 7, values: ["1e400"] },
    ]);
    const time = read('{"at":1509984013.25}\n{"at":1.50998401325e12}\n', ["at"], "ndjson");
    expect(time.map((row) => "values" in row && parseLogTime(row.values[0]!))).toEqual([
      1_509_984_013_250, 1_509_984_013_250,
    ]);
  });

  test("values within values are no ids, at any depth", () => {
    const deep = `{"a":${"[".repeat(30_000)}1${"]".repeat(30_000)}}`;
    const [one, two, three] = read(`{"a":1}\n{"a":[1]}\n${deep}\n`, ["a"], "ndjson", 4_096);
    expect(one).toEqual({ line: 1, values: ["1"] });
    expect(two).toHaveProperty("bad");
    expect(three).toHaveProperty("bad");
  });

  test("what is no object, or lacks a column, costs its line", () => {
    const rows = read('{"a":1}\n[1]\n{"a":\n\n{"b":2}\n{"a":{}}\n{"a":2}\n', ["a"], "ndjson");
    expect(rows).toEqual([
      { line: 1, values: ["1"] },
      { line: 2, bad: "not a JSON object" },
      { line: 3, bad: "not JSON" },
      { line: 5, bad: 'no "a"; it has: b' },
      { line: 6, bad: '"a" is not text or a number' },
      { line: 7, values: ["2"] },
    ]);
  });

  test("a first object without the column is the user's error", () => {
    expect(() => read('{"b":2}\n', ["a"], "ndjson")).toThrow('line 1 has no "a"; it has: b');
  });
});

describe("times", () => {
  test("ISO, with zone or without (UTC), with fractions", () => {
    const at = Date.UTC(2017, 10, 6, 16, 0, 13);
    expect(parseLogTime("2017-11-06 16:00:13")).toBe(at);
    expect(parseLogTime("2017-11-06T16:00:13Z")).toBe(at);
    expect(parseLogTime("2017-11-06T18:00:13+02:00")).toBe(at);
    expect(parseLogTime("2017-11-06T18:00:13 +0200")).toBe(at);
    expect(parseLogTime("2017-11-06 16:00:13 UTC")).toBe(at);
    expect(parseLogTime(" 2017-11-06 16:00:13.5 ")).toBe(at + 500);
    expect(parseLogTime("2017-11-06 16:00:13,123456789")).toBe(at + 123);
    expect(parseLogTime("2017-11-06 16:00")).toBe(at - 13_000);
  });

  test("seconds and milliseconds since 1970", () => {
    expect(parseLogTime("1509984013")).toBe(1_509_984_013_000);
    expect(parseLogTime("1509984013.25")).toBe(1_509_984_013_250);
    expect(parseLogTime("1509984013250")).toBe(1_509_984_013_250);
  });

  test.for([
    "",
    "yesterday",
    "2017-02-30 10:00:00",
    "2017-11-06 24:00:00",
    "2017-11-06",
    "06.11.2017 16:00",
    "-5",
    "NaN",
    "1e12",
    "99999999999999999",
    "2017-11-06 16:00:13 PST",
  ])("%j is no time", (text) => {
    expect(parseLogTime(text)).toBeNull();
  });

  test("the first click becomes now and time runs by the speed", () => {
    const pace = { firstMs: 1_000_000, startMs: 5_000_000, speed: 60 };
    expect(replayTimeMs(pace, 1_000_000)).toBe(5_000_000);
    expect(replayTimeMs(pace, 1_060_000)).toBe(5_001_000);
    expect(replayTimeMs(pace, 940_000)).toBe(4_999_000);
  });

  test("the chosen speed takes about a minute, longer for many clicks, and is never slower than life", () => {
    expect(chooseSpeed(3 * 86_400_000, 20_000)).toBe(4_320);
    expect(chooseSpeed(3 * 86_400_000, 1_200_000)).toBe(432);
    expect(chooseSpeed(10_000, 100)).toBe(1);
    expect(chooseSpeed(0, 1)).toBe(1);
  });
});

describe("clicks", () => {
  const mapping: Mapping = {
    ad: ["app", "channel"],
    time: "at",
    user: "ip",
    country: "land",
    userAgent: "ua",
  };
  const row = (values: string[]) => logClick(mapping, { line: 9, values });
  const good = ["12", "178", "2017-11-06 16:00:00", "48646", "de", "curl/8"];

  const broken = (at: number, value: string) => row(good.with(at, value));

  test("ad columns are joined, and every mapped column finds its place", () => {
    expect(wantedColumns(mapping)).toEqual(["app", "channel", "at", "ip", "land", "ua"]);
    expect(row(good)).toEqual({
      line: 9,
      adId: "12-178",
      timeMs: Date.UTC(2017, 10, 6, 16),
      userId: "48646",
      country: "DE",
      userAgent: "curl/8",
    });
  });

  test("what makes no click is bad, and says why", () => {
    expect(broken(1, " ")).toEqual({ line: 9, bad: "channel is empty" });
    expect(broken(2, "soon")).toEqual({ line: 9, bad: 'at is no time: "soon"' });
    expect(broken(4, "Germany")).toEqual({
      line: 9,
      bad: 'land is no two-letter country: "GERMANY"',
    });
    expect(broken(5, "Müller\u0000")).toEqual({ line: 9, bad: "ua is not printable ASCII" });
    expect(broken(3, "")).toMatchObject({ userId: null });
  });
});

describe("ids", () => {
  test("are the same for the same content and line, and fit the limit", () => {
    const hash = "0123456789abcdef".repeat(4);
    expect(logClickId(hash, 7)).toBe("r0123456789abx0.7");
    expect(logClickId(hash, 7)).toBe(logClickId(hash, 7));
    expect(logClickId(hash, 1_000_000_000_000).length).toBeLessThanOrEqual(64);
  });

  test("neighbours stay together and a file uses all shards", () => {
    const hash = "fedcba9876543210".repeat(4);
    expect(shardOf(logClickId(hash, 1), 64)).toBe(shardOf(logClickId(hash, 200), 64));
    const shards = new Set<number>();
    for (let line = 1; line < 200_000; line += 100) shards.add(shardOf(logClickId(hash, line), 64));
    expect(shards.size).toBe(64);
  });
});
