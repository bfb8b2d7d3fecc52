/** From a pod's spec to what the runtime is asked for. Pure. */
import type { Container, Pod, SeccompProfile } from "@pilothouse/api/types/core-v1";
import { parseQuantity } from "@pilothouse/quantity";
import type {
  ContainerConfig,
  ContainerResources,
  ContainerSecurity,
  Image,
  Mount,
  NamespaceModes,
  PortMapping,
  SandboxConfig,
  SecurityProfile,
} from "@pilothouse/runtime";
import { CPU_PERIOD_US, podCgroup, quotaOf, sharesOf } from "./cgroups.ts";
import { kernelHostname, type ResolverConfig } from "./dns.ts";
import { appArmorOf } from "./app-armor.ts";
import { ConfigUnavailable, expand } from "./environment.ts";
import { DEFAULT_GRACE_SECONDS } from "./pod-machine.ts";
import {
  ANNOTATION_GRACE,
  ANNOTATION_HASH,
  ANNOTATION_RECURSIVE,
  ANNOTATION_RESOURCES,
  ANNOTATION_RESTART_COUNT,
  ANNOTATION_TERMINATION_MESSAGE,
  ANNOTATION_TERMINATION_POLICY,
  containerHash,
  LABEL_CONTAINER_NAME,
  podLabels,
  uidOf,
} from "./pod-runtime.ts";

export interface NodePlaces {
  readonly nodeName: string;
  readonly clusterDomain: string;
  /** Parent of all pods' cgroups. */
  readonly cgroupRoot: string;
  /** Parent of all pods' log directories. */
  readonly logsDir: string;
  /** What the node has, for oom scores. */
  readonly memoryBytes: number;
}

/** `<namespace>_<name>_<uid>`, as upstream names them under /var/log/pods. */
/** As log shippers read it; upstream's form. File systems take no longer names. */
export function logLinkName({ metadata }: Pod, containerName: string, containerId: string): string {
  const name = `${metadata.name}_${metadata.namespace}_${containerName}-${containerId}`;
  return `${name.slice(0, MAX_FILE_NAME - ".log".length)}.log`;
}

const MAX_FILE_NAME = 255;

export function podLogDirectory(pod: Pod, logsDir: string): string {
  return `${logsDir}/${pod.metadata.namespace}_${pod.metadata.name}_${uidOf(pod)}`;
}

export function sandboxConfig(pod: Pod, attempt: number, dns: ResolverConfig, places: NodePlaces): SandboxConfig {
  const { metadata, spec } = pod;
  const containers = [...spec.containers, ...(spec.initContainers ?? [])];
  const security = spec.securityContext ?? {};
  const hostNetwork = spec.hostNetwork ?? false;
  return {
    name: metadata.name ?? "",
    namespace: metadata.namespace ?? "",
    uid: uidOf(pod),
    attempt,
    hostname: hostNetwork ? "" : kernelHostname(pod, places.clusterDomain),
    logDirectory: podLogDirectory(pod, places.logsDir),
    dns,
    portMappings: hostNetwork ? [] : containers.flatMap(portMappings),
    labels: { ...metadata.labels, ...podLabels(pod, places.nodeName) },
    annotations: { ...metadata.annotations },
    cgroupParent: podCgroup(pod, places.cgroupRoot),
    sysctls: Object.fromEntries((security.sysctls ?? []).map(({ name, value }) => [name, value])),
    namespaces: namespacesOf(pod),
    security: {
      ...optional("runAsUser", security.runAsUser),
      ...optional("runAsGroup", security.runAsUser === undefined ? undefined : security.runAsGroup),
      supplementalGroups: groupsOf(pod),
      privileged: containers.some((it) => it.securityContext?.privileged),
      seccomp: seccompOf(security.seccompProfile),
    },
  };
}

export interface ContainerInput {
  readonly pod: Pod;
  readonly container: Container;
  readonly attempt: number;
  readonly image: Image;
  readonly env: ReadonlyMap<string, string>;
  readonly mounts: readonly Mount[];
  /** On the host; empty when there is none. */
  readonly terminationMessageFile: string;
  /** The container whose processes it sees, for an ephemeral one that names one. */
  readonly target?: { readonly pid: "TARGET"; readonly targetId: string };
  readonly places: NodePlaces;
}

/** Throws ConfigUnavailable when the pod's security demands cannot be met. */
export function containerConfig(input: ContainerInput): ContainerConfig {
  const { pod, container, attempt, env, places } = input;
  const expanded = (text: string): string => expand(text, (name) => env.get(name));
  return {
    name: container.name,
    attempt,
    imageRef: input.image.id,
    command: (container.command ?? []).map(expanded),
    args: (container.args ?? []).map(expanded),
    workingDir: container.workingDir ?? "",
    env: [...env].map(([name, value]) => ({ name, value })),
    mounts: input.mounts,
    labels: { ...podLabels(pod, places.nodeName), [LABEL_CONTAINER_NAME]: container.name },
    annotations: {
      [ANNOTATION_HASH]: containerHash(container),
      [ANNOTATION_RESTART_COUNT]: String(attempt),
      [ANNOTATION_TERMINATION_MESSAGE]: input.terminationMessageFile,
      [ANNOTATION_TERMINATION_POLICY]: container.terminationMessagePolicy ?? "File",
      [ANNOTATION_RESOURCES]: JSON.stringify(container.resources ?? {}),
      ...recursiveMounts(input.mounts),
      [ANNOTATION_GRACE]: String(pod.spec.terminationGracePeriodSeconds ?? DEFAULT_GRACE_SECONDS),
    },
    logPath: `${container.name}/${attempt}.log`,
    stdin: container.stdin ?? false,
    stdinOnce: container.stdinOnce ?? false,
    tty: container.tty ?? false,
    resources: containerResources(pod, container, places.memoryBytes),
    namespaces: { ...namespacesOf(pod), ...input.target },
    security: containerSecurity(pod, container, input.image),
  };
}

export function containerResources(pod: Pod, container: Container, nodeMemoryBytes: number): ContainerResources {
  const { limits = {}, requests = {} } = container.resources ?? {};
  const milli = (text: string | undefined): number =>
    text === undefined ? 0 : Number(parseQuantity(text).milliValue());
  const limitMilli = milli(limits["cpu"]);
  const requestMilli = milli(requests["cpu"] ?? limits["cpu"]);
  const memoryLimit = limits["memory"];
  return {
    cpuPeriodUs: limitMilli > 0 ? CPU_PERIOD_US : 0,
    cpuQuotaUs: quotaOf(limitMilli) ?? 0,
    cpuShares: sharesOf(requestMilli),
    memoryLimitBytes: memoryLimit === undefined ? 0 : Number(parseQuantity(memoryLimit).value()),
    oomScoreAdj: oomScoreAdj(pod, container, nodeMemoryBytes),
  };
}

/** The more of its request a container uses, the earlier it goes; guaranteed pods last. Upstream's GetContainerOOMScoreAdjust. */
function oomScoreAdj(pod: Pod, container: Container, nodeMemoryBytes: number): number {
  if (pod.status?.qosClass === "Guaranteed") return -997;
  const request = container.resources?.requests?.["memory"];
  if (pod.status?.qosClass === "BestEffort" || request === undefined) return 1000;
  const score = 1000 - Math.floor((1000 * Number(parseQuantity(request).value())) / Math.max(1, nodeMemoryBytes));
  return Math.min(999, Math.max(3, score));
}

function containerSecurity(pod: Pod, container: Container, image: Image): ContainerSecurity {
  const own = container.securityContext ?? {};
  const shared = pod.spec.securityContext ?? {};
  const runAsUser = own.runAsUser ?? shared.runAsUser;
  if (own.runAsNonRoot ?? shared.runAsNonRoot ?? false) refuseRoot(pod, container, runAsUser, image);
  const user = runAsUser ?? image.uid;
  const appArmor = appArmorOf(pod, container);
  return {
    privileged: own.privileged ?? false,
    ...optional("runAsUser", user),
    ...optional("runAsGroup", user === undefined ? undefined : (own.runAsGroup ?? shared.runAsGroup)),
    supplementalGroups: groupsOf(pod),
    strictGroups: shared.supplementalGroupsPolicy === "Strict",
    readOnlyRootFilesystem: own.readOnlyRootFilesystem ?? false,
    noNewPrivileges: own.allowPrivilegeEscalation === false,
    addCapabilities: own.capabilities?.add ?? [],
    dropCapabilities: own.capabilities?.drop ?? [],
    maskedPaths: own.procMount === "Unmasked" ? [] : MASKED_PATHS,
    readonlyPaths: own.procMount === "Unmasked" ? [] : READONLY_PATHS,
    seccomp: seccompOf(own.seccompProfile ?? shared.seccompProfile),
    ...(appArmor ? { appArmor } : {}),
  };
}

function refuseRoot(pod: Pod, container: Container, runAsUser: number | undefined, image: Image): void {
  const where = `(pod: "${pod.metadata.name}_${pod.metadata.namespace}(${uidOf(pod)})", container: ${container.name})`;
  if (runAsUser === 0) throw new ConfigUnavailable(`container's runAsUser breaks non-root policy ${where}`);
  if (runAsUser !== undefined) return;
  if (image.username !== "" && image.username !== "root") {
    throw new ConfigUnavailable(
      `container has runAsNonRoot and image has non-numeric user (${image.username}), cannot verify user is non-root ${where}`,
    );
  }
  if (image.uid === undefined || image.uid === 0)
    throw new ConfigUnavailable(`container has runAsNonRoot and image will run as root ${where}`);
}

function namespacesOf(pod: Pod): NamespaceModes {
  const { hostNetwork, hostPID, hostIPC, shareProcessNamespace } = pod.spec;
  return {
    network: hostNetwork ? "NODE" : "POD",
    pid: hostPID ? "NODE" : shareProcessNamespace ? "POD" : "CONTAINER",
    ipc: hostIPC ? "NODE" : "POD",
  };
}

function groupsOf(pod: Pod): readonly number[] {
  const { supplementalGroups = [], fsGroup } = pod.spec.securityContext ?? {};
  return fsGroup === undefined ? supplementalGroups : [...supplementalGroups, fsGroup];
}

function seccompOf(profile: SeccompProfile | undefined): SecurityProfile {
  if (profile?.type === "RuntimeDefault") return { type: "RuntimeDefault" };
  if (profile?.type === "Localhost") return { type: "Localhost", localhostRef: profile.localhostProfile ?? "" };
  return { type: "Unconfined" };
}

function portMappings(container: Container): readonly PortMapping[] {
  return (container.ports ?? [])
    .filter((port) => (port.hostPort ?? 0) > 0)
    .map((port) => ({
      protocol: (port.protocol ?? "TCP") as PortMapping["protocol"],
      containerPort: port.containerPort,
      hostPort: port.hostPort ?? 0,
      hostIp: port.hostIP ?? "",
    }));
}

function optional<K extends string>(key: K, value: number | undefined): Partial<Record<K, number>> {
  return value === undefined ? {} : ({ [key]: value } as Record<K, number>);
}

function recursiveMounts(mounts: readonly Mount[]): Readonly<Record<string, string>> {
  const paths = mounts.filter((it) => it.recursiveReadOnly).map((it) => it.containerPath);
  return paths.length === 0 ? {} : { [ANNOTATION_RECURSIVE]: JSON.stringify(paths) };
}

const MASKED_PATHS = [
  "/proc/asound",
  "/proc/acpi",
  "/proc/interrupts",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/sys/firmware",
  "/sys/devices/virtual/powercap",
] as const;

const READONLY_PATHS = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"] as const;
