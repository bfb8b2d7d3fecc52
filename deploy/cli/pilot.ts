/** `npx pilot`: the operator's own commands, beside kubectl. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { systemClock } from "@pilothouse/clock/system";
import { Scope } from "@pilothouse/lifecycle";
import { Command, Option } from "commander";
import { requireChoices, thisLayout } from "../cluster/clone.ts";
import { ExplainedError } from "../cluster/errors.ts";
import { inNetns, isInNetns } from "../cluster/host.ts";
import { importImage } from "../cluster/images-and-tools.ts";
import type { ClusterChoices } from "../cluster/layout.ts";
import { runCommand } from "../cluster/steps.ts";
import { ClusterAccess, clusterOfKubeconfig, localCluster, type ClusterAddresses } from "./cluster-access.ts";
import { clusterLines } from "./cluster-status.ts";
import { localLines } from "./local-status.ts";
import { lookAt } from "./probes.ts";
import { renderStatus, statusJson, type StatusLine } from "./status-lines.ts";
import { show, tail, type TailFilter } from "./trace.ts";
import { why } from "./why.ts";

/** The cluster that a command is about; `local` where it is this clone's own. */
interface Cluster {
  readonly access: ClusterAccess;
  readonly local: ClusterChoices | undefined;
  /** What is open for it. */
  readonly scope: Scope;
}

const layout = thisLayout();
const print = (line: string): void => void process.stdout.write(`${line}\n`);
const remark = (line: string): void => void process.stderr.write(`${line}\n`);
const color = process.stdout.isTTY && process.env["NO_COLOR"] === undefined;

/** The cluster of the kubeconfig that knows a backbone; else this clone's. Explains what fails. */
function withCluster(work: (cluster: Cluster) => Promise<void>): Promise<void> {
  return runCommand(async () => {
    const addresses = addressesAsked(pilot.opts<{ kubeconfig?: string }>().kubeconfig);
    return addresses === undefined
      ? withLocalCluster((choices) => withAccess(localCluster(layout, choices), choices, work))
      : withAccess(addresses, undefined, work);
  });
}

/** Runs in the local cluster's own network namespace where it has one. */
async function withLocalCluster(work: (choices: ClusterChoices) => Promise<void>): Promise<void> {
  const choices = requireChoices(layout);
  if (!choices.isolated || isInNetns(layout.netns)) return work(choices);
  const { command, args } = inNetns(layout.netns, process.execPath, [...process.execArgv, ...process.argv.slice(1)]);
  const child = spawn(command, args, { stdio: "inherit" });
  process.exitCode = await new Promise<number>((resolve) => child.once("exit", (code) => resolve(code ?? 1)));
}

async function withAccess(
  addresses: ClusterAddresses,
  local: ClusterChoices | undefined,
  work: (cluster: Cluster) => Promise<void>,
): Promise<void> {
  const scope = new Scope("pilot", (task, error) => remark(`${task}: ${String(error)}`));
  try {
    await work({ access: new ClusterAccess(addresses, systemClock, scope), local, scope });
  } finally {
    await scope.close();
  }
}

/** By the flag, which must know the backbone; by KUBECONFIG if that does. */
function addressesAsked(flag: string | undefined): ClusterAddresses | undefined {
  if (flag === undefined) {
    const [first = ""] = (process.env["KUBECONFIG"] ?? "").split(":");
    return existsSync(first) ? clusterOfKubeconfig(first) : undefined;
  }
  const addresses = clusterOfKubeconfig(flag);
  if (addresses === undefined) throw new ExplainedError("PH-161", `${flag} does not know the backbone.`);
  return addresses;
}

function statusOf({ access, local }: Cluster): Promise<readonly StatusLine[]> {
  if (local !== undefined) return localLines(access, layout, local);
  return lookAt(access, systemClock).then((seen) => clusterLines(seen, systemClock.now()));
}

// A reader that has seen enough (`| head`) is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));

const pilot = new Command("pilot")
  .description("Looks into a Pilothouse cluster: this clone's, or that of an administrator's kubeconfig.")
  .option("--kubeconfig <file>", "the administrator's kubeconfig of a cluster that the playbooks have made");

pilot
  .command("status")
  .description("what runs, who leads, what is unwell, and the command that helps")
  .addOption(new Option("-o, --output <format>", "how it is told").choices(["text", "json"]).default("text"))
  .action(({ output }: { output: "text" | "json" }) =>
    withCluster(async (cluster) => {
      const lines = await statusOf(cluster);
      process.stdout.write(output === "json" ? statusJson(lines) : renderStatus(lines));
      if (lines.some(({ well }) => !well)) process.exitCode = 1;
    }),
  );

const trace = pilot.command("trace").description("spans of all processes, as they happen or as they were");

trace
  .command("tail")
  .description("prints spans as they end, one line each")
  .option("--service <name>", "only spans of this service")
  .option("--machine <name>", "only spans of this machine")
  .option("--trace <id>", "only spans of this trace (a prefix will do)")
  .option("--text <text>", "only spans whose name or object holds this text")
  .option("--min-ms <n>", "only spans that took at least this long", Number)
  .option("--errors", "only spans that failed")
  .action((filter: TailFilter) =>
    withCluster(async ({ access, local, scope }) => {
      await tail(access, scope, filter, { print, remark, color, withHost: local === undefined });
      await new Promise<void>((resolve) => process.once("SIGINT", resolve));
    }),
  );

trace
  .command("show <object>")
  .description("the waterfall of an object's creation: pod/NAME, deployment/NAME, or a trace id")
  .option("-n, --namespace <namespace>", "the object's namespace", "default")
  .action((what: string, { namespace }: { namespace: string }) =>
    withCluster(async ({ access }) => {
      const width = process.stdout.columns ?? 140;
      for (const line of await show(access, what, namespace, { barWidth: Math.max(20, width - 110), color }))
        print(line);
    }),
  );

pilot
  .command("why <object>")
  .description(
    "why a pod does not run, what or whom it waits for, and the command that helps: pod/NAME, deployment/NAME, …",
  )
  .option("-n, --namespace <namespace>", "the object's namespace", "default")
  .action((what: string, { namespace }: { namespace: string }) =>
    withCluster(async ({ access }) => {
      for (const line of await why(access.apiAt(access.addresses.api.server), what, namespace)) print(line);
    }),
  );

pilot
  .command("image")
  .description("images of the node")
  .command("load <file>")
  .description("brings a docker or OCI archive to this clone's node")
  .action((file: string) =>
    runCommand(() =>
      withLocalCluster(async () => {
        for (const name of await importImage(layout, file)) print(`loaded ${name}`);
      }),
    ),
  );

await pilot.parseAsync();
// Everything is closed; but gRPC's handshake with a machine that is silent would keep the process for minutes.
process.stdout.write("", () => process.exit());
