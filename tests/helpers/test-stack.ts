/** A fresh stack for one test file, traffic through it, and the verdict over its tables. */
import type { ChildProcess } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createClient } from "@clickhouse/client";
import type { ClickHouseClient } from "@clickhouse/client";
import { spawnChild } from "../../infra/stack/children.ts";
import { inheritedEnvironment } from "../../infra/stack/config.ts";
import { readStackOptions, startStack } from "../../infra/stack/stack.ts";
import type { Stack, StackOptions } from "../../infra/stack/stack.ts";
import type { Ledger } from "../traffic/ledger.ts";
import { provesNothing, settledVerdict } from "../traffic/settled-verdict.ts";
import { firstOfEachKind } from "../traffic/verdict-report.ts";
import type { Verdict } from "../traffic/verdict.ts";

export interface TestStack {
  readonly stack: Stack;
  readonly client: ClickHouseClient;
  readonly windowSeconds: number;
  /**
   * Waits, bounded, until every click of the ledger is in raw and counted; then compares.
   *
   * @throws where even a clean verdict would prove nothing: no click accepted, or some unanswered
   */
  verdict(ledger: Ledger): Promise<Verdict>;
  /** Starts another aggregator beside the stack's, with the same settings; the caller ends it. */
  anotherAggregator(): ChildProcess;
  /** Rows of a query as objects. */
  select<Row>(query: string): Promise<Row[]>;
  stop(): Promise<void>;
}

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
    fresh: true,
    ...changes,
  };
  const stack = await startStack(options);
  const client = createClient({ url: stack.urls.clickhouse, database: options.database });
  const { windowSeconds } = options;
  return {
    stack,
    client,
    windowSeconds,
    async verdict(ledger) {
      const nothing = provesNothing(ledger.counts());
      if (nothing !== null) throw new Error(`this run proves nothing: ${nothing}`);
      return settledVerdict({ client, ledger, windowSeconds });
    },
    anotherAggregator() {
      const logDescriptor = openSync(join(options.stateDirectory, "logs/aggregator-2.log"), "a");
      try {
        return spawnChild({
          command: process.execPath,
          arguments: [fileURLToPath(new URL("../../aggregator/main.ts", import.meta.url))],
          environment: {
            ...inheritedEnvironment(),
            NATS_URL: stack.urls.nats,
            CLICKHOUSE_URL: stack.urls.clickhouse,
            CLICKHOUSE_DATABASE: options.database,
            PARTITIONS: String(options.partitions),
            WINDOW_SECONDS: String(windowSeconds),
            ...options.aggregatorEnvironment,
          },
          workingDirectory: options.stateDirectory,
          logDescriptor,
        });
      } finally {
        closeSync(logDescriptor);
      }
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

/** What a clean verdict looks like; comparing with it prints the first differences of each kind. */
export function clean(verdict: Verdict): Pick<Verdict, "clean" | "lost" | "double" | "listed"> {
  return {
    clean: verdict.clean,
    lost: verdict.lost,
    double: verdict.double,
    listed: firstOfEachKind(verdict),
  };
}
export const CLEAN = { clean: true, lost: 0, double: 0, listed: [] } as const;
