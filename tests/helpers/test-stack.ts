/** A fresh stack for one test file, traffic through it, and the verdict over its tables. */
import { join } from "node:path";
import { createClient } from "@clickhouse/client";
import type { ClickHouseClient } from "@clickhouse/client";
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
