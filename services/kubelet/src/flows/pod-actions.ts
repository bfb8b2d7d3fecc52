/** Carries out a pod's plan: one function per kind of action, each a span of the trace that woke the pod's worker. */
import type { Container, EphemeralContainer, Pod, ResourceRequirements, Volume } from "@pilothouse/api/types/core-v1";
import { abortReason, sleep, withDeadline } from "@pilothouse/clock";
import type { Image } from "@pilothouse/runtime";
import { span, type TraceContext } from "@pilothouse/telemetry";
import { podCgroups } from "../core/cgroups.ts";
import {
  containerConfig,
  containerResources,
  logLinkName,
  podLogDirectory,
  sandboxConfig,
  type ContainerInput,
} from "../core/container-config.ts";
import { dnsWarnings, podDns } from "../core/dns.ts";
import { ConfigUnavailable, environmentOf, type Whereabouts } from "../core/environment.ts";
import type { Action } from "../core/pod-machine.ts";
import { containerNamed, instancesOf, podLabels, uidOf, type PodRuntime } from "../core/pod-runtime.ts";
import { memoryObstacle } from "../core/resize.ts";
import { userNamespaceProblem } from "../core/user-namespaces.ts";
import { planVolume } from "../core/volumes.ts";
import { containerMounts } from "./container-mounts.ts";
import { endImageVolumes, mountImageVolumes, type ImageVolumePorts } from "./image-volumes.ts";
import { ensureImage } from "./images.ts";
import { PullSlots } from "./pull-slots.ts";
import { pullSecrets, tellMissingPullSecrets } from "./pull-secrets.ts";
import type { InputReader, PodInputs } from "./pod-inputs.ts";
import { runHook } from "./lifecycle-hooks.ts";
import { runtimeHandlerOf } from "./runtime-class.ts";
import type { KubeletPorts } from "./kubelet-ports.ts";
import type { NodeSettings } from "./node-settings.ts";

type StartContainer = Extract<Action, { kind: "startContainer" }>;
type StopContainer = Extract<Action, { kind: "stopContainer" }>;

/** A start that failed, with what the container's state shall say meanwhile. */
export class StartFailed extends Error {
  override readonly name = "StartFailed";
  readonly reason: string;
  constructor(reason: string, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.reason = reason;
  }
}

export interface PodContext {
  readonly pod: Pod;
  readonly inputs: InputReader;
  readonly podIps: readonly string[];
  readonly runtime: PodRuntime;
  readonly trace: TraceContext | undefined;
  /** Aborted when nothing of the pod is to start any more. */
  readonly signal: AbortSignal;
  /** Runs what the pod's end must wait for. */
  readonly during: <T>(work: Promise<T>) => Promise<T>;
  /** Told of each container and sandbox before it can end, so that the event of its end finds its pod. */
  readonly made: (id: string) => void;
}

export class PodActions {
  readonly #ports: KubeletPorts;
  readonly #settings: NodeSettings;
  readonly #imagePorts: ImageVolumePorts;

  constructor(ports: KubeletPorts, settings: NodeSettings) {
    this.#ports = ports;
    this.#settings = settings;
    this.#imagePorts = { ...ports, pulls: new PullSlots(settings.maxParallelPulls) };
  }

  /** Volumes first, then the sandbox with its network. */
  async createSandbox(context: PodContext, attempt: number): Promise<void> {
    const { pod, trace } = context;
    await this.#span("kubelet.volumes", pod, trace, async (parent) => {
      await this.ensureVolumes(context, await context.inputs.read(pod, parent));
    });
    const { resolver } = await this.#ports.files.hostFiles();
    const dns = podDns(pod, this.#settings.clusterDns, resolver);
    for (const warning of dnsWarnings(pod, this.#settings.clusterDns, resolver))
      this.#ports.events.pod(pod, "Warning", "DNSConfigForming", warning);
    const config = sandboxConfig(pod, attempt, dns, this.#settings.places);
    await this.#ports.files.ensureLogDirectory(config.logDirectory);
    const handler = await runtimeHandlerOf(this.#ports.client, pod, trace);
    if (pod.spec.hostUsers === false)
      throw new Error(userNamespaceProblem(await this.#ports.runtime.status(), handler));
    const run = (): Promise<string> => this.#ports.runtime.runPodSandbox(config, handler);
    context.made(await this.#span("cri.RunPodSandbox", pod, trace, run));
  }

  /** Throws StartFailed. Returns the new container's id. */
  async startContainer(context: PodContext, action: StartContainer): Promise<string> {
    const { pod, trace, signal } = context;
    const { container } = action;
    const inputs = await this.#step("CreateContainerConfigError", () => context.inputs.read(pod, trace));
    tellMissingPullSecrets(this.#ports.events, pod, inputs.sources);
    const logins = pullSecrets(pod, inputs.sources);
    const imageVolumes = await this.#step("ErrImagePull", () =>
      mountImageVolumes(this.#imagePorts, pod, container, logins, trace),
    );
    const wish = { image: container.image ?? "", policy: container.imagePullPolicy, container: container.name };
    const image = await this.#step("ErrImagePull", () => ensureImage(this.#imagePorts, pod, wish, logins, trace));
    // A pull takes its time, and the pod may be gone by now.
    if (signal.aborted) throw abortReason(signal);
    const id = await context.during(this.#make(context, action, inputs, image, imageVolumes));
    await this.#postStart(context, container, id);
    return id;
  }

  async #make(
    context: PodContext,
    action: StartContainer,
    inputs: PodInputs,
    image: Image,
    imageVolumes: ReadonlyMap<string, string>,
  ): Promise<string> {
    const { pod, trace } = context;
    const { runtime, events } = this.#ports;
    const { container, sandboxId, attempt } = action;
    const config = await this.#step("CreateContainerConfigError", async () => {
      const env = environmentOf({ pod, container, ...inputs, whereabouts: this.whereabouts(context.podIps) });
      const volumePaths = new Map([...(await this.ensureVolumes(context, inputs)), ...imageVolumes]);
      const { mounts, terminationMessageFile } = await containerMounts(this.#ports, {
        pod,
        podIps: context.podIps,
        container,
        attempt,
        volumePaths,
        env,
        clusterDomain: this.#settings.clusterDns.domain,
      });
      const { places } = this.#settings;
      const target = targetOf(context, container);
      return containerConfig({
        pod,
        container,
        attempt,
        image,
        env,
        mounts,
        terminationMessageFile,
        places,
        ...target,
      });
    });
    const dns = podDns(pod, this.#settings.clusterDns, (await this.#ports.files.hostFiles()).resolver);
    const sandbox = sandboxConfig(pod, 0, dns, this.#settings.places);
    const id = await this.#step("CreateContainerError", () =>
      this.#span("cri.CreateContainer", pod, trace, () => runtime.createContainer(sandboxId, config, sandbox)),
    );
    context.made(id);
    events.pod(pod, "Normal", "Created", "Container created", container.name);
    await this.#step("RunContainerError", () =>
      this.#span("cri.StartContainer", pod, trace, () => runtime.startContainer(id), { container: container.name }),
    );
    events.pod(pod, "Normal", "Started", "Container started", container.name);
    await this.#linkLog(pod, container.name, id, `${sandbox.logDirectory}/${config.logPath}`);
    return id;
  }

  /** A log that nobody else finds is no reason to end the container. */
  async #linkLog(pod: Pod, name: string, containerId: string, logPath: string): Promise<void> {
    try {
      await this.#ports.files.linkLog(logLinkName(pod, name, containerId), logPath);
    } catch (error) {
      this.#ports.log.warn("a container's log could not be linked", { path: logPath, error });
    }
  }

  /**
   * Runs the preStop hook within the grace, waits until it is the container's turn to end, and asks it to. Resolves when it has.
   * `turn` may come late or never: after the grace nobody waits any longer.
   */
  async stopContainer(context: PodContext, action: StopContainer, turn: Promise<void>): Promise<void> {
    const { containerId, name, graceSeconds, after } = action;
    const { pod, trace, podIps } = context;
    const { clock, runtime } = this.#ports;
    const container = containerNamed(pod, name);
    const hook = container?.lifecycle?.preStop;
    const startMs = clock.monotonicMs();
    // Upstream's minimum: even after a long hook, or a long wait, there is a moment to end in order.
    const left = (): number => Math.max(2, Math.ceil(graceSeconds - (clock.monotonicMs() - startMs) / 1000));
    let leftSeconds = graceSeconds;
    if (container && hook && graceSeconds > 0) {
      const work = hook.sleep
        ? sleep(clock, Math.min(hook.sleep.seconds, graceSeconds) * 1000)
        : runHook(
            this.#ports,
            pod,
            { containerId, container, podIp: podIps[0] ?? "" },
            hook,
            "PreStop",
            graceSeconds * 1000,
          );
      await this.#span("kubelet.preStop", pod, trace, () => work.then(() => {}));
      leftSeconds = left();
    }
    if (after.length > 0 && graceSeconds > 0) {
      const waitMs = Math.max(0, graceSeconds * 1000 - (clock.monotonicMs() - startMs));
      await withDeadline(clock, waitMs, "turn", turn).catch(() => {});
      leftSeconds = left();
    }
    await this.#span("cri.StopContainer", pod, trace, () => runtime.stopContainer(containerId, leftSeconds), {
      container: name,
      grace: leftSeconds,
    });
  }

  /** Changes the limits of a running container. Throws with why it cannot be. */
  async resizeContainer(
    context: PodContext,
    container: Container,
    containerId: string,
    inForce: ResourceRequirements,
  ): Promise<void> {
    const { pod, trace } = context;
    const { runtime } = this.#ports;
    const stats = await runtime.listContainerStats({ labels: podLabels(pod, this.#settings.places.nodeName) });
    const usedBytes = stats.find(({ id }) => id === containerId)?.memoryWorkingSetBytes;
    const obstacle = memoryObstacle(container, inForce, usedBytes);
    if (obstacle !== undefined) throw new Error(obstacle);
    const resources = containerResources(pod, container, this.#settings.places.memoryBytes);
    await this.#span("cri.UpdateContainerResources", pod, trace, () =>
      runtime.updateContainerResources(containerId, resources),
    );
  }

  /** Makes the volumes but those of images, or brings them up to date; their paths by name. Throws ConfigUnavailable. */
  async ensureVolumes({ pod, podIps }: PodContext, { sources }: PodInputs): Promise<ReadonlyMap<string, string>> {
    const { files, events } = this.#ports;
    const where = this.whereabouts(podIps);
    const make = async (volume: Volume): Promise<[string, string]> => {
      try {
        const plan = planVolume(pod, volume, sources, where);
        return [volume.name, await files.ensureVolume(uidOf(pod), plan, pod.spec.securityContext?.fsGroup)];
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        events.pod(pod, "Warning", "FailedMount", `MountVolume.SetUp failed for volume "${volume.name}" : ${why}`);
        throw error;
      }
    };
    return new Map(await Promise.all((pod.spec.volumes ?? []).filter(({ image }) => !image).map(make)));
  }

  whereabouts(podIps: readonly string[]): Whereabouts {
    const { places, nodeIp, allocatable } = this.#settings;
    return { nodeName: places.nodeName, hostIp: nodeIp, podIps, allocatable };
  }

  async removePod(pod: Pod): Promise<void> {
    const { places } = this.#settings;
    const uid = uidOf(pod);
    const folders = await this.#ports.files.volumeNames(uid);
    await this.#ports.files.removePod(uid, podLogDirectory(pod, places.logsDir));
    await endImageVolumes(this.#ports.runtime, pod, folders);
    for (const cgroup of podCgroups(uid, places.cgroupRoot)) await this.#ports.cgroups.remove(cgroup);
  }

  /** A container whose postStart hook fails is ended again. */
  async #postStart({ pod, podIps, trace }: PodContext, container: Container, containerId: string): Promise<void> {
    const hook = container.lifecycle?.postStart;
    if (!hook) return;
    const target = { containerId, container, podIp: podIps[0] ?? "" };
    const ok = await this.#span("kubelet.postStart", pod, trace, () => {
      if (hook.sleep) return sleep(this.#ports.clock, hook.sleep.seconds * 1000).then(() => true);
      return runHook(this.#ports, pod, target, hook, "PostStart", POST_START_MS);
    });
    if (ok) return;
    this.#ports.events.pod(pod, "Normal", "Killing", "FailedPostStartHook", container.name);
    await this.#ports.runtime.stopContainer(containerId, pod.spec.terminationGracePeriodSeconds ?? 0);
    throw new StartFailed("PostStartHookError", "PostStartHookError");
  }

  /** Names the failures of one step by what the container's state shall say. */
  async #step<T>(reason: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const own = (error as { reason?: unknown }).reason;
      throw new StartFailed(typeof own === "string" ? own : reason, error);
    }
  }

  #span<T>(
    name: string,
    pod: Pod,
    parent: TraceContext | undefined,
    work: (context: TraceContext) => Promise<T>,
    more: Readonly<Record<string, string | number>> = {},
  ): Promise<T> {
    const attributes = {
      "k8s.pod.name": pod.metadata.name ?? "",
      "k8s.namespace.name": pod.metadata.namespace ?? "",
      ...more,
    };
    return span(this.#ports.tracer, name, { parent, attributes }, ({ context }) => work(context));
  }
}

const POST_START_MS = 600_000;

/** An ephemeral container may see the processes of another: of the instance that runs now. */
function targetOf({ runtime }: PodContext, container: Container): Pick<ContainerInput, "target"> {
  const name = (container as EphemeralContainer).targetContainerName;
  if (!name) return {};
  const [instance] = instancesOf(runtime, name);
  if (!instance) throw new ConfigUnavailable(`unable to find target container ${name}`);
  if (instance.state !== "running")
    throw new ConfigUnavailable(`target container ${name} of the ephemeral container is not running`);
  return { target: { pid: "TARGET", targetId: instance.id } };
}
