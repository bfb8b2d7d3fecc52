/** Steps of a command as the user sees them: one ticked line each with its time; a failed one says what, why and what next. */
import { performance } from "node:perf_hooks";
import { ExplainedError, type ErrorId } from "./errors.ts";

const STILL_AT_IT_MS = 2_000;

/** Runs one step and prints its line. What is thrown inside is thrown on, as an ExplainedError. */
export async function step<T>(title: string, onFailure: ErrorId, work: () => Promise<T> | T): Promise<T> {
  const startedMs = performance.now();
  const progress = setInterval(() => {
    if (process.stdout.isTTY) process.stdout.write(`\r  … ${title} (${seconds(startedMs)})`);
  }, STILL_AT_IT_MS);
  try {
    const result = await work();
    printLine(`  ✔ ${title.padEnd(52)} ${seconds(startedMs)}`);
    return result;
  } catch (error) {
    printLine(`  ✘ ${title.padEnd(52)} ${seconds(startedMs)}`);
    throw explained(error, onFailure);
  } finally {
    clearInterval(progress);
  }
}

/** Runs a whole command: prints the explanation of what failed and sets the exit code. */
export async function runCommand(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    const { id, message, why, next } = explained(error, "PH-130");
    process.stderr.write(
      `\n  ${message}\n    why:  ${why}\n    next: ${next}\n    more: docs/errors.md#${id.toLowerCase()}\n`,
    );
    process.exitCode = 1;
  }
}

function explained(error: unknown, id: ErrorId): ExplainedError {
  if (error instanceof ExplainedError) return error;
  return new ExplainedError(id, error instanceof Error ? error.message : String(error));
}

function printLine(line: string): void {
  process.stdout.write(process.stdout.isTTY ? `\r\x1b[K${line}\n` : `${line}\n`);
}

function seconds(sinceMs: number): string {
  return `${((performance.now() - sinceMs) / 1000).toFixed(1)} s`;
}
