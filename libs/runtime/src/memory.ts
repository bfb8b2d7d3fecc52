/**
 * The memory adapter of the Runtime port: containers with scripted lives on a Clock.
 *
 * An image's script says how its containers live: how long they run, with what code they exit, how long they take to stop.
 * Unit tests and the simulation use it; like containerd it outlives the kubelet that talks to it.
 */
import type { Clock, Ids, Timer } from "@pilothouse/clock";
import {
  matchesLabels,
  RuntimeError,
  type Container,
  type ContainerConfig,
  type ContainerResources,
  type ContainerStats,
  type ContainerStatus,
  type ExecOptions,
  type ExecResult,
  type ExecSession,
  type FsMount,
  type Image,
  type ImageAuth,
  type ImageFsInfo,
  type LabelFilter,
  type Runtime,
  type RuntimeEvent,
  type RuntimeStatus,
  type Sandbox,
  type SandboxConfig,
  type SandboxStatus,
} from "./index.ts";

/** How the containers of an image live. Everything is optional: by default they run until they are stopped. */
export interface ImageScript {
  /** Ends by itself after this time. */
  readonly exitAfterMs?: number;
  readonly exitCode?: number;
  /** Time from TERM to its end; longer than the grace means KILL. */
  readonly stopMs?: number;
  readonly startError?: string;
  /** New limits are refused so. */
  readonly resizeError?: string;
  readonly memoryBytes?: number;
  readonly cpuMilli?: number;
  readonly diskBytes?: number;
  readonly pullMs?: number;
  readonly pullError?: string;
  /** Given only to this user. */
  readonly pullUser?: string;
  /** Answers `execSync` and `exec`; the default echoes the command and exits with 0. */
  exec?(command: readonly string[], containerAgeMs: number): { readonly stdout: string; readonly exitCode: number };
}

export interface MemoryRuntimeOptions {
  readonly clock: Clock;
  readonly ids: Ids;
  /** Life by image name; a missing image cannot be pulled. */
  readonly images: Readonly<Record<string, ImageScript>>;
  /** The nth address of a pod (n from 1). */
  readonly podIp?: (n: number) => string;
}

/** A runtime in memory, with the handles tests need. */
export interface MemoryRuntime extends Runtime {
  /** The container's process ends by itself. */
  crash(containerId: string, exitCode: number): void;
  /** What happened, in order: `run sandbox a`, `start a/c#0`, … */
  readonly journal: readonly string[];
  /** The limits in force. */
  resourcesOf(containerId: string): ContainerResources | undefined;
  /** Drops the events from now on; `true` again says `resync`. */
  deliverEvents(on: boolean): void;
  /** What it says of itself beside its conditions from now on. */
  abilities: Omit<RuntimeStatus, "conditions">;
  /** What a container was made with. */
  configOf(containerId: string): ContainerConfig | undefined;
  /** Every later call fails like this, until undefined. */
  fail(error: Error | undefined): void;
}

interface MemoryContainer {
  readonly sandboxId: string;
  readonly config: ContainerConfig;
  status: ContainerStatus;
  resources: ContainerResources;
  timer: Timer | undefined;
  ended: (() => void)[];
}

interface MemorySandbox {
  readonly config: SandboxConfig;
  status: SandboxStatus;
}

export function memoryRuntime(options: MemoryRuntimeOptions): MemoryRuntime {
  return new InMemory(options);
}

class InMemory implements MemoryRuntime {
  readonly journal: string[] = [];
  abilities: MemoryRuntime["abilities"] = {};
  readonly #options: MemoryRuntimeOptions;
  readonly #sandboxes = new Map<string, MemorySandbox>();
  readonly #containers = new Map<string, MemoryContainer>();
  readonly #pulled = new Set<string>();
  readonly #views = new Set<string>();
  readonly #handlers = new Set<(event: RuntimeEvent) => void>();
  #delivering = true;
  #failure: Error | undefined;
  #addresses = 0;

  constructor(options: MemoryRuntimeOptions) {
    this.#options = options;
  }

  async version(): ReturnType<Runtime["version"]> {
    await this.#call();
    return { name: "memory", version: "1.0.0", apiVersion: "v1" };
  }

  async status(): ReturnType<Runtime["status"]> {
    await this.#call();
    return {
      ...this.abilities,
      conditions: ["RuntimeReady", "NetworkReady"].map((type) => ({ type, ok: true, reason: "", message: "" })),
    };
  }

  async runPodSandbox(config: SandboxConfig, handler = ""): Promise<string> {
    await this.#call();
    for (const { config: other } of this.#sandboxes.values()) {
      if (other.uid === config.uid && other.attempt === config.attempt)
        throw new RuntimeError("AlreadyExists", `sandbox of ${config.namespace}/${config.name} is reserved`);
    }
    const id = this.#options.ids.uuid();
    const address = this.#options.podIp ?? ((n: number): string => `198.18.0.${n + 1}`);
    const { name, namespace, uid, attempt, labels, annotations } = config;
    const ips = config.namespaces.network === "NODE" ? [] : [address(++this.#addresses)];
    const createdAtMs = this.#options.clock.now();
    this.#sandboxes.set(id, {
      config,
      status: { id, name, namespace, uid, attempt, labels, annotations, state: "ready", createdAtMs, ips },
    });
    this.#tell("run sandbox", handler === "" ? config.name : `${config.name} with ${handler}`);
    this.#emit({ kind: "started", containerId: id });
    return id;
  }

  async stopPodSandbox(sandboxId: string): Promise<void> {
    await this.#call();
    const sandbox = this.#sandboxes.get(sandboxId);
    if (!sandbox || sandbox.status.state === "notReady") return;
    for (const [id, container] of this.#containers) if (container.sandboxId === sandboxId) this.#end(id, 137);
    sandbox.status = { ...sandbox.status, state: "notReady", ips: [] };
    this.#tell("stop sandbox", sandbox.config.name);
    this.#emit({ kind: "exited", containerId: sandboxId });
  }

  async removePodSandbox(sandboxId: string): Promise<void> {
    await this.stopPodSandbox(sandboxId);
    for (const [id, container] of this.#containers)
      if (container.sandboxId === sandboxId) await this.removeContainer(id);
    const sandbox = this.#sandboxes.get(sandboxId);
    if (sandbox && this.#sandboxes.delete(sandboxId)) this.#tell("remove sandbox", sandbox.config.name);
  }

  async podSandboxStatus(sandboxId: string): Promise<SandboxStatus | undefined> {
    await this.#call();
    return this.#sandboxes.get(sandboxId)?.status;
  }

  async listPodSandboxes(filter?: LabelFilter): Promise<readonly Sandbox[]> {
    await this.#call();
    return [...this.#sandboxes.values()].map((it) => it.status).filter((it) => matchesLabels(it.labels, filter));
  }

  async createContainer(sandboxId: string, config: ContainerConfig): Promise<string> {
    await this.#call();
    const sandbox = this.#sandboxes.get(sandboxId);
    if (sandbox?.status.state !== "ready") throw new RuntimeError("NotFound", `sandbox "${sandboxId}" is not ready`);
    if (!this.#pulled.has(config.imageRef)) throw new RuntimeError("NotFound", `image "${config.imageRef}": not found`);
    for (const other of this.#containers.values()) {
      const same = other.config.name === config.name && other.config.attempt === config.attempt;
      if (other.sandboxId === sandboxId && same)
        throw new RuntimeError("AlreadyExists", `container "${config.name}" is reserved`);
    }
    const id = this.#options.ids.uuid();
    const { name, attempt, imageRef, labels, annotations } = config;
    const status: ContainerStatus = {
      id,
      name,
      attempt,
      image: imageRef,
      imageRef,
      labels,
      annotations,
      state: "created",
      exitCode: 0,
      createdAtMs: this.#options.clock.now(),
      startedAtMs: 0,
      finishedAtMs: 0,
      reason: "",
      message: "",
      logPath: `${sandbox.config.logDirectory}/${config.logPath}`,
    };
    const { resources } = config;
    this.#containers.set(id, { sandboxId, config, status, resources, timer: undefined, ended: [] });
    return id;
  }

  async startContainer(containerId: string): Promise<void> {
    await this.#call();
    const container = this.#container(containerId);
    if (container.status.state !== "created")
      throw new RuntimeError("Other", `container is in state ${container.status.state}`);
    const script = this.#script(container);
    if (script.startError !== undefined) {
      this.#finish(container, 128, "StartError", script.startError);
      throw new RuntimeError("Other", script.startError);
    }
    container.status = { ...container.status, state: "running", startedAtMs: this.#options.clock.now() };
    if (script.exitAfterMs !== undefined) {
      const exitCode = script.exitCode ?? 0;
      container.timer = this.#options.clock.setTimer(script.exitAfterMs, () => this.#end(containerId, exitCode));
    }
    this.#tell("start", this.#nameOf(container));
    this.#emit({ kind: "started", containerId });
  }

  async stopContainer(containerId: string, timeoutSeconds: number): Promise<void> {
    await this.#call();
    const container = this.#containers.get(containerId);
    if (container?.status.state !== "running") return;
    const stopMs = this.#script(container).stopMs ?? 0;
    const graceMs = timeoutSeconds * 1000;
    const ended = new Promise<void>((resolve) => container.ended.push(resolve));
    this.#tell(`stop(${timeoutSeconds}s)`, this.#nameOf(container));
    const [delayMs, exitCode] = stopMs <= graceMs ? [stopMs, 0] : [graceMs, 137];
    this.#options.clock.setTimer(delayMs, () => this.#end(containerId, exitCode));
    await ended;
  }

  async removeContainer(containerId: string): Promise<void> {
    await this.#call();
    const container = this.#containers.get(containerId);
    if (!container) return;
    this.#end(containerId, 137);
    this.#containers.delete(containerId);
    this.#tell("remove", this.#nameOf(container));
    this.#emit({ kind: "deleted", containerId });
  }

  async listContainers(filter?: LabelFilter): Promise<readonly Container[]> {
    await this.#call();
    return [...this.#containers.values()]
      .filter((it) => matchesLabels(it.config.labels, filter))
      .map(({ sandboxId, status }) => ({ ...status, sandboxId }));
  }

  async containerStatus(containerId: string): Promise<ContainerStatus | undefined> {
    await this.#call();
    return this.#containers.get(containerId)?.status;
  }

  async updateContainerResources(containerId: string, resources: ContainerResources): Promise<void> {
    await this.#call();
    const container = this.#container(containerId);
    if (container.status.state !== "running") throw new RuntimeError("Other", "container is not running");
    const refusal = this.#script(container).resizeError;
    if (refusal !== undefined) throw new RuntimeError("Other", refusal);
    container.resources = resources;
    this.#tell(`resize(cpu ${resources.cpuQuotaUs}, memory ${resources.memoryLimitBytes})`, this.#nameOf(container));
  }

  async listContainerStats(filter?: LabelFilter): Promise<readonly ContainerStats[]> {
    await this.#call();
    const running = [...this.#containers.values()].filter(
      ({ config, status }) => status.state === "running" && matchesLabels(config.labels, filter),
    );
    return running.map((container) => {
      const { memoryBytes = 0, cpuMilli = 0, diskBytes = 0 } = this.#script(container);
      const { id, labels, startedAtMs } = container.status;
      const atMs = this.#options.clock.now();
      const cpuUsageNs = cpuMilli * 1_000 * (atMs - startedAtMs);
      return {
        id,
        labels,
        atMs,
        cpuUsageNs,
        memoryWorkingSetBytes: memoryBytes,
        diskUsedBytes: diskBytes,
        diskInodes: 1,
      };
    });
  }

  async imageFsInfo(): Promise<ImageFsInfo> {
    await this.#call();
    return { mountpoint: "/images", usedBytes: this.#pulled.size, inodesUsed: this.#pulled.size };
  }

  reopenContainerLog(): Promise<void> {
    return this.#call();
  }

  async execSync(containerId: string, command: readonly string[]): Promise<ExecResult> {
    await this.#call();
    const { stdout, exitCode } = this.#exec(containerId, command);
    return { stdout: new TextEncoder().encode(stdout), stderr: new Uint8Array(), exitCode };
  }

  async exec(containerId: string, options: ExecOptions): Promise<ExecSession> {
    await this.#call();
    const { stdout, exitCode } = this.#exec(containerId, options.command);
    return {
      stdout: once(options.stdout ? [new TextEncoder().encode(stdout)] : []),
      stderr: once([]),
      exit: Promise.resolve(exitCode),
      write: () => Promise.resolve(),
      closeStdin: () => Promise.resolve(),
      resize: () => Promise.resolve(),
      close: () => Promise.resolve(),
    };
  }

  async streamUrl(): Promise<string> {
    await this.#call();
    throw new RuntimeError("Unavailable", "no streaming server stands behind this runtime");
  }

  async imageStatus(image: string): Promise<Image | undefined> {
    await this.#call();
    return this.#pulled.has(image) ? imageNamed(image) : undefined;
  }

  async pullImage(image: string, auth?: ImageAuth): Promise<string> {
    await this.#call();
    const script = this.#options.images[image];
    if (script?.pullMs !== undefined) {
      await new Promise<void>((resolve) => this.#options.clock.setTimer(script.pullMs ?? 0, resolve));
    }
    if (!script || script.pullError !== undefined)
      throw new RuntimeError("NotFound", script?.pullError ?? `failed to resolve reference "${image}": not found`);
    if (script.pullUser !== undefined && script.pullUser !== auth?.username)
      throw new RuntimeError("Other", `failed to authorize: ${auth?.username ?? "nobody"} may not have ${image}`);
    this.#pulled.add(image);
    this.#tell("pull", image);
    return image;
  }

  async viewImage(image: string, key: string): Promise<readonly FsMount[]> {
    await this.#call();
    if (!this.#pulled.has(image)) throw new RuntimeError("NotFound", `image "${image}" is not on this machine`);
    if (!this.#views.has(key)) this.#tell("view", image);
    this.#views.add(key);
    return [{ type: "bind", source: `/images/${image}`, options: ["ro", "rbind"] }];
  }

  async endView(key: string): Promise<void> {
    await this.#call();
    if (this.#views.delete(key)) this.journal.push("end view");
  }

  async listImages(): Promise<readonly Image[]> {
    await this.#call();
    return [...this.#pulled].map(imageNamed);
  }

  async removeImage(image: string): Promise<void> {
    await this.#call();
    this.#pulled.delete(image);
  }

  subscribe(handle: (event: RuntimeEvent) => void): () => void {
    this.#handlers.add(handle);
    return () => void this.#handlers.delete(handle);
  }

  async close(): Promise<void> {
    this.#handlers.clear();
    await Promise.resolve();
  }

  crash(containerId: string, exitCode: number): void {
    this.#end(containerId, exitCode);
  }

  configOf(containerId: string): ContainerConfig | undefined {
    return this.#containers.get(containerId)?.config;
  }

  resourcesOf(containerId: string): ContainerResources | undefined {
    return this.#containers.get(containerId)?.resources;
  }

  deliverEvents(on: boolean): void {
    this.#delivering = on;
    if (on) this.#emit({ kind: "resync" });
  }

  fail(error: Error | undefined): void {
    this.#failure = error;
  }

  async #call(): Promise<void> {
    await Promise.resolve();
    if (this.#failure) throw this.#failure;
  }

  #exec(containerId: string, command: readonly string[]): { stdout: string; exitCode: number } {
    const container = this.#container(containerId);
    if (container.status.state !== "running") throw new RuntimeError("Other", "container is not running");
    const ageMs = this.#options.clock.now() - container.status.startedAtMs;
    return this.#script(container).exec?.(command, ageMs) ?? { stdout: command.join(" "), exitCode: 0 };
  }

  #container(containerId: string): MemoryContainer {
    const container = this.#containers.get(containerId);
    if (!container) throw new RuntimeError("NotFound", `container "${containerId}": not found`);
    return container;
  }

  #script(container: MemoryContainer): ImageScript {
    return this.#options.images[container.config.imageRef] ?? {};
  }

  #end(containerId: string, exitCode: number): void {
    const container = this.#containers.get(containerId);
    if (container?.status.state !== "running") return;
    container.timer?.cancel();
    this.#finish(container, exitCode, exitCode === 0 ? "Completed" : "Error", "");
    this.#tell(`exit(${exitCode})`, this.#nameOf(container));
    this.#emit({ kind: "exited", containerId });
  }

  #finish(container: MemoryContainer, exitCode: number, reason: string, message: string): void {
    const finishedAtMs = this.#options.clock.now();
    container.status = { ...container.status, state: "exited", finishedAtMs, exitCode, reason, message };
    for (const resolve of container.ended.splice(0)) resolve();
  }

  #nameOf(container: MemoryContainer): string {
    const pod = this.#sandboxes.get(container.sandboxId)?.config.name ?? "?";
    return `${pod}/${container.config.name}#${container.config.attempt}`;
  }

  #tell(what: string, subject: string): void {
    this.journal.push(`${what} ${subject}`);
  }

  #emit(event: RuntimeEvent): void {
    if (!this.#delivering) return;
    for (const handle of this.#handlers) handle(event);
  }
}

function imageNamed(image: string): Image {
  return { id: image, repoTags: [image], repoDigests: [], sizeBytes: 1, username: "" };
}

async function* once(chunks: readonly Uint8Array[]): AsyncIterable<Uint8Array> {
  for (const chunk of chunks) yield await Promise.resolve(chunk);
}
