/**
 * `npm run conformance [-- words… --at-once N --kubeconfig FILE --json FILE]`: the behaviours that upstream's conformance suite asks
 * for, on a cluster made by `up` and gone afterwards, or on the one that a kubeconfig names. Prints what became of each name.
 */
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { inNetns } from "../../deploy/cluster/host.ts";
import { testCluster } from "../harness/cluster.ts";
import { MARKS, printed, reportLines, type Outcome, type Upstream } from "./report.ts";

const { values, positionals: words } = parseArgs({
  allowPositionals: true,
  options: {
    "at-once": { type: "string", default: "4" },
    kubeconfig: { type: "string" },
    json: { type: "string" },
  },
});
const upstream = JSON.parse(readFileSync(join(import.meta.dirname, "upstream.json"), "utf8")) as Upstream;
const outcomes = values.kubeconfig === undefined ? await onOwnCluster() : await onMachines(values.kubeconfig);
const lines = reportLines(upstream, outcomes).filter(({ name }) => words.length === 0 || outcomes.has(name));
process.stdout.write(`${printed(lines)}\n`);
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(lines, undefined, 2)}\n`);
process.exitCode = lines.some(({ outcome }) => outcome.kind === "fails") ? 1 : 0;

async function onOwnCluster(): Promise<ReadonlyMap<string, Outcome>> {
  const cluster = testCluster();
  try {
    process.stderr.write("  … making a cluster\n");
    await cluster.up();
    const { adminConf, bin, netns } = cluster.layout;
    return await on([adminConf, join(bin, "kubectl"), process.execPath], netns);
  } finally {
    await cluster.down();
  }
}

/** Machines that the playbooks made. */
function onMachines(kubeconfig: string): Promise<ReadonlyMap<string, Outcome>> {
  return on([kubeconfig, "kubectl", "/opt/pilothouse/current/bin/node"]);
}

/** `cluster`: kubeconfig, kubectl, and where the machines have their Node.js. */
async function on(cluster: readonly string[], netns?: string): Promise<ReadonlyMap<string, Outcome>> {
  const script = join(import.meta.dirname, "run-behaviours.ts");
  const args = ["--disable-warning=ExperimentalWarning", script, ...cluster, values["at-once"], ...words];
  const { command, args: full } =
    netns === undefined ? { command: "node", args } : inNetns(netns, process.execPath, args);
  const child = spawn(command, full, { stdio: ["ignore", "pipe", "inherit"] });
  const outcomes = new Map<string, Outcome>();
  for await (const line of createInterface({ input: child.stdout })) {
    const { name, outcome } = JSON.parse(line) as { name: string; outcome: Outcome };
    outcomes.set(name, outcome);
    process.stderr.write(`${toldAtOnce(name, outcome)}\n`);
  }
  return outcomes;
}

function toldAtOnce(name: string, outcome: Outcome): string {
  const line = `  ${MARKS[outcome.kind]} ${outcome.seconds.toFixed(1).padStart(5)} s  ${name}`;
  return outcome.kind === "holds" ? line : `${line}\n            ${outcome.why.split("\n")[0] ?? ""}`;
}
