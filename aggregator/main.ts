/** The aggregator process: streams, partitions, ticker and sinks, built from the configuration and run until asked to stop. */
import { ClickHouseLogLevel, createClient } from "@clickhouse/client";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { createWasmKernel, loadKernelModule } from "../wasm/wasm-kernel.ts";
import { readConfig } from "./config.ts";
import { PUBLISH_MS_MAX, SHUTDOWN_MS_MAX } from "./limits.ts";
import { createAlarms } from "./ops/alarms.ts";
import { watchForeignPartitions } from "./ops/foreign-partitions.ts";
import { createLog } from "./ops/log.ts";
import { openSubject, runPartition } from "./partition/partition.ts";
import { STEP_VERSION } from "./partition/step.ts";
import { runTicker } from "./partition/ticker.ts";
import { createDatabase, isClickHouseFailure } from "./sink/clickhouse.ts";
import { runSink } from "./sink/sink.ts";
import { Trimmer } from "./sink/trimmer.ts";
import { RAW_SINK, REJECTED_SINK, RESULT_SINK } from "./sink/unit.ts";
import { isNatsFailure } from "./source/nats-failure.ts";
import { natsOptions } from "./source/nats-options.ts";
import { ensureStreams } from "./source/streams.ts";
import { retry } from "./ops/retry.ts";

const config = readConfig();
const log = createLog(config.logLevel);
const stop = new AbortController();
const { signal } = stop;
const nowMs = () => Date.now();
const reached = (point: string) => {
  if (config.failpoint === point) process.kill(process.pid, "SIGKILL");
};

for (const name of ["SIGTERM", "SIGINT"] as const) {
  process.on(name, () => {
    log.info({ signal: name }, "stopping");
    stop.abort();
    setTimeout(() => process.exit(1), SHUTDOWN_MS_MAX).unref();
  });
}

const nc = await connect({
  ...natsOptions(config.natsUrl),
  maxReconnectAttempts: -1,
  waitOnFirstConnect: true,
});
const js = jetstream(nc, { timeout: PUBLISH_MS_MAX });
const manager = await jetstreamManager(nc, { timeout: PUBLISH_MS_MAX });
const client = createClient({
  url: config.clickhouseUrl,
  database: config.clickhouseDatabase,
  // Failures are logged where they are handled.
  log: { level: ClickHouseLogLevel.OFF },
});
const database = createDatabase(client);
const alarms = createAlarms({
  log,
  signal,
  nowMs,
  insert: (row, token) => database.insert("repairs", [row], token),
  isPassing: isClickHouseFailure,
});
const shared = { js, manager, alarms, log, signal, reached, nowMs };

const streams = { storeBytes: config.streamStoreBytes, replicas: config.streamReplicas };
const changed = await retry(
  "streams",
  () => ensureStreams(manager, streams),
  isNatsFailure,
  log,
  signal,
);
log.info({ changed, server: nc.info?.version }, "streams are there");

const module = await loadKernelModule();
const settings = {
  stepVersion: STEP_VERSION,
  windowSeconds: config.windowSeconds,
  graceMs: config.windowGraceMs,
  chunkBytesMax: config.chunkBytesMax,
  topCount: 0,
};
const parts = Array.from({ length: config.partitions }, (_, partition) => ({
  ...shared,
  partitions: config.partitions,
  partition,
  settings,
  // Nobody publishes lists of top ads yet (topCount is 0): no memory for sliding windows.
  kernel: createWasmKernel(module, { slidingWindows: [] }),
}));
await Promise.all(parts.map(openSubject));
const partitions = parts.map(runPartition);
const sinks = [RAW_SINK, REJECTED_SINK, RESULT_SINK].flatMap((kind) => {
  const trimmer = new Trimmer({ ...shared, stream: kind.stream, keepMs: config.streamKeepMs });
  return [runSink({ ...shared, kind, database, trimmer }), trimmer.run()];
});
const ticker = runTicker({
  js,
  partitions: config.partitions,
  intervalMs: config.tickIntervalMs,
  log,
  signal,
});
const watch = watchForeignPartitions({ ...shared, partitions: config.partitions });
log.info("ready");

try {
  await Promise.all([...partitions, ...sinks, ticker, watch]);
} catch (error) {
  if (signal.aborted) {
    log.warn(
      { error: String(error) },
      "stopped in the middle of an attempt; the next start makes it again",
    );
    process.exit(0);
  }
  // Nothing goes on half: the process ends, and its next start replays from what is stored.
  log.fatal(
    { error: error instanceof Error ? error.stack : String(error) },
    "stopped by a failure",
  );
  process.exit(1);
}
await client.close();
await nc.close();
log.info("stopped");
