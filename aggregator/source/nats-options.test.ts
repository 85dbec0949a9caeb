/** Who we are to NATS stands in its URL. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { connect } from "@nats-io/transport-node";
import { afterEach, describe, expect, test } from "vitest";
import { startNatsServer } from "../../tests/helpers/nats-server.ts";
import type { StartedNatsServer } from "../../tests/helpers/nats-server.ts";
import { endingWithParent } from "../../infra/stack/children.ts";
import { natsOptions } from "./nats-options.ts";

const AGGREGATOR = fileURLToPath(new URL("../main.ts", import.meta.url));

describe("a URL as options", () => {
  test.each([
    ["nats://host:4222", { servers: "nats://host:4222" }],
    ["nats://u:p%40ss%2Fword@host:1", { servers: "nats://host:1", user: "u", pass: "p@ss/word" }],
    ["nats://t%3Aken@[::1]:1", { servers: "nats://[::1]:1", token: "t:ken" }],
    ["tls://u:p@host", { servers: "tls://host", tls: {}, user: "u", pass: "p" }],
  ])("%s", (url, options) => {
    expect(natsOptions(url)).toEqual(options);
  });
});

describe("a server that wants a login", () => {
  let server: StartedNatsServer | undefined;
  afterEach(() => server?.stop());

  async function enter(login: string, scheme = "nats"): Promise<string> {
    const nc = await connect({
      ...natsOptions(`${scheme}://${login}${server!.host}`),
      reconnect: false,
    });
    await nc.flush();
    await nc.close();
    return "in";
  }

  test("lets the URL's user in, and nobody else", async () => {
    server = await startNatsServer(`authorization { user: u, password: "p@ss/word" }`);
    expect(await enter("u:p%40ss%2Fword@")).toBe("in");
    for (const login of ["", "u:other@", "p%40ss%2Fword@"]) {
      // oxlint-disable-next-line no-await-in-loop
      await expect(enter(login)).rejects.toThrow("Authorization Violation");
    }
  });

  test("lets the aggregator in, which makes its streams", async () => {
    server = await startNatsServer(`authorization { user: u, password: "p@ss/word" }`);
    const aggregator = spawn(...endingWithParent(process.execPath, [AGGREGATOR]), {
      env: {
        ...process.env,
        NATS_URL: `nats://u:p%40ss%2Fword@${server.host}`,
        // Nobody's: a ClickHouse that somebody runs here is left alone.
        CLICKHOUSE_URL: "http://127.0.0.1:1",
      },
      stdio: ["ignore", "pipe", "inherit"],
    });
    const exited = once(aggregator, "exit");
    let log = "";
    for await (const line of createInterface({ input: aggregator.stdout })) {
      log += line;
      if (line.includes("streams are there")) break;
    }
    aggregator.kill("SIGKILL");
    await exited;
    expect(log).toContain("streams are there");
  });

  test("lets the URL's token in, and nobody else", async () => {
    server = await startNatsServer(`authorization { token: "t:ken" }`);
    expect(await enter("t%3Aken@")).toBe("in");
    await expect(enter("")).rejects.toThrow("Authorization Violation");
  });

  test("gets no password in clear text from tls://", async () => {
    server = await startNatsServer(`authorization { user: u, password: p }`);
    await expect(enter("u:p@", "tls")).rejects.toThrow("does not support 'tls'");
  });
});
