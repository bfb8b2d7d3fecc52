import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** The beginning of the path of every temporary directory of the test process `pid`. Short, for unix sockets live in there. */
export function testDirectoryPrefix(pid: number): string {
  return join(tmpdir(), `ph-${pid}-`);
}

export function makeTestDirectory(): Promise<string> {
  return mkdtemp(testDirectoryPrefix(process.pid));
}

export function removeTestDirectory(directory: string): Promise<void> {
  return rm(directory, { recursive: true, force: true, maxRetries: 5 });
}
