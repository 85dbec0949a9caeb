/** Tests of the edge, inside workerd itself, with the bindings of wrangler.toml as the local stack has them. */
import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";
import { UNIT_TEST_MS_MAX } from "./tests/gate/limits.ts";

export default defineConfig({
  plugins: [
    cloudflareTest({
      wrangler: { configPath: "./wrangler.toml" },
      remoteBindings: false,
      miniflare: {
        bindings: {
          PLATFORM: "local",
          SHARDS: "4",
          PARTITIONS: "2",
          WINDOW_SECONDS: "60",
          // Nobody listens there: tests of the edge run without NATS, which is a case of its own.
          NATS_URL: "ws://127.0.0.1:9",
        },
      },
    }),
  ],
  test: { name: "edge", include: ["edge/**/*.test.ts"], testTimeout: UNIT_TEST_MS_MAX },
});
