/**
 * `npm run up`: from nothing to a node that is Ready and a DNS that answers. Each step looks before it acts, so that a second
 * run is harmless and a run that was killed half-way is completed by the next.
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { containerdConfig } from "../containerd-config.ts";
import { PAUSE_IMAGE } from "../images.ts";
import { buildIfChanged } from "../cluster/bundles.ts";
import { API_USERS, ensureCertificates, writeKubeconfig } from "../cluster/certificates.ts";
import { readChoices, thisLayout, writeChoices } from "../cluster/clone.ts";
import {
  checkKernel,
  checkPortFree,
  checkRangesFree,
  chooseCluster,
  ensureNetns,
  inNetns,
  isInNetns,
  prepareNode,
} from "../cluster/host.ts";
import { ensureKubectl, loadLocalImages } from "../cluster/images-and-tools.ts";
import type { ClusterChoices } from "../cluster/layout.ts";
import { markedProcesses, runningSupervisor } from "../cluster/marked-processes.ts";
import { natsConfig, processSpecs } from "../cluster/processes.ts";
import * as ready from "../cluster/readiness.ts";
import { ensureStorageClass } from "../cluster/storage-class.ts";
import { runCommand, step } from "../cluster/steps.ts";
import type { SupervisedCluster } from "../cluster/supervisor.ts";

const { values: flags } = parseArgs({ options: { isolated: { type: "boolean", default: false } } });
const layout = thisLayout();
const node = process.execPath;

await runCommand(async () => {
  const known = readChoices(layout);
  const isolated = known?.isolated ?? flags.isolated;
  if (isolated && !isInNetns(layout.netns)) return enterNetns();
  await up(known ?? (await chooseCluster(isolated)));
});

/** Runs this command again inside the cluster's own network namespace. */
async function enterNetns(): Promise<void> {
  await ensureNetns(layout.netns);
  const { command, args } = inNetns(layout.netns, node, [...process.execArgv, ...process.argv.slice(1)]);
  const child = spawn(command, args, { stdio: "inherit" });
  process.exitCode = await new Promise<number>((resolve) => child.once("exit", (code) => resolve(code ?? 1)));
}

async function up(choices: ClusterChoices): Promise<void> {
  const startedMs = performance.now();
  await step("Check the machine", "PH-104", () => checkMachine(choices));
  await step("Build one bundle per service", "PH-120", () => buildIfChanged(layout.clone));
  await step("Make certificates and configuration", "PH-130", () => configure(choices));
  await step("Start the supervisor", "PH-130", () => startSupervisor());
  await step("etcd answers", "PH-130", () =>
    ready.waitUntil(() => ready.etcdAnswers(layout, choices), 20_000, failing("etcd")),
  );
  await step("NATS answers", "PH-130", () =>
    ready.waitUntil(() => ready.natsAnswers(choices), 10_000, failing("nats")),
  );
  await step("containerd answers", "PH-130", () =>
    ready.waitUntil(() => ready.containerdAnswers(layout), 20_000, failing("containerd")),
  );
  await step("Local images are loaded", "PH-140", () => loadLocalImages(layout));
  await step("The API answers", "PH-130", () =>
    ready.waitUntil(() => ready.apiserverAnswers(layout, choices), 30_000, failing("apiserver")),
  );
  await step("The node is Ready", "PH-131", () =>
    ready.waitUntil(
      () => ready.nodeIsReady(layout, choices),
      60_000,
      () => ready.notAnswering(layout, "kubelet", "PH-131", `Node ${choices.nodeName} is not Ready.`),
    ),
  );
  await step("DNS answers", "PH-132", () =>
    ready.waitUntil(ready.dnsAnswers, 30_000, () =>
      ready.notAnswering(layout, "dns", "PH-132", "The cluster's DNS does not answer."),
    ),
  );
  await step("Claims have a class", "PH-130", () => ensureStorageClass(layout, choices));
  const kubectl = await step("kubectl is at hand", "PH-130", () => ensureKubectl(layout));
  tellWhatNext(kubectl, choices, (performance.now() - startedMs) / 1000);
}

function failing(process: string): () => ReturnType<typeof ready.notAnswering> {
  return () => ready.notAnswering(layout, process);
}

async function checkMachine(choices: ClusterChoices): Promise<void> {
  checkKernel();
  if (markedProcesses(layout.id).length === 0) {
    for (const [name, port] of Object.entries(choices.ports)) await checkPortFree(port as number, name);
    await checkRangesFree(layout.bridge);
  }
  writeChoices(layout, choices);
  await prepareNode(choices);
}

async function configure(choices: ClusterChoices): Promise<void> {
  for (const folder of [
    layout.run,
    layout.logs,
    layout.bin,
    layout.etcdData,
    layout.containerdRoot,
    layout.kubeletRoot,
    layout.cniConf,
  ]) {
    mkdirSync(folder, { recursive: true });
  }
  chmodSync(layout.etcdData, 0o700); // etcd insists
  mkdirSync(layout.runtime, { recursive: true, mode: 0o700 });
  await ensureCertificates(layout, choices, Date.now());
  const server = `https://127.0.0.1:${choices.ports.apiserver}`;
  for (const user of API_USERS)
    writeKubeconfig(layout, user, server, user === "admin" ? layout.adminConf : join(layout.pki, `${user}.conf`));
  writeFileSync(join(layout.root, "nats.conf"), natsConfig(layout, choices));
  writeFileSync(
    join(layout.root, "containerd.toml"),
    containerdConfig({
      root: layout.containerdRoot,
      state: layout.containerdState,
      socket: layout.containerdSocket,
      cniConfDir: layout.cniConf,
      cniBinDir: "/usr/lib/cni",
      sandboxImage: PAUSE_IMAGE,
    }),
  );
  const specs = processSpecs(layout, choices, node, bundleVersion);
  const cluster: SupervisedCluster = { id: layout.id, run: layout.run, logs: layout.logs, specs };
  writeFileSync(layout.processesFile, `${JSON.stringify(cluster, undefined, 2)}\n`);
}

function bundleVersion(service: string): string {
  const folder = join(layout.clone, "dist", service);
  const digest = createHash("sha256");
  for (const name of readdirSync(folder).sort()) {
    if (name.endsWith(".mjs")) digest.update(name).update(readFileSync(join(folder, name)));
  }
  return digest.digest("hex").slice(0, 12);
}

/** Starts the supervisor, or tells the running one to look at the list again. */
async function startSupervisor(): Promise<void> {
  const pidFile = join(layout.run, "supervisor.pid");
  const running = runningSupervisor(pidFile, layout.root);
  if (running !== undefined) {
    process.kill(running, "SIGHUP");
    return;
  }
  rmSync(pidFile, { force: true });
  const log = openSync(join(layout.logs, "supervisor.log"), "a");
  const bundle = join(layout.clone, "dist", "supervisor", "main.mjs");
  const child = spawn(node, ["--max-semi-space-size=1", bundle, layout.root], {
    detached: true,
    stdio: ["ignore", log, log],
    cwd: layout.root,
    env: { ...process.env, PILOTHOUSE_SUPERVISOR: "1" },
  });
  child.unref();
  await ready.waitUntil(
    async () => existsSync(pidFile),
    30_000,
    () => ready.notAnswering(layout, "supervisor"),
  );
}

function tellWhatNext(kubectl: string, choices: ClusterChoices, seconds: number): void {
  const enter = choices.isolated ? `nsenter --net=/run/netns/${layout.netns} ` : "";
  process.stdout.write(`
  Pilothouse is up (${seconds.toFixed(1)} s). What next:

    export KUBECONFIG=${layout.adminConf}
    ${enter}${kubectl} get nodes
    ${enter}${kubectl} create deployment hello --image=pilothouse.local/web:latest --replicas=3
    npx pilot status                      what runs, who leads, what is unwell
    npx pilot trace show deployment/hello the waterfall from kubectl to the running container
    npm run down                          stop it and remove every trace
`);
}
