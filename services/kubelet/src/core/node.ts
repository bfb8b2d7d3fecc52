/** What a Node object says of its machine. Pure. */
import type { Node, NodeCondition, NodeStatus, Taint } from "@pilothouse/api/types/core-v1";
import { parseQuantity } from "@pilothouse/quantity";
import type { Image, RuntimeCondition, RuntimeStatus } from "@pilothouse/runtime";
import type { Pressure } from "./admission.ts";
import { HARD_THRESHOLDS } from "./eviction.ts";
import { keptFree } from "./thresholds.ts";
import type { NodeShare } from "./cgroups.ts";

export interface MachineFacts {
  readonly cpus: number;
  readonly memoryBytes: number;
  /** Size of the file system that pods write to. */
  readonly diskBytes: number;
  readonly maxPods: number;
  readonly reserved?: Reserved;
  /** What eviction keeps free; absent: what upstream's defaults do. */
  readonly keptFree?: { readonly memoryBytes: number; readonly diskBytes: number };
  /** `amd64`, `arm64` */
  readonly architecture: string;
  readonly machineId: string;
  readonly bootId: string;
  readonly kernelVersion: string;
  readonly osImage: string;
  readonly hostname: string;
  /** It enforces AppArmor's profiles. */
  readonly appArmor?: boolean;
}

export const KUBELET_VERSION = "v1.36.0";

/** Kept from pods: for the system, and for Kubernetes' own processes. */
export interface Reserved {
  readonly milliCpu: number;
  readonly memoryBytes: number;
  readonly diskBytes: number;
}

const NOTHING: Reserved = { milliCpu: 0, memoryBytes: 0, diskBytes: 0 };

/**
 * Reads `--system-reserved` and `--kube-reserved` (`cpu=100m`, `memory=256Mi`, `ephemeral-storage=1Gi`), which add up. Throws a
 * RangeError that quotes what is not understood.
 */
export function parseReserved(...lists: readonly (readonly string[])[]): Reserved {
  const fields = { cpu: "milliCpu", memory: "memoryBytes", "ephemeral-storage": "diskBytes" } as const;
  const total = { ...NOTHING };
  for (const text of lists.flat()) {
    const [, name = "", amount = ""] = /^([^=]+)=(.+)$/.exec(text) ?? [];
    const field = fields[name as keyof typeof fields] as (typeof fields)[keyof typeof fields] | undefined;
    if (!field)
      throw new RangeError(`${JSON.stringify(text)} is not cpu=, memory= or ephemeral-storage= and an amount`);
    const quantity = parseQuantity(amount);
    total[field] += Number(name === "cpu" ? quantity.milliValue() : quantity.value());
  }
  return total;
}

/** What all pods may have together: all but what is reserved. What eviction keeps free is theirs until it comes to that. */
export function shareOfPods({ cpus, memoryBytes, reserved = NOTHING }: MachineFacts): NodeShare {
  return { milliCpu: cpus * 1000 - reserved.milliCpu, memoryBytes: memoryBytes - reserved.memoryBytes };
}

export function nodeLabels(nodeName: string, { architecture }: MachineFacts): Record<string, string> {
  return {
    "kubernetes.io/hostname": nodeName,
    "kubernetes.io/os": "linux",
    "kubernetes.io/arch": architecture,
    "beta.kubernetes.io/os": "linux",
    "beta.kubernetes.io/arch": architecture,
  };
}

/** What a node says of itself when it is registered, and never again: later it belongs to the cluster's people. */
export interface Registration {
  /** Beside the labels that follow from the machine. */
  readonly labels: Readonly<Record<string, string>>;
  readonly taints: readonly Taint[];
}

const EFFECTS: readonly string[] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

/**
 * Reads `--node-labels` (`key=value`) and `--register-with-taints` (`key=value:effect`, `key:effect`), as upstream's kubelet
 * does. Throws a RangeError that quotes what is not understood.
 */
export function parseRegistration(labels: readonly string[], taints: readonly string[]): Registration {
  return { labels: Object.fromEntries(labels.map(parseLabel)), taints: taints.map(parseTaint) };
}

function parseLabel(text: string): [string, string] {
  const [, key, value = ""] = /^([^=]+)=([^=]*)$/.exec(text) ?? [];
  if (key === undefined) throw new RangeError(`--node-labels: ${JSON.stringify(text)} is not key=value`);
  return [key, value];
}

function parseTaint(text: string): Taint {
  const [, key, value, effect = ""] = /^([^=:]+)(?:=([^:]*))?:(.+)$/.exec(text) ?? [];
  if (key === undefined || !EFFECTS.includes(effect))
    throw new RangeError(
      `--register-with-taints: ${JSON.stringify(text)} is not key=value:effect, effect one of ${EFFECTS.join(", ")}`,
    );
  return { key, ...(value === undefined ? {} : { value }), effect };
}

/** As many as upstream tells of by default, and as many names of each. */
const MAX_IMAGES = 50;
const MAX_NAMES = 5;

/** The largest images, under the names that they have. */
export function nodeImages(images: readonly Image[]): NonNullable<NodeStatus["images"]> {
  return images
    .map(({ repoDigests, repoTags, sizeBytes }) => ({
      names: [...repoDigests, ...repoTags].filter((name) => !name.includes("<none>")).slice(0, MAX_NAMES),
      sizeBytes,
    }))
    .filter(({ names }) => names.length > 0)
    .toSorted((a, b) => b.sizeBytes - a.sizeBytes || ((a.names[0] ?? "") < (b.names[0] ?? "") ? -1 : 1))
    .slice(0, MAX_IMAGES);
}

/** What the runtime can do, as far as it says. */
export function nodeRuntime({
  handlers,
  supplementalGroupsPolicy,
}: RuntimeStatus): Pick<NodeStatus, "features" | "runtimeHandlers"> {
  return {
    ...(supplementalGroupsPolicy === undefined ? {} : { features: { supplementalGroupsPolicy } }),
    ...(handlers
      ? {
          runtimeHandlers: handlers.map(({ name, recursiveReadOnlyMounts, userNamespaces }) => ({
            name,
            features: { recursiveReadOnlyMounts, userNamespaces },
          })),
        }
      : {}),
  };
}

export interface NodeInput {
  readonly nodeName: string;
  readonly nodeIp: string;
  readonly port: number;
  readonly machine: MachineFacts;
  /** `containerd://1.6.20` */
  readonly runtimeVersion: string;
}

/** The status without its conditions. */
export function nodeStatus({ nodeName, nodeIp, port, machine, runtimeVersion }: NodeInput): NodeStatus {
  const amounts = (memoryBytes: number): Record<string, string> => ({
    cpu: String(machine.cpus),
    memory: binary(memoryBytes),
    "ephemeral-storage": binary(machine.diskBytes),
    pods: String(machine.maxPods),
  });
  return {
    capacity: amounts(machine.memoryBytes),
    allocatable: allocatableOf(machine),
    addresses: [
      { type: "InternalIP", address: nodeIp },
      { type: "Hostname", address: nodeName },
    ],
    daemonEndpoints: { kubeletEndpoint: { Port: port } },
    nodeInfo: {
      machineID: machine.machineId,
      systemUUID: machine.machineId,
      bootID: machine.bootId,
      kernelVersion: machine.kernelVersion,
      osImage: machine.osImage,
      containerRuntimeVersion: runtimeVersion,
      kubeletVersion: KUBELET_VERSION,
      kubeProxyVersion: "",
      operatingSystem: "linux",
      architecture: machine.architecture,
    },
  };
}

/** The Node object of a machine that nobody has heard of yet. */
export function initialNode(input: NodeInput, { labels, taints }: Registration): Node {
  const { nodeName, machine } = input;
  return {
    kind: "Node",
    apiVersion: "v1",
    metadata: { name: nodeName, labels: { ...labels, ...nodeLabels(nodeName, machine) } },
    spec: taints.length === 0 ? {} : { taints: [...taints] },
    status: nodeStatus(input),
  };
}

export function allocatableOf(machine: MachineFacts): Record<string, string> & { cpu: string; memory: string } {
  const { milliCpu, memoryBytes } = shareOfPods(machine);
  const { diskBytes } = machine.reserved ?? NOTHING;
  const kept = machine.keptFree ?? keptFree(HARD_THRESHOLDS, machine);
  return {
    cpu: parseQuantity(`${Math.max(0, milliCpu)}m`).toString(),
    memory: binary(Math.max(0, memoryBytes - kept.memoryBytes)),
    "ephemeral-storage": binary(Math.max(0, machine.diskBytes - kept.diskBytes - diskBytes)),
    pods: String(machine.maxPods),
  };
}

/**
 * Resources that others give to the node (`example.com/device`, patched into its capacity) may be used by pods: all of them are
 * allocatable, as upstream's kubelet has it.
 */
export function withExtended(own: NodeStatus, shown: NodeStatus | undefined): NodeStatus {
  const extended = Object.entries(shown?.capacity ?? {}).filter(
    ([name]) => name.includes("/") && !name.includes("kubernetes.io/"),
  );
  if (extended.length === 0) return own;
  const more = Object.fromEntries(extended);
  return { ...own, capacity: { ...own.capacity, ...more }, allocatable: { ...own.allocatable, ...more } };
}

/** As the API server writes it, so that what it shows can be compared. */
function binary(amountBytes: number): string {
  return parseQuantity(`${Math.floor(amountBytes / 1024)}Ki`).toString();
}

/** No runtime conditions = the runtime does not answer. `now` is a Kubernetes timestamp. */
export function nodeConditions(
  runtime: readonly RuntimeCondition[],
  before: readonly NodeCondition[],
  now: string,
  pressures: readonly Pressure[] = [],
): NodeCondition[] {
  const fine = (type: string, reason: string, message: string): Omit<NodeCondition, "lastTransitionTime"> => {
    return { type, status: "False", reason, message };
  };
  const short = (type: Pressure, reason: string, message: string): Omit<NodeCondition, "lastTransitionTime"> => {
    return { type, status: "True", reason, message };
  };
  const found = [
    pressures.includes("MemoryPressure")
      ? short("MemoryPressure", "KubeletHasInsufficientMemory", "kubelet has insufficient memory available")
      : fine("MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    pressures.includes("DiskPressure")
      ? short("DiskPressure", "KubeletHasDiskPressure", "kubelet has disk pressure")
      : fine("DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    pressures.includes("PIDPressure")
      ? short("PIDPressure", "KubeletHasInsufficientPID", "kubelet has insufficient PID available")
      : fine("PIDPressure", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    readyCondition(runtime),
  ];
  return found.map((condition) => {
    const old = before.find((it) => it.type === condition.type);
    const since = old?.status === condition.status ? old.lastTransitionTime : undefined;
    return { ...condition, lastHeartbeatTime: now, lastTransitionTime: since ?? now };
  });
}

/**
 * Whether the Node object says what this machine has to say of itself. Others may change it meanwhile: the node lifecycle controller
 * after a silence. What they add is theirs, and times of conditions are no news.
 */
export function isTold(shown: NodeStatus | undefined, own: NodeStatus): boolean {
  const conditions = (own.conditions ?? []).map(({ type, status, reason, message }) => ({
    type,
    status,
    reason,
    message,
  }));
  return covers(shown, { ...own, conditions });
}

function covers(shown: unknown, own: unknown): boolean {
  if (Array.isArray(own)) {
    const items: readonly unknown[] = Array.isArray(shown) ? shown : [];
    return own.every((item: unknown) => items.some((other) => covers(other, item)));
  }
  if (typeof own === "object" && own !== null) {
    const fields = new Map(Object.entries(shown ?? {}));
    return Object.entries(own).every(([field, value]) => covers(fields.get(field), value));
  }
  // Empty texts may be left out by who stores them.
  return own === (shown ?? "");
}

function readyCondition(runtime: readonly RuntimeCondition[]): Omit<NodeCondition, "lastTransitionTime"> {
  const problems = runtime
    .filter((it) => !it.ok)
    .map(({ type, reason, message }) => {
      const what = type === "NetworkReady" ? "container runtime network" : "container runtime";
      return `${what} not ready: ${type}=false reason:${reason} message:${message}`;
    });
  if (runtime.length === 0) problems.push("container runtime is down");
  return problems.length === 0
    ? { type: "Ready", status: "True", reason: "KubeletReady", message: "kubelet is posting ready status" }
    : { type: "Ready", status: "False", reason: "KubeletNotReady", message: `[${problems.join(", ")}]` };
}
