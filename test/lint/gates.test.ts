import { execFileSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, expect, test } from "vitest";

const repository = dirname(dirname(import.meta.dirname));
/** The project's own configuration, save that it looks at the planted files. */
const config = join(repository, ".oxlintrc.planted.json");
afterAll(() => rmSync(config, { force: true }));

/** A gate that cannot fail is worse than none: every planted violation is found, by the rule that it is there for. */
test("each planted violation is found, and nothing else", () => {
  const rules = JSON.parse(readFileSync(join(repository, ".oxlintrc.json"), "utf8")) as Record<string, unknown>;
  writeFileSync(config, JSON.stringify({ ...rules, ignorePatterns: [] }));
  expect(violations()).toEqual([
    "libs/store/src/imports-upwards.ts pilothouse(arrows)",
    "libs/store/src/waits.ts pilothouse(no-ambient)",
    "services/kubelet/src/flows/explains-the-scheduler.ts pilothouse(arrows)",
    "services/scheduler/src/core/awaits.ts pilothouse(synchronous-core)",
    "services/scheduler/src/core/does-io.ts pilothouse(arrows)",
    "services/scheduler/src/core/imports-a-flow.ts pilothouse(arrows)",
    "services/scheduler/src/core/keeps-state.ts pilothouse(no-mutable-module-state)",
    "services/scheduler/src/core/reads-the-clock.ts pilothouse(no-ambient)",
    "services/scheduler/src/core/reads-the-environment.ts pilothouse(process-in-main-only)",
    "services/scheduler/src/core/rolls-dice.ts pilothouse(no-ambient)",
    "services/scheduler/src/flows/circle-one.ts import(no-cycle)",
    "services/scheduler/src/flows/circle-two.ts import(no-cycle)",
    "services/scheduler/src/flows/floats.ts typescript(no-floating-promises)",
    "services/scheduler/src/flows/forgets-a-case.ts typescript(switch-exhaustiveness-check)",
    "services/scheduler/src/flows/imports-a-service.ts pilothouse(arrows)",
    "services/scheduler/src/flows/imports-an-adapter.ts pilothouse(arrows)",
    "services/scheduler/src/flows/reaches-into-a-package.ts pilothouse(arrows)",
    "services/scheduler/src/flows/shrugs.ts typescript(no-explicit-any)",
    "services/scheduler/src/flows/type-circle-one.ts import(no-cycle)",
    "services/scheduler/src/flows/type-circle-two.ts import(no-cycle)",
  ]);
});

function violations(): readonly string[] {
  const found = new Set<string>();
  const line = /^.*test\/lint\/planted\/(\S+?):\d+:\d+: .*\[\w+\/([^\]]+)\]$/gm;
  for (const [, file, rule] of lint().matchAll(line)) found.add(`${file} ${rule}`);
  return [...found].sort();
}

/** oxlint ends with 1 when it finds something, which is what we want here. */
function lint(): string {
  try {
    return execFileSync("oxlint", ["-c", config, "--type-aware", "-f", "unix", "--no-ignore", "test/lint/planted"], {
      cwd: repository,
      encoding: "utf8",
    });
  } catch (error) {
    return (error as { stdout: string }).stdout;
  }
}
