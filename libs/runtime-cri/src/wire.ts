/** Between the port's shapes and CRI's messages. Times are milliseconds here and nanoseconds there. */
import type {
  Container,
  ContainerConfig,
  ContainerResources,
  ContainerState,
  ContainerStats,
  ContainerStatus,
  Image,
  ImageFsInfo,
  Labels,
  Mount,
  NamespaceModes,
  RuntimeStatus,
  Sandbox,
  SandboxConfig,
  SandboxStatus,
  SecurityProfile,
  StreamRequest,
} from "@pilothouse/runtime";

const NS_PER_MS = 1e6;

export interface WireSandbox {
  readonly id: string;
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly namespace: string;
    readonly attempt: number;
  };
  readonly state: "SANDBOX_READY" | "SANDBOX_NOTREADY";
  readonly createdAt: number;
  readonly labels: Labels;
  readonly annotations: Labels;
  readonly network?: { readonly ip: string; readonly additionalIps: readonly { readonly ip: string }[] } | null;
}

type WireContainerState = "CONTAINER_CREATED" | "CONTAINER_RUNNING" | "CONTAINER_EXITED" | "CONTAINER_UNKNOWN";

export interface WireContainer {
  readonly id: string;
  readonly podSandboxId: string;
  readonly metadata: { readonly name: string; readonly attempt: number };
  readonly image: { readonly image: string } | null;
  readonly imageRef: string;
  readonly state: WireContainerState;
  readonly createdAt: number;
  readonly labels: Labels;
  readonly annotations: Labels;
}

export interface WireContainerStatus extends Omit<WireContainer, "podSandboxId"> {
  readonly startedAt: number;
  readonly finishedAt: number;
  readonly exitCode: number;
  readonly reason: string;
  readonly message: string;
  readonly logPath: string;
  /** Only newer runtimes say it. */
  readonly user?: { readonly linux: NonNullable<ContainerStatus["user"]> | null } | null;
}

export interface WireStatus {
  readonly status: {
    readonly conditions: readonly {
      readonly type: string;
      readonly status: boolean;
      readonly reason: string;
      readonly message: string;
    }[];
  };
  readonly runtimeHandlers: readonly {
    readonly name: string;
    readonly features: { readonly recursiveReadOnlyMounts: boolean; readonly userNamespaces: boolean } | null;
  }[];
  readonly features: { readonly supplementalGroupsPolicy: boolean } | null;
}

export interface WireImage {
  readonly id: string;
  readonly repoTags: readonly string[];
  readonly repoDigests: readonly string[];
  readonly size: number;
  readonly uid: { readonly value: number } | null;
  readonly username: string;
}

export function sandboxFromWire(wire: WireSandbox): Sandbox {
  const { name, namespace, uid, attempt } = wire.metadata;
  return {
    id: wire.id,
    name,
    namespace,
    uid,
    attempt,
    labels: wire.labels,
    annotations: wire.annotations,
    state: wire.state === "SANDBOX_READY" ? "ready" : "notReady",
    createdAtMs: milliseconds(wire.createdAt),
  };
}

export function sandboxStatusFromWire(wire: WireSandbox): SandboxStatus {
  const all = [wire.network?.ip ?? "", ...(wire.network?.additionalIps ?? []).map((it) => it.ip)];
  return { ...sandboxFromWire(wire), ips: all.filter((ip) => ip !== "") };
}

export function containerFromWire(wire: WireContainer): Container {
  return { ...identityOf(wire), sandboxId: wire.podSandboxId };
}

export function containerStatusFromWire(wire: WireContainerStatus): ContainerStatus {
  return {
    ...identityOf(wire),
    startedAtMs: milliseconds(wire.startedAt),
    finishedAtMs: milliseconds(wire.finishedAt),
    exitCode: wire.exitCode,
    reason: wire.reason,
    message: wire.message,
    logPath: wire.logPath,
    ...(wire.user?.linux ? { user: wire.user.linux } : {}),
  };
}

/** An old runtime names no handlers and no features. */
export function runtimeStatusFromWire({ status, runtimeHandlers, features }: WireStatus): RuntimeStatus {
  const handlers = runtimeHandlers.map(({ name, features: own }) => ({
    name,
    recursiveReadOnlyMounts: own?.recursiveReadOnlyMounts ?? false,
    userNamespaces: own?.userNamespaces ?? false,
  }));
  return {
    conditions: status.conditions.map(({ status: ok, type, reason, message }) => ({ type, ok, reason, message })),
    ...(handlers.length > 0 ? { handlers } : {}),
    ...(features ? { supplementalGroupsPolicy: features.supplementalGroupsPolicy } : {}),
  };
}

export function imageFromWire(wire: WireImage): Image {
  return {
    id: wire.id,
    repoTags: wire.repoTags,
    repoDigests: wire.repoDigests,
    sizeBytes: wire.size,
    username: wire.username,
    ...(wire.uid ? { uid: wire.uid.value } : {}),
  };
}

export function sandboxConfigToWire(config: SandboxConfig): object {
  const { name, uid, namespace, attempt, security } = config;
  return {
    metadata: { name, uid, namespace, attempt },
    hostname: config.hostname,
    logDirectory: config.logDirectory,
    ...(config.dns ? { dnsConfig: config.dns } : {}),
    portMappings: config.portMappings,
    labels: config.labels,
    annotations: config.annotations,
    linux: {
      cgroupParent: config.cgroupParent,
      sysctls: config.sysctls,
      securityContext: {
        namespaceOptions: namespacesToWire(config.namespaces),
        ...userToWire(security),
        supplementalGroups: security.supplementalGroups,
        privileged: security.privileged,
        ...profileToWire("seccomp", security.seccomp),
      },
    },
  };
}

export function containerConfigToWire(config: ContainerConfig): object {
  const { security } = config;
  return {
    metadata: { name: config.name, attempt: config.attempt },
    image: { image: config.imageRef },
    command: config.command,
    args: config.args,
    workingDir: config.workingDir,
    envs: config.env.map(({ name, value }) => ({ key: name, value })),
    mounts: config.mounts.map(mountToWire),
    labels: config.labels,
    annotations: config.annotations,
    logPath: config.logPath,
    stdin: config.stdin,
    stdinOnce: config.stdinOnce,
    tty: config.tty,
    linux: {
      resources: resourcesToWire(config.resources),
      securityContext: {
        capabilities: { addCapabilities: security.addCapabilities, dropCapabilities: security.dropCapabilities },
        privileged: security.privileged,
        namespaceOptions: namespacesToWire(config.namespaces),
        ...userToWire(security),
        readonlyRootfs: security.readOnlyRootFilesystem,
        supplementalGroups: security.supplementalGroups,
        supplementalGroupsPolicy: security.strictGroups ? "Strict" : "Merge",
        noNewPrivs: security.noNewPrivileges,
        maskedPaths: security.maskedPaths,
        readonlyPaths: security.readonlyPaths,
        ...profileToWire("seccomp", security.seccomp),
        ...profileToWire("apparmor", security.appArmor),
      },
    },
  };
}

export function resourcesToWire(resources: ContainerResources): object {
  return {
    cpuPeriod: resources.cpuPeriodUs,
    cpuQuota: resources.cpuQuotaUs,
    cpuShares: resources.cpuShares,
    memoryLimitInBytes: resources.memoryLimitBytes,
    oomScoreAdj: resources.oomScoreAdj,
  };
}

interface WireValue {
  readonly value: number;
}

export interface WireFsUsage {
  readonly fsId: { readonly mountpoint: string } | null;
  readonly usedBytes: WireValue | null;
  readonly inodesUsed: WireValue | null;
}

export interface WireContainerStats {
  readonly attributes: { readonly id: string; readonly labels: Labels };
  readonly cpu: { readonly timestamp: number; readonly usageCoreNanoSeconds: WireValue | null } | null;
  readonly memory: { readonly timestamp: number; readonly workingSetBytes: WireValue | null } | null;
  readonly writableLayer: WireFsUsage | null;
}

/** Nothing for a container that does not run: the runtime has no figures of it. */
export function containerStatsFromWire(wire: WireContainerStats): readonly ContainerStats[] {
  const { attributes, cpu, memory, writableLayer } = wire;
  if (!cpu || !memory) return [];
  return [
    {
      id: attributes.id,
      labels: attributes.labels,
      atMs: milliseconds(cpu.timestamp),
      cpuUsageNs: cpu.usageCoreNanoSeconds?.value ?? 0,
      memoryWorkingSetBytes: memory.workingSetBytes?.value ?? 0,
      diskUsedBytes: writableLayer?.usedBytes?.value ?? 0,
      diskInodes: writableLayer?.inodesUsed?.value ?? 0,
    },
  ];
}

export function imageFsFromWire(wires: readonly WireFsUsage[]): ImageFsInfo {
  const [first] = wires;
  return {
    mountpoint: first?.fsId?.mountpoint ?? "",
    usedBytes: first?.usedBytes?.value ?? 0,
    inodesUsed: first?.inodesUsed?.value ?? 0,
  };
}

function identityOf(wire: Omit<WireContainer, "podSandboxId">): Omit<Container, "sandboxId"> {
  return {
    id: wire.id,
    name: wire.metadata.name,
    attempt: wire.metadata.attempt,
    image: wire.image?.image ?? "",
    imageRef: wire.imageRef,
    state: stateFromWire(wire.state),
    createdAtMs: milliseconds(wire.createdAt),
    labels: wire.labels,
    annotations: wire.annotations,
  };
}

function stateFromWire(state: WireContainerState): ContainerState {
  switch (state) {
    case "CONTAINER_CREATED":
      return "created";
    case "CONTAINER_RUNNING":
      return "running";
    case "CONTAINER_EXITED":
      return "exited";
    case "CONTAINER_UNKNOWN":
      return "unknown";
  }
}

function milliseconds(nanoseconds: number): number {
  // Before its start containerd says year 1 for some times, which is a large negative number.
  return nanoseconds > 0 ? Math.floor(nanoseconds / NS_PER_MS) : 0;
}

function namespacesToWire({ network, pid, ipc, targetId = "" }: NamespaceModes): object {
  return { network, pid, ipc, targetId };
}

function userToWire(user: { readonly runAsUser?: number; readonly runAsGroup?: number }): object {
  return {
    ...(user.runAsUser === undefined ? {} : { runAsUser: { value: user.runAsUser } }),
    ...(user.runAsGroup === undefined ? {} : { runAsGroup: { value: user.runAsGroup } }),
  };
}

function profileToWire(field: "seccomp" | "apparmor", profile: SecurityProfile | undefined): object {
  return profile ? { [field]: { profileType: profile.type, localhostRef: profile.localhostRef ?? "" } } : {};
}

function mountToWire(mount: Mount): object {
  const propagations = {
    None: "PROPAGATION_PRIVATE",
    HostToContainer: "PROPAGATION_HOST_TO_CONTAINER",
    Bidirectional: "PROPAGATION_BIDIRECTIONAL",
  } as const;
  return {
    containerPath: mount.containerPath,
    hostPath: mount.hostPath,
    readonly: mount.readOnly,
    recursiveReadOnly: mount.recursiveReadOnly ?? false,
    propagation: propagations[mount.propagation],
  };
}

/** CRI's calls that open a session on its streaming server. */
export const STREAM_CALLS = { exec: "Exec", attach: "Attach", portForward: "PortForward" } as const;

export function streamRequestToWire(stream: StreamRequest): object {
  switch (stream.kind) {
    case "exec": {
      const { command: cmd, ...streams } = stream.options;
      return { containerId: stream.containerId, cmd, ...streams };
    }
    case "attach":
      return { containerId: stream.containerId, ...stream.options };
    case "portForward":
      return { podSandboxId: stream.sandboxId, port: stream.ports };
  }
}
