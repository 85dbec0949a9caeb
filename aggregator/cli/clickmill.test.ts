/** The command as a person meets it: help, wrong usage, wrong settings, and its ends. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { createClient } from "@clickhouse/client";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { freePort, startEmbeddedClickHouse } from "../../tests/helpers/embedded-clickhouse.ts";
import type { EmbeddedClickHouse } from "../../tests/helpers/embedded-clickhouse.ts";
import { startNatsServer } from "../../tests/helpers/nats-server.ts";
import type { StartedNatsServer } from "../../tests/helpers/nats-server.ts";
import { rawSubject } from "../../wire/subjects.ts";
import { ensureStreams } from "../source/streams.ts";
import { CLICKMILL, runClickmill } from "../../tests/helpers/run-clickmill.ts";
import packageFile from "../../package.json" with { type: "json" };

const SUBCOMMANDS = ["start", "demo", "replay", "shards", "migrate", "doctor"];

describe("help", () => {
  test("names every subcommand, and each has an example in its own", async () => {
    const [main, ...own] = await Promise.all([
      runClickmill(["--help"]),
      ...SUBCOMMANDS.map((name) => runClickmill([name, "--help"])),
    ]);
    expect(main.code).toBe(0);
    own.forEach((run, i) => {
      const name = SUBCOMMANDS[i]!;
      expect(main.stdout).toMatch(new RegExp(`^  ${name} `, "m"));
      expect({ name, code: run.code, stderr: run.stderr }).toEqual({ name, code: 0, stderr: "" });
      expect(run.stdout).toMatch(new RegExp(`^Usage: clickmill ${name} `));
      expect(run.stdout).toMatch(new RegExp(`^Examples:\\n  .*clickmill ${name}`, "m"));
    });
  });

  test("`help demo` is `demo --help`, and --version is the package's", async () => {
    const [help, version] = await Promise.all([
      runClickmill(["help", "demo"]),
      runClickmill(["--version"]),
    ]);
    expect(help).toMatchObject({ code: 0, stdout: expect.stringContaining("--rate") as unknown });
    expect(version).toMatchObject({ code: 0, stdout: `${packageFile.version}\n` });
  });
});

test("`help` takes the names of a subcommand and of its own", async () => {
  const run = await runClickmill(["help", "deadletters", "list"]);
  expect(run).toMatchObject({ code: 0, stderr: "" });
  expect(run.stdout).toMatch(/^Usage: clickmill deadletters list /);
});

test.each(["stdout", "stderr"] as const)(
  "a reader of %s that leaves is no failure",
  async (name) => {
    const args = name === "stdout" ? ["--help"] : ["docter"];
    const child = spawn(process.execPath, [CLICKMILL, ...args]);
    let other = "";
    child[name === "stdout" ? "stderr" : "stdout"].on(
      "data",
      (text: Buffer) => (other += String(text)),
    );
    // Long before it writes.
    child[name].destroy();
    expect(await once(child, "close")).toEqual([name === "stdout" ? 0 : 2, null]);
    expect(other).toBe("");
  },
);

describe("with --json an error is JSON on stdout as well, and words on stderr", () => {
  test.for<readonly [string, readonly string[], Readonly<Record<string, string>>, number, RegExp]>([
    ["wrong usage", ["doctor", "--jsn", "--json"], {}, 2, /^unknown option '--jsn'/],
    ["wrong settings", ["start", "--json"], { PARTITIONS: "0" }, 2, /^PARTITIONS=0: /],
    [
      "what does not work",
      ["migrate", "--json"],
      { CLICKHOUSE_URL: "http://127.0.0.1:1" },
      1,
      /^cannot migrate /,
    ],
    [
      "what does not work, of a subcommand's own",
      ["deadletters", "list", "--json"],
      { NATS_URL: "nats://127.0.0.1:1" },
      1,
      /NATS/,
    ],
  ])("%s", async ([, args, environment, code, pattern]) => {
    const run = await runClickmill(args, environment);
    expect(run.code).toBe(code);
    expect(run.stdout.trimEnd().split("\n")).toHaveLength(1);
    const { error } = JSON.parse(run.stdout) as { error: string };
    expect(error).toMatch(pattern);
    expect(run.stderr).toContain(error.split("\n", 1)[0]);
  });
});

describe("wrong usage and wrong settings are exit code 2, without a stack trace", () => {
  test.for<
    readonly [string, readonly string[], Readonly<Record<string, string>>, readonly string[]]
  >([
    ["no subcommand", [], {}, ["Usage: clickmill"]],
    ["an unknown subcommand", ["docter"], {}, ["unknown command 'docter'", "doctor?"]],
    ["help for an unknown subcommand", ["help", "docter"], {}, ["unknown command 'docter'"]],
    ["help for an unknown subcommand's own", ["help", "deadletters", "lst"], {}, ["command 'lst'"]],
    ["an unknown flag", ["migrate", "--dry-rn"], {}, ["unknown option '--dry-rn'", "--dry-run?"]],
    ["an unknown flag of the demo", ["demo", "--rat", "3"], {}, ["--rate?"]],
    ["an argument too many", ["doctor", "all"], {}, ["too many arguments"]],
    [
      "bad settings of the tools",
      ["migrate"],
      { CLICKHOUSE_URL: "localhost", CLICKHOUSE_DATABASE: "a-b" },
      ["CLICKHOUSE_URL must be", "CLICKHOUSE_DATABASE=a-b"],
    ],
    [
      "a query string, with the other problems",
      ["migrate"],
      { CLICKHOUSE_URL: "http://x?password=s3cret", CLICKHOUSE_DATABASE: "a-b" },
      ["CLICKHOUSE_URL must not hold a query string", "CLICKHOUSE_DATABASE=a-b"],
    ],
    [
      "bad settings of every part",
      ["doctor"],
      { NATS_URL: "http://x", STREAM_REPLICAS: "0", SHARDS: "0" },
      ["NATS_URL must be", "STREAM_REPLICAS must be", "SHARDS=0"],
    ],
    [
      "bad settings of the local stack",
      ["start"],
      { CLICKMILL_PORT_NAT: "1", PARTITIONS: "0" },
      ["CLICKMILL_PORT_NAT: no such", "PARTITIONS=0"],
    ],
    [
      "bad settings of the demo",
      ["demo"],
      { CLICKMILL_PORT_NAT: "1", PARTITIONS: "0" },
      ["CLICKMILL_PORT_NAT: no such", "PARTITIONS=0"],
    ],
  ])("%s", async ([, args, environment, messages]) => {
    const run = await runClickmill(args, environment);
    for (const message of messages) expect(run.stderr).toContain(message);
    expect(run.stderr).not.toContain("    at ");
    expect(run.stderr).not.toContain("s3cret");
    expect(run).toMatchObject({ code: 2, stdout: "" });
  });
});

describe("doctor with nothing running", () => {
  test("fails, says what to start, and says the same as JSON", async () => {
    const nowhere = {
      CLICKMILL_URL: `http://127.0.0.1:${await freePort()}`,
      NATS_URL: `nats://127.0.0.1:${await freePort()}`,
      CLICKHOUSE_URL: `http://user:s3cret@127.0.0.1:${await freePort()}`,
    };
    const [words, data] = await Promise.all([
      runClickmill(["doctor"], nowhere),
      runClickmill(["doctor", "--json"], nowhere),
    ]);
    expect(words).toMatchObject({ code: 1, stderr: "" });
    expect(words.stdout.match(/^failed .*\n +→ `npm start`/gm)).toHaveLength(3);
    expect(words.stdout).toContain("3 failed, 0 warnings, 2 ok.");
    expect(words.stdout).not.toContain("s3cret@");
    const report = JSON.parse(data.stdout) as { findings: { check: string; level: string }[] };
    expect(data.code).toBe(1);
    expect(report).toMatchObject({ ok: false, failed: 3, warnings: 0 });
    expect(report.findings.map(({ check, level }) => `${level} ${check}`)).toEqual([
      "ok settings",
      "ok node",
      "failed edge",
      "failed nats",
      "failed clickhouse",
    ]);
  });
});

interface Report {
  readonly findings: readonly { check: string; level: string; text: string; todo: string | null }[];
}
async function doctor(environment: Readonly<Record<string, string>>) {
  const { stdout } = await runClickmill(["doctor", "--json"], environment);
  const { findings } = JSON.parse(stdout) as Report;
  return (check: string) => findings.find((finding) => finding.check === check);
}

describe("doctor where a login is wanted", () => {
  let nats: StartedNatsServer;
  let clickhouse: EmbeddedClickHouse;
  const user = { name: "ann", password: "p@ss/word" };
  beforeAll(async () => {
    nats = await startNatsServer(`authorization { user: u, password: "p@ss/word" }`);
    clickhouse = await startEmbeddedClickHouse(undefined, user);
  });
  afterAll(() => Promise.all([nats?.stop(), clickhouse?.stop()]));

  test("says so, and where user and password are put", async () => {
    const found = await doctor({
      NATS_URL: `nats://${nats.host}`,
      CLICKHOUSE_URL: clickhouse.url,
    });
    expect(found("nats")).toMatchObject({ level: "failed" });
    expect(found("nats")?.text).toContain("refuses this user");
    expect(found("nats")?.todo).toMatch(/^put user and password into NATS_URL/);
    expect(found("clickhouse")).toMatchObject({ level: "failed" });
    expect(found("clickhouse")?.text).toContain("refuses this user (REQUIRED_PASSWORD");
    expect(found("clickhouse")?.todo).toMatch(/^set CLICKHOUSE_USER\/CLICKHOUSE_PASSWORD/);
  });

  test("goes in with a login in the URLs, or in ClickHouse's own settings", async () => {
    const natsUrl = { NATS_URL: `nats://u:p%40ss%2Fword@${nats.host}` };
    const [inUrl, inSettings, wrong] = await Promise.all([
      doctor({ ...natsUrl, CLICKHOUSE_URL: clickhouse.url.replace("//", "//ann:p%40ss%2Fword@") }),
      doctor({
        ...natsUrl,
        CLICKMILL_PORT_CLICKHOUSE: new URL(clickhouse.url).port,
        CLICKHOUSE_USER: user.name,
        CLICKHOUSE_PASSWORD: user.password,
      }),
      doctor({ ...natsUrl, CLICKHOUSE_URL: clickhouse.url.replace("//", "//ann:no@") }),
    ]);
    for (const found of [inUrl, inSettings]) {
      expect(found("nats")).toMatchObject({ level: "ok" });
      expect(found("clickhouse")).toMatchObject({ level: "ok" });
    }
    expect(wrong("clickhouse")?.text).toContain("refuses this user (AUTHENTICATION_FAILED");
  });
});

describe("doctor's look at a sink", () => {
  let nats: StartedNatsServer;
  let clickhouse: EmbeddedClickHouse;
  beforeAll(async () => {
    nats = await startNatsServer("");
    clickhouse = await startEmbeddedClickHouse();
  });
  afterAll(() => Promise.all([nats?.stop(), clickhouse?.stop()]));

  test("finds the newest message of any number of shards, below the ticks", async () => {
    const environment = { NATS_URL: `nats://${nats.host}`, CLICKHOUSE_URL: clickhouse.url };
    expect(await runClickmill(["migrate"], environment)).toMatchObject({ code: 0 });
    const nc = await connect({ servers: nats.host });
    const js = jetstream(nc);
    await ensureStreams(await jetstreamManager(nc), { storeBytes: 8 * 1024 ** 3, replicas: 1 });
    const shards = Array.from({ length: 300 }, (_, shard) => shard);
    for (const shard of shards) {
      // oxlint-disable-next-line no-await-in-loop -- their order is the point
      await js.publish(rawSubject(shard), "x");
    }
    await js.publish("clicks.raw.tick", "x");
    await nc.close();
    const found = await doctor(environment);
    expect(found("raw sink")).toMatchObject({ level: "warning" });
    expect(found("raw sink")?.text).toContain("message 300 of CLICKS_RAW");
    expect(found("result sink")?.text).toBe("nothing in RESULTS yet");
  });
});

test("doctor ends even where a port accepts and says nothing", async () => {
  const silent = createServer().listen(0, "127.0.0.1");
  await once(silent, "listening");
  const { port } = silent.address() as AddressInfo;
  const nowhere = `http://127.0.0.1:${await freePort()}`;
  const run = await runClickmill(["doctor"], {
    CLICKMILL_URL: nowhere,
    NATS_URL: `nats://127.0.0.1:${port}`,
    CLICKHOUSE_URL: nowhere,
  });
  silent.close();
  expect(run.code).toBe(1);
  expect(run.stdout).toMatch(/failed +nats .*timeout/);
});

describe("migrate", () => {
  let clickhouse: EmbeddedClickHouse;
  beforeAll(async () => {
    clickhouse = await startEmbeddedClickHouse();
  });
  afterAll(() => clickhouse?.stop());

  const migrate = (database: string, ...args: string[]) =>
    runClickmill(["migrate", ...args], {
      CLICKHOUSE_URL: clickhouse.url,
      CLICKHOUSE_DATABASE: database,
    });

  test("says what it would apply and writes nothing, then applies it, then has nothing to apply", async () => {
    const dry = await migrate("fresh", "--dry-run");
    expect(dry).toMatchObject({ code: 0, stderr: "" });
    expect(dry.stdout).toMatch(/would apply +0001_clicks\.sql/);
    const first = await migrate("fresh");
    expect(first).toMatchObject({ code: 0, stderr: "" });
    expect(first.stdout).toMatch(/applied +0001_clicks\.sql/);
    const again = await migrate("fresh", "--json");
    expect(again.code).toBe(0);
    const report = JSON.parse(again.stdout) as { there: string[] };
    expect(report).toMatchObject({ database: "fresh", applied: [], missing: [], newer: [] });
    expect(report.there[0]).toBe("0001_clicks.sql");
  });

  test("a migration that was changed after it was applied is exit code 1, and named", async () => {
    const client = createClient({ url: clickhouse.url });
    for (const query of [
      "CREATE DATABASE changed",
      "CREATE TABLE changed.migrations (name String, checksum String) ENGINE = MergeTree ORDER BY name",
      "INSERT INTO changed.migrations VALUES ('0001_clicks.sql', 'another')",
    ]) {
      // oxlint-disable-next-line no-await-in-loop -- each stands on the one before
      await client.command({ query });
    }
    await client.close();
    const run = await migrate("changed");
    expect(run).toMatchObject({ code: 1, stdout: "" });
    expect(run.stderr).toContain("0001_clicks.sql has been changed since it was applied");
    expect(run.stderr).not.toContain("    at ");
  });

  test("nothing that answers is exit code 1, with the place and without the password", async () => {
    const port = await freePort();
    const run = await runClickmill(["migrate"], {
      CLICKHOUSE_URL: `http://user:s3cret@127.0.0.1:${port}`,
    });
    expect(run).toMatchObject({ code: 1, stdout: "" });
    expect(run.stderr).toContain(`http://127.0.0.1:${port}: connect ECONNREFUSED`);
    expect(run.stderr).not.toContain("s3cret");
  });
});
