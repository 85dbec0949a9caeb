/** The same load inside workerd: what its process grows by, SQLite and garbage included. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { prepareEdge } from "../../../infra/stack/edge.ts";
import { EDGE_READY_MS_MAX } from "../../../infra/stack/limits.ts";
import { renderEdgeConfig } from "../../../infra/stack/render-edge-config.ts";
import { answersOk, StackProcess } from "../../../infra/stack/stack-process.ts";
import { residentBytes } from "../../helpers/resident-bytes.ts";
import { freePorts } from "../edge/free-ports.ts";
import { BUCKETS, firstOf } from "./remembered.ts";
import type { Step, StepAnswer } from "./remembered.ts";
import { writeWorkerModules } from "./worker-modules.ts";

const WORKER = fileURLToPath(new URL("worker.ts", import.meta.url));

export interface WorkerdOutcome {
  /** From an object that remembers nothing to one that remembers all. */
  readonly grownBytes: number;
  readonly indexBytes: number;
  readonly ids: number;
  readonly checkedDuplicates: number;
  readonly missedDuplicates: number;
}

/** @param lookUpEvery of ids that are there, one in so many is looked up */
export async function rememberInWorkerd(
  directory: string,
  ids: number,
  lookUpEvery: number,
): Promise<WorkerdOutcome> {
  const [port] = await freePorts(1, undefined);
  const url = `http://127.0.0.1:${port}/`;
  const workerd = startable(directory, port!, url);
  try {
    await workerd.start();
    const nothing = { bucket: 0, from: 0, to: 0, seals: false, lookUpEvery: 0 };
    await take(url, nothing);
    const before = await residentBytes(workerd.pid);
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      const [from, to] = [firstOf(bucket, ids), firstOf(bucket + 1, ids)];
      // One hour after the other.
      // oxlint-disable-next-line no-await-in-loop
      await take(url, { bucket, from, to, seals: bucket < BUCKETS - 1, lookUpEvery: 0 });
    }
    const grownBytes = (await residentBytes(workerd.pid)) - before;
    const bucket = BUCKETS - 1;
    const last = await take(url, { bucket, from: ids, to: ids, seals: false, lookUpEvery });
    return {
      grownBytes,
      indexBytes: last.indexBytes,
      ids: last.ids,
      checkedDuplicates: Math.ceil(ids / lookUpEvery),
      missedDuplicates: last.missed,
    };
  } finally {
    await workerd.kill();
  }
}

async function take(url: string, step: Step): Promise<StepAnswer> {
  const response = await fetch(url, { method: "POST", body: JSON.stringify(step) });
  if (!response.ok) throw new Error(`workerd answered ${response.status}`);
  return (await response.json()) as StepAnswer;
}

function startable(directory: string, port: number, url: string): StackProcess {
  const { manifest, workerd } = prepareEdge(join(directory, "edge"), port);
  const storageDirectory = join(directory, "storage");
  mkdirSync(storageDirectory, { recursive: true });
  const text = renderEdgeConfig({
    manifest: {
      ...manifest,
      name: "bench-dedup",
      vars: {},
      durableObjects: [{ binding: "OBJECTS", className: "DedupObject", sqlite: true }],
    },
    bundleDirectory: "modules",
    moduleNames: writeWorkerModules(WORKER, join(directory, "modules")),
    textBindings: {},
    port,
    storageDirectory,
  });
  const configFile = join(directory, "config.capnp");
  writeFileSync(configFile, text);
  const launch = () => ({
    command: workerd,
    arguments: ["serve", configFile],
    environment: {},
    workingDirectory: directory,
    readyMsMax: EDGE_READY_MS_MAX,
    isReady: () => answersOk(url),
  });
  return new StackProcess("workerd", join(directory, "workerd.log"), launch, failed);
}

/** It ended by itself. */
function failed(error: Error): never {
  throw error;
}
