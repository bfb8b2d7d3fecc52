/** Asks machines by ssh, as an operator would. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { HOST_ADDRESS, type LabLayout, type LabMachine } from "../../../deploy/lab/layout.ts";

const CONNECT_LIMIT_S = 5;

/** Runs a script with `sh`; each line of its output is told at once. Resolves with whether it ended well. */
export function runThere(
  layout: LabLayout,
  { address }: LabMachine,
  script: string,
  onLine: (line: string) => void,
  signal: AbortSignal,
): Promise<boolean> {
  const options = [
    `UserKnownHostsFile=${join(layout.root, "known_hosts")}`,
    "StrictHostKeyChecking=accept-new",
    `BindAddress=${HOST_ADDRESS}`,
    "BatchMode=yes",
    `ConnectTimeout=${CONNECT_LIMIT_S}`,
    "ServerAliveInterval=5",
    "ServerAliveCountMax=2",
    "LogLevel=ERROR",
  ];
  const args = ["-i", layout.sshKey, ...options.flatMap((option) => ["-o", option]), `root@${address}`, "sh"];
  return new Promise((resolve) => {
    const child = spawn("ssh", args, { stdio: ["pipe", "pipe", "ignore"], signal });
    let rest = "";
    child.stdout.on("data", (part: Buffer) => {
      const lines = (rest + part.toString()).split("\n");
      rest = lines.pop() ?? "";
      lines.forEach(onLine);
    });
    child.once("error", () => resolve(false));
    child.once("close", (code) => resolve(code === 0));
    child.stdin.on("error", () => undefined);
    child.stdin.end(script);
  });
}

/** All that the script prints; throws where it did not end well. */
export async function answerOf(layout: LabLayout, machine: LabMachine, script: string): Promise<string> {
  const lines: string[] = [];
  const well = await runThere(layout, machine, script, (line) => void lines.push(line), AbortSignal.timeout(60_000));
  if (!well)
    throw new Error(`${machine.name}: ssh failed${lines.length > 0 ? ` after: ${lines.slice(-3).join(" | ")}` : ""}`);
  return `${lines.join("\n")}\n`;
}
