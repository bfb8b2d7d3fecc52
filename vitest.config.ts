import { defineConfig } from "vitest/config";

/** `unit`: fast, shares one process. `real`: real etcd, NATS, containerd, nft, kubectl; one file after the other. */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          include: ["{libs,services,deploy,test}/**/*.test.ts"],
          exclude: ["**/*.real.test.ts", "**/node_modules/**", "**/dist/**", "test/lint/planted/**"],
          isolate: false,
          // For a test that hangs; how slow the machine is, is nobody's fault.
          testTimeout: 60_000,
        },
      },
      {
        test: {
          name: "real",
          include: ["{libs,services,deploy,test}/**/*.real.test.ts"],
          exclude: ["**/node_modules/**", "**/dist/**"],
          fileParallelism: false,
          testTimeout: 60_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
});
