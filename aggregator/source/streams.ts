/** Makes the streams what the design says, and leaves alone what is right already. */
import {
  DiscardPolicy,
  JetStreamApiCodes,
  JetStreamApiError,
  RetentionPolicy,
  StorageType,
} from "@nats-io/jetstream";
import type { JetStreamManager, StreamConfig } from "@nats-io/jetstream";
import { STREAM, STREAM_SUBJECTS } from "../../wire/subjects.ts";
import type { StreamName } from "../../wire/subjects.ts";
import {
  DUPLICATE_WINDOW_MS,
  SET_ASIDE_DUPLICATE_WINDOW_MS,
  SET_ASIDE_KEEP_MS,
  STREAM_SHARE,
} from "../limits.ts";

export interface StreamOptions {
  readonly storeBytes: number;
  readonly replicas: number;
}

/** The part of a stream's configuration that we decide. */
export type OurStreamConfig = Pick<
  StreamConfig,
  | "name"
  | "subjects"
  | "storage"
  | "retention"
  | "discard"
  | "max_bytes"
  | "max_age"
  | "num_replicas"
  | "duplicate_window"
>;

export function streamConfigs(options: StreamOptions): OurStreamConfig[] {
  return (Object.keys(STREAM_SUBJECTS) as StreamName[]).map((name) => ({
    name,
    subjects: [...STREAM_SUBJECTS[name]],
    storage: StorageType.File,
    retention: RetentionPolicy.Limits,
    // Full means that a reader is behind: refuse new messages, never delete unread ones. What was set
    // aside has no reader that could be behind, and must not stop those who set aside.
    discard: name === STREAM.setAside ? DiscardPolicy.Old : DiscardPolicy.New,
    max_age: name === STREAM.setAside ? SET_ASIDE_KEEP_MS * 1_000_000 : 0,
    max_bytes: Math.floor(options.storeBytes * STREAM_SHARE[name]),
    num_replicas: options.replicas,
    duplicate_window:
      (name === STREAM.setAside ? SET_ASIDE_DUPLICATE_WINDOW_MS : DUPLICATE_WINDOW_MS) * 1_000_000,
  }));
}

/** What has to change about an existing stream, or null. */
export function streamChange(
  wanted: OurStreamConfig,
  existing: StreamConfig,
): OurStreamConfig | null {
  const same = (Object.keys(wanted) as (keyof OurStreamConfig)[]).every(
    (key) => JSON.stringify(wanted[key]) === JSON.stringify(existing[key]),
  );
  return same ? null : wanted;
}

/** @returns the streams that were made or changed */
export async function ensureStreams(
  manager: JetStreamManager,
  options: StreamOptions,
): Promise<string[]> {
  const changed: string[] = [];
  for (const wanted of streamConfigs(options)) {
    const existing = await infoOrNull(manager, wanted.name);
    if (existing === null) await manager.streams.add(wanted);
    else if (streamChange(wanted, existing) !== null)
      await manager.streams.update(wanted.name, wanted);
    else continue;
    changed.push(wanted.name);
  }
  return changed;
}

async function infoOrNull(manager: JetStreamManager, name: string): Promise<StreamConfig | null> {
  try {
    return (await manager.streams.info(name)).config;
  } catch (error) {
    if (error instanceof JetStreamApiError && error.code === JetStreamApiCodes.StreamNotFound)
      return null;
    throw error;
  }
}
