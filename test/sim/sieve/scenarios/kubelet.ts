/** Pods on one node: one that runs, fails once, ends, waits for another to end first, reads a ConfigMap, goes and comes again. */
import type { ConfigMap, ContainerStatus, Pod } from "@pilothouse/api/types/core-v1";
import { resources, type ApiClient, type KubernetesObject } from "@pilothouse/client";
import { kubeletWith, NODE } from "../kubelet.ts";
import type { Scenario } from "../scenario.ts";
import { account, merge, NAMESPACE } from "./acts.ts";

const images = {
  web: { pullMs: 300, stopMs: 400 },
  job: { pullMs: 200, exitAfterMs: 700, exitCode: 0 },
};

const pod =
  (name: string, spec: Partial<Pod["spec"]> = {}) =>
  (client: ApiClient) =>
    client.create<Pod>(resources.pods, {
      metadata: { name, namespace: NAMESPACE },
      spec: {
        nodeName: NODE,
        automountServiceAccountToken: false,
        terminationGracePeriodSeconds: 5,
        containers: [{ name: "web", image: "web" }],
        ...spec,
      },
    });

const deletePod = (name: string) => (client: ApiClient) => client.delete(resources.pods, NAMESPACE, name);

const job = { name: "job", image: "job" };
const settings = { name: "settings", configMap: { name: "settings" } };
const readsSettings = { name: "web", image: "web", volumeMounts: [{ name: "settings", mountPath: "/settings" }] };

export const kubelet: Scenario = {
  name: "kubelet",
  subject: kubeletWith({ images, firstFailsAfterMs: { restarts: 1_500 } }),
  end: withoutNumbers,
  // A changed ConfigMap reaches a volume with the look at everything, once a minute.
  settlesWithinMs: 150_000,
  steps: [
    { afterMs: 0, does: "makes the account that pods run as", run: account },
    { afterMs: 100, does: "runs a pod", run: pod("stays") },
    { afterMs: 100, does: "runs one that is to go", run: pod("goes") },
    { afterMs: 100, does: "runs one that fails once", run: pod("restarts") },
    {
      afterMs: 100,
      does: "runs one that ends",
      run: pod("ends", { restartPolicy: "OnFailure", containers: [job] }),
    },
    { afterMs: 100, does: "runs one that has to prepare", run: pod("prepares", { initContainers: [job] }) },
    {
      afterMs: 100,
      does: "runs one that waits for its settings",
      run: pod("reads", { volumes: [settings], containers: [readsSettings] }),
    },
    {
      afterMs: 1_000,
      does: "makes the settings",
      run: (client) =>
        client.create<ConfigMap>(resources.configMaps, {
          metadata: { name: "settings", namespace: NAMESPACE },
          data: { color: "red" },
        }),
    },
    { afterMs: 1_000, does: "asks for the end of the one that is to go", run: deletePod("goes") },
    { afterMs: 2_000, does: "runs one that goes at once", run: pod("short") },
    { afterMs: 300, does: "asks for its end while it is started", run: deletePod("short") },
    {
      afterMs: 2_000,
      does: "changes the settings",
      run: (client) => client.patch(resources.configMaps, NAMESPACE, "settings", merge({ data: { color: "blue" } })),
    },
  ],
};

/** Which address and which identity the runtime gave, and how many containers were made that never ran, is its own affair. */
function withoutNumbers(objects: readonly KubernetesObject[]): readonly KubernetesObject[] {
  const plain = (all: readonly ContainerStatus[] | undefined): object => ({
    ...(all && { all: all.map(withoutIdentity) }),
  });
  return objects.map((object) => {
    if (object.kind !== "Pod") return object;
    const { podIP, podIPs, containerStatuses, initContainerStatuses, ...status } = (object as Pod).status ?? {};
    return {
      ...object,
      status: {
        ...status,
        addresses: podIPs?.length ?? 0,
        hasAddress: podIP !== undefined,
        containers: plain(containerStatuses),
        initContainers: plain(initContainerStatuses),
      },
    };
  });
}

function withoutIdentity({ containerID, ...status }: ContainerStatus): object {
  const states = [status.state, status.lastState].map((state) => {
    const { containerID: id, ...terminated } = state?.terminated ?? {};
    return { ...state, ...(state?.terminated ? { terminated, hasIdentity: id !== undefined } : {}) };
  });
  return {
    ...status,
    restartCount: undefined,
    state: states[0],
    lastState: states[1],
    hasIdentity: containerID !== undefined,
  };
}
