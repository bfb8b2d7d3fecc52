/** `pilot status` of this clone's cluster: what runs, who leads, what is unwell, and the command that helps. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expiryMs } from "@pilothouse/pki";
import type { ClusterChoices, Layout } from "../cluster/layout.ts";
import { isAlive } from "../cluster/marked-processes.ts";
import { SERVICES } from "../cluster/processes.ts";
import * as ready from "../cluster/readiness.ts";
import type { ClusterAccess } from "./cluster-access.ts";
import { leadersOf } from "./probes.ts";
import type { StatusLine } from "./status-lines.ts";

/** One line per part, in the order in which they depend on each other. */
export async function localLines(
  access: ClusterAccess,
  layout: Layout,
  choices: ClusterChoices,
): Promise<readonly StatusLine[]> {
  const leaders = await leadersSince(access);
  const processes = ["supervisor", "etcd", "nats", "containerd", ...SERVICES];
  return [
    ...processes.map((name) => processLine(layout, name, leaders.get(name))),
    await answerLine("etcd answers", ready.etcdAnswers(layout, choices), "less .cluster/logs/etcd.log"),
    await answerLine("NATS answers", ready.natsAnswers(choices), "less .cluster/logs/nats.log"),
    await answerLine("containerd answers", ready.containerdAnswers(layout), "less .cluster/logs/containerd.log"),
    await answerLine("API is ready", ready.apiserverAnswers(layout, choices), "kubectl get --raw '/readyz?verbose'"),
    await answerLine(
      `node ${choices.nodeName} is Ready`,
      ready.nodeIsReady(layout, choices),
      `kubectl describe node ${choices.nodeName}`,
    ),
    await answerLine("DNS answers", ready.dnsAnswers(), "less .cluster/logs/dns.log"),
    certificateLine(layout),
  ];
}

function processLine(layout: Layout, name: string, leads: string | undefined): StatusLine {
  const file = join(layout.run, `${name}.pid`);
  const pid = existsSync(file) ? Number(readFileSync(file, "utf8")) : undefined;
  if (pid === undefined || !isAlive(pid)) {
    const help = name === "supervisor" ? "npm run up" : `tail .cluster/logs/supervisor.log .cluster/logs/${name}.log`;
    return { name, well: false, what: "not running", help };
  }
  return {
    name,
    well: true,
    what: `running as ${pid}, ${megabytes(pid)} MB${leads === undefined ? "" : `, leads since ${leads}`}`,
  };
}

async function answerLine(name: string, answer: Promise<boolean>, help: string): Promise<StatusLine> {
  const well = await answer.catch(() => false);
  return { name, well, what: well ? "yes" : "no", help };
}

/** The certificate that ends first. */
function certificateLine(layout: Layout): StatusLine {
  const names = ["apiserver", "etcd", "nats", "kubelet", "kubelet-server", "admin"];
  const ends = names.map((name) => ({ name, endMs: expiryMs(readFileSync(join(layout.pki, `${name}.crt`), "utf8")) }));
  const first = ends.reduce((a, b) => (b.endMs < a.endMs ? b : a));
  const days = Math.floor((first.endMs - Date.now()) / 86_400_000);
  return {
    name: "certificates",
    well: days > 30,
    what: `${first.name} ends first, in ${days} days`,
    help: "npm run up (renews them)",
  };
}

/** Process → since when it leads; nothing while etcd does not answer: its own line says so. */
async function leadersSince(access: ClusterAccess): Promise<ReadonlyMap<string, string>> {
  const [endpoint = ""] = access.addresses.etcd;
  const elections = await leadersOf(access, endpoint);
  const leaders = "value" in elections ? elections.value.leaders : [];
  return new Map(leaders.map(({ election, since }) => [election.replace(/^kube-/, ""), since]));
}

/** Proportional set size: shared pages count once for all who share them. */
function megabytes(pid: number): string {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  return (Number(/^Pss:\s+(\d+) kB/m.exec(rollup)?.[1] ?? 0) / 1024).toFixed(0);
}
