/**
 * One look at a pod and what follows from it: observe, plan (core/pod-machine.ts), tell the status, act.
 *
 * Restarting the kubelet touches no container: all that must be known is in the runtime and in the pod.
 */
import type { Pod, PodStatus } from "@pilothouse/api/types/core-v1";
import { resources } from "@pilothouse/client";
import { abortReason } from "@pilothouse/clock";
import { isStatus } from "@pilothouse/errors";
import type { Scope } from "@pilothouse/lifecycle";
import { RuntimeError } from "@pilothouse/runtime";
import type { TraceContext } from "@pilothouse/telemetry";
import { ConfigUnavailable } from "../core/environment.ts";
import { BACKOFF_SHOWN_MS, holdOfSandbox, holdOfStart, holdsShown } from "../core/holds.ts";
import { isStatic, judgeAdmission } from "../core/admission.ts";
import {
  graceOf,
  isOver,
  planPod,
  resizeStepOf,
  type Action,
  type Plan,
  type PodSituation,
} from "../core/pod-machine.ts";
import { allContainers, instancesOf, podTitle, resourcesMadeWith, uidOf } from "../core/pod-runtime.ts";
import { resizeMessage } from "../core/resize.ts";
import { failedStatus, podStatus, withDisruption, withDisruptionOf } from "../core/status.ts";
import { isRefreshed } from "../core/volumes.ts";
import type { KubeletPorts } from "./kubelet-ports.ts";
import type { NodeSettings } from "./node-settings.ts";
import { PodActions, StartFailed, type PodContext } from "./pod-actions.ts";
import type { PodObserver } from "./pod-observer.ts";
import { grantedPod, podIpsOf, REFRESH_VOLUMES_MS, type PodRecord } from "./pod-record.ts";
import { grantResize, RESIZE_RETRY_MS, resizeStateOf } from "./pod-resizes.ts";
import { StatusPublisher } from "./status.ts";

/** `again`: something was done, look again; `gone`: nothing is left of the pod, not even its object. */
export type Round = "again" | "done" | "gone";

/** A pod's round is not alone on its node. */
export interface Company {
  /** Asks for another look at a pod. */
  wake(uid: string, afterMs: number): void;
  /** All other pods that take up room on the node. */
  othersThan(record: PodRecord): readonly PodRecord[];
}

export class PodRounds {
  readonly #ports: KubeletPorts;
  readonly #settings: NodeSettings;
  readonly #scope: Scope;
  readonly #actions: PodActions;
  readonly #status: StatusPublisher;
  readonly #observer: PodObserver;
  readonly #company: Company;

  constructor(ports: KubeletPorts, settings: NodeSettings, scope: Scope, observer: PodObserver, company: Company) {
    this.#ports = ports;
    this.#settings = settings;
    this.#scope = scope;
    this.#observer = observer;
    this.#company = company;
    this.#actions = new PodActions(ports, settings);
    this.#status = new StatusPublisher({ ...ports, scope });
  }

  /** One look and what follows from it. */
  async round(record: PodRecord, trace: TraceContext | undefined): Promise<Round> {
    const { clock } = this.#ports;
    record.runtime = await this.#observer.look(uidOf(record.pod), record.runtime, record.messages);
    const { pod, runtime } = record;
    this.#giveTurns(record);
    if (!this.#isTaken(record, trace)) return "done";
    grantResize(this.#ports, record, this.#company.othersThan(record));
    const situation = this.#situation(record);
    const plan = planPod(situation);
    const running = runtime.containers.filter((it) => it.state === "running");
    const ending = situation.terminating !== undefined;
    record.prober.watch(pod, running, podIpsOf(record)[0] ?? this.#settings.nodeIp, ending);
    if (!record.vanished && record.admission === "taken") this.#tellStatus(record, plan, situation, trace);
    if (plan.finished && isDeleted(record)) return this.#finish(record, trace);
    await this.#refreshVolumes(record, trace);
    let acted = false;
    for (const action of plan.actions) acted = (await this.#act(record, action, trace)) || acted;
    if (plan.wakeAtMs !== undefined) this.#company.wake(uidOf(pod), Math.max(0, plan.wakeAtMs - clock.now()) + 1);
    return acted ? "again" : "done";
  }

  /** False for a pod that the node does not take: it has failed before it began. A pod that has begun was taken by an earlier life. */
  #isTaken(record: PodRecord, trace: TraceContext | undefined): boolean {
    const { pod, vanished } = record;
    const { clock, events, node } = this.#ports;
    const known = node() ?? (isStatic(pod) ? this.#settings.initialNode : undefined);
    const begun = pod.status?.startTime !== undefined || record.runtime.sandboxes.length > 0;
    if (vanished || begun || pod.metadata.deletionTimestamp !== undefined) record.admission ??= "taken";
    if (record.admission === undefined && known) {
      const others = this.#company.othersThan(record).map(grantedPod);
      const { allowedUnsafeSysctls, pressures } = this.#settings;
      record.admission =
        judgeAdmission({ pod, node: known, others, allowedUnsafeSysctls, pressures: pressures() }) ?? "taken";
      if (record.admission !== "taken") events.pod(pod, "Warning", record.admission.reason, record.admission.message);
    }
    if (record.admission === undefined) this.#company.wake(uidOf(pod), NODE_RETRY_MS);
    if (record.admission === undefined || record.admission === "taken") return record.admission === "taken";
    const { reason, message } = record.admission;
    this.#status.publish(pod, failedStatus(pod, reason, `Pod was rejected: ${message}`, clock.now()), trace);
    return pod.status?.phase === "Failed";
  }

  /** Containers whose end waited for others' ends are told when these have come. */
  #giveTurns({ runtime, turns }: PodRecord): void {
    const running = new Set(runtime.containers.filter((it) => it.state === "running").map(({ name }) => name));
    for (const [id, { after, come }] of turns) {
      if (after.some((name) => running.has(name))) continue;
      turns.delete(id);
      come();
    }
  }

  #situation(record: PodRecord): PodSituation {
    const { runtime } = record;
    const pod = grantedPod(record);
    const ending = isDeleted(record);
    const nowMs = this.#ports.clock.now();
    return {
      pod,
      runtime,
      holds: holdsShown(record.holds, nowMs),
      nowMs,
      probes: record.prober.verdicts(),
      backoffs: record.backoffs,
      inForce: record.inForce,
      resizeHolds: record.resizeHolds,
      stopping: record.stopping,
      terminating: ending ? { graceSeconds: graceOf(pod) } : record.eviction,
    };
  }

  #tellStatus(record: PodRecord, plan: Plan, situation: PodSituation, trace: TraceContext | undefined): void {
    const { runtime, messages } = record;
    const { pod, inForce } = situation;
    const over = isOver(pod, runtime) || situation.terminating !== undefined;
    const terminal = plan.finished && over;
    const { probes, nowMs } = situation;
    const { waiting } = plan;
    this.#tellBackOffs(record, waiting);
    const hostIp = this.#settings.nodeIp;
    const resize = resizeStateOf(record, situation);
    const status = podStatus({
      pod,
      runtime,
      probes,
      waiting,
      messages,
      inForce,
      resize,
      terminal,
      hostIp,
      nowMs,
    });
    const told = record.eviction ? this.#evicted(record, status, terminal) : status;
    this.#status.publish(record.pod, told, trace);
  }

  /** A pod that the node ends has failed once nothing of it runs, whatever its containers say of it. */
  #evicted({ pod, eviction }: PodRecord, status: PodStatus, terminal: boolean): PodStatus {
    const before = pod.status?.phase;
    if (before === "Failed" || before === "Succeeded") return withDisruptionOf(pod, status);
    if (!terminal) return { ...status, phase: before ?? "Pending" };
    const [nowMs, message] = [this.#ports.clock.now(), eviction?.message ?? ""];
    return failedStatus({ ...pod, status: withDisruption(status, message, nowMs) }, "Evicted", message, nowMs);
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
      case "resizeContainer":
        return this.#resizeContainer(record, context, action);
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
    const { name, image = "" } = container;
    const reason = error instanceof StartFailed ? error.reason : "CreateContainerError";
    const message = error instanceof Error ? error.message : String(error);
    record.holds.set(name, holdOfStart({ reason, message }, image, record.holds.get(name), this.#ports.clock.now()));
    if (reason === "ErrImagePull") this.#company.wake(uidOf(record.pod), BACKOFF_SHOWN_MS + 1);
    else this.#ports.events.pod(record.pod, "Warning", "Failed", `Error: ${message}`, name);
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
    this.#scope.run(`stop ${containerId}`, async () => {
      try {
        await this.#actions.stopContainer(context, action, turn.promise);
      } catch (error) {
        log.warn("a container could not be stopped; it will be tried again", { container: containerId, error });
      }
      if (record.stopping.get(containerId) === graceSeconds) record.stopping.delete(containerId);
      this.#company.wake(uidOf(record.pod), 0);
    });
  }

  /** Nothing of the pod runs any more: tell the last status, remove what it had, and let the object go. */
  async #finish(record: PodRecord, trace: TraceContext | undefined): Promise<Round> {
    const { pod, runtime } = record;
    const uid = uidOf(pod);
    const { name = "", namespace = "" } = pod.metadata;
    if (record.deleted && !record.vanished) return "done";
    if (!record.vanished) await this.#status.flushed(uid);
    // What was begun before the end was heard of must not leave anything after it.
    await Promise.allSettled(record.making);
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
    const { inputs, runtime } = record;
    const pod = grantedPod(record);
    const podIps = pod.spec.hostNetwork ? [this.#settings.nodeIp] : podIpsOf(record);
    const { signal } = record.starts;
    const during = async <T>(work: Promise<T>): Promise<T> => {
      record.making.add(work);
      return await work.finally(() => record.making.delete(work));
    };
    return { pod, inputs, runtime, trace, podIps, signal, during, made: (id) => this.#observer.made(id, uidOf(pod)) };
  }

  /** A runtime that is down is nobody's failed start: the whole pod is tried again. */
  #throwIfDown(error: unknown): void {
    if (error instanceof RuntimeError && error.code === "Unavailable") throw error;
  }
}

function isDeleted({ pod, vanished }: PodRecord): boolean {
  return vanished || pod.metadata.deletionTimestamp !== undefined;
}

/** How soon it is asked again whether the Node object is known. */
const NODE_RETRY_MS = 500;

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
