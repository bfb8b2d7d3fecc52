/** Faults of the lab's network on two namespaces in the place of machines: what a packet really suffers, and that undoing ends it. */
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { markedProcesses } from "../../deploy/cluster/marked-processes.ts";
import { FAULTS, lastingFaults, type FaultOptions } from "../../deploy/lab/faults.ts";
import { endHelpers } from "../../deploy/lab/helpers.ts";
import { labLayout, labMachines, type Lab, type LabMachine } from "../../deploy/lab/layout.ts";
import { makeTestDirectory, removeTestDirectory, until } from "../harness/index.ts";

const directory = await makeTestDirectory();
const layout = labLayout(directory, `${directory}/.lab`);
const lab: Lab = { layout, machines: labMachines(layout, { masters: 2, workers: 0 }) };
const [one, other] = lab.machines as [LabMachine, LabMachine];
const namespaceOf = ({ name }: LabMachine): string => `${layout.netns}-${name}`;
const ip = (...words: string[]): string => execFileSync("ip", words).toString();

beforeAll(() => {
  mkdirSync(layout.root, { recursive: true });
  ip("netns", "add", layout.netns);
  ip("-n", layout.netns, "link", "add", layout.bridge, "type", "bridge");
  ip("-n", layout.netns, "link", "set", layout.bridge, "up");
  for (const [i, machine] of lab.machines.entries()) {
    const inside = namespaceOf(machine);
    ip("netns", "add", inside);
    ip("-n", layout.netns, "link", "add", `port${i}`, "type", "veth", "peer", "name", "host0", "netns", inside);
    ip("-n", layout.netns, "link", "property", "add", "dev", `port${i}`, "altname", `vb-${machine.container}`);
    ip("-n", layout.netns, "link", "set", `port${i}`, "master", layout.bridge, "up");
    ip("-n", inside, "addr", "add", `${machine.address}/24`, "dev", "host0");
    ip("-n", inside, "link", "set", "host0", "up");
  }
});

afterAll(async () => {
  await endHelpers(layout);
  for (const name of [...lab.machines.map(namespaceOf), layout.netns]) ip("netns", "delete", name);
  await removeTestDirectory(directory);
});

test("a delay makes both ways late, loses nothing, and goes with its undo", async () => {
  await until("the bridge forwards", () => roundTripMs() !== undefined, 20_000);
  expect(roundTripMs()).toBeLessThan(40);
  await apply("delay", { delayMs: 60 });
  expect(roundTripMs()).toBeGreaterThanOrEqual(120);
  expect(carriedBytes()).toBe(BULK_BYTES);
  expect(lastingHere()).toEqual(["delay master-1"]);
  await undo("delay");
  expect(roundTripMs()).toBeLessThan(40);
  expect(lastingHere()).toEqual([]);
});

test("where the relay is killed the machine is cut off, which is told, and undone", async () => {
  await apply("delay", { delayMs: 10 });
  killHelpers();
  expect(roundTripMs()).toBeUndefined();
  expect(lastingHere()).toEqual(["delay master-1"]);
  await undo("delay");
  expect(roundTripMs()).toBeDefined();
});

test("a partition flaps while others come and go, and ends with its undo also after its loop was killed", async () => {
  await apply("flapping", { periodMs: 2_500 });
  await apply("loss", { percent: 1 });
  await undo("loss");
  for (let times = 0; times < 2; times++) {
    await until("it is cut off", () => roundTripMs() === undefined, 12_000);
    await until("it is back", () => roundTripMs() !== undefined, 12_000);
  }
  await until("it is cut off", () => roundTripMs() === undefined, 12_000);
  killHelpers();
  await undo("flapping");
  expect(lastingHere()).toEqual([]);
  expect(roundTripMs()).toBeDefined();
});

/** No machine runs here, so all are told to be switched off. */
function lastingHere(): readonly string[] {
  return lastingFaults(lab).filter((line) => !line.startsWith("power-off "));
}

async function apply(name: string, options: FaultOptions): Promise<void> {
  await FAULTS.find((row) => row.name === name)?.apply(lab, one, options);
}

async function undo(name: string): Promise<void> {
  await FAULTS.find((row) => row.name === name)?.undo?.(lab, one);
}

function killHelpers(): void {
  const pids = markedProcesses(layout.cgroup).map(({ pid }) => pid);
  expect(pids.length).toBeGreaterThan(0);
  for (const pid of pids) process.kill(pid, "SIGKILL");
}

const ECHO = `import socket, sys
echo = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); echo.bind((sys.argv[1], 9998)); echo.settimeout(0.6); print("ready", flush=True)
try: echo.sendto(*echo.recvfrom(100))
except TimeoutError: pass`;
const ASK = `import socket, sys, time
ask = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); ask.settimeout(0.4); begun = time.monotonic()
ask.sendto(b"x", (sys.argv[1], 9998))
try: ask.recv(100); print((time.monotonic() - begun) * 1000)
except OSError: pass`;

/** Of a datagram; the addresses are looked for anew. Undefined: no answer within 400 ms. */
function roundTripMs(): number | undefined {
  for (const machine of lab.machines) ip("-n", namespaceOf(machine), "neigh", "flush", "all");
  const time = onBoth(ECHO, ASK);
  return time === "" ? undefined : Number(time);
}

const BULK_BYTES = 4_000_000;
const SEND = `import socket, sys
listener = socket.create_server((sys.argv[1], 9999)); print("ready", flush=True)
connection, _ = listener.accept(); connection.sendall(b"x" * ${BULK_BYTES}); connection.close()`;
const RECEIVE = `import socket, sys
connection = socket.create_connection((sys.argv[1], 9999), 5); total = 0
while part := connection.recv(65536): total += len(part)
print(total)`;

/** Of a transfer in large segments whose checksums the link is to make. */
function carriedBytes(): number {
  return Number(onBoth(SEND, RECEIVE));
}

/** Runs one program on the machine that suffers and, once that is ready, another beside it; what the other one prints. */
function onBoth(serve: string, ask: string): string {
  const script = `ip netns exec "$1" python3 -c "$3" "$5" | { read _; ip netns exec "$2" python3 -c "$4" "$5"; }`;
  const args = ["-c", script, "sh", namespaceOf(one), namespaceOf(other), serve, ask, one.address];
  return execFileSync("sh", args, { timeout: 30_000 }).toString().trim();
}
