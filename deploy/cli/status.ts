/** `pilot status`: what runs, who leads, what is unwell, and the command that helps. */
import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { expiryMs } from "@pilothouse/pki";
import type { ClusterChoices, Layout } from "../cluster/layout.ts";
import { isAlive } from "../cluster/marked-processes.ts";
import { SERVICES } from "../cluster/processes.ts";
import * as ready from "../cluster/readiness.ts";

const run = promisify(execFile);

export interface StatusLine {
  readonly name: string;
  readonly well: boolean;
  readonly what: string;
  /** What to do when it is unwell. */
  readonly help?: string;
}

/** One line per part, in the order in which they depend on each other. */
export async function statusLines(layout: Layout, choices: ClusterChoices): Promise<readonly StatusLine[]> {
  const leaders = await leadersOf(layout, choices);
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

export function renderStatus(lines: readonly StatusLine[]): string {
  return lines
    .map(
      ({ name, well, what, help }) =>
        `  ${well ? "✔" : "✘"} ${name.padEnd(24)} ${what}${!well && help ? `\n      try: ${help}` : ""}\n`,
    )
    .join("");
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

/** Process → since when it leads, from the elections' keys (`…/kube-scheduler`). */
async function leadersOf(layout: Layout, choices: ClusterChoices): Promise<ReadonlyMap<string, string>> {
  try {
    const { stdout } = await run("etcdctl", ["get", "--prefix", "/pilothouse/elections/"], {
      env: {
        ...process.env,
        ETCDCTL_API: "3",
        ETCDCTL_ENDPOINTS: `https://127.0.0.1:${choices.ports.etcdClient}`,
        ETCDCTL_CACERT: join(layout.pki, "backbone-ca.crt"),
        ETCDCTL_CERT: join(layout.pki, "backbone-client.crt"),
        ETCDCTL_KEY: join(layout.pki, "backbone-client.key"),
      },
    });
    const lines = stdout.trimEnd().split("\n");
    return new Map(
      lines.flatMap((line, at) =>
        line.startsWith("/pilothouse/elections/") ? [leader(line, lines[at + 1] ?? "{}")] : [],
      ),
    );
  } catch {
    return new Map(); // etcd's own line says that it does not answer.
  }
}

function leader(key: string, value: string): [string, string] {
  const { since = "?" } = JSON.parse(value) as { since?: string };
  return [key.slice("/pilothouse/elections/kube-".length), since];
}

/** Proportional set size: shared pages count once for all who share them. */
function megabytes(pid: number): string {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  return (Number(/^Pss:\s+(\d+) kB/m.exec(rollup)?.[1] ?? 0) / 1024).toFixed(0);
}
