/** A fresh stack for one test file, traffic through it, and the verdict over its tables. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { createClient } from "@clickhouse/client";
import type { ClickHouseClient } from "@clickhouse/client";
import { readStackOptions, startStack } from "../../infra/stack/stack.ts";
import type { Stack, StackOptions } from "../../infra/stack/stack.ts";
import type { Ledger } from "../traffic/ledger.ts";
import { readArrived, readVerdict } from "../traffic/read-verdict.ts";
import type { Verdict } from "../traffic/verdict.ts";

export interface TestStack {
  readonly stack: Stack;
  readonly client: ClickHouseClient;
  readonly windowSeconds: number;
  /** Waits, bounded, until every click of the ledger is in raw and counted; then compares. */
  verdict(ledger: Ledger): Promise<Verdict>;
  /** Rows of a query as objects. */
  select<Row>(query: string): Promise<Row[]>;
  stop(): Promise<void>;
}

/**
 * After the last answer: clicks up to 10 s in the future, a window, the grace, a sink's second; and
 * a process that was killed has to catch up. Three times that.
 */
const ARRIVAL_MS_MAX = 75_000;
const POLL_MS = 500;
/** When the counts agree: what would double them has so long to appear. */
const SETTLED_MS = 2_000;

/** @param name its state directory under that of the tests, made anew */
export async function startTestStack(
  name: string,
  changes: Partial<
    Pick<
      StackOptions,
      "windowSeconds" | "shards" | "partitions" | "edgeVars" | "aggregatorEnvironment"
    >
  > = {},
): Promise<TestStack> {
  const profile = readStackOptions("test");
  const options: StackOptions = {
    ...profile,
    name: `test-${name}`,
    stateDirectory: join(profile.stateDirectory, name),
    ...changes,
  };
  rmSync(options.stateDirectory, { recursive: true, force: true });
  const stack = await startStack(options);
  const client = createClient({ url: stack.urls.clickhouse, database: options.database });
  const { windowSeconds } = options;
  return {
    stack,
    client,
    windowSeconds,
    async verdict(ledger) {
      const deadlineMs = performance.now() + ARRIVAL_MS_MAX;
      for (;;) {
        const { accepted } = ledger.counts();
        const arrived = await readArrived(client);
        if (arrived.rawRows >= accepted && arrived.counted >= arrived.rawRows) break;
        if (performance.now() > deadlineMs) break;
        await sleep(POLL_MS);
      }
      await sleep(SETTLED_MS);
      return readVerdict(client, ledger, windowSeconds);
    },
    async select<Row>(query: string) {
      const answer = await client.query({ query, format: "JSONEachRow" });
      return answer.json<Row>();
    },
    async stop() {
      await client.close();
      await stack.stop();
    },
  };
}

/** What a clean verdict looks like; comparing with it prints every difference. */
export function clean(verdict: Verdict): Pick<Verdict, "clean" | "lost" | "double" | "listed"> {
  return {
    clean: verdict.clean,
    lost: verdict.lost,
    double: verdict.double,
    listed: verdict.listed,
  };
}
export const CLEAN = { clean: true, lost: 0, double: 0, listed: [] } as const;
