import { defineConfig } from "vitest/config";

/**
 * `unit`: fast, shares one process. `real`: real etcd, NATS, containerd, nft, kubectl; one file after the other. `lab`: on the
 * machines of `npm run lab`, by `npm run test:lab` only.
 */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          include: ["{libs,services,deploy,test}/**/*.test.ts"],
          exclude: ["**/*.{real,lab}.test.ts", "**/node_modules/**", "**/dist/**", "test/lint/planted/**"],
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
      {
        test: {
          name: "lab",
          include: ["test/lab/*.lab.test.ts"],
          fileParallelism: false,
          testTimeout: 60_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
});
