import { defineConfig } from "vitest/config";

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
            "tests/{imports,gate,model,traffic,helpers}/**/*.test.ts",
          ],
          testTimeout: 30_000,
        },
      },
      {
        test: {
          name: "e2e",
          include: ["tests/e2e/**/*.test.ts"],
          fileParallelism: false,
          testTimeout: 240_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
});
