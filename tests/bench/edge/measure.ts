/** One run of one case, on a workerd of its own: warm-up, measurement, and the proof that no click was lost or made. */
import { Random } from "../../traffic/random.ts";
import { WrongResultError } from "../bench-case.ts";
import { Book } from "./book.ts";
import type { Clicks } from "./clicks.ts";
import { closedLoop } from "./closed-loop.ts";
import { cpuMs } from "./cpu-time.ts";
import type { FlushedRows } from "./flushed-rows.ts";
import { SHARDS } from "./limits.ts";
import { pacedLoad } from "./paced-load.ts";
import type { PacedOutcome } from "./paced-load.ts";
import { SHARD_CLICKS_PER_SECOND } from "./price.ts";
import { rowsWrittenPerMillion } from "./reported-rows.ts";
import type { Server, ServerKind, Servers } from "./servers.ts";

export interface Bench {
  readonly servers: Servers;
  readonly flushed: FlushedRows;
  readonly clicks: Clicks;
  readonly connections: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly pacedSeconds: number;
  readonly pacedWarmUpSeconds: number;
  readonly seed: number;
}

export interface ThroughputOutcome {
  readonly requestsPerSecond: number;
  /** workerd's, from the first request to the last flush, for each click; null where it cannot be read. */
  readonly cpuUsPerClick: number | null;
  /** The load generator's CPU seconds a second. */
  readonly generatorCpuShare: number;
  /** Warm-up included. */
  readonly clicks: number;
}

export interface PacedCaseOutcome extends PacedOutcome {
  readonly rowsWrittenPerMillion: number;
  readonly cpuUsPerClick: number | null;
  readonly generatorCpuShare: number;
  readonly clicks: number;
  readonly clicksPerSecond: number;
}

/** @throws WrongResultError when a click was not accepted, was lost, or is there twice */
export function measureThroughput(
  bench: Bench,
  kind: ServerKind,
  clicksPerRequest: number,
): Promise<ThroughputOutcome> {
  return onNewServer(bench, kind, async (server, book, settled) => {
    const { connections, clicks } = bench;
    const loop = { port: server.port, connections, clicksPerRequest, clicks, book };
    await closedLoop({ ...loop, seconds: bench.warmUpSeconds });
    await settled();
    const before = book.accepted;
    const meter = startMeter(server.pid);
    const requestsPerSecond = await closedLoop({ ...loop, seconds: bench.seconds });
    const generatorCpuShare = meter.generatorCpuShare();
    await settled();
    return {
      requestsPerSecond,
      cpuUsPerClick: meter.cpuUsPer(book.accepted - before),
      generatorCpuShare,
      clicks: book.accepted,
    };
  });
}

/**
 * @throws WrongResultError as above
 * @throws NoReportError from an edge that does not say what it writes
 */
export function measurePaced(bench: Bench, clicksPerRequest: number): Promise<PacedCaseOutcome> {
  return onNewServer(bench, "edge", async (server, book, settled) => {
    const load = {
      port: server.port,
      requestsPerSecond: (SHARD_CLICKS_PER_SECOND * SHARDS) / clicksPerRequest,
      clicksPerRequest,
      clicks: bench.clicks,
      book,
      random: new Random(bench.seed),
    };
    // No pause between warm-up and measurement, and none for what is flushed: it goes on as in a whole day.
    await pacedLoad({ ...load, seconds: bench.pacedWarmUpSeconds });
    const fromMs = Date.now();
    const before = book.accepted;
    const meter = startMeter(server.pid);
    const outcome = await pacedLoad({ ...load, seconds: bench.pacedSeconds });
    const cpuUsPerClick = meter.cpuUsPer(book.accepted - before);
    const generatorCpuShare = meter.generatorCpuShare();
    const toMs = Date.now();
    const clicksPerSecond = ((book.accepted - before) * 1_000) / (toMs - fromMs);
    await settled();
    return {
      ...outcome,
      rowsWrittenPerMillion: rowsWrittenPerMillion(bench.flushed.reports, fromMs, toMs),
      cpuUsPerClick,
      generatorCpuShare,
      clicks: book.accepted,
      clicksPerSecond,
    };
  });
}

/** @param use gets a function that waits until all that was accepted is in the stream */
async function onNewServer<T>(
  { servers, flushed }: Bench,
  kind: ServerKind,
  use: (server: Server, book: Book, settled: () => Promise<void>) => Promise<T>,
): Promise<T> {
  const book = new Book();
  const settled = async () => {
    const faults = book.faults();
    if (faults.length > 0) throw new WrongResultError(faults);
    if (kind === "edge") await flushed.until(book.accepted);
  };
  const outcome = await servers.with(kind, (server) => use(server, book, settled));
  // Its workerd is gone: what is not there now will never be, and what is there too often is.
  await flushed.expectNoMore(kind === "edge" ? book.accepted : 0);
  await flushed.forget();
  return outcome;
}

function startMeter(pid: number) {
  const startMs = performance.now();
  const generatorBefore = process.cpuUsage();
  const before = cpuMs(pid);
  return {
    generatorCpuShare(): number {
      const { user, system } = process.cpuUsage(generatorBefore);
      return (user + system) / 1_000 / (performance.now() - startMs);
    },
    cpuUsPer(clicks: number): number | null {
      const after = cpuMs(pid);
      return before === null || after === null ? null : ((after - before) * 1_000) / clicks;
    },
  };
}
