/**
 * The Runtime port on containerd: CRI v1 over gRPC, containerd's own events and tasks where CRI 1.6 has nothing to offer.
 *
 * Promises: those of the port; a deadline on every call and a watchdog on the event stream.
 * Does not promise: that a call which failed with DeadlineExceeded was not carried out; callers list again.
 */
import type { Clock, Ids } from "@pilothouse/clock";
import {
  ExecTimeout,
  RuntimeError,
  type ContainerConfig,
  type ContainerResources,
  type ContainerStats,
  type ContainerStatus,
  type ExecOptions,
  type ExecResult,
  type ExecSession,
  type Image,
  type FsMount,
  type ImageAuth,
  type ImageFsInfo,
  type LabelFilter,
  type Runtime,
  type RuntimeEvent,
  type SandboxConfig,
  type SandboxStatus,
  type StreamRequest,
} from "@pilothouse/runtime";
import { connect, type Connection } from "./connection.ts";
import { EventFeed } from "./events.ts";
import { startExec } from "./exec.ts";
import { endView, viewImage } from "./image-views.ts";
import {
  containerConfigToWire,
  containerFromWire,
  containerStatsFromWire,
  containerStatusFromWire,
  imageFromWire,
  imageFsFromWire,
  resourcesToWire,
  runtimeStatusFromWire,
  sandboxConfigToWire,
  sandboxFromWire,
  sandboxStatusFromWire,
  STREAM_CALLS,
  streamRequestToWire,
  type WireContainer,
  type WireContainerStats,
  type WireContainerStatus,
  type WireFsUsage,
  type WireImage,
  type WireStatus,
  type WireSandbox,
} from "./wire.ts";

const CALL_MS = 120_000;
const SANDBOX_MS = 240_000;
const PULL_MS = 900_000;
const NAMESPACE = "k8s.io";

export interface CriOptions {
  readonly clock: Clock;
  readonly ids: Ids;
  /** containerd's socket. */
  readonly socketPath: string;
  /** A directory of this process, for the pipes of running commands. */
  readonly pipesDir: string;
}

/** Connects lazily: a containerd that is down fails the calls, not this. */
export function criRuntime(options: CriOptions): Runtime {
  return new CriRuntime(options);
}

class CriRuntime implements Runtime {
  readonly #options: CriOptions;
  readonly #connection: Connection;
  readonly #events: EventFeed;

  constructor(options: CriOptions) {
    this.#options = options;
    this.#connection = connect(options.clock, options.socketPath, NAMESPACE);
    this.#events = new EventFeed(options.clock, this.#connection, NAMESPACE, (id) => this.#isOver(id));
  }

  async version(): ReturnType<Runtime["version"]> {
    type Answer = { runtimeName: string; runtimeVersion: string; runtimeApiVersion: string };
    const answer = await this.#runtime<Answer>("Version", {});
    return { name: answer.runtimeName, version: answer.runtimeVersion, apiVersion: answer.runtimeApiVersion };
  }

  async status(): ReturnType<Runtime["status"]> {
    return runtimeStatusFromWire(await this.#runtime<WireStatus>("Status", {}, 10_000));
  }

  async runPodSandbox(config: SandboxConfig, runtimeHandler = ""): Promise<string> {
    const request = { config: sandboxConfigToWire(config), runtimeHandler };
    return (await this.#runtime<{ podSandboxId: string }>("RunPodSandbox", request, SANDBOX_MS)).podSandboxId;
  }

  async stopPodSandbox(podSandboxId: string): Promise<void> {
    await ignoringMissing(this.#runtime("StopPodSandbox", { podSandboxId }));
  }

  async removePodSandbox(podSandboxId: string): Promise<void> {
    await ignoringMissing(this.#runtime("RemovePodSandbox", { podSandboxId }));
  }

  async podSandboxStatus(podSandboxId: string): Promise<SandboxStatus | undefined> {
    const answer = await ignoringMissing(this.#runtime<{ status: WireSandbox }>("PodSandboxStatus", { podSandboxId }));
    return answer && sandboxStatusFromWire(answer.status);
  }

  async listPodSandboxes(filter?: LabelFilter): ReturnType<Runtime["listPodSandboxes"]> {
    const request = { filter: { labelSelector: filter?.labels ?? {} } };
    return (await this.#runtime<{ items: WireSandbox[] }>("ListPodSandbox", request)).items.map(sandboxFromWire);
  }

  async createContainer(podSandboxId: string, config: ContainerConfig, sandboxConfig: SandboxConfig): Promise<string> {
    const request = {
      podSandboxId,
      config: containerConfigToWire(config),
      sandboxConfig: sandboxConfigToWire(sandboxConfig),
    };
    return (await this.#runtime<{ containerId: string }>("CreateContainer", request)).containerId;
  }

  async startContainer(containerId: string): Promise<void> {
    await this.#runtime("StartContainer", { containerId });
  }

  async stopContainer(containerId: string, timeoutSeconds: number): Promise<void> {
    const request = { containerId, timeout: Math.ceil(timeoutSeconds) };
    await ignoringMissing(this.#runtime("StopContainer", request, CALL_MS + timeoutSeconds * 1000));
  }

  async removeContainer(containerId: string): Promise<void> {
    await ignoringMissing(this.#runtime("RemoveContainer", { containerId }));
  }

  async listContainers(filter?: LabelFilter): ReturnType<Runtime["listContainers"]> {
    const request = { filter: { labelSelector: filter?.labels ?? {} } };
    return (await this.#runtime<{ containers: WireContainer[] }>("ListContainers", request)).containers.map(
      containerFromWire,
    );
  }

  async containerStatus(containerId: string): Promise<ContainerStatus | undefined> {
    const call = this.#runtime<{ status: WireContainerStatus }>("ContainerStatus", { containerId });
    const answer = await ignoringMissing(call);
    return answer && containerStatusFromWire(answer.status);
  }

  async updateContainerResources(containerId: string, resources: ContainerResources): Promise<void> {
    await this.#runtime("UpdateContainerResources", { containerId, linux: resourcesToWire(resources) });
  }

  async listContainerStats(filter?: LabelFilter): Promise<readonly ContainerStats[]> {
    const request = { filter: { labelSelector: filter?.labels ?? {} } };
    const { stats } = await this.#runtime<{ stats: WireContainerStats[] }>("ListContainerStats", request);
    return stats.flatMap(containerStatsFromWire);
  }

  async reopenContainerLog(containerId: string): Promise<void> {
    await this.#runtime("ReopenContainerLog", { containerId });
  }

  async execSync(containerId: string, cmd: readonly string[], timeoutMs: number): Promise<ExecResult> {
    const request = { containerId, cmd, timeout: Math.ceil(timeoutMs / 1000) };
    try {
      return await this.#runtime<ExecResult>("ExecSync", request, timeoutMs + CALL_MS);
    } catch (error) {
      if (error instanceof RuntimeError && error.code === "DeadlineExceeded") throw new ExecTimeout(cmd, timeoutMs);
      throw error;
    }
  }

  exec(containerId: string, options: ExecOptions): Promise<ExecSession> {
    const { clock, ids, pipesDir } = this.#options;
    return startExec({ clock, ids, pipesDir, connection: this.#connection }, containerId, options);
  }

  async streamUrl(stream: StreamRequest): Promise<string> {
    return (await this.#runtime<{ url: string }>(STREAM_CALLS[stream.kind], streamRequestToWire(stream))).url;
  }

  async imageStatus(image: string): Promise<Image | undefined> {
    const answer = await this.#image<{ image: WireImage | null }>("ImageStatus", { image: { image } });
    return answer.image ? imageFromWire(answer.image) : undefined;
  }

  async pullImage(image: string, auth?: ImageAuth): Promise<string> {
    const request = { image: { image }, ...(auth ? { auth } : {}) };
    return (await this.#image<{ imageRef: string }>("PullImage", request, PULL_MS)).imageRef;
  }

  async viewImage(image: string, key: string): Promise<readonly FsMount[]> {
    return await viewImage(this.#connection, image, key);
  }

  async endView(key: string): Promise<void> {
    await ignoringMissing(endView(this.#connection, key));
  }

  async listImages(): Promise<readonly Image[]> {
    return (await this.#image<{ images: WireImage[] }>("ListImages", {})).images.map(imageFromWire);
  }

  async removeImage(image: string): Promise<void> {
    await ignoringMissing(this.#image("RemoveImage", { image: { image } }));
  }

  async imageFsInfo(): Promise<ImageFsInfo> {
    const { imageFilesystems } = await this.#image<{ imageFilesystems: WireFsUsage[] }>("ImageFsInfo", {});
    return imageFsFromWire(imageFilesystems);
  }

  subscribe(handle: (event: RuntimeEvent) => void): () => void {
    return this.#events.subscribe(handle);
  }

  async close(): Promise<void> {
    await this.#events.close();
    this.#connection.close();
  }

  /** One that ends as soon as it starts is "created" before it is said to run: that is no end either. */
  async #isOver(id: string): Promise<boolean> {
    const container = await this.containerStatus(id);
    if (container) return container.state === "exited";
    return (await this.podSandboxStatus(id))?.state !== "ready";
  }

  #runtime<Response>(method: string, request: object, deadlineMs = CALL_MS): Promise<Response> {
    return this.#connection.call<Response>("runtime", method, request, deadlineMs);
  }

  #image<Response>(method: string, request: object, deadlineMs = CALL_MS): Promise<Response> {
    return this.#connection.call<Response>("image", method, request, deadlineMs);
  }
}

async function ignoringMissing<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (error instanceof RuntimeError && error.code === "NotFound") return undefined;
    throw error;
  }
}
