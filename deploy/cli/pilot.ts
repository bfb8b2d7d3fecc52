/** `npx pilot`: the operator's own commands, beside kubectl. */
import { spawn } from "node:child_process";
import { Command } from "commander";
import { requireChoices, thisLayout } from "../cluster/clone.ts";
import { inNetns, isInNetns } from "../cluster/host.ts";
import { importImage } from "../cluster/images-and-tools.ts";
import type { ClusterChoices } from "../cluster/layout.ts";
import { runCommand } from "../cluster/steps.ts";
import { renderStatus, statusLines } from "./status.ts";
import { show, tail, type TailFilter } from "./trace.ts";

const layout = thisLayout();
const print = (line: string): void => void process.stdout.write(`${line}\n`);
const color = process.stdout.isTTY && process.env["NO_COLOR"] === undefined;

/** Runs in the cluster's own network namespace where it has one; explains what fails. */
function withCluster(work: (choices: ClusterChoices) => Promise<void>): Promise<void> {
  return runCommand(async () => {
    const choices = requireChoices(layout);
    if (!choices.isolated || isInNetns(layout.netns)) return work(choices);
    const { command, args } = inNetns(layout.netns, process.execPath, [...process.execArgv, ...process.argv.slice(1)]);
    const child = spawn(command, args, { stdio: "inherit" });
    process.exitCode = await new Promise<number>((resolve) => child.once("exit", (code) => resolve(code ?? 1)));
  });
}

// A reader that has seen enough (`| head`) is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));

const pilot = new Command("pilot").description("Looks into a Pilothouse cluster.");

pilot
  .command("status")
  .description("what runs, who leads, what is unwell, and the command that helps")
  .action(() =>
    withCluster(async (choices) => {
      const lines = await statusLines(layout, choices);
      process.stdout.write(renderStatus(lines));
      if (lines.some(({ well }) => !well)) process.exitCode = 1;
    }),
  );

const trace = pilot.command("trace").description("spans of all processes, as they happen or as they were");

trace
  .command("tail")
  .description("prints spans as they end, one line each")
  .option("--service <name>", "only spans of this service")
  .option("--trace <id>", "only spans of this trace (a prefix will do)")
  .option("--text <text>", "only spans whose name or object holds this text")
  .option("--min-ms <n>", "only spans that took at least this long", Number)
  .option("--errors", "only spans that failed")
  .action((filter: TailFilter) => withCluster((choices) => tail(layout, choices, filter, print, color)));

trace
  .command("show <object>")
  .description("the waterfall of an object's creation: pod/NAME, deployment/NAME, or a trace id")
  .option("-n, --namespace <namespace>", "the object's namespace", "default")
  .action((what: string, { namespace }: { namespace: string }) =>
    withCluster(async (choices) => {
      const width = process.stdout.columns ?? 140;
      for (const line of await show(layout, choices, what, namespace, { barWidth: Math.max(20, width - 110), color }))
        print(line);
    }),
  );

pilot
  .command("image")
  .description("images of the node")
  .command("load <file>")
  .description("brings a docker or OCI archive to every node")
  .action((file: string) =>
    withCluster(async () => {
      for (const name of await importImage(layout, file)) print(`loaded ${name}`);
    }),
  );

await pilot.parseAsync();
