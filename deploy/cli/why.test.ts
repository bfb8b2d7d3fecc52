import type { ContainerState, Node, PersistentVolumeClaim, Pod, PodSpec } from "@pilothouse/api/types/core-v1";
import { createApiClient, resources, type ApiClient } from "@pilothouse/client";
import { memoryApiserver } from "@pilothouse/client/memory";
import { manualClock } from "@pilothouse/clock/manual";
import { seededIds, seededRandom } from "@pilothouse/clock/seeded";
import { describe, expect, it } from "vitest";
import { why } from "./why.ts";

type Sketch = Omit<Partial<PodSpec>, "containers"> & { readonly cpu?: string; readonly memory?: string };

function world(): { readonly api: ApiClient; readonly add: (...nodes: readonly Node[]) => Promise<void> } {
  const server = memoryApiserver({ clock: manualClock(), ids: seededIds(seededRandom("why")) });
  const api = createApiClient({ transports: [server.transport], userAgent: "test" });
  return {
    api,
    async add(...nodes) {
      for (const one of nodes) await api.create(resources.nodes, one);
    },
  };
}

function node(
  name: string,
  { spec = {}, labels = {}, cpu = "4" }: { spec?: Node["spec"]; labels?: Record<string, string>; cpu?: string } = {},
): Node {
  const conditions = [{ type: "Ready", status: "True" }];
  const metadata = { name, labels: { "kubernetes.io/hostname": name, ...labels } };
  return { metadata, spec, status: { conditions, allocatable: { cpu, memory: "8Gi", pods: "110" } } };
}

function pod(name: string, { cpu = "100m", memory = "64Mi", ...spec }: Sketch = {}, more: Partial<Pod> = {}): Pod {
  const containers = [{ name: "c", image: "web:1", resources: { requests: { cpu, memory } } }];
  return {
    ...more,
    metadata: { name, namespace: "default", ...more.metadata },
    spec: { containers, ...spec },
    status: { phase: "Pending", qosClass: "Burstable", ...more.status },
  };
}

describe("a pod that no node takes", () => {
  it("is told what each plugin says of each node, with numbers, and the nearest fix", async () => {
    const { api, add } = world();
    await add(
      node("worker-1"),
      node("master-1", {
        spec: { taints: [{ key: "node-role.kubernetes.io/control-plane", effect: "NoSchedule" }] },
        cpu: "1",
      }),
    );
    await api.create(resources.pods, pod("busy", { cpu: "2700m", nodeName: "worker-1" }));
    await api.create(resources.pods, pod("big", { cpu: "2" }));
    expect(await why(api, "pod/big", "default")).toEqual([
      "pod default/big is Pending, without a node.",
      "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }.",
      "  worker-1",
      "    ✘ NodeResourcesFit     Insufficient cpu: needs 2, 1.3 of 4 free",
      "    ✔ NodeUnschedulable, NodeName, TaintToleration, NodeAffinity, NodePorts, VolumeRestrictions, VolumeBinding, VolumeZone, PodTopologySpread, InterPodAffinity",
      "  master-1",
      "    ✘ TaintToleration      node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }:NoSchedule",
      "    ✘ NodeResourcesFit     Insufficient cpu: needs 2, 1 of 1 free",
      "    ✔ NodeUnschedulable, NodeName, NodeAffinity, NodePorts, VolumeRestrictions, VolumeBinding, VolumeZone, PodTopologySpread, InterPodAffinity",
      "Preemption: 0/2 nodes are available: 1 No preemption victims found for incoming pod, 1 Preemption is not helpful for scheduling.",
      "Nearest: worker-1.",
      `  try: kubectl -n default patch pod big --subresource resize -p '{"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"1300m"}}}]}}'`,
    ]);
  });

  it("changes the template where pods are made of one", async () => {
    const { api, add } = world();
    await add(node("worker-1"));
    const web = await api.create(resources.deployments, { metadata: { name: "web", namespace: "default" } } as never);
    const ownedBy = (kind: string, owner: { metadata: { name?: string; uid?: string } }) => [
      { apiVersion: "apps/v1", kind, name: owner.metadata.name ?? "", uid: owner.metadata.uid ?? "", controller: true },
    ];
    const set = await api.create(resources.replicaSets, {
      metadata: { name: "web-1", namespace: "default", ownerReferences: ownedBy("Deployment", web) },
    } as never);
    const made = pod("web-1-x", { memory: "9Gi" }, { metadata: { ownerReferences: ownedBy("ReplicaSet", set) } });
    await api.create(resources.pods, made);
    const told = await why(api, "deployment/web", "default");
    expect(told).toContain("    ✘ NodeResourcesFit     Insufficient memory: needs 9Gi, 8Gi of 8Gi free");
    expect(told.at(-1)).toBe("  try: kubectl -n default set resources deployment/web -c c --requests=memory=8192Mi");
  });

  it.each<[string, Node["spec"], Sketch, string, string]>([
    [
      "a cordon",
      { unschedulable: true },
      {},
      "NodeUnschedulable    node(s) were unschedulable: it is cordoned",
      "kubectl uncordon worker-1",
    ],
    [
      "a taint",
      { taints: [{ key: "gpu", value: "yes", effect: "NoExecute" }] },
      {},
      "TaintToleration      node(s) had untolerated taint {gpu: yes}:NoExecute",
      "kubectl taint node worker-1 gpu:NoExecute-",
    ],
    [
      "a taint that a controller keeps",
      { taints: [{ key: "node.kubernetes.io/disk-pressure", effect: "NoSchedule" }] },
      {},
      "TaintToleration      node(s) had untolerated taint {node.kubernetes.io/disk-pressure: }:NoSchedule",
      "kubectl describe node worker-1",
    ],
    [
      "a label",
      {},
      { nodeSelector: { disk: "ssd" } },
      "NodeAffinity         nodeSelector wants disk=ssd, the node has no such label",
      "kubectl label node worker-1 --overwrite disk=ssd",
    ],
    [
      "a claim that nobody made",
      {},
      { volumes: [{ name: "data", persistentVolumeClaim: { claimName: "data" } }] },
      'VolumeBinding        persistentvolumeclaim "data" not found',
      "kubectl -n default describe pvc data",
    ],
    [
      "an affinity",
      {},
      {
        affinity: {
          podAffinity: {
            requiredDuringSchedulingIgnoredDuringExecution: [
              { topologyKey: "kubernetes.io/hostname", labelSelector: { matchLabels: { app: "db" } } },
            ],
          },
        },
      },
      "InterPodAffinity     no pod that it must be near is in kubernetes.io/hostname=worker-1",
      "kubectl -n default get pod web -o yaml > web.yaml; ${EDITOR:-vi} web.yaml; kubectl replace --force -f web.yaml  # spec.affinity.podAffinity",
    ],
  ])("%s", async (_what, spec, wanted, against, command) => {
    const { api, add } = world();
    await add(node("worker-1", { spec: { ...spec } }));
    await api.create(resources.pods, pod("web", wanted));
    const told = await why(api, "pod/web", "default");
    expect(told).toContain(`    ✘ ${against}`);
    expect(told.at(-1)).toBe(`  try: ${command}`);
  });

  it("says who would have to go, and who keeps room", async () => {
    const { api, add } = world();
    await add(node("worker-1"));
    await api.create(resources.pods, pod("small", { cpu: "3", nodeName: "worker-1" }));
    const important = pod("important", { cpu: "3", priority: 10 });
    await api.create(resources.pods, important);
    expect((await why(api, "pod/important", "default")).at(-1)).toBe(
      "The scheduler makes room on worker-1: less important pods have to go (default/small).",
    );
    await api.delete(resources.pods, "default", "small", { gracePeriodSeconds: 0 });
    const waits = { ...important, status: { ...important.status, nominatedNodeName: "worker-1" } };
    const { metadata } = await api.get(resources.pods, "default", "important");
    await api.update(resources.pods, { ...waits, metadata }, { subresource: "status" });
    await api.create(resources.pods, pod("late", { cpu: "2" }));
    expect(await why(api, "pod/late", "default")).toContain(
      "    ✘ NodeResourcesFit     room is kept for default/important: Insufficient cpu",
    );
  });

  it("has a node by now, or waits for somebody else than the scheduler", async () => {
    const { api, add } = world();
    await api.create(resources.pods, pod("web"));
    expect(await why(api, "pod/web", "default")).toContain("no nodes available to schedule pods");
    await add(node("worker-1"));
    expect((await why(api, "web", "default"))[1]).toBe(
      "worker-1 would take it now; the scheduler has not come to it yet, or cannot write.",
    );
    await api.create(resources.pods, pod("gated", { schedulingGates: [{ name: "example.com/quota" }] }));
    expect((await why(api, "pod/gated", "default")).slice(1, 3)).toEqual([
      "  its scheduling gates are not open: example.com/quota.",
      "  It waits for: whoever put the gates there.",
    ]);
    await api.create(resources.pods, pod("foreign", { schedulerName: "volcano" }));
    expect((await why(api, "pod/foreign", "default"))[2]).toBe("  It waits for: volcano.");
  });
});

describe("a pod that has a node", () => {
  const onNode = (state: ContainerState, more: Partial<NonNullable<Pod["status"]>> = {}): Pod =>
    pod(
      "web",
      { nodeName: "worker-1" },
      {
        status: {
          phase: "Pending",
          containerStatuses: [
            {
              name: "c",
              image: "web:1",
              imageID: "",
              ready: false,
              restartCount: 4,
              state,
              lastState: { terminated: { exitCode: 3, reason: "Error" } },
            },
          ],
          ...more,
        },
      },
    );

  it.each<[string, Pod, string, string | undefined]>([
    [
      "an image",
      onNode({ waiting: { reason: "ImagePullBackOff", message: 'Back-off pulling image "web:1"' } }),
      'container c has no image web:1 (ImagePullBackOff): Back-off pulling image "web:1".',
      "the registry of web:1, or whoever names the image",
    ],
    [
      "what crashes",
      onNode({ waiting: { reason: "CrashLoopBackOff" } }),
      "container c ends again and again, 4 times so far; the last time it exited with code 3 (Error).",
      "container c",
    ],
    [
      "a ConfigMap",
      onNode({ waiting: { reason: "CreateContainerConfigError", message: 'configmap "settings" not found' } }),
      'container c cannot be made as it is written: configmap "settings" not found.',
      "whoever is to create what it names",
    ],
    [
      "a probe",
      onNode({ running: {} }, { phase: "Running" }),
      "container c runs and is not ready.",
      "container c, whose probe has to succeed",
    ],
    [
      "nothing any more",
      onNode({ terminated: { exitCode: 3, reason: "Error" } }, { phase: "Failed" }),
      "it failed for good: container c exited with code 3 (Error).",
      undefined,
    ],
  ])("waits for %s", async (_what, stuck, what, on) => {
    const { api, add } = world();
    await add(node("worker-1"));
    await api.create(resources.pods, stuck);
    const told = await why(api, "pod/web", "default");
    expect(told[1]).toBe(`  ${what}`);
    if (on !== undefined) expect(told[2]).toBe(`  It waits for: ${on}.`);
  });

  it("waits for its node before anything else, and for its claim before its containers", async () => {
    const { api } = world();
    const volumes = [{ name: "data", persistentVolumeClaim: { claimName: "data" } }];
    const stuck = onNode({ waiting: { reason: "ContainerCreating" } });
    await api.create(resources.pods, { ...stuck, spec: { ...stuck.spec, volumes } });
    const second = async () => (await why(api, "pod/web", "default"))[1];
    expect(await second()).toBe("  its node worker-1 is no more.");
    const silent = node("worker-1");
    const conditions = [{ type: "Ready", status: "Unknown", message: "Kubelet stopped posting node status." }];
    const made = await api.create(resources.nodes, { ...silent, status: { ...silent.status, conditions } });
    expect(await second()).toBe("  its node worker-1 is not Ready: Kubelet stopped posting node status.");
    await api.update(resources.nodes, { ...node("worker-1"), metadata: made.metadata }, { subresource: "status" });
    expect(await second()).toBe("  its claim data does not exist.");
    const claim: PersistentVolumeClaim = {
      metadata: { name: "data", namespace: "default" },
      spec: { storageClassName: "fast" },
    };
    const pending = await api.create(resources.persistentVolumeClaims, claim);
    expect((await why(api, "pod/web", "default")).slice(1)).toEqual([
      "  its claim data is Pending.",
      "  It waits for: who makes volumes of class fast.",
      "  try: kubectl -n default describe pvc data",
    ]);
    await api.update(
      resources.persistentVolumeClaims,
      { ...pending, status: { phase: "Bound" } },
      { subresource: "status" },
    );
    expect(await second()).toBe("  its node prepares it: volumes, network, images.");
    await api.create(resources.events, {
      metadata: { name: "web.1", namespace: "default" },
      involvedObject: { kind: "Pod", name: "web", namespace: "default" },
      type: "Warning",
      reason: "FailedMount",
      message: 'secret "key" not found',
      reportingComponent: "kubelet",
      reportingInstance: "worker-1",
    });
    expect(await second()).toBe('  its node prepares it, and says (FailedMount): secret "key" not found.');
  });

  it("waits for nothing when it is Ready", async () => {
    const { api, add } = world();
    await add(node("worker-1"));
    const running = onNode({ running: {} }, { phase: "Running", conditions: [{ type: "Ready", status: "True" }] });
    await api.create(resources.pods, { ...running, status: { ...running.status, containerStatuses: [] } });
    await api.create(resources.pods, {
      ...pod("well", { nodeName: "worker-1" }),
      status: {
        phase: "Running",
        conditions: [{ type: "Ready", status: "True" }],
        containerStatuses: [
          { name: "c", image: "", imageID: "", ready: true, restartCount: 0, state: { running: {} } },
        ],
      },
    });
    expect(await why(api, "pod/well", "default")).toEqual([
      "pod default/well is Running and Ready, on node worker-1. It waits for nothing.",
    ]);
  });
});

describe("a pod that nobody made", () => {
  it("is refused by a quota: the workload says so", async () => {
    const { api } = world();
    const message =
      'pods "web-1-" is forbidden: exceeded quota: small, requested: pods=1, used: pods=2, limited: pods=2';
    await api.create(resources.replicaSets, {
      metadata: { name: "web-1", namespace: "default" },
      status: { conditions: [{ type: "ReplicaFailure", status: "True", reason: "FailedCreate", message }] },
    } as never);
    expect(await why(api, "pod/web-1-abcde", "default")).toEqual([
      "There is no pod default/web-1-abcde.",
      "replicaset default/web-1 has fewer pods than it wants: web-1 may not make them.",
      `  ${message}.`,
      "  It waits for: quota small.",
      "  try: kubectl -n default describe resourcequota small",
    ]);
  });

  it("is nowhere", async () => {
    const { api } = world();
    await expect(why(api, "pod/web", "default")).rejects.toThrow("There is no pod/web in namespace default.");
    await expect(why(api, "service/web", "default")).rejects.toThrow("There is no service/web in namespace default.");
  });
});
