/** The partition as a state machine: messages in, emissions out. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeBlock, encodeBlock, isFault } from "../../wire/block.ts";
import type { Block, Origin, PartialOrigin, ResultOrigin } from "../../wire/block.ts";
import { reserve, utf8, writer, writeString, written } from "../../wire/cursor.ts";
import { PARTIAL_BYTES_MAX, writePartial } from "../../wire/partial.ts";
import { readResults } from "../../wire/result.ts";
import type { ResultRow } from "../../wire/result.ts";
import { createReferenceKernel } from "../../wasm/reference-kernel.ts";
import { KERNEL_LIMITS } from "../../wasm/limits.ts";
import { CHUNK_BYTES_MIN } from "../limits.ts";
import { newPartition, step, STEP_VERSION } from "./step.ts";
import type { Effect, PartitionState, StepMessage } from "./step.ts";

const START = 1_800_000_000;
/** Broker time of `seconds` after START, ms. */
const at = (seconds: number) => (START + seconds) * 1_000;

type Row = readonly [windowSeconds: number, adId: string, clicks: number];

function blockOf(origin: Origin, rows = 0, body: Uint8Array = new Uint8Array(0)): Block {
  const block = decodeBlock(encodeBlock(origin, rows, body).bytes);
  if (isFault(block)) throw new Error(block.reason);
  return block;
}

function partial(
  flush: number,
  previous: number,
  rows: readonly Row[],
  more: Partial<{ shard: number; epoch: string; partition: number; windowSeconds: number }> = {},
): Block {
  const c = writer();
  for (const [window, adId, clicks] of rows) {
    const key = writer();
    for (const part of [adId, "KR", "mobile", ""]) writeString(key, utf8(part));
    reserve(c, PARTIAL_BYTES_MAX);
    writePartial(c, START + window, written(key), clicks);
  }
  const clicks = rows.reduce((sum, row) => sum + row[2], 0);
  return blockOf(
    {
      kind: "partial",
      shard: 1,
      epoch: "aaaaaaaa",
      flush,
      previous,
      partitions: 2,
      partition: 1,
      windowSeconds: 60,
      clicks,
      ...more,
    },
    rows.length,
    written(c),
  );
}

function message(seconds: number, block: Block | null): StepMessage {
  return { subject: "clicks.partial.2.1", id: "x", brokerTimeMs: at(seconds), block };
}
const tick = (seconds: number) => message(seconds, blockOf({ kind: "tick" }));

function fresh(): PartitionState {
  return newPartition(2, 1, createReferenceKernel());
}

/** One whose limits are reached every few blocks. */
function small(): PartitionState {
  return newPartition(2, 1, createReferenceKernel({ keysMax: 4, windowsMax: 3 }));
}

function run(messages: readonly StepMessage[], state = fresh()): Effect[] {
  return messages.flatMap((m) => step(state, m));
}

function emitted(effects: readonly Effect[]): { origin: ResultOrigin; rows: ResultRow[] }[] {
  return effects.flatMap((effect) => {
    if (effect.kind !== "emit") return [];
    return effect.emission.messages.map(({ bytes }) => {
      const block = decodeBlock(bytes);
      if (isFault(block)) throw new Error(block.reason);
      return { origin: block.origin as ResultOrigin, rows: readResults(block.body) };
    });
  });
}

const counts = (effects: readonly Effect[]) =>
  emitted(effects).flatMap(({ rows }) =>
    rows.map((r) => [r.windowStartSeconds - START, r.adId, r.clicks, r.origin]),
  );

describe("windows", () => {
  test("a window closes when broker time passes its end by the grace, and not before", () => {
    const state = fresh();
    const before = run([tick(5), message(1, partial(1, 0, [[0, "a", 3]])), tick(64.999)], state);
    expect(before).toEqual([]);
    expect(counts(run([tick(65)], state))).toEqual([[0, "a", 3, "on_time"]]);
  });

  test("ticks alone close windows when traffic stops, and every boundary is an emission", () => {
    const effects = run([tick(0), tick(65), tick(66), tick(125)]);
    expect(
      emitted(effects).map(({ origin, rows }) => [
        origin.emission,
        origin.closedThroughSeconds - START,
        rows.length,
      ]),
    ).toEqual([
      [1, 60, 0],
      [2, 120, 0],
    ]);
  });

  test("a partial for a closed window is emitted at the next boundary, as late, and is not lost", () => {
    const effects = run([
      tick(0),
      message(1, partial(1, 0, [[0, "a", 1]])),
      tick(65),
      message(
        70,
        partial(2, 1, [
          [0, "a", 2],
          [60, "a", 4],
        ]),
      ),
      tick(125),
    ]);
    expect(counts(effects)).toEqual([
      [0, "a", 1, "on_time"],
      [0, "a", 2, "late"],
      [60, "a", 4, "on_time"],
    ]);
  });

  test("broker time that goes back does not reopen anything", () => {
    const state = fresh();
    run([tick(0), tick(65)], state);
    expect(run([tick(3), tick(64)], state)).toEqual([]);
  });

  test("an emission names the producers and flushes that it includes", () => {
    const effects = run([
      tick(0),
      message(1, partial(1, 0, [[0, "a", 1]])),
      message(2, partial(7, 0, [[0, "b", 1]], { shard: 0, epoch: "zzzzzzzz" })),
      tick(65),
    ]);
    expect(emitted(effects).at(-1)?.origin.producers).toEqual([
      { shard: 0, epoch: "zzzzzzzz", flush: 7 },
      { shard: 1, epoch: "aaaaaaaa", flush: 1 },
    ]);
  });
});

describe("numbers", () => {
  test("a flush that is stored twice is counted once", () => {
    const block = partial(1, 0, [[0, "a", 3]]);
    expect(counts(run([tick(0), message(1, block), message(2, block), tick(65)]))).toEqual([
      [0, "a", 3, "on_time"],
    ]);
  });

  test("the same number with other content is an alarm, and the first one stands", () => {
    const effects = run([
      tick(0),
      message(1, partial(1, 0, [[0, "a", 3]])),
      message(2, partial(1, 0, [[0, "a", 4]])),
      tick(65),
    ]);
    expect(effects[0]).toMatchObject({ kind: "alarm", alarm: { alarm: "hash_differs" } });
    expect(counts(effects)).toEqual([[0, "a", 3, "on_time"]]);
  });

  test("a hole is an alarm, and what follows it is counted", () => {
    const effects = run([
      tick(0),
      message(1, partial(1, 0, [[0, "a", 1]])),
      message(2, partial(3, 2, [[0, "a", 1]])),
      tick(65),
    ]);
    expect(effects[0]).toMatchObject({ kind: "alarm", alarm: { alarm: "hole" } });
    expect(counts(effects)).toEqual([[0, "a", 2, "on_time"]]);
  });

  test("flushes without rows for this partition leave no hole", () => {
    const effects = run([
      tick(0),
      message(1, partial(1, 0, [[0, "a", 1]])),
      message(2, partial(9, 1, [[0, "a", 1]])),
    ]);
    expect(effects).toEqual([]);
  });

  test("a shard with a new epoch is a new producer", () => {
    const effects = run([
      tick(0),
      message(1, partial(5, 0, [[0, "a", 1]])),
      message(2, partial(1, 0, [[0, "a", 1]], { epoch: "bbbbbbbb" })),
      tick(65),
    ]);
    expect(counts(effects)).toEqual([[0, "a", 2, "on_time"]]);
  });
});

describe("what is not for this partition", () => {
  test("another partition's block and another kind are set aside, and nothing of them is counted", () => {
    const raw = blockOf({
      kind: "raw",
      shard: 1,
      epoch: "aaaaaaaa",
      flush: 1,
      previous: 0,
      flushedOn: 1,
      idsHash: 0n,
    });
    const effects = run([
      tick(0),
      message(1, partial(1, 0, [[0, "a", 1]], { partition: 0 })),
      message(1, raw),
      tick(65),
    ]);
    expect(effects.map((e) => e.kind)).toEqual(["set_aside", "set_aside", "emit"]);
    expect(counts(effects)).toEqual([]);
  });

  test("rows that are no partial rows are set aside whole", () => {
    const broken = blockOf(
      {
        kind: "partial",
        shard: 1,
        epoch: "aaaaaaaa",
        flush: 1,
        previous: 0,
        partitions: 2,
        partition: 1,
        windowSeconds: 60,
        clicks: 1,
      },
      1,
      new Uint8Array([1, 2, 3]),
    );
    expect(run([tick(0), message(1, broken)])).toMatchObject([{ kind: "set_aside" }]);
  });

  test("rows that are not the clicks that their block says are counted, with an alarm", () => {
    const right = partial(1, 0, [[0, "a", 3]]);
    const lying = blockOf({ ...(right.origin as PartialOrigin), clicks: 4 }, 1, right.body);
    const effects = run([tick(0), message(1, lying), tick(65)]);
    expect(effects[0]).toMatchObject({ kind: "alarm", alarm: { alarm: "clicks_differ" } });
    expect(counts(effects)).toEqual([[0, "a", 3, "on_time"]]);
  });

  test("a message that was set aside still tells the time", () => {
    expect(run([tick(0), message(65, null)]).map((e) => e.kind)).toEqual(["emit"]);
  });

  test("windows of another size are counted, with an alarm", () => {
    const effects = run([
      tick(0),
      message(1, partial(1, 0, [[0, "a", 1]], { windowSeconds: 10 })),
      tick(65),
    ]);
    expect(effects[0]).toMatchObject({ kind: "alarm", alarm: { alarm: "window_size_differs" } });
    expect(counts(effects)).toEqual([[0, "a", 1, "on_time"]]);
  });
});

describe("settings", () => {
  const settings = {
    kind: "settings",
    stepVersion: 1,
    windowSeconds: 10,
    graceMs: 1_000,
    chunkBytesMax: 300,
    topCount: 0,
  } as const;

  test("they are in force from their place in the stream on", () => {
    const effects = run([
      tick(0),
      message(1, blockOf(settings)),
      message(2, partial(1, 0, [[0, "a", 1]], { windowSeconds: 10 })),
      tick(10.999),
      tick(11),
    ]);
    expect(counts(effects)).toEqual([[0, "a", 1, "on_time"]]);
  });

  test("another step version stops the partition", () => {
    expect(run([message(0, blockOf({ ...settings, stepVersion: 2 }))])).toMatchObject([
      { kind: "stop", reason: expect.stringContaining("step version 2") },
    ]);
  });

  test("settings that no aggregator asks for are set aside, and those before stay in force", () => {
    const effects = run([
      tick(0),
      message(1, blockOf(settings)),
      message(1, blockOf({ ...settings, windowSeconds: 0 })),
      message(1, blockOf({ ...settings, chunkBytesMax: 1 })),
      message(1, blockOf({ ...settings, chunkBytesMax: 2 ** 31 })),
      message(2, partial(1, 0, [[0, "a", 1]], { windowSeconds: 10 })),
      tick(11),
    ]);
    expect(effects.filter((e) => e.kind === "set_aside")).toHaveLength(3);
    expect(counts(effects)).toEqual([[0, "a", 1, "on_time"]]);
  });

  test("a chunk limit splits an emission into numbered chunks with the emission's totals", () => {
    const rows = Array.from({ length: 20 }, (_, i): Row => [0, `ad-${i}`, 1]);
    const parts = emitted(
      run([
        tick(5),
        message(1, blockOf(settings)),
        message(2, partial(1, 0, rows, { windowSeconds: 10 })),
        tick(11),
      ]),
    );
    expect(parts.length).toBeGreaterThan(2);
    parts.forEach(({ origin, rows: chunkRows }, i) => {
      expect(origin).toMatchObject({
        chunk: i,
        chunks: parts.length,
        emissionRows: 20,
        emissionClicks: 20,
      });
      expect(chunkRows.every((r) => r.chunk === i)).toBe(true);
    });
  });
});

describe("limits", () => {
  const limited = (keysMax: number, windowsMax = 100) =>
    newPartition(2, 1, createReferenceKernel({ keysMax, windowsMax }));

  test("beyond the key limit everything held leaves early, and windows stay open", () => {
    const state = limited(2);
    const two: Row[] = [
      [0, "a", 1],
      [60, "a", 2],
    ];
    const early = run(
      [
        tick(62),
        message(63, partial(1, 0, two)),
        message(64, partial(2, 1, [[60, "b", 4], ...two])),
      ],
      state,
    );
    expect(counts(early)).toEqual([
      [0, "a", 2, "on_time"],
      [60, "a", 4, "on_time"],
      [60, "b", 4, "on_time"],
    ]);
    expect(emitted(early).map(({ origin }) => origin)).toMatchObject([
      {
        emission: 1,
        closedThroughSeconds: START,
        producers: [{ shard: 1, epoch: "aaaaaaaa", flush: 2 }],
      },
    ]);
    expect(state).toMatchObject({ closedThroughSeconds: START, clicksHeld: 0 });
    const closed = run([message(64.5, partial(3, 2, [[60, "a", 8]])), tick(130)], state);
    expect(counts(closed)).toEqual([[60, "a", 8, "on_time"]]);
  });

  test("rows of windows that had been closed leave early as late", () => {
    const state = limited(1);
    const effects = run(
      [
        tick(70),
        message(
          71,
          partial(1, 0, [
            [0, "a", 1],
            [60, "a", 2],
          ]),
        ),
      ],
      state,
    );
    expect(counts(effects)).toEqual([
      [0, "a", 1, "late"],
      [60, "a", 2, "on_time"],
    ]);
  });

  test("a message that closes windows and goes beyond the limit emits twice, in that order", () => {
    const state = limited(1);
    const effects = run(
      [
        tick(5),
        message(6, partial(1, 0, [[0, "a", 1]])),
        message(
          66,
          partial(2, 1, [
            [60, "a", 2],
            [0, "b", 4],
          ]),
        ),
      ],
      state,
    );
    expect(
      emitted(effects).map(({ origin }) => [origin.emission, origin.closedThroughSeconds - START]),
    ).toEqual([
      [1, 60],
      [2, 60],
    ]);
    expect(counts(effects)).toEqual([
      [0, "a", 1, "on_time"],
      [0, "b", 4, "late"],
      [60, "a", 2, "on_time"],
    ]);
    expect(effects.map((effect) => effect.kind === "emit" && effect.early)).toEqual([false, true]);
  });

  test("the settings in force say what is late, and how long a chunk is", () => {
    const settings = { stepVersion: 1, graceMs: 0, topCount: 0 };
    const rows: Row[] = Array.from({ length: 20 }, (_, i) => [10, `ad ${i}`, 1]);
    const effects = run(
      [
        tick(5),
        message(
          6,
          blockOf({
            kind: "settings",
            ...settings,
            windowSeconds: 10,
            chunkBytesMax: CHUNK_BYTES_MIN,
          }),
        ),
        tick(20),
        message(21, partial(1, 0, [...rows, [20, "a", 1]], { windowSeconds: 10 })),
      ],
      limited(20),
    );
    const early = emitted(effects.filter((effect) => effect.kind === "emit" && effect.early));
    expect(early.length).toBeGreaterThan(2);
    const origins = early.flatMap(({ rows: all }) =>
      all.map((row) => [row.windowStartSeconds - START, row.origin]),
    );
    expect(origins.filter(([window]) => window === 10)).toEqual(rows.map(() => [10, "late"]));
    expect(origins.filter(([window]) => window === 20)).toEqual([[20, "on_time"]]);
  });

  test("alarms about a block come before the early emission that it causes", () => {
    const effects = run(
      [
        tick(5),
        message(
          6,
          partial(
            3,
            1,
            [
              [0, "a", 1],
              [0, "b", 1],
            ],
            { windowSeconds: 10 },
          ),
        ),
      ],
      limited(1),
    );
    expect(effects.map((e) => (e.kind === "alarm" ? e.alarm.alarm : e.kind))).toEqual([
      "hole",
      "window_size_differs",
      "emit",
    ]);
  });

  test("the limits belong to the step's version: who changes one of them raises it", () => {
    const { keysMax, windowsMax } = KERNEL_LIMITS;
    expect({ stepVersion: STEP_VERSION, keysMax, windowsMax }).toEqual({
      stepVersion: 1,
      keysMax: 2_000_000,
      windowsMax: 3_000,
    });
  });

  test("too many windows leave early, too", () => {
    const rows: Row[] = [-180, -120, -60].map((window) => [window, "a", 1]);
    const effects = run([tick(70), message(71, partial(1, 0, rows))], limited(100, 2));
    expect(counts(effects)).toHaveLength(3);
    expect(run([tick(70), message(71, partial(1, 0, rows))], limited(100, 3))).toEqual([]);
  });
});

describe("rule 4: everything that decides is in the stream", () => {
  test.each([
    ["", fresh],
    [", beyond its limits", small],
  ])("the same stream gives the same bytes, and counts exactly what was in it%s", (_, start) => {
    const row = fc.tuple(
      fc.integer({ min: -3, max: 5 }).map((n) => n * 60),
      fc.constantFrom("a", "b", "cc"),
      fc.integer({ min: 1, max: 9 }),
    );
    const events = fc.array(
      fc.tuple(fc.integer({ min: 0, max: 40 }), fc.array(row, { maxLength: 6 })),
      { maxLength: 30 },
    );
    fc.assert(
      fc.property(events, (list) => {
        let seconds = 0;
        const messages = list.map(([pause, rows], i) => {
          seconds += pause;
          return message(seconds, partial(i + 1, i, rows));
        });
        // Long after everything: all windows are closed.
        const stream = [tick(0), ...messages, tick(seconds + 1_000)];
        const first = run(stream, start());
        const again = run(stream, start());
        expect(again).toEqual(first);
        const wanted = new Map<string, number>();
        for (const [, rows] of list) {
          for (const [window, adId, clicks] of rows) {
            wanted.set(`${window} ${adId}`, (wanted.get(`${window} ${adId}`) ?? 0) + clicks);
          }
        }
        const got = new Map<string, number>();
        for (const [window, adId, clicks] of counts(first)) {
          got.set(`${window} ${adId}`, (got.get(`${window} ${adId}`) ?? 0) + Number(clicks));
        }
        expect(got).toEqual(wanted);
      }),
      { numRuns: 60 },
    );
  });
});
