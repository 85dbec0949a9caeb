/** What a caller of a kernel promises; both implementations assert it, because a wrong caller is our bug. */
import { BLOCK_BODY_BYTES_MAX } from "../wire/limits.ts";
import { RESULT_BYTES_MAX } from "../wire/result.ts";
import type { CloseRequest } from "./kernel.ts";

export function assertRows(rows: number): void {
  if (!Number.isInteger(rows) || rows < 0 || rows > 0xffff_ffff) {
    throw new Error(`${rows} is no number of rows`);
  }
}

export function assertCloseRequest(request: CloseRequest): void {
  const { closedThroughSeconds, lateThroughSeconds, windowSeconds, chunkBytesMax } = request;
  for (const seconds of [closedThroughSeconds, lateThroughSeconds, windowSeconds]) {
    if (!Number.isSafeInteger(seconds) || seconds < 0) throw new Error(`${seconds} seconds`);
  }
  if (windowSeconds === 0) throw new Error("a window of 0 seconds");
  if (
    !Number.isInteger(chunkBytesMax) ||
    chunkBytesMax < RESULT_BYTES_MAX ||
    chunkBytesMax > BLOCK_BODY_BYTES_MAX
  ) {
    throw new Error(
      `chunks of ${chunkBytesMax} bytes; ${RESULT_BYTES_MAX} to ${BLOCK_BODY_BYTES_MAX} are possible`,
    );
  }
}
