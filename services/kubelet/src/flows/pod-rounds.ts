/**
 * One look at a pod and what follows from it: observe, plan (core/pod-machine.ts), tell the status, act.
 *
 * Restarting the kubelet touches no container: all that must be known is in the runtime and in the pod.
 */
import { resources } from "@pilothouse/client";
import { abortReason } from "@pilothouse/clock";
import { isStatus } from "@pilothouse/errors";
import type { Scope } from "@pilothouse/lifecycle";
import { RuntimeError } from "@pilothouse/runtime";
import type { TraceContext } from "@pilothouse/telemetry";
import { ConfigUnavailable } from "../core/environment.ts";
import { BACKOFF_SHOWN_MS, holdOfSandbox, holdOfStart, holdsShown } from "../core/holds.ts";
import { graceOf, isOver, planPod, type Action, type Plan, type PodSituation } from "../core/pod-machine.ts";
import { podTitle, uidOf } from "../core/pod-runtime.ts";
import { podStatus } from "../core/status.ts";
import { isRefreshed } from "../core/volumes.ts";
import type { KubeletPorts } from "./kubelet-ports.ts";
import type { NodeSettings } from "./node-settings.ts";
import { PodActions, StartFailed, type PodContext } from "./pod-actions.ts";
import type { PodObserver } from "./pod-observer.ts";
import { podIpsOf, REFRESH_VOLUMES_MS, type PodRecord } from "./pod-record.ts";
import { StatusPublisher } from "./status.ts";

/** `again`: something was done, look again; `gone`: nothing is left of the pod, not even its object. */
export type Round = "again" | "done" | "gone";

export class PodRounds {
  readonly #ports: KubeletPorts;
  readonly #settings: NodeSettings;
  readonly #scope: Scope;
  readonly #actions: PodActions;
  readonly #status: StatusPublisher;
  readonly #observer: PodObserver;
  readonly #wake: (uid: string, afterMs: number) => void;

  /** `wake` asks for another look at a pod. */
  constructor(
    ports: KubeletPorts,
    settings: NodeSettings,
    scope: Scope,
    observer: PodObserver,
    wake: (uid: string, afterMs: number) => void,
  ) {
    this.#ports = ports;
    this.#settings = settings;
    this.#scope = scope;
    this.#observer = observer;
    this.#wake = wake;
    this.#actions = new PodActions(ports, settings);
    this.#status = new StatusPublisher({ ...ports, scope });
  }

  /** One look and what follows from it. */
  async round(record: PodRecord, trace: TraceContext | undefined): Promise<Round> {
    const { clock } = this.#ports;
    record.runtime = await this.#observer.look(uidOf(record.pod), record.runtime, record.messages);
    const { pod, runtime } = record;
    const situation = this.#situation(record);
    const plan = planPod(situation);
    const running = situation.terminating ? [] : runtime.containers.filter((it) => it.state === "running");
    record.prober.watch(pod, running, podIpsOf(record)[0] ?? this.#settings.nodeIp);
    if (!record.vanished) this.#tellStatus(record, plan, situation, trace);
    if (plan.finished && situation.terminating) return this.#finish(record, trace);
    await this.#refreshVolumes(record, trace);
    let acted = false;
    for (const action of plan.actions) acted = (await this.#act(record, action, trace)) || acted;
    if (plan.wakeAtMs !== undefined) this.#wake(uidOf(pod), Math.max(0, plan.wakeAtMs - clock.now()) + 1);
    return acted ? "again" : "done";
  }

  #situation(record: PodRecord): PodSituation {
    const { pod, runtime, vanished } = record;
    const ending = vanished || pod.metadata.deletionTimestamp !== undefined;
    const nowMs = this.#ports.clock.now();
    return {
      pod,
      runtime,
      holds: holdsShown(record.holds, nowMs),
      nowMs,
      probes: record.prober.verdicts(),
      backoffs: record.backoffs,
      stopping: record.stopping,
      terminating: ending ? { graceSeconds: graceOf(pod) } : undefined,
    };
  }

  #tellStatus(record: PodRecord, plan: Plan, situation: PodSituation, trace: TraceContext | undefined): void {
    const { pod, runtime, messages } = record;
    const over = isOver(pod, runtime) || situation.terminating !== undefined;
    const terminal = plan.finished && over;
    const { probes, nowMs } = situation;
    const { waiting } = plan;
    this.#tellBackOffs(record, waiting);
    const hostIp = this.#settings.nodeIp;
    const status = podStatus({ pod, runtime, probes, waiting, messages, terminal, hostIp, nowMs });
    this.#status.publish(pod, status, trace);
  }

  /** An event when a container begins to wait because it keeps failing. */
  #tellBackOffs(record: PodRecord, waiting: Plan["waiting"]): void {
    const now = [...waiting].filter(([, { reason }]) => reason === "CrashLoopBackOff").map(([name]) => name);
    for (const name of now) {
      if (record.backingOff.has(name)) continue;
      const message = `Back-off restarting failed container ${name} in pod ${podTitle(record.pod)}`;
      this.#ports.events.pod(record.pod, "Warning", "BackOff", message, name);
    }
    record.backingOff = new Set(now);
  }

  /** True when the action was carried out and the pod must be looked at again. */
  async #act(record: PodRecord, action: Action, trace: TraceContext | undefined): Promise<boolean> {
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
      case "stopSandbox":
        await runtime.stopPodSandbox(action.sandboxId);
        return true;
      case "removeSandbox":
        await runtime.removePodSandbox(action.sandboxId);
        this.#observer.gone(action.sandboxId);
        return true;
      case "removeContainer":
        await runtime.removeContainer(action.containerId);
        this.#observer.gone(action.containerId);
        return true;
    }
  }

  async #createSandbox(record: PodRecord, context: PodContext, attempt: number): Promise<boolean> {
    const { pod } = record;
    try {
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

  async #startContainer(
    record: PodRecord,
    context: PodContext,
    action: Extract<Action, { kind: "startContainer" }>,
  ): Promise<boolean> {
    const { signal } = record.starts;
    const { name } = action.container;
    if (signal.aborted) return false;
    try {
      await orAborted(this.#actions.startContainer(context, action), signal);
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
    const { name, image = "" } = container;
    const reason = error instanceof StartFailed ? error.reason : "CreateContainerError";
    const message = error instanceof Error ? error.message : String(error);
    record.holds.set(name, holdOfStart({ reason, message }, image, record.holds.get(name), this.#ports.clock.now()));
    if (reason === "ErrImagePull") this.#wake(uidOf(record.pod), BACKOFF_SHOWN_MS + 1);
    else this.#ports.events.pod(record.pod, "Warning", "Failed", `Error: ${message}`, name);
  }

  /** The end of a container takes its time; the worker goes on meanwhile and hears of it by the runtime's event. */
  #stopContainer(record: PodRecord, context: PodContext, action: Extract<Action, { kind: "stopContainer" }>): void {
    const { containerId, name, graceSeconds, why } = action;
    const { events, log } = this.#ports;
    if (!record.stopping.has(containerId)) events.pod(record.pod, "Normal", "Killing", why, name);
    record.stopping.set(containerId, graceSeconds);
    this.#scope.run(`stop ${containerId}`, async () => {
      try {
        await this.#actions.stopContainer(context, action);
      } catch (error) {
        log.warn("a container could not be stopped; it will be tried again", { container: containerId, error });
      }
      if (record.stopping.get(containerId) === graceSeconds) record.stopping.delete(containerId);
      this.#wake(uidOf(record.pod), 0);
    });
  }

  /** Nothing of the pod runs any more: tell the last status, remove what it had, and let the object go. */
  async #finish(record: PodRecord, trace: TraceContext | undefined): Promise<Round> {
    const { pod, runtime } = record;
    const uid = uidOf(pod);
    const { name = "", namespace = "" } = pod.metadata;
    if (record.deleted && !record.vanished) return "done";
    if (!record.vanished) await this.#status.flushed(uid);
    for (const { id } of runtime.sandboxes) await this.#ports.runtime.removePodSandbox(id);
    await this.#actions.removePod(pod);
    this.#observer.forget(uid);
    if (!record.vanished) {
      record.deleted = true;
      try {
        await this.#ports.client.delete(resources.pods, namespace, name, { gracePeriodSeconds: 0, uid, trace });
      } catch (error) {
        if (!isStatus(error, "NotFound") && !isStatus(error, "Conflict")) {
          record.deleted = false;
          throw error;
        }
      }
      return "done";
    }
    this.#status.forget(uid);
    void record.scope.close();
    return "gone";
  }

  /** ConfigMaps, Secrets and tokens change while the pod runs. */
  async #refreshVolumes(record: PodRecord, trace: TraceContext | undefined): Promise<void> {
    const { pod } = record;
    const nowMs = this.#ports.clock.monotonicMs();
    const alive = record.runtime.containers.some((it) => it.state === "running");
    if (!alive || nowMs < record.volumesRefreshAtMs || !(pod.spec.volumes ?? []).some(isRefreshed)) return;
    record.volumesRefreshAtMs = nowMs + REFRESH_VOLUMES_MS;
    try {
      const inputs = await record.inputs.read(pod, trace);
      await this.#actions.ensureVolumes(this.#context(record, trace), inputs);
    } catch (error) {
      // The pod runs on with what it has.
      this.#ports.log.warn("volumes could not be brought up to date", { pod: podTitle(pod), error });
    }
  }

  #context(record: PodRecord, trace: TraceContext | undefined): PodContext {
    const { pod, inputs } = record;
    const podIps = pod.spec.hostNetwork ? [this.#settings.nodeIp] : podIpsOf(record);
    return { pod, inputs, trace, podIps, made: (id) => this.#observer.made(id, uidOf(pod)) };
  }

  /** A runtime that is down is nobody's failed start: the whole pod is tried again. */
  #throwIfDown(error: unknown): void {
    if (error instanceof RuntimeError && error.code === "Unavailable") throw error;
  }
}

function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(abortReason(signal));
    signal.addEventListener("abort", onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
