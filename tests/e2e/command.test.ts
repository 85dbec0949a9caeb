/** The `clickmill` command against a stack that runs: the doctor's look at it, and `start` as a process of its own. */
import { spawn } from "node:child_process";
import type { ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline/promises";
import type { Readable } from "node:stream";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { PORT_SETTINGS, readStackOptions } from "../../infra/stack/config.ts";
import type { StackPorts } from "../../infra/stack/config.ts";
import { setAsideSubject, STREAM } from "../../wire/subjects.ts";
import { CLICKMILL, runClickmill } from "../helpers/run-clickmill.ts";
import { startTestStack } from "../helpers/test-stack.ts";
import type { TestStack } from "../helpers/test-stack.ts";

async function postClick(edge: string): Promise<unknown> {
  const click = { click_id: `command.${Date.now()}`, ad_id: "ad", timestamp: Date.now() };
  const answer = await fetch(`${edge}/v1/clicks`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ sent_at: Date.now(), clicks: [click] }),
  });
  return answer.json();
}

interface Report {
  readonly ok: boolean;
  readonly findings: { readonly check: string; readonly level: string; readonly text: string }[];
}

describe("doctor", () => {
  let t: TestStack;
  let environment: Record<string, string>;
  beforeAll(async () => {
    t = await startTestStack("command", { windowSeconds: 2 });
    const { urls } = t.stack;
    environment = {
      CLICKMILL_URL: urls.edge,
      NATS_URL: urls.nats,
      NATS_MONITOR_URL: urls.natsMonitor,
      CLICKHOUSE_URL: urls.clickhouse,
      CLICKHOUSE_DATABASE: "clickmill_test",
    };
  });
  afterAll(() => t?.stop());

  async function report(changes: Record<string, string> = {}): Promise<Report & { code: unknown }> {
    const run = await runClickmill(["doctor", "--json"], { ...environment, ...changes });
    return { ...(JSON.parse(run.stdout) as Report), code: run.code };
  }
  const levelsOf = ({ findings }: Report) =>
    findings.filter(({ level }) => level !== "ok").map(({ check, level }) => `${level} ${check}`);

  test("finds nothing wrong with a stack that has taken a click, and sees it arrive", async () => {
    expect(await postClick(t.stack.urls.edge)).toMatchObject({ accepted: 1 });
    const raw = await vi.waitFor(
      async () => {
        const all = await report();
        expect({ code: all.code, ok: all.ok, bad: levelsOf(all) }).toEqual({
          code: 0,
          ok: true,
          bad: [],
        });
        const found = all.findings.find(({ check }) => check === "raw sink");
        expect(found?.text).toContain("ClickHouse has all of CLICKS_RAW");
        return found;
      },
      { timeout: 15_000, interval: 100 },
    );
    expect(raw?.level).toBe("ok");
    const words = await runClickmill(["doctor"], environment);
    expect(words).toMatchObject({ code: 0, stderr: "" });
    expect(words.stdout).toMatch(/\nNothing failed, 0 warnings, \d+ ok\.\n$/);
  });

  test("warns of set-aside messages, alarms and other stream limits, and fails on another database", async () => {
    const nc = await connect({ servers: t.stack.urls.nats });
    const manager = await jetstreamManager(nc);
    nc.publish(setAsideSubject(STREAM.raw), "strange bytes");
    await vi.waitFor(async () => {
      expect((await manager.streams.info(STREAM.setAside)).state.messages).toBe(1);
    });
    await nc.close();
    await t.client.command({
      query: `INSERT INTO repairs VALUES (now64(3), 'test', 'hole', 'clicks.raw.0', 'id', '3 to 5')`,
    });
    const warned = await report({ STREAM_STORE_BYTES: String(7 * 1024 ** 3) });
    expect(warned.code).toBe(0);
    expect(new Set(levelsOf(warned))).toEqual(
      new Set(["warning streams", "warning set aside", "warning alarms"]),
    );
    const other = await report({ CLICKHOUSE_DATABASE: "other" });
    expect(other.code).toBe(1);
    expect(levelsOf(other)).toContain("failed migrations");
  });

  test("writes nothing: another database that it looked for is not there afterwards", async () => {
    await report({ CLICKHOUSE_DATABASE: "looked_for" });
    expect(await t.select("SELECT name FROM system.databases WHERE name = 'looked_for'")).toEqual(
      [],
    );
  });

  test("tells an emptied stream from a new one", async () => {
    const nc = await connect({ servers: t.stack.urls.nats });
    await (await jetstreamManager(nc)).streams.purge(STREAM.raw);
    await nc.close();
    const { findings } = await report();
    expect(findings).toContainEqual(
      expect.objectContaining({
        check: "raw sink",
        level: "ok",
        text: "ClickHouse has all of CLICKS_RAW, and the stream has been emptied",
      }),
    );
  });

  test("says that ClickHouse is gone, and sees the rest", async () => {
    await t.stack.processes.clickhouse.stop();
    const gone = await report();
    expect(gone.code).toBe(1);
    expect(levelsOf(gone)).toContain("failed clickhouse");
    expect(gone.findings).toContainEqual(expect.objectContaining({ check: "edge", level: "ok" }));
  });
});

describe("start", () => {
  let child: ChildProcessByStdio<null, Readable, null> | undefined;
  afterAll(() => child?.kill("SIGKILL"));

  test("says when it is ready, takes a click, and SIGTERM is an orderly end with exit code 0", async () => {
    // The tests' ports and directory: a stack that the user runs is left alone.
    const { ports, stateDirectory } = readStackOptions("test");
    const state = join(stateDirectory, "command-start");
    rmSync(state, { recursive: true, force: true });
    child = spawn(process.execPath, [CLICKMILL, "start", "--json", "--state", state], {
      env: {
        ...process.env,
        ...Object.fromEntries(
          (Object.keys(ports) as (keyof StackPorts)[]).map((key) => [
            PORT_SETTINGS[key],
            String(ports[key]),
          ]),
        ),
      },
      stdio: ["ignore", "pipe", "ignore"],
    });
    const exit = once(child, "exit");
    const lines = createInterface({ input: child.stdout });
    const [line] = (await once(lines, "line")) as [string];
    const urls = JSON.parse(line) as { edge: string; clickhouse: string };
    expect(await postClick(urls.edge)).toMatchObject({ accepted: 1 });
    child.kill("SIGTERM");
    expect(await exit).toEqual([0, null]);
    for (const url of [urls.edge, urls.clickhouse]) {
      // oxlint-disable-next-line no-await-in-loop
      await expect(fetch(url)).rejects.toThrow("fetch failed");
    }
  });
});
