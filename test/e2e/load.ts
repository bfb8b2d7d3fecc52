/**
 * A client that calls a Service without a pause and writes down every failure; an empty line says that it has begun. Runs on
 * the node: `node test/e2e/load.ts <url> <workers>`.
 */
import { request } from "node:http";

const [url = "", workers = "4"] = process.argv.slice(2);
const PATIENCE_MS = 5_000;
const counts = { answered: 0, failed: 0 };
const failures: string[] = [];
const stop = new AbortController();

process.once("SIGTERM", () => stop.abort());
process.stdout.write("\n");
await Promise.all(Array.from({ length: Number(workers) }, work));
process.stdout.write(JSON.stringify({ ...counts, failures: failures.slice(0, 20) }));

async function work(): Promise<void> {
  while (!stop.signal.aborted) {
    try {
      await call();
      counts.answered++;
    } catch (error) {
      counts.failed++;
      failures.push(`${new Date().toISOString()} ${error instanceof Error ? error.message : String(error)}`);
    }
  }
}

/** A connection of its own each time, so that every call is balanced anew. */
function call(): Promise<void> {
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { agent: false, timeout: PATIENCE_MS }, (answer) => {
      answer.resume();
      answer.once("end", () =>
        answer.statusCode === 200 ? resolve() : reject(new Error(`status ${answer.statusCode}`)),
      );
      answer.once("error", reject);
    });
    outgoing.once("timeout", () => outgoing.destroy(new Error("no answer in time")));
    outgoing.once("error", reject);
    outgoing.end();
  });
}
