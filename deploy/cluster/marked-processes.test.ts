import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { runningSupervisor } from "./marked-processes.ts";

test("a pid file that outlived its supervisor names nobody, even when the number is somebody else's now", () => {
  const folder = mkdtempSync(join(tmpdir(), "pid-"));
  const pidFile = join(folder, "supervisor.pid");
  try {
    expect(runningSupervisor(pidFile, "/clone/.cluster")).toBeUndefined();
    writeFileSync(pidFile, `${process.pid}\n`);
    expect(runningSupervisor(pidFile, "/clone/.cluster")).toBeUndefined();
    expect(runningSupervisor(pidFile, process.execPath)).toBe(process.pid);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
