/**
 * Runs on the node (in its network namespace): tries behaviours and tells of each as one JSON line.
 * `node run-behaviours.ts <kubeconfig> <kubectl> <the machines' node> <how many at once> [words that a name must contain…]`
 */
import { performance } from "node:perf_hooks";
import { jsonClient, targetOf } from "../harness/json-client.ts";
import { isSerial, TooSmall, type Behaviour } from "./behaviour.ts";
import { BEHAVIOURS } from "./behaviours/index.ts";
import type { Outcome } from "./report.ts";
import { startTrial, type TrialDeps, type TrialRun } from "./trial.ts";

const [kubeconfig = "", kubectl = "", nodeProgram = "", atOnce = "4", ...words] = process.argv.slice(2);
const client = jsonClient(targetOf(kubeconfig));
const chosen = BEHAVIOURS.filter(({ name }) => words.every((word) => name.toLowerCase().includes(word.toLowerCase())));
await inParallel(
  chosen.filter(({ name }) => !isSerial(name)),
  Number(atOnce),
);
await inParallel(
  chosen.filter(({ name }) => isSerial(name)),
  1,
);
client.close();

async function inParallel(behaviours: readonly Behaviour[], atMost: number): Promise<void> {
  const queue = behaviours.values();
  const worker = async (): Promise<void> => {
    for (const behaviour of queue) {
      const outcome = await attempt({ client, kubectl, kubeconfig, nodeProgram }, behaviour);
      process.stdout.write(`${JSON.stringify({ name: behaviour.name, outcome })}\n`);
    }
  };
  await Promise.all(Array.from({ length: atMost }, worker));
}

async function attempt(deps: TrialDeps, { holds }: Behaviour): Promise<Outcome> {
  const startMs = performance.now();
  const seconds = (): number => (performance.now() - startMs) / 1_000;
  let run: TrialRun | undefined;
  try {
    run = await startTrial(deps, "conformance");
    await holds(run.trial);
    return { kind: "holds", seconds: seconds() };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return { kind: error instanceof TooSmall ? "too small" : "fails", seconds: seconds(), why };
  } finally {
    await run?.end();
  }
}
