/**
 * The container runtime port, in CRI's vocabulary.
 *
 * Purpose: sandboxes (pods' namespaces and network), containers, images, commands in containers, and news of what happens to
 * them. The kubelet knows containers through this port only.
 * Promises: stop and remove are idempotent and succeed for what does not exist; names are reserved, so a second container with
 * the same sandbox, name and attempt is refused; an event is told when the status says the same, not before; every call ends within a deadline of the adapter's; state outlives the
 * caller: a kubelet that restarts finds everything by labels.
 * Does not promise: that each event arrives. After a gap the handler hears `resync` and must list again.
 * Limits: `execSync` keeps at most 16 MiB of each output.
 */
export interface Runtime {
  version(): Promise<RuntimeVersion>;
  status(): Promise<RuntimeStatus>;

  /** Creates and starts a sandbox with its network; returns its id. `handler` names one of the runtime's own ("" = its default). */
  runPodSandbox(config: SandboxConfig, handler?: string): Promise<string>;
  /** Ends all processes in the sandbox and gives its addresses back. */
  stopPodSandbox(sandboxId: string): Promise<void>;
  /** Removes the sandbox and its containers. */
  removePodSandbox(sandboxId: string): Promise<void>;
  /** Undefined when there is no such sandbox. */
  podSandboxStatus(sandboxId: string): Promise<SandboxStatus | undefined>;
  listPodSandboxes(filter?: LabelFilter): Promise<readonly Sandbox[]>;

  createContainer(sandboxId: string, config: ContainerConfig, sandboxConfig: SandboxConfig): Promise<string>;
  startContainer(containerId: string): Promise<void>;
  /** TERM (or the image's stop signal), then KILL after the timeout; resolves when the container has ended. */
  stopContainer(containerId: string, timeoutSeconds: number): Promise<void>;
  removeContainer(containerId: string): Promise<void>;
  listContainers(filter?: LabelFilter): Promise<readonly Container[]>;
  /** Undefined when there is no such container. */
  containerStatus(containerId: string): Promise<ContainerStatus | undefined>;
  /** Changes the limits of a container that runs. What is 0 stays as it is; `oomScoreAdj` cannot change. */
  updateContainerResources(containerId: string, resources: ContainerResources): Promise<void>;
  /** What containers use; those that do not run are left out. */
  listContainerStats(filter?: LabelFilter): Promise<readonly ContainerStats[]>;
  /** Asks the runtime to open the container's log file anew, after it was moved away. */
  reopenContainerLog(containerId: string): Promise<void>;

  /** Runs a command to its end. After `timeoutMs` the command is killed and ExecTimeout is thrown. */
  execSync(containerId: string, command: readonly string[], timeoutMs: number): Promise<ExecResult>;
  /** Starts a command whose streams stay open. */
  exec(containerId: string, options: ExecOptions): Promise<ExecSession>;

  /**
   * Where the runtime's own streaming server waits for this one session, which a client begins with an upgrade to SPDY/3.1 or
   * to the WebSocket protocol v4.channel.k8s.io. `http://host:port/path`, good once and for a minute.
   */
  streamUrl(stream: StreamRequest): Promise<string>;

  /** Undefined when the image is not on this machine. */
  imageStatus(image: string): Promise<Image | undefined>;
  /** Returns the reference that containers are created from. */
  pullImage(image: string, auth?: ImageAuth): Promise<string>;
  /**
   * Makes the files of an image that is here ready to be mounted, read-only, under a key of the caller's; says what to mount. May be
   * repeated, and outlives a restart. The files stay until the view is ended, whatever becomes of the image.
   */
  viewImage(image: string, key: string): Promise<readonly FsMount[]>;
  endView(key: string): Promise<void>;
  listImages(): Promise<readonly Image[]>;
  removeImage(image: string): Promise<void>;
  /** What images and the writable layers of containers take on disk. */
  imageFsInfo(): Promise<ImageFsInfo>;

  /** Hears of containers and sandboxes as they start and end, pushed by the runtime. Returns what ends it. */
  subscribe(handle: (event: RuntimeEvent) => void): () => void;
  close(): Promise<void>;
}

export interface RuntimeVersion {
  readonly name: string;
  readonly version: string;
  readonly apiVersion: string;
}

export interface RuntimeStatus {
  readonly conditions: readonly RuntimeCondition[];
  /** Absent: the runtime is too old to say. */
  readonly handlers?: readonly RuntimeHandler[];
  /** Absent: the runtime is too old to say, and knows only how groups of image and pod are merged. */
  readonly supplementalGroupsPolicy?: boolean;
}

/** One way of running pods, which a RuntimeClass names; "" is the default. */
export interface RuntimeHandler {
  readonly name: string;
  readonly recursiveReadOnlyMounts: boolean;
  readonly userNamespaces: boolean;
}

/** `RuntimeReady` and `NetworkReady` are always there. */
export interface RuntimeCondition {
  readonly type: string;
  readonly ok: boolean;
  readonly reason: string;
  readonly message: string;
}

export type Labels = Readonly<Record<string, string>>;

/** All of these labels must match. */
export interface LabelFilter {
  readonly labels: Labels;
}

export interface SandboxConfig {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly attempt: number;
  /** Empty with the host's network. */
  readonly hostname: string;
  readonly logDirectory: string;
  readonly dns?: {
    readonly servers: readonly string[];
    readonly searches: readonly string[];
    readonly options: readonly string[];
  };
  readonly portMappings: readonly PortMapping[];
  readonly labels: Labels;
  readonly annotations: Labels;
  readonly cgroupParent: string;
  readonly sysctls: Labels;
  readonly namespaces: NamespaceModes;
  readonly security: SandboxSecurity;
}

export interface SandboxSecurity {
  readonly runAsUser?: number;
  readonly runAsGroup?: number;
  readonly supplementalGroups: readonly number[];
  readonly privileged: boolean;
  readonly seccomp?: SecurityProfile;
}

export type NamespaceMode = "POD" | "CONTAINER" | "NODE" | "TARGET";

export interface NamespaceModes {
  readonly network: NamespaceMode;
  readonly pid: NamespaceMode;
  readonly ipc: NamespaceMode;
  /** The container whose processes are seen; with mode TARGET only. */
  readonly targetId?: string;
}

export interface SecurityProfile {
  readonly type: "RuntimeDefault" | "Unconfined" | "Localhost";
  readonly localhostRef?: string;
}

export interface PortMapping {
  readonly protocol: "TCP" | "UDP" | "SCTP";
  readonly containerPort: number;
  readonly hostPort: number;
  readonly hostIp: string;
}

export interface Sandbox {
  readonly id: string;
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly attempt: number;
  readonly state: "ready" | "notReady";
  readonly createdAtMs: number;
  readonly labels: Labels;
  readonly annotations: Labels;
}

export interface SandboxStatus extends Sandbox {
  /** Empty with the host's network, and after the sandbox was stopped. */
  readonly ips: readonly string[];
}

export interface ContainerConfig {
  readonly name: string;
  readonly attempt: number;
  /** What `imageStatus` or `pullImage` answered. */
  readonly imageRef: string;
  /** Replaces the image's entrypoint when not empty. */
  readonly command: readonly string[];
  readonly args: readonly string[];
  readonly workingDir: string;
  readonly env: readonly { readonly name: string; readonly value: string }[];
  readonly mounts: readonly Mount[];
  readonly labels: Labels;
  readonly annotations: Labels;
  /** Relative to the sandbox's log directory. */
  readonly logPath: string;
  readonly stdin: boolean;
  readonly stdinOnce: boolean;
  readonly tty: boolean;
  readonly resources: ContainerResources;
  readonly namespaces: NamespaceModes;
  readonly security: ContainerSecurity;
}

export interface Mount {
  readonly containerPath: string;
  readonly hostPath: string;
  readonly readOnly: boolean;
  /** What is mounted within it cannot be written to either; only if the handler can. */
  readonly recursiveReadOnly?: boolean;
  readonly propagation: "None" | "HostToContainer" | "Bidirectional";
}

/** Limits of the container's cgroup, v1 or v2 as the machine has it; 0 = not limited. */
export interface ContainerResources {
  readonly cpuPeriodUs: number;
  readonly cpuQuotaUs: number;
  readonly cpuShares: number;
  readonly memoryLimitBytes: number;
  readonly oomScoreAdj: number;
}

export interface ContainerStats {
  readonly id: string;
  readonly labels: Labels;
  readonly atMs: number;
  /** Since its start. */
  readonly cpuUsageNs: number;
  /** What cannot be taken back without hurting it. */
  readonly memoryWorkingSetBytes: number;
  /** Of its writable layer. */
  readonly diskUsedBytes: number;
  readonly diskInodes: number;
}

export interface ImageFsInfo {
  readonly mountpoint: string;
  readonly usedBytes: number;
  readonly inodesUsed: number;
}

export interface ContainerSecurity {
  readonly privileged: boolean;
  readonly runAsUser?: number;
  readonly runAsGroup?: number;
  readonly supplementalGroups: readonly number[];
  /** Groups that the image gives the user do not count; only if the runtime can. */
  readonly strictGroups?: boolean;
  readonly readOnlyRootFilesystem: boolean;
  readonly noNewPrivileges: boolean;
  readonly addCapabilities: readonly string[];
  readonly dropCapabilities: readonly string[];
  readonly maskedPaths: readonly string[];
  readonly readonlyPaths: readonly string[];
  readonly seccomp?: SecurityProfile;
  /** Absent: the runtime's own, where the machine has AppArmor at all. */
  readonly appArmor?: SecurityProfile;
}

export type ContainerState = "created" | "running" | "exited" | "unknown";

export interface Container {
  readonly id: string;
  readonly sandboxId: string;
  readonly name: string;
  readonly attempt: number;
  readonly image: string;
  readonly imageRef: string;
  readonly state: ContainerState;
  readonly createdAtMs: number;
  readonly labels: Labels;
  readonly annotations: Labels;
}

export interface ContainerStatus extends Omit<Container, "sandboxId"> {
  /** 0 = not yet. */
  readonly startedAtMs: number;
  /** 0 = not yet. */
  readonly finishedAtMs: number;
  readonly exitCode: number;
  /** `Completed`, `Error`, `OOMKilled`, … */
  readonly reason: string;
  readonly message: string;
  /** The whole path. */
  readonly logPath: string;
  /** Whom its first process was started as; absent: the runtime does not say. */
  readonly user?: { readonly uid: number; readonly gid: number; readonly supplementalGroups: readonly number[] };
}

export interface Image {
  readonly id: string;
  readonly repoTags: readonly string[];
  readonly repoDigests: readonly string[];
  readonly sizeBytes: number;
  /** The user the image asks for, when it is a number. */
  readonly uid?: number;
  /** The user the image asks for, when it is a name. */
  readonly username: string;
}

/** For the registry of the image that it is given with: a runtime asked to compare addresses compares them to the letter. */
export interface ImageAuth {
  readonly username: string;
  readonly password: string;
}

/** As mount(8) takes it. */
export interface FsMount {
  /** `overlay`, `bind` */
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

export interface ExecResult {
  readonly stdout: Uint8Array;
  readonly stderr: Uint8Array;
  readonly exitCode: number;
}

/** Which of a process's streams a client wants; at least one. */
export interface StreamOptions {
  /** As the container has it, for an attach. */
  readonly tty: boolean;
  readonly stdin: boolean;
  readonly stdout: boolean;
  /** Never with a tty. */
  readonly stderr: boolean;
}

export interface ExecOptions extends StreamOptions {
  readonly command: readonly string[];
}

export type StreamRequest =
  | { readonly kind: "exec"; readonly containerId: string; readonly options: ExecOptions }
  | { readonly kind: "attach"; readonly containerId: string; readonly options: StreamOptions }
  | { readonly kind: "portForward"; readonly sandboxId: string; readonly ports: readonly number[] };

/** A running command. `exit` resolves once the command has ended and its output has been handed over. */
export interface ExecSession {
  readonly stdout: AsyncIterable<Uint8Array>;
  readonly stderr: AsyncIterable<Uint8Array>;
  readonly exit: Promise<number>;
  write(bytes: Uint8Array): Promise<void>;
  /** Half-close: the command reads end of file, its output stays open. */
  closeStdin(): Promise<void>;
  resize(size: { readonly width: number; readonly height: number }): Promise<void>;
  /** Kills the command if it still runs and gives everything back. */
  close(): Promise<void>;
}

export type RuntimeEvent =
  | { readonly kind: "started" | "exited" | "oom" | "deleted"; readonly containerId: string }
  /** Events may have been missed: list again. */
  | { readonly kind: "resync" };

/** The command ran longer than it was allowed to. */
export class ExecTimeout extends Error {
  override readonly name = "ExecTimeout";
  constructor(command: readonly string[], timeoutMs: number) {
    super(`command timed out: ${JSON.stringify(command.join(" "))} timed out after ${timeoutMs / 1000}s`);
  }
}

export type RuntimeErrorCode =
  | "NotFound"
  | "AlreadyExists"
  | "InvalidArgument"
  | "Unavailable"
  | "DeadlineExceeded"
  | "Other";

/** The runtime refused or failed; `message` is its own text. */
export class RuntimeError extends Error {
  override readonly name = "RuntimeError";
  readonly code: RuntimeErrorCode;
  constructor(code: RuntimeErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** True for sandboxes, containers and images that carry all the labels of the filter. */
export function matchesLabels(labels: Labels, filter: LabelFilter | undefined): boolean {
  return Object.entries(filter?.labels ?? {}).every(([key, value]) => labels[key] === value);
}
