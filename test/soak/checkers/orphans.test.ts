import { expect, test } from "vitest";
import { tracesOf } from "../machines/traces.ts";
import { judgeOrphans, type ClusterObjects } from "./orphans.ts";

const LIVES = "aaaaaaaa-1111-4111-8111-111111111111";
const GONE = "bbbbbbbb-2222-4222-8222-222222222222";
const objects: ClusterObjects = {
  pods: [
    { uid: LIVES, node: "worker-1", ip: "198.18.1.7" },
    { uid: "elsewhere", node: "worker-2", ip: "198.18.2.9" },
  ],
  clusterIps: ["198.19.0.10"],
};
const healthy = `pod ${LIVES}
sandbox 1
pod ${LIVES}
namespace /run/pilothouse/containerd/state/netns/cni-1
mount /var/lib/pilothouse/kubelet/pods/${LIVES}/volumes/x
folder /var/lib/pilothouse/kubelet/pods/${LIVES}
cgroup /sys/fs/cgroup/memory/pilothouse/burstable/pod${LIVES}
address 198.18.0.0
address 198.18.1.7
address 198.18.2.9
address 198.19.0.10
address 198.51.100.21
`;
const messages = (text: string): string[] =>
  judgeOrphans("worker-1", tracesOf(`${text}end\n`), objects).map(({ message }) => message);

test("a machine that holds what the cluster has of it is clean", () => {
  expect(messages(healthy)).toEqual([]);
});

test.each<[string, string]>([
  [`pod ${GONE}`, `containers of pods that are no more: ${GONE}`],
  ["pod elsewhere", "containers of pods that are no more: elsewhere"],
  [`mount /var/lib/pilothouse/kubelet/pods/${GONE}/volumes/x`, "mounts that are no more"],
  [`folder /var/lib/pilothouse/kubelet/pods/${GONE}`, "folders that are no more"],
  [`cgroup /sys/fs/cgroup/cpu/pilothouse/pod${GONE}`, "cgroups that are no more"],
  ["address 198.18.1.8", "addresses in the packet filter that are no more: 198.18.1.8"],
  ["address 198.19.3.4", "addresses in the packet filter that are no more: 198.19.3.4"],
  ["namespace /run/pilothouse/containerd/state/netns/cni-2", "2 network namespaces for 1 sandboxes"],
])("%s is an orphan", (line, message) => {
  expect(messages(`${healthy}${line}\n`)).toEqual([expect.stringContaining(`worker-1: ${message}`)]);
});

test("an answer that breaks off shows nothing", () => {
  expect(() => tracesOf("pod x\n")).toThrow("not whole");
});
