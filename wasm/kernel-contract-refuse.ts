/** What every kernel must refuse when it is being restored: chunks that are not what a dump gives. */
import { describe, expect, test } from "vitest";
import {
  AD_ID_BYTES_MAX,
  BLOCK_BODY_BYTES_MAX,
  COUNTRY_BYTES_MAX,
  DEVICE_BYTES_MAX,
  INVALID_REASON_BYTES_MAX,
} from "../wire/limits.ts";
import { fault, minute, shownBy } from "./kernel-checks.ts";
import type { CreateKernel } from "./kernel-checks.ts";
import { adKey, blockOf, keyOf } from "./kernel-rows.ts";
import {
  bodyOf,
  complete,
  completeWindows,
  RUN_ROWS,
  runRow,
  STATE,
  WINDOW_ROWS,
  windowRow,
} from "./kernel-snapshots.ts";
import type { IngestOutcome, Kernel } from "./kernel.ts";

export function refuseContract(name: string, create: CreateKernel): void {
  /** Waits for all rows of STATE. */
  const awaiting = (): Kernel => {
    const kernel = create();
    kernel.restoreState(STATE);
    return kernel;
  };

  /** The outcomes of a broken chunk; sees that it leaves no trace: all rows can still come. */
  const refusal = (restore: (kernel: Kernel) => IngestOutcome): IngestOutcome => {
    const kernel = awaiting();
    const outcome = restore(kernel);
    expect(outcome.ok).toBe(false);
    expect(() => kernel.rowCount()).toThrow("is not restored: ");
    complete(kernel);
    expect(kernel.state()).toEqual(STATE);
    const expected = awaiting();
    complete(expected);
    expect(shownBy(kernel)).toEqual(shownBy(expected));
    return outcome;
  };
  const refusedWindows = (body: Uint8Array, rows: number) =>
    refusal((kernel) => kernel.restoreWindows(body, rows));
  const refusedRun = (body: Uint8Array, rows: number) =>
    refusal((kernel) => kernel.restoreRun(1, body, rows));

  describe(`${name}: a dumped chunk is restored whole or not at all`, () => {
    const windowsBody = bodyOf(...WINDOW_ROWS);
    const secondWindowRowAt = WINDOW_ROWS[0]!.length;
    const runBody = bodyOf(...RUN_ROWS);
    const secondRunRowAt = RUN_ROWS[0]!.length;
    const CUT_OFF = "the row is cut off";
    const LEFT_OVER = "bytes are left over after the last row";

    test("a chunk of no rows is one", () => {
      const kernel = awaiting();
      expect(kernel.restoreWindows(new Uint8Array(0), 0)).toEqual({ ok: true, clicks: 0 });
      expect(kernel.restoreRun(1, new Uint8Array(0), 0)).toEqual({ ok: true, clicks: 0 });
      complete(kernel);
      expect(kernel.state()).toEqual(STATE);
    });

    test("cut off anywhere, the offset is where the value begins that is not whole", () => {
      const starts = [0];
      for (const row of WINDOW_ROWS) {
        const rowAt = starts.pop()!;
        starts.push(rowAt);
        let at = 4;
        for (let i = 0; i < 4; i++) {
          starts.push(rowAt + at);
          at += 1 + row[at]!;
        }
        starts.push(rowAt + at, rowAt + at + 8);
      }
      for (let length = 0; length < windowsBody.length; length++) {
        const offset = starts.findLast((start) => start <= length)!;
        expect(refusedWindows(windowsBody.subarray(0, length), 2)).toEqual(fault(offset, CUT_OFF));
      }
      const runStarts = [0, 2, 10, 13];
      for (let length = 0; length < runBody.length; length++) {
        const offset = runStarts.findLast((start) => start <= length)!;
        expect(refusedRun(runBody.subarray(0, length), 2)).toEqual(fault(offset, CUT_OFF));
      }
    });

    test("a row count that is too low or too high is found where the rows end", () => {
      for (const [refused, body, secondAt] of [
        [refusedWindows, windowsBody, secondWindowRowAt],
        [refusedRun, runBody, secondRunRowAt],
      ] as const) {
        expect(refused(bodyOf(body, Uint8Array.of(0)), 2)).toEqual(fault(body.length, LEFT_OVER));
        expect(refused(body, 1)).toEqual(fault(secondAt, LEFT_OVER));
        expect(refused(body, 0)).toEqual(fault(0, LEFT_OVER));
        expect(refused(body, 3)).toEqual(fault(body.length, CUT_OFF));
        expect(refused(body, 0xffff_ffff)).toEqual(fault(body.length, CUT_OFF));
      }
    });

    test("a string beyond its limit is named", () => {
      const limits = [
        ["ad_id", AD_ID_BYTES_MAX],
        ["country", COUNTRY_BYTES_MAX],
        ["device", DEVICE_BYTES_MAX],
        ["invalid_reason", INVALID_REASON_BYTES_MAX],
      ] as const;
      limits.forEach(([field, bytesMax], i) => {
        const strings = ["", "", "", ""];
        strings[i] = "x".repeat(bytesMax + 1);
        const row = windowRow(minute(1), keyOf(...strings), 1n);
        expect(refusedWindows(bodyOf(WINDOW_ROWS[0]!, row), 2)).toEqual(
          fault(secondWindowRowAt + 4 + i, `${field} is longer than ${bytesMax} bytes`),
        );
      });
      const longRow = runRow("x".repeat(AD_ID_BYTES_MAX + 1), 1n);
      expect(refusedRun(bodyOf(RUN_ROWS[0]!, longRow), 2)).toEqual(
        fault(secondRunRowAt, `ad_id is longer than ${AD_ID_BYTES_MAX} bytes`),
      );
    });

    test("a length of more than one byte is refused", () => {
      const reason = "a string's length takes more than one byte";
      for (let i = 0; i < 4; i++) {
        const key = Uint8Array.from([...Array<number>(i).fill(0), 0x81, 0x00, 0x61, 0, 0, 0]);
        const row = windowRow(minute(1), key, 1n);
        expect(refusedWindows(bodyOf(WINDOW_ROWS[0]!, row), 2)).toEqual(
          fault(secondWindowRowAt + 4 + i, reason),
        );
      }
      const longRow = Uint8Array.from([0x81, 0x00, 0x61, 1, 0, 0, 0, 0, 0, 0, 0]);
      expect(refusedRun(bodyOf(RUN_ROWS[0]!, longRow), 2)).toEqual(fault(secondRunRowAt, reason));
    });

    test("clicks are from 1 to 2^53 - 1", () => {
      for (const [clicks, reason] of [
        [0n, "clicks is 0"],
        [-1n, "clicks is 0"],
        [-(2n ** 63n), "clicks is 0"],
        [2n ** 53n, "clicks are beyond 2^53"],
        [2n ** 63n - 1n, "clicks are beyond 2^53"],
      ] as const) {
        const key = adKey("b");
        const row = windowRow(minute(1), key, clicks);
        expect(refusedWindows(bodyOf(WINDOW_ROWS[0]!, row), 2)).toEqual(
          fault(secondWindowRowAt + 4 + key.length, reason),
        );
        expect(refusedRun(bodyOf(RUN_ROWS[0]!, runRow("bc", clicks)), 2)).toEqual(
          fault(secondRunRowAt + 3, reason),
        );
      }
    });

    test("a chunk beyond the limit of a message is refused", () => {
      const long = new Uint8Array(BLOCK_BODY_BYTES_MAX + 1);
      const reason = `the block is longer than ${BLOCK_BODY_BYTES_MAX} bytes`;
      expect(refusedWindows(long, 1)).toEqual(fault(BLOCK_BODY_BYTES_MAX, reason));
      expect(refusedRun(long, 1)).toEqual(fault(BLOCK_BODY_BYTES_MAX, reason));
    });

    test("a chunk that is begun by good rows and refused leaves a run that is begun as it was", () => {
      const kernel = awaiting();
      expect(kernel.restoreRun(4, RUN_ROWS[0]!, 1)).toEqual({ ok: true, clicks: 5 });
      const broken = bodyOf(RUN_ROWS[1]!, Uint8Array.of(1));
      expect(kernel.restoreRun(4, broken, 1)).toEqual(fault(RUN_ROWS[1]!.length, LEFT_OVER));
      expect(kernel.restoreRun(4, RUN_ROWS[1]!, 1)).toEqual({ ok: true, clicks: 7 });
      completeWindows(kernel);
      expect(kernel.restoreRun(1, runBody, 2).ok).toBe(true);
      expect(kernel.state()).toEqual(STATE);
    });

    test("a partial block is not a chunk of a window", () => {
      const body = blockOf([{ window: minute(1), key: adKey("a"), clicks: 1 }]);
      expect(refusedWindows(body, 1)).toEqual(fault(body.length - 4, CUT_OFF));
    });
  });
}
