/** A whole cluster for tests, made by the same `up` that users type, with data and network namespace of its own. */
import { execFile, spawn } from "node:child_process";
import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { layoutOf, type Layout } from "../../deploy/cluster/layout.ts";
import { inNetns } from "../../deploy/cluster/host.ts";

export interface TestCluster {
  readonly layout: Layout;
  /** Runs kubectl as the administrator; rejects with CommandFailed. `input` goes to its standard input. */
  readonly kubectl: (args: readonly string[] | string, input?: string) => Promise<string>;
  /** Runs any command on the node (in its network namespace). */
  readonly onNode: (command: string, args: readonly string[], input?: string) => Promise<string>;
  /** `npx pilot …`. */
  readonly pilot: (...args: string[]) => Promise<string>;
  /** Process id of a service, etcd, nats or containerd as its pid file says. */
  pidOf(process: string): number;
  up(): Promise<string>;
  down(): Promise<void>;
}

/** A command ended with another code than 0. */
export class CommandFailed extends Error {
  override readonly name = "CommandFailed";
  readonly code: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
  constructor(command: string, code: number | undefined, stdout: string, stderr: string) {
    super(`${command} ended with ${code}\n${stdout}${stderr}`);
    this.code = code;
    this.stdout = stdout;
    this.stderr = stderr;
  }
}

const repository = dirname(dirname(import.meta.dirname));
const OUTPUT_BYTES = 64 * 2 ** 20;

/** A cluster that is not up yet. `down()` in the test's `afterAll` leaves nothing of it. */
export function testCluster(): TestCluster {
  const layout = layoutOf(repository, mkdtempSync(join(tmpdir(), "ph-")));
  const env = { ...process.env, PILOTHOUSE_ROOT: layout.root, KUBECONFIG: layout.adminConf, NO_COLOR: "1" };
  const run = (command: string, args: readonly string[], input?: string): Promise<string> =>
    runToEnd(command, args, env, input);
  const command = (name: string, ...args: string[]): Promise<string> =>
    run("node", [join(repository, "deploy/commands", `${name}.ts`), ...args]);
  const onNode = (program: string, args: readonly string[], input?: string): Promise<string> => {
    const entered = inNetns(layout.netns, program, args);
    return run(entered.command, entered.args, input);
  };
  return {
    layout,
    onNode,
    kubectl: (args, input) =>
      onNode(join(layout.bin, "kubectl"), typeof args === "string" ? args.split(" ") : args, input),
    pilot: (...args) => run("node", [join(repository, "deploy/cli/pilot.ts"), ...args]),
    pidOf: (name) => Number(readFileSync(join(layout.run, `${name}.pid`), "utf8")),
    up: () => command("up", "--isolated"),
    down: async () => void (await command("down")),
  };
}

function runToEnd(command: string, args: readonly string[], env: NodeJS.ProcessEnv, input?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(command, args, { env, maxBuffer: OUTPUT_BYTES }, (error, stdout, stderr) => {
      if (!error) resolve(stdout);
      else reject(new CommandFailed([command, ...args].join(" "), child.exitCode ?? undefined, stdout, stderr));
    });
    child.stdin?.end(input ?? "");
  });
}

/** A background command on the node; `said()` is what it has printed so far, `stop()` ends it and gives all of that. */
export function startOnNode(
  cluster: TestCluster,
  program: string,
  args: readonly string[],
): { said(): string; stop(): Promise<string> } {
  const entered = inNetns(cluster.layout.netns, program, args);
  const env = { ...process.env, KUBECONFIG: cluster.layout.adminConf };
  const child = spawn(entered.command, entered.args, { env, stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (part: string) => (output += part));
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  return {
    said: () => output,
    async stop() {
      child.kill("SIGTERM");
      await ended;
      return output;
    },
  };
}
