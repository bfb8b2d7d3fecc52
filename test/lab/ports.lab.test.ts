/**
 * Every port of docs/operators/ports.md on a provisioned lab, tried from the machine itself, another master, another worker, pods,
 * an operator and somebody outside; and that keys are files which only their owners read.
 */
import { execFileSync } from "node:child_process";
import { readFileSync, statSync } from "node:fs";
import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { findMachine, requireLab, thisLab } from "../../deploy/lab/lab.ts";
import { HOST_ADDRESS, VIRTUAL_ADDRESS } from "../../deploy/lab/layout.ts";
import { answerOf } from "../soak/machines/ssh.ts";
import { mayConnect, readPorts, type Caller, type Port } from "./ports.ts";
import { ensureProvisioned, kubectl } from "./provisioned.ts";

const NAMESPACE = "ports-test";
/** Another address of the machine that started the lab: the operator's own is let in. */
const OUTSIDER_ADDRESS = "198.51.100.253";
const DNS_ADDRESS = "198.19.0.10";

type Answer = "open" | "closed";
/** Tries each `address port` and says what came of it. */
type Knock = (doors: readonly Door[]) => Promise<readonly Answer[]>;
type Door = readonly [address: string, port: number];

const host = (...words: string[]): string => execFileSync("ip", words).toString();

beforeAll(async () => {
  await ensureProvisioned();
  host("address", "replace", `${OUTSIDER_ADDRESS}/32`, "dev", thisLab().hostLink);
  await kubectl(["delete", "namespace", NAMESPACE, "--ignore-not-found"]);
  await kubectl(["create", "namespace", NAMESPACE]);
  await kubectl(["apply", "-n", NAMESPACE, "-f", "-"], pod("worker-1") + pod("worker-2"));
  await kubectl(["wait", "-n", NAMESPACE, "--for=condition=Ready", "pod", "--all", "--timeout=60s"]);
}, 1_800_000);
afterAll(async () => {
  host("address", "delete", `${OUTSIDER_ADDRESS}/32`, "dev", thisLab().hostLink);
  await kubectl(["delete", "namespace", NAMESPACE, "--ignore-not-found"]);
}, 120_000);

const FROM: Readonly<Record<string, Knock>> = {
  "master-1": onMachine("master-1"),
  "master-2": onMachine("master-2"),
  "worker-1": onMachine("worker-1"),
  "worker-2": onMachine("worker-2"),
  "a pod on worker-1": inPod("worker-1"),
  "a pod on worker-2": inPod("worker-2"),
  "an operator's machine": fromAddress(HOST_ADDRESS),
  outside: fromAddress(OUTSIDER_ADDRESS),
};
const CALLERS: Readonly<Record<string, Readonly<Record<string, Caller>>>> = {
  "master-1": {
    "master-1": "itself",
    "master-2": "master",
    "worker-1": "worker",
    "worker-2": "worker",
    "a pod on worker-1": "pod elsewhere",
    "a pod on worker-2": "pod elsewhere",
    "an operator's machine": "operator",
    outside: "outsider",
  },
  "worker-1": {
    "master-1": "master",
    "master-2": "master",
    "worker-1": "itself",
    "worker-2": "worker",
    "a pod on worker-1": "own pod",
    "a pod on worker-2": "pod elsewhere",
    "an operator's machine": "operator",
    outside: "outsider",
  },
};

describe.each(["master-1", "worker-1"])("the ports of %s", (name) => {
  test.each(Object.keys(FROM))("let in from %s whom the table names, and nobody else", async (place) => {
    const { address, role } = findMachine(requireLab(thisLab()), name);
    const caller = CALLERS[name]?.[place] as Caller;
    const ports = readPorts().filter((port) => canBeTried(port, role, caller));
    const told = await (FROM[place] as Knock)(ports.map((port) => [addressOf(port, address, caller), port.port]));
    const wanted = ports.map((port) => (mayConnect(port, caller) ? "open" : "closed"));
    const said = (answers: readonly string[]): string[] =>
      ports.map(({ port, process }, i) => `${port} ${process}: ${answers[i]}`);
    expect(said(told)).toEqual(said(wanted));
  });
});

/** By TCP. VXLAN and VRRP answer nobody; test/ansible tries their rules. Where the cluster's DNS address leads is each machine's own matter. */
function canBeTried({ at, port, protocol, listens }: Port, role: string, caller: Caller): boolean {
  if (protocol === "udp" || protocol === "IP protocol") return false;
  if (listens === "dns" && caller !== "itself" && caller !== "own pod") return false;
  // The same port on the machine's address has a row of its own.
  const isTwice = readPorts().some((other) => other.port === port && other.listens === "machine");
  if (listens === "loopback" && caller !== "itself" && isTwice) return false;
  return at === "everywhere" || role === "master";
}

/** What listens on loopback must not be found on the machine's address. */
function addressOf({ listens }: Port, machine: string, caller: Caller): string {
  if (listens === "api") return VIRTUAL_ADDRESS;
  if (listens === "dns") return DNS_ADDRESS;
  return listens === "loopback" && caller === "itself" ? "127.0.0.1" : machine;
}

test("files with keys are read by their owners alone, on every machine", { timeout: 120_000 }, async () => {
  const lab = requireLab(thisLab());
  // What pods are to read, and what etcd holds, lies in folders that nobody else gets into.
  const look = `cd / && find etc/pilothouse var/lib/pilothouse -path var/lib/pilothouse/kubelet -prune -o -type f -size -1024k -print0 |
      xargs -0 grep -lE 'PRIVATE KEY-----|secret: |client-key-data' | sort | xargs stat --format '%a %U %n'
    stat --format '%a %U %n' var/lib/pilothouse/kubelet var/lib/pilothouse/etcd* var/lib/pilothouse/backup* 2>/dev/null || true`;
  for (const machine of lab.machines) {
    const files = (await answerOf(lab.layout, machine, look)).trim().split("\n");
    const found = files.map((line) => {
      const [mode = "", owner = "", path = ""] = line.split(" ");
      // An identity's files lead into the folder of one pair; the pair before it is there too.
      return { mode: Number.parseInt(mode, 8), owner, path: path.replace(/\/\.pair-[0-9a-f]+\//, "/") };
    });
    // Each identity's key at the least, else the look itself is blind.
    const keys = identities(machine.role).map(({ name }) => `etc/pilothouse/pki/${name}/tls.key`);
    expect(found.map(({ path }) => path)).toEqual(expect.arrayContaining(keys));
    // root's own group may look at the kubelet's folder.
    const open = found.filter(({ mode, path }) => (mode & (path.endsWith("/kubelet") ? 0o027 : 0o077)) !== 0);
    expect(open, machine.name).toEqual([]);
    for (const { name, owner } of identities(machine.role))
      for (const key of found.filter(({ path }) => path === `etc/pilothouse/pki/${name}/tls.key`))
        expect(key.owner, `${machine.name} ${name}`).toBe(owner);
  }
  expect(statSync(lab.layout.adminConf).mode & 0o077).toBe(0);
});

/** Who a machine is, and which account holds each key, as the playbooks have it. */
function identities(role: string): readonly { readonly name: string; readonly owner: string }[] {
  const text = readFileSync(new URL("../../ansible/roles/certificates/defaults/main.yml", import.meta.url), "utf8");
  const lists = parse(text) as Readonly<Record<string, readonly { readonly name: string; readonly owner?: string }[]>>;
  const all = [
    ...(lists["certificates_of_nodes"] ?? []),
    ...(role === "master" ? (lists["certificates_of_masters"] ?? []) : []),
  ];
  return all.map(({ name, owner = "root:root" }) => ({ name, owner: owner.split(":")[0] as string }));
}

function onMachine(name: string): Knock {
  return async (doors) => {
    const lab = requireLab(thisLab());
    const script = doors.map(
      ([address, port]) =>
        `timeout 3 bash -c ': < /dev/tcp/${address}/${port}' 2>/dev/null && echo open || echo closed`,
    );
    return answers(await answerOf(lab.layout, findMachine(lab, name), script.join("\n")), doors.length);
  };
}

/** By busybox's nc, which says of a connection that stood nothing at all. */
function inPod(node: string): Knock {
  return async (doors) => {
    const script = doors.map(
      ([address, port]) =>
        `said=$(timeout 4 nc -w 3 ${address} ${port} </dev/null 2>&1 >/dev/null); case $said in '') echo open;; *refused*|*timed*|*unreach*) echo closed;; *) echo "$said";; esac`,
    );
    const said = await kubectl(["exec", "-n", NAMESPACE, `on-${node}`, "--", "sh", "-c", script.join("\n")]);
    return answers(said, doors.length);
  };
}

function fromAddress(localAddress: string): Knock {
  return (doors) =>
    Promise.all(
      doors.map(
        ([address, port]) =>
          new Promise<Answer>((resolve) => {
            const socket = connect({ host: address, port, localAddress });
            const settle = (answer: Answer): void => {
              socket.destroy();
              resolve(answer);
            };
            socket.setTimeout(3_000, () => settle("closed"));
            socket.once("connect", () => settle("open"));
            socket.once("error", () => settle("closed"));
          }),
      ),
    );
}

function answers(said: string, count: number): readonly Answer[] {
  const lines = said.trim().split("\n") as Answer[];
  expect(lines).toHaveLength(count);
  return lines;
}

function pod(node: string): string {
  return `
apiVersion: v1
kind: Pod
metadata: { name: on-${node} }
spec:
  nodeName: ${node}
  terminationGracePeriodSeconds: 1
  containers:
    - name: toolbox
      image: pilothouse.local/toolbox:latest
      imagePullPolicy: IfNotPresent
      command: [sh, -c, "trap 'exit 0' TERM; while :; do sleep 3600 & wait; done"]
---`;
}
