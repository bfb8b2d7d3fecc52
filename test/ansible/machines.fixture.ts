/**
 * A cluster's network without its machines: namespaces in the place of two masters, a worker, one pod on a master and one on the worker, an
 * operator and an outsider, all but the pods on one link. Nothing of the machine's own network is touched.
 *
 * Promises: every place has an address of its own; what pods send elsewhere leaves with their machine's address, as proxy has it.
 */
import { execFile, execFileSync } from "node:child_process";
import { promisify } from "node:util";
import { startProcess, until, type TestProcess } from "../harness/index.ts";

export const ADDRESSES = {
  "master-1": "203.0.113.11",
  "master-2": "203.0.113.12",
  "worker-1": "203.0.113.21",
  operator: "203.0.113.100",
  outsider: "203.0.113.200",
  "pod-on-master-1": "198.18.1.2",
  "pod-on-worker-1": "198.18.2.2",
} as const;
export type Place = keyof typeof ADDRESSES;
export const VIRTUAL_ADDRESS = "203.0.113.10";
export const DNS_ADDRESS = "198.19.0.10";
export const POD_RANGE = "198.18.0.0/16";

const PLACES = Object.keys(ADDRESSES) as readonly Place[];
const LINK = "link";
const PODS = [
  { pod: "pod-on-master-1", machine: "master-1", gateway: "198.18.1.1" },
  { pod: "pod-on-worker-1", machine: "worker-1", gateway: "198.18.2.1" },
] as const;

export interface Target {
  readonly protocol: "tcp" | "udp";
  readonly address: string;
  readonly port: number;
  /** Written on the packet in the place of the caller's own address, which must be its own as well. */
  readonly from?: string;
}

const SERVER = `
const tcp = require("net"), udp = require("dgram");
let waiting = 0;
const ready = () => --waiting === 0 && console.log("all listen");
for (const { protocol, address, port } of JSON.parse(process.argv[1])) {
  waiting++;
  if (protocol === "tcp") tcp.createServer((s) => { s.on("error", () => {}); s.end("here"); }).listen(port, address, ready);
  else { const socket = udp.createSocket("udp4"); socket.on("message", (m, from) => socket.send("here", from.port, from.address)); socket.bind(port, address, ready); }
}`;
const CLIENT = `
const byTcp = ({ address, port, from }) => new Promise((resolve) => {
  const socket = require("net").connect({ host: address, port, ...(from ? { localAddress: from } : {}) });
  socket.setTimeout(1500, () => { socket.destroy(); resolve("ETIMEDOUT"); });
  socket.on("error", (error) => resolve(error.code));
  socket.once("data", (data) => { resolve(String(data)); socket.destroy(); });
});
const byUdp = ({ address, port, from }) => new Promise((resolve) => {
  const socket = require("dgram").createSocket("udp4");
  const settle = (text) => { clearTimeout(timer); socket.close(); resolve(text); };
  const timer = setTimeout(() => settle("ETIMEDOUT"), 1500);
  socket.on("error", (error) => settle(error.code));
  socket.on("message", (data) => settle(String(data)));
  socket.bind(0, from ?? "0.0.0.0", () => socket.send("?", port, address));
});
Promise.all(JSON.parse(process.argv[1]).map((it) => (it.protocol === "udp" ? byUdp(it) : byTcp(it)))).then((all) => console.log(JSON.stringify(all)));`;

export class Machines {
  readonly #directory: string;
  readonly #servers: TestProcess[] = [];

  private constructor(directory: string) {
    this.#directory = directory;
  }

  /** `directory`: where the servers' output goes. */
  static make(directory: string): Machines {
    const machines = new Machines(directory);
    for (const place of [LINK, ...PLACES]) {
      ip("netns", "add", nameOf(place));
      at(place, "link", "set", "lo", "up");
    }
    at(LINK, "link", "add", "br0", "type", "bridge");
    at(LINK, "link", "set", "br0", "up");
    for (const place of PLACES) if (!place.startsWith("pod-")) plug(place);
    for (const pod of PODS) hang(pod);
    for (const machine of ["master-1", "worker-1"] as const) {
      at(machine, "address", "add", `${DNS_ADDRESS}/32`, "dev", "lo", "scope", "host");
      const masquerade = `add table ip proxy; add chain ip proxy out { type nat hook postrouting priority 100; };
        add rule ip proxy out ip saddr ${POD_RANGE} ip daddr != ${POD_RANGE} oifname != "pilothouse0" masquerade`;
      run(machine, "sysctl", "-qw", "net.ipv4.ip_forward=1");
      run(machine, "nft", masquerade);
    }
    return machines;
  }

  /** Starts what listens there; resolves once it does. */
  async serve(place: Place, targets: readonly Target[]): Promise<void> {
    const [command = "", ...args] = inside(place, process.execPath, "-e", SERVER, JSON.stringify(targets));
    const server = startProcess({ command, args, directory: this.#directory });
    this.#servers.push(server);
    await until(`all listen on ${place}`, async () => (await server.output()).includes("all listen"), 30_000);
  }

  /** What came of each: `here`, or the error's code. */
  async ask(place: Place, targets: readonly Target[]): Promise<readonly string[]> {
    const [command = "", ...args] = inside(place, process.execPath, "-e", CLIENT, JSON.stringify(targets));
    return JSON.parse((await promisify(execFile)(command, args)).stdout) as string[];
  }

  run(place: Place, ...command: readonly string[]): string {
    return run(place, ...command);
  }

  async stop(): Promise<void> {
    for (const server of this.#servers) await server.stop();
    for (const place of [LINK, ...PLACES]) ip("netns", "delete", nameOf(place));
  }
}

/** Onto the link that all machines share. */
function plug(place: Place): void {
  at(LINK, "link", "add", place, "type", "veth", "peer", "name", "eth0", "netns", nameOf(place));
  at(LINK, "link", "set", place, "master", "br0", "up");
  at(place, "address", "add", `${ADDRESSES[place]}/24`, "dev", "eth0");
  at(place, "link", "set", "eth0", "up");
}

function hang({ pod, machine, gateway }: (typeof PODS)[number]): void {
  at(machine, "link", "add", "pilothouse0", "type", "bridge");
  at(machine, "address", "add", `${gateway}/24`, "dev", "pilothouse0");
  at(machine, "link", "set", "pilothouse0", "up");
  at(machine, "link", "add", "v0", "type", "veth", "peer", "name", "eth0", "netns", nameOf(pod));
  at(machine, "link", "set", "v0", "master", "pilothouse0", "up");
  at(pod, "address", "add", `${ADDRESSES[pod]}/24`, "dev", "eth0");
  at(pod, "link", "set", "eth0", "up");
  at(pod, "route", "add", "default", "via", gateway);
}

function nameOf(place: string): string {
  return `phfw-${process.pid}-${place}`;
}

function inside(place: string, ...command: readonly string[]): readonly string[] {
  return ["ip", "netns", "exec", nameOf(place), ...command];
}

function run(place: string, ...command: readonly string[]): string {
  const [program = "", ...args] = inside(place, ...command);
  return execFileSync(program, args, { encoding: "utf8" });
}

function at(place: string, ...args: readonly string[]): string {
  return ip("-n", nameOf(place), ...args);
}

function ip(...args: readonly string[]): string {
  return execFileSync("ip", args, { encoding: "utf8" });
}
