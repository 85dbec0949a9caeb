import { defineConfig } from "vitest/config";
import {
  E2E_HOOK_MS_MAX,
  E2E_TEST_MS_MAX,
  UNIT_HOOK_MS_MAX,
  UNIT_TEST_MS_MAX,
} from "./tests/gate/limits.ts";

/** Unit tests stand next to the code; the edge's run inside workerd (vitest.edge.config.ts). */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          include: [
            "wire/**/*.test.ts",
            "wasm/**/*.test.ts",
            "aggregator/**/*.test.ts",
            "infra/**/*.test.ts",
            "tests/{imports,gate,model,traffic,helpers,fuzz,docs,bench}/**/*.test.ts",
          ],
          testTimeout: UNIT_TEST_MS_MAX,
          hookTimeout: UNIT_HOOK_MS_MAX,
        },
      },
      {
        test: {
          name: "e2e",
          include: ["tests/e2e/**/*.test.ts"],
          // The test stacks share their ports, and 2 cores.
          fileParallelism: false,
          testTimeout: E2E_TEST_MS_MAX,
          hookTimeout: E2E_HOOK_MS_MAX,
        },
      },
    ],
  },
});
