/** Carries out the actions of a pod's plan, and remembers in its record what came of each. */
import type { Pod } from "@pilothouse/api/types/core-v1";
import { abortReason } from "@pilothouse/clock";
import type { Scope } from "@pilothouse/lifecycle";
import { RuntimeError } from "@pilothouse/runtime";
import type { TraceContext } from "@pilothouse/telemetry";
import { logLinkName } from "../core/container-config.ts";
import { ConfigUnavailable } from "../core/environment.ts";
import { BACKOFF_SHOWN_MS, holdOfSandbox, holdOfStart } from "../core/holds.ts";
import { resizeStepOf, type Action } from "../core/pod-machine.ts";
import { allContainers, instancesOf, resourcesMadeWith, uidOf } from "../core/pod-runtime.ts";
import { isPullFailure } from "../core/pull-failure.ts";
import { resizeMessage } from "../core/resize.ts";
import { ImageUnavailable } from "./images.ts";
import type { KubeletPorts } from "./kubelet-ports.ts";
import type { NodeSettings } from "./node-settings.ts";
import { PodActions, StartFailed, type PodContext } from "./pod-actions.ts";
import type { PodCgroups } from "./pod-cgroups.ts";
import type { PodObserver } from "./pod-observer.ts";
import { grantedPod, podIpsOf, type PodRecord } from "./pod-record.ts";
import { RESIZE_RETRY_MS } from "./pod-resizes.ts";

export interface ActsOptions {
  readonly scope: Scope;
  readonly observer: PodObserver;
  readonly cgroups: PodCgroups;
  /** Asks for another look at a pod. */
  readonly wake: (uid: string, afterMs: number) => void;
}

export class PodActs {
  readonly #ports: KubeletPorts;
  readonly #settings: NodeSettings;
  readonly #options: ActsOptions;
  readonly #actions: PodActions;

  constructor(ports: KubeletPorts, settings: NodeSettings, options: ActsOptions) {
    this.#ports = ports;
    this.#settings = settings;
    this.#options = options;
    this.#actions = new PodActions(ports, settings);
  }

  /** True when the action was carried out and the pod must be looked at again. */
  async act(record: PodRecord, action: Action, trace: TraceContext | undefined): Promise<boolean> {
    const { runtime } = this.#ports;
    const context = this.#context(record, trace);
    switch (action.kind) {
      case "createSandbox":
        return this.#createSandbox(record, context, action.attempt);
      case "startContainer":
        return this.#startContainer(record, context, action);
      case "stopContainer":
        this.#stopContainer(record, context, action);
        return false;
      case "resizeContainer":
        return this.#resizeContainer(record, context, action);
      case "stopSandbox":
        await runtime.stopPodSandbox(action.sandboxId);
        return true;
      case "removeSandbox":
        await runtime.removePodSandbox(action.sandboxId);
        this.#options.observer.gone(action.sandboxId);
        return true;
      case "removeContainer":
        await runtime.removeContainer(action.containerId);
        await this.#unlinkLog(record, action.containerId);
        this.#options.observer.gone(action.containerId);
        return true;
    }
  }

  async #createSandbox(record: PodRecord, context: PodContext, attempt: number): Promise<boolean> {
    const { pod } = record;
    if (attempt > 0) this.#ports.events.pod(pod, "Normal", "SandboxChanged", SANDBOX_CHANGED);
    try {
      await this.#ensureCgroup(record);
      this.#ports.watched().follow(pod);
      await this.#actions.createSandbox(context, attempt);
      record.holds.delete("");
      return true;
    } catch (error) {
      this.#throwIfDown(error);
      const message = `Failed to create pod sandbox: ${error instanceof Error ? error.message : String(error)}`;
      if (!(error instanceof ConfigUnavailable)) {
        this.#ports.events.pod(pod, "Warning", "FailedCreatePodSandBox", message);
      }
      record.holds.set("", holdOfSandbox(this.#ports.clock.now()));
      return true;
    }
  }

  /** Nothing of a pod runs without its limits. */
  async #ensureCgroup(record: PodRecord): Promise<void> {
    try {
      record.cgroupLimits = undefined;
      await this.#options.cgroups.ensure(record);
    } catch (error) {
      const message = `unable to ensure pod container exists: ${error instanceof Error ? error.message : String(error)}`;
      this.#ports.events.pod(record.pod, "Warning", "FailedToCreatePodContainer", message);
      throw new Error(message, { cause: error });
    }
  }

  async #startContainer(
    record: PodRecord,
    context: PodContext,
    action: Extract<Action, { kind: "startContainer" }>,
  ): Promise<boolean> {
    const { signal } = record.starts;
    const { name } = action.container;
    if (signal.aborted) return false;
    try {
      const id = await orAborted(this.#actions.startContainer(context, action), signal);
      record.inForce.set(id, action.container.resources ?? {});
      record.holds.delete(name);
      if (action.backoff) record.backoffs.set(name, action.backoff);
      return true;
    } catch (error) {
      if (signal.aborted) return true;
      this.#throwIfDown(error instanceof StartFailed ? error.cause : error);
      this.#hold(record, action, error);
      return true;
    }
  }

  #hold(record: PodRecord, { container }: Extract<Action, { kind: "startContainer" }>, error: unknown): void {
    const { name } = container;
    const cause = error instanceof StartFailed ? error.cause : undefined;
    const image = cause instanceof ImageUnavailable ? cause.image : (container.image ?? "");
    const reason = error instanceof StartFailed ? error.reason : "CreateContainerError";
    const message = error instanceof Error ? error.message : String(error);
    record.holds.set(name, holdOfStart({ reason, message }, image, record.holds.get(name), this.#ports.clock.now()));
    if (isPullFailure(reason)) this.#options.wake(uidOf(record.pod), BACKOFF_SHOWN_MS + 1);
    else if (TOLD_HERE.has(reason)) this.#ports.events.pod(record.pod, "Warning", "Failed", `Error: ${message}`, name);
  }

  async #resizeContainer(
    record: PodRecord,
    context: PodContext,
    { container, containerId }: Extract<Action, { kind: "resizeContainer" }>,
  ): Promise<boolean> {
    const { clock, events } = this.#ports;
    const last = record.runtime.containers.find(({ id }) => id === containerId);
    const inForce = record.inForce.get(containerId) ?? (last && resourcesMadeWith(last)) ?? {};
    try {
      await this.#actions.resizeContainer(context, container, containerId, inForce);
      record.inForce.set(containerId, container.resources ?? {});
      record.resizeHolds.delete(containerId);
      const pod = grantedPod(record);
      if (Object.is(pod, record.pod) && isInForce(record, pod))
        events.pod(record.pod, "Normal", "ResizeCompleted", resizeMessage("Pod resize completed", pod));
    } catch (error) {
      this.#throwIfDown(error);
      const message = error instanceof Error ? error.message : String(error);
      if (record.resizeHolds.get(containerId)?.message !== message)
        events.pod(record.pod, "Warning", "ResizeError", resizeMessage("Pod resize error", record.pod, message));
      record.resizeHolds.set(containerId, { untilMs: clock.now() + RESIZE_RETRY_MS, reason: "Error", message });
    }
    return true;
  }

  /** The end of a container takes its time; the worker goes on meanwhile and hears of it by the runtime's event. */
  #stopContainer(record: PodRecord, context: PodContext, action: Extract<Action, { kind: "stopContainer" }>): void {
    const { containerId, name, graceSeconds, why } = action;
    const { events, log } = this.#ports;
    if (!record.stopping.has(containerId)) events.pod(record.pod, "Normal", "Killing", why, name);
    record.stopping.set(containerId, graceSeconds);
    const turn = Promise.withResolvers<void>();
    if (action.after.length > 0) record.turns.set(containerId, { after: action.after, come: turn.resolve });
    this.#options.scope.run(`stop ${containerId}`, async () => {
      try {
        await this.#actions.stopContainer(context, action, turn.promise);
      } catch (error) {
        log.warn("a container could not be stopped; it will be tried again", { container: containerId, error });
      }
      if (record.stopping.get(containerId) === graceSeconds) record.stopping.delete(containerId);
      this.#options.wake(uidOf(record.pod), 0);
    });
  }

  async #unlinkLog({ pod, runtime }: PodRecord, containerId: string): Promise<void> {
    const container = runtime.containers.find(({ id }) => id === containerId);
    if (container) await this.#ports.files.unlinkLog(logLinkName(pod, container.name, containerId));
  }

  /** Brings the files of volumes up to date. Throws when something that they are made of is missing. */
  async renewVolumes(record: PodRecord, trace: TraceContext | undefined): Promise<void> {
    const inputs = await record.inputs.read(record.pod, trace);
    await this.#actions.ensureVolumes(this.#context(record, trace), inputs);
  }

  /** Removes all that the pod had besides its containers. */
  removePod(pod: Pod): Promise<void> {
    return this.#actions.removePod(pod);
  }

  #context(record: PodRecord, trace: TraceContext | undefined): PodContext {
    const { inputs, runtime } = record;
    const pod = grantedPod(record);
    const podIps = pod.spec.hostNetwork ? [this.#settings.nodeIp] : podIpsOf(record);
    const { signal } = record.starts;
    const during = async <T>(work: Promise<T>): Promise<T> => {
      record.making.add(work);
      return await work.finally(() => record.making.delete(work));
    };
    return {
      pod,
      inputs,
      runtime,
      trace,
      podIps,
      signal,
      during,
      made: (id) => this.#options.observer.made(id, uidOf(pod)),
    };
  }

  /** A runtime that is down is nobody's failed start: the whole pod is tried again. */
  #throwIfDown(error: unknown): void {
    if (error instanceof RuntimeError && error.code === "Unavailable") throw error;
  }
}

const SANDBOX_CHANGED = "Pod sandbox changed, it will be killed and re-created.";

/** Failed starts of which nothing was told where they failed. */
const TOLD_HERE: ReadonlySet<string> = new Set([
  "CreateContainerConfigError",
  "CreateContainerError",
  "RunContainerError",
]);

function isInForce({ inForce, runtime }: PodRecord, pod: Pod): boolean {
  const situation = { inForce, stopping: new Map<string, number>() };
  return allContainers(pod).every((container) => {
    const [last] = instancesOf(runtime, container.name);
    return last?.state !== "running" || resizeStepOf(situation, container, last) === "none";
  });
}

function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(abortReason(signal));
    signal.addEventListener("abort", onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
