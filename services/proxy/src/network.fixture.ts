/**
 * A small network for the real tests: a node with a bridge, three pods on it, and an outside world behind the node's uplink,
 * each a network namespace of its own. The machine's own network is not touched.
 */
import { execFile, execFileSync } from "node:child_process";
import { promisify } from "node:util";
import { startProcess, until, type TestProcess } from "../../../test/harness/index.ts";

export const NODE_IP = "203.0.113.1";
export const OUTSIDE_IP = "203.0.113.2";
export const BRIDGE = "br0";
export const POD_IPS = ["198.18.0.2", "198.18.0.3", "198.18.0.4"] as const;

type Place = "node" | "outside" | "pod0" | "pod1" | "pod2";
const PLACES: readonly Place[] = ["node", "outside", "pod0", "pod1", "pod2"];

export interface TestNetwork {
  /** For adapters that are to work inside the node. */
  readonly prefix: readonly string[];
  /** Starts a server; each pod has one already, of its own name, on port 8080. */
  serve(place: Place, name: string, address: string, port: number): void;
  /** Connects `times` times and returns what the servers said: `<server's name> <client's address>`, or the error's code. */
  ask(from: Place, address: string, port: number, times?: number): Promise<readonly string[]>;
  /** The same by UDP, each question from the same source port when `sourcePort` is given. */
  askUdp(from: Place, address: string, port: number, times?: number, sourcePort?: number): Promise<readonly string[]>;
  /** Packets for the pods' and Services' ranges that the outside world has seen. */
  escaped(): number;
  /** `ip` inside the node. */
  ip(...args: readonly string[]): void;
  stop(): Promise<void>;
}

/** Answers on TCP and UDP with its name and the client's address. */
const SERVER = `
const [name, address, port] = process.argv.slice(1);
require("net").createServer((s) => { s.on("error", () => {}); s.end(name + " " + s.remoteAddress.replace("::ffff:", "")); }).listen(Number(port), address);
const udp = require("dgram").createSocket("udp4");
udp.on("message", (m, from) => udp.send(name + " " + from.address, from.port, from.address));
udp.bind(Number(port), address);
`;

const CLIENT = `
const [protocol, address, port, times, sourcePort] = process.argv.slice(1);
const tcp = () => new Promise((resolve) => {
  const socket = require("net").connect({ host: address, port: Number(port) });
  let text = "";
  socket.setTimeout(1000, () => { socket.destroy(); resolve("ETIMEDOUT"); });
  socket.on("data", (data) => (text += data));
  socket.on("error", (error) => resolve(error.code));
  socket.on("end", () => { socket.destroy(); resolve(text); });
});
const udp = () => new Promise((resolve) => {
  const socket = require("dgram").createSocket("udp4");
  const settle = (text) => { clearTimeout(timer); socket.close(); resolve(text); };
  const timer = setTimeout(() => settle("ETIMEDOUT"), 500);
  socket.on("error", (error) => settle(error.code));
  socket.on("message", (message) => settle(String(message)));
  const failing = (next) => (error) => (error ? settle(error.code) : next());
  socket.bind(Number(sourcePort), () => socket.connect(Number(port), address, failing(() => socket.send("?", failing(() => {})))));
});
(async () => {
  const answers = [];
  for (let i = 0; i < Number(times); i++) answers.push(await (protocol === "udp" ? udp() : tcp()));
  process.stdout.write(JSON.stringify(answers));
})();
`;

/** `directory`: where the servers' output goes. */
export async function makeNetwork(directory: string): Promise<TestNetwork> {
  const network = new NamespaceNetwork(directory);
  try {
    await network.start();
    return network;
  } catch (error) {
    await network.stop();
    throw error;
  }
}

class NamespaceNetwork implements TestNetwork {
  readonly #directory: string;
  readonly #servers: TestProcess[] = [];

  constructor(directory: string) {
    this.#directory = directory;
  }

  get prefix(): readonly string[] {
    return inside("node");
  }

  async start(): Promise<void> {
    for (const place of PLACES) ip("netns", "add", nameOf(place));
    for (const place of PLACES) at(place, "link", "set", "lo", "up");
    layCables();
    nft("outside", COUNT_ESCAPES);
    for (const pod of ["pod0", "pod1", "pod2"] as const) this.serve(pod, pod, "0.0.0.0", 8080);
    await until("the servers in the pods answer", async () => {
      const answers = await Promise.all(POD_IPS.map((address) => this.ask("node", address, 8080)));
      return answers.every(([answer]) => answer?.startsWith("pod"));
    });
  }

  serve(place: Place, name: string, address: string, port: number): void {
    const [command = "", ...args] = inside(place, process.execPath, "-e", SERVER, name, address, String(port));
    this.#servers.push(startProcess({ command, args, directory: this.#directory }));
  }

  ask(from: Place, address: string, port: number, times = 1): Promise<readonly string[]> {
    return askFrom(from, "tcp", address, String(port), String(times), "0");
  }

  askUdp(from: Place, address: string, port: number, times = 1, sourcePort = 0): Promise<readonly string[]> {
    return askFrom(from, "udp", address, String(port), String(times), String(sourcePort));
  }

  escaped(): number {
    const { nftables } = JSON.parse(nft("outside", "list counters", "-j")) as {
      nftables: { counter?: { packets: number } }[];
    };
    return nftables.reduce((sum, { counter }) => sum + (counter?.packets ?? 0), 0);
  }

  ip(...args: readonly string[]): void {
    at("node", ...args);
  }

  async stop(): Promise<void> {
    for (const server of this.#servers) await server.stop();
    const there = ip("netns", "list");
    for (const place of PLACES) if (there.includes(nameOf(place))) ip("netns", "delete", nameOf(place));
  }
}

async function askFrom(from: Place, ...args: readonly string[]): Promise<readonly string[]> {
  const [command = "", ...rest] = inside(from, process.execPath, "-e", CLIENT, ...args);
  const { stdout } = await promisify(execFile)(command, rest);
  return JSON.parse(stdout) as string[];
}

const COUNT_ESCAPES = `table ip t {
  counter escaped { }
  chain c { type filter hook prerouting priority -300; ip daddr { 198.18.0.0/15 } counter name escaped; }
}`;

function layCables(): void {
  at("node", "link", "add", BRIDGE, "type", "bridge");
  at("node", "address", "add", "198.18.0.1/24", "dev", BRIDGE);
  at("node", "link", "set", BRIDGE, "up");
  for (const [n, address] of POD_IPS.entries()) {
    const pod = `pod${n}` as Place;
    at("node", "link", "add", `v${n}`, "type", "veth", "peer", "name", "eth0", "netns", nameOf(pod));
    // As the CNI bridge plugin does with hairpinMode: a pod may get its own packets back.
    at("node", "link", "set", `v${n}`, "master", BRIDGE, "up");
    execFileSync("bridge", ["-n", nameOf("node"), "link", "set", "dev", `v${n}`, "hairpin", "on"]);
    at(pod, "address", "add", `${address}/24`, "dev", "eth0");
    at(pod, "link", "set", "eth0", "up");
    at(pod, "route", "add", "default", "via", "198.18.0.1");
  }
  at("node", "link", "add", "up0", "type", "veth", "peer", "name", "eth0", "netns", nameOf("outside"));
  at("node", "address", "add", `${NODE_IP}/24`, "dev", "up0");
  at("node", "link", "set", "up0", "up");
  at("node", "route", "add", "default", "via", OUTSIDE_IP);
  at("outside", "address", "add", `${OUTSIDE_IP}/24`, "dev", "eth0");
  at("outside", "link", "set", "eth0", "up");
}

function nameOf(place: Place): string {
  return `ph-px-${process.pid}-${place}`;
}

function inside(place: Place, ...command: readonly string[]): readonly string[] {
  return ["ip", "netns", "exec", nameOf(place), ...command];
}

function at(place: Place, ...args: readonly string[]): string {
  return ip("-n", nameOf(place), ...args);
}

function ip(...args: readonly string[]): string {
  return execFileSync("ip", args, { encoding: "utf8" });
}

function nft(place: Place, rules: string, ...flags: readonly string[]): string {
  const [command = "", ...args] = inside(place, "nft", ...flags, rules);
  return execFileSync(command, args, { encoding: "utf8" });
}
