/** The firewall's rules as the playbooks write them, loaded by the real nft in the place of machines, and tried from everywhere. */
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeTestDirectory, removeTestDirectory } from "../harness/index.ts";
import { mayConnect, readPorts, type Caller, type Port } from "../lab/ports.ts";
import { ADDRESSES, DNS_ADDRESS, Machines, VIRTUAL_ADDRESS, type Place, type Target } from "./machines.fixture.ts";

/** Ansible renders for some seconds here, minutes where the machine is busy. */
const PATIENCE_MS = 600_000;
const clone = join(import.meta.dirname, "../..");
/** Guarded by nobody: a NodePort's target, or whatever else listens. */
const UNGUARDED = 30_080;
const GUARDED = ["master-1", "worker-1"] as const;
type Guarded = (typeof GUARDED)[number];

const directory = await makeTestDirectory();
let machines: Machines;

beforeAll(async () => {
  render({});
  machines = Machines.make(directory);
  for (const machine of GUARDED) {
    load(machine);
    await machines.serve(machine, [...portsOf(machine).flatMap((port) => targets(machine, port)), unguarded(machine)]);
  }
}, PATIENCE_MS);
afterAll(async () => {
  await machines.stop();
  await removeTestDirectory(directory);
});

/** Who each place is to each machine. */
const CALLERS: Readonly<Record<Guarded, Readonly<Record<Place, Caller>>>> = {
  "master-1": {
    "master-1": "itself",
    "master-2": "master",
    "worker-1": "worker",
    operator: "operator",
    outsider: "outsider",
    "pod-on-master-1": "own pod",
    "pod-on-worker-1": "pod elsewhere",
  },
  "worker-1": {
    "master-1": "master",
    "master-2": "master",
    "worker-1": "itself",
    operator: "operator",
    outsider: "outsider",
    "pod-on-master-1": "pod elsewhere",
    "pod-on-worker-1": "own pod",
  },
};
const PLACES = Object.keys(ADDRESSES) as readonly Place[];

describe.each(GUARDED)("the ports of %s", (machine) => {
  test.each(PLACES)("let in from %s whom the table names, and nobody else", async (place) => {
    const ports = portsOf(machine).filter(({ listens }) => listens !== "dns");
    const asked = ports.flatMap((port) => targets(machine, port));
    const wanted = ports.flatMap((port) =>
      targets(machine, port).map(({ protocol }) => {
        if (mayConnect(port, CALLERS[machine][place])) return "here";
        return protocol === "udp" ? "ETIMEDOUT" : "ECONNREFUSED";
      }),
    );
    const answers = await machines.ask(place, [...asked, unguarded(machine)]);
    expect(said(asked, answers)).toEqual(said(asked, wanted));
    expect(answers.at(-1)).toBe("here");
  });
});

test("the cluster's DNS is for a machine's own pods, also where others know the way to it", async () => {
  const dns = readPorts().find(({ listens }) => listens === "dns") as Port;
  machines.run("outsider", "ip", "route", "add", DNS_ADDRESS, "via", ADDRESSES["worker-1"]);
  const asked = targets("worker-1", dns);
  expect(await machines.ask("pod-on-worker-1", asked)).toEqual(["here", "here"]);
  expect(await machines.ask("worker-1", asked)).toEqual(["here", "here"]);
  expect(await machines.ask("outsider", asked)).toEqual(["ETIMEDOUT", "ETIMEDOUT"]);
});

test("a pod that writes a master's address on its packets is a pod all the same", async () => {
  const [place, stolen] = ["pod-on-worker-1", ADDRESSES["master-2"]] as const;
  machines.run(place, "ip", "address", "add", `${stolen}/32`, "dev", "eth0");
  // Without this the kernel itself would know that no master is on that side.
  for (const link of ["all", "pilothouse0"])
    machines.run("worker-1", "sysctl", "-qw", `net.ipv4.conf.${link}.rp_filter=0`);
  machines.run("worker-1", "ip", "route", "add", stolen, "dev", "pilothouse0");
  const kubelet = { protocol: "tcp", address: ADDRESSES["worker-1"], port: 10_250, from: stolen } as const;
  const open = { ...kubelet, port: UNGUARDED };
  expect(await machines.ask(place, [kubelet, open])).toEqual(["ECONNREFUSED", "here"]);
  machines.run("worker-1", "ip", "route", "delete", stolen);
  machines.run(place, "ip", "address", "delete", `${stolen}/32`, "dev", "eth0");
});

test("loaded again the rules are the same, and tables of others stay", () => {
  for (const machine of GUARDED) {
    const before = machines.run(machine, "nft", "list", "ruleset");
    load(machine);
    expect(machines.run(machine, "nft", "list", "ruleset")).toBe(before);
    expect(before).toContain("table ip proxy");
  }
});

test(
  "who else is to connect is let in by the rules of both sides, whatever name they have in the inventory",
  { timeout: PATIENCE_MS },
  async () => {
    render({ pilothouse_firewall_also: { 10250: ["pods"], "10259": ["203.0.113.200/32"] }, pilothouse_operators: [] });
    for (const machine of GUARDED) load(machine);
    const on = (machine: Guarded, port: number): Target => ({ protocol: "tcp", address: ADDRESSES[machine], port });
    const asked = [on("master-1", 10_250), on("worker-1", 10_250), on("master-1", 10_259), on("master-1", 2379)];
    expect(await machines.ask("pod-on-worker-1", asked)).toEqual(["here", "here", "ECONNREFUSED", "ECONNREFUSED"]);
    expect(await machines.ask("outsider", asked)).toEqual(["ECONNREFUSED", "ECONNREFUSED", "here", "ECONNREFUSED"]);
    expect(await machines.ask("operator", asked.slice(3))).toEqual(["ECONNREFUSED"]);
  },
);

/** By Ansible, from the role's own template, for a cluster of two masters and a worker. */
function render(variables: Readonly<Record<string, unknown>>): void {
  const host = (name: Guarded | "master-2"): object => ({ [name]: { ansible_host: ADDRESSES[name] } });
  const inventory = {
    all: {
      vars: {
        pilothouse_virtual_address: VIRTUAL_ADDRESS,
        ansible_python_interpreter: "/usr/bin/python3",
        ...variables,
      },
      children: {
        masters: { hosts: { ...host("master-1"), ...host("master-2") } },
        workers: { hosts: host("worker-1") },
      },
    },
  };
  const file = join(directory, "inventory.yml");
  writeFileSync(file, JSON.stringify(inventory));
  const extra = JSON.stringify({ rendered: directory, operator: ADDRESSES.operator });
  execFileSync("ansible-playbook", ["-i", file, "-e", extra, join(clone, "test/ansible/firewall.yml")], {
    cwd: clone,
    env: {
      ...process.env,
      ANSIBLE_VARS_PLUGINS: join(clone, "ansible/vars_plugins"),
      ANSIBLE_FILTER_PLUGINS: join(clone, "ansible/filter_plugins"),
    },
  });
}

function load(machine: Guarded): void {
  const file = join(directory, `${machine}.nft`);
  machines.run(machine, "nft", "--check", "--file", file);
  machines.run(machine, "nft", "--file", file);
  expect(readFileSync(file, "utf8")).toContain("table inet pilothouse_host");
}

/** That can be tried by a connection. */
function portsOf(machine: Guarded): readonly Port[] {
  const isThere = ({ at, listens, protocol }: Port): boolean =>
    (at === "everywhere" || machine === "master-1") &&
    ["machine", "dns"].includes(listens) &&
    protocol !== "IP protocol";
  return readPorts().filter(isThere);
}

function targets(machine: Guarded, { port, protocol, listens }: Port): readonly Target[] {
  const address = listens === "dns" ? DNS_ADDRESS : ADDRESSES[machine];
  const both = ["tcp", "udp"] as const;
  const protocols = protocol === "tcp and udp" ? both : [protocol === "udp" ? ("udp" as const) : ("tcp" as const)];
  return protocols.map((name) => ({ protocol: name, address, port }));
}

function unguarded(machine: Guarded): Target {
  return { protocol: "tcp", address: ADDRESSES[machine], port: UNGUARDED };
}

function said(asked: readonly Target[], answers: readonly string[]): readonly string[] {
  return asked.map(({ port, protocol }, i) => `${port}/${protocol} ${answers[i]}`);
}
