/** Two nodes in network namespaces, each with one pod's address: can the pods talk, and by what way? */
import { execFileSync } from "node:child_process";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  makeTestDirectory,
  removeTestDirectory,
  startProcess,
  until,
  type TestProcess,
} from "../../../../test/harness/index.ts";
import type { PodRoute } from "../core/pod-routes.ts";
import { routeTable } from "./route-table.ts";

const TUNNEL = "phtest-vx";
const NODES = [
  { netns: `phroute-a-${process.pid}`, address: "198.51.100.1", podCidr: "198.18.1.0/24", pod: "198.18.1.2" },
  { netns: `phroute-b-${process.pid}`, address: "198.51.100.2", podCidr: "198.18.2.0/24", pod: "198.18.2.2" },
] as const;
const [a, b] = NODES;
const tableOf = ({ netns }: (typeof NODES)[number]) =>
  routeTable({ prefix: ["ip", "netns", "exec", netns], tunnel: TUNNEL });
const shell = (command: string): string => execFileSync("sh", ["-ec", command], { encoding: "utf8" });

let directory: string;
let server: TestProcess;

beforeAll(async () => {
  for (const { netns } of NODES) shell(`ip netns add ${netns}; ip -n ${netns} link set lo up`);
  shell(`ip -n ${a.netns} link add up0 type veth peer name up0 netns ${b.netns}`);
  for (const { netns, address, pod } of NODES) {
    shell(`ip -n ${netns} address add ${address}/24 dev up0; ip -n ${netns} link set up0 up`);
    shell(`ip -n ${netns} address add ${pod}/32 dev lo`);
  }
  directory = await makeTestDirectory();
  const greet = `require("net").createServer((s) => s.end("hello")).listen(8080, "${b.pod}", () => console.log("listens"))`;
  const args = ["netns", "exec", b.netns, process.execPath, "-e", greet];
  server = startProcess({ command: "ip", args, directory });
  await until("the pod listens", async () => (await server.output()).includes("listens"));
});
afterAll(async () => {
  await server.stop();
  await removeTestDirectory(directory);
  for (const { netns } of NODES) shell(`ip netns delete ${netns} 2>/dev/null || true`);
});

/** Connects the nodes both ways and says whether pod reaches pod. */
async function connect(way: PodRoute["way"]): Promise<boolean> {
  for (const [here, there] of [
    [a, b],
    [b, a],
  ] as const) {
    const put = [{ podCidr: there.podCidr, nodeAddress: there.address, way }];
    await tableOf(here).change({ put, remove: [] }, { nodeAddress: here.address, podCidr: here.podCidr });
    expect(await tableOf(here).read()).toEqual(put);
  }
  return podReachesPod();
}

function podReachesPod(): boolean {
  const ask = `require("net").connect({ host: "${b.pod}", port: 8080, localAddress: "${a.pod}", timeout: 1000 })
    .on("data", () => process.exit(0)).on("timeout", () => process.exit(1)).on("error", () => process.exit(1))`;
  try {
    execFileSync("ip", ["netns", "exec", a.netns, process.execPath, "-e", ask], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

test("pods of two nodes reach each other directly, then through the tunnel, then directly again", async () => {
  expect(await tableOf(a).links()).toEqual(["198.51.100.1/24"]);
  expect(podReachesPod()).toBe(false);
  expect(await connect("direct")).toBe(true);
  expect(await connect("tunnel")).toBe(true);
  expect(shell(`ip -n ${a.netns} route get ${b.pod}`)).toContain(TUNNEL);
  expect(await tableOf(a).links()).toEqual(["198.51.100.1/24"]);
  expect(await connect("direct")).toBe(true);
  expect(shell(`ip -n ${a.netns} route get ${b.pod}`)).toContain("up0");
});

test("a tunnel whose far end was forgotten is not taken for a whole one", async () => {
  await connect("tunnel");
  shell(`ip netns exec ${a.netns} bridge fdb delete 0e:50:c6:33:64:02 dev ${TUNNEL} dst ${b.address} self`);
  expect((await tableOf(a).read()).map(({ nodeAddress }) => nodeAddress)).toEqual([""]);
});

test("only routes of ours are read and removed", async () => {
  await connect("direct");
  shell(`ip -n ${a.netns} route add 198.18.9.0/24 via ${b.address}`);
  const ours = await tableOf(a).read();
  expect(ours.map(({ podCidr }) => podCidr)).toEqual([b.podCidr]);
  await tableOf(a).change({ put: [], remove: ours }, { nodeAddress: a.address, podCidr: a.podCidr });
  expect(await tableOf(a).read()).toEqual([]);
  expect(shell(`ip -n ${a.netns} route show 198.18.9.0/24`)).toContain(b.address);
});
