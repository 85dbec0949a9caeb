/**
 * How a sequence goes through time: the windows of its rows, and what each close and early emission
 * asks for. The boundary never falls, because no caller of a kernel lets it fall.
 */
import { BLOCK_BODY_BYTES_MAX } from "../../../wire/limits.ts";
import { JOB_BYTES_MAX, RESULT_BYTES_MAX } from "../../../wire/result.ts";
import type { EmissionUnit } from "../../../wire/result.ts";
import { closeRequest } from "../../../wasm/kernel-rows.ts";
import type { CloseRequest, EarlyRequest } from "../../../wasm/kernel.ts";
import type { Random } from "../../traffic/random.ts";

/** Beyond it a boundary does not fit a top list. */
export const TOP_BOUNDARY_MAX = 0xffff_ffff;

/** Every window ends before it, be it of a second or of an age. */
const EVERYTHING_SECONDS = 2 ** 41;

/** Rows come around a boundary that moves on by windows; or anywhere, and the boundary jumps; or all is closed at once. */
export type Pace = "minute by minute" | "jumps" | "everything";

export interface Course {
  /** The start of a window, for a row. */
  readonly window: () => number;
  /** That of the newest request. */
  readonly boundary: () => number;
  readonly close: () => CloseRequest;
  readonly closeAll: () => CloseRequest;
  readonly emitEarly: () => EarlyRequest;
}

export function makeCourse(random: Random, pace: Pace, windowCount: number): Course {
  const windowSeconds = random.pick([1, 60, 60, 60, 300, 86_400]);
  const firstWindow = random.pick([0, 0, 1_790_000_040, 2 ** 31 - windowSeconds]);
  const changesWindowSeconds = random.chance(0.3);
  let boundary = 0;

  const startOf = (index: number) => firstWindow + index * windowSeconds;
  const around = () => {
    const index = Math.max(Math.ceil((boundary - firstWindow) / windowSeconds), 0);
    return startOf(Math.max(index + random.pick([0, 0, 0, 0, 1, -1, -1, -2, -3, -7]), 0));
  };
  const window = () => {
    if (random.chance(0.01)) return random.pick([0, 2 ** 31, 0xffff_ffff, 0xffff_ffc4]);
    const start =
      pace === "minute by minute" ? around() : startOf(random.whole(0, windowCount - 1));
    const unaligned = random.chance(0.02) ? random.whole(0, windowSeconds - 1) : 0;
    return Math.min(start + unaligned, 0xffff_ffff);
  };

  const nextBoundary = () => {
    if (pace === "everything" && random.chance(0.3)) return EVERYTHING_SECONDS;
    if (pace === "minute by minute" && random.chance(0.95)) {
      const windows = random.pick([0, 1, 1, 1, 1, 1, 2, 5, 20]);
      return Math.max(boundary, firstWindow) + windows * windowSeconds;
    }
    const aligned = random.chance(0.8);
    return window() + (aligned ? windowSeconds : random.whole(0, 2 * windowSeconds));
  };
  const advance = () => {
    const next = nextBoundary();
    boundary = Math.max(
      boundary,
      next === EVERYTHING_SECONDS ? next : Math.min(next, TOP_BOUNDARY_MAX),
    );
  };

  const early = (): EarlyRequest => ({
    closedThroughSeconds: boundary,
    windowSeconds:
      changesWindowSeconds && random.chance(0.25)
        ? random.pick([1, 61, 2 * windowSeconds, 2 ** 31, 2 ** 40])
        : windowSeconds,
    chunkBytesMax: random.chance(0.75)
      ? random.whole(RESULT_BYTES_MAX, RESULT_BYTES_MAX + random.pick([0, 1_000, 20_000]))
      : random.pick([BLOCK_BODY_BYTES_MAX, BLOCK_BODY_BYTES_MAX - 1]),
    unit: makeUnit(random),
  });

  return {
    window,
    boundary: () => boundary,
    close() {
      const closedBefore = boundary;
      advance();
      const lateThroughSeconds = random.chance(0.7)
        ? closedBefore
        : window() + random.whole(0, windowSeconds);
      return { ...early(), lateThroughSeconds };
    },
    closeAll() {
      const request = closeEverything();
      boundary = request.closedThroughSeconds;
      return request;
    },
    emitEarly() {
      if (random.chance(0.15)) advance();
      return early();
    },
  };
}

/** Closes whatever there is; the boundary cannot be moved on from there. */
export function closeEverything(): CloseRequest {
  return closeRequest({ closedThroughSeconds: EVERYTHING_SECONDS });
}

export function makeUnit(random: Random): EmissionUnit {
  return {
    job: random.pick(["", "j", "a-job-of-some-length", "x".repeat(JOB_BYTES_MAX)]),
    partitions: random.pick([1, 4, 0xffff]),
    partition: random.pick([0, 3, 0xfffe]),
    emission: random.pick([0, random.whole(1, 1_000), Number.MAX_SAFE_INTEGER]),
    emittedOn: random.whole(0, 0xffff),
  };
}
