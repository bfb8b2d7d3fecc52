/** Tells what became of a pod: its status, and the events that follow from it. */
import type { PodStatus } from "@pilothouse/api/types/core-v1";
import type { Scope } from "@pilothouse/lifecycle";
import type { TraceContext } from "@pilothouse/telemetry";
import type { Rejection } from "../core/admission.ts";
import { deadlineMs, isOver, type Plan, type PodSituation } from "../core/pod-machine.ts";
import { DEADLINE_EXCEEDED, failedStatus, podStatus, withDisruption, withDisruptionOf } from "../core/status.ts";
import { waitingEvents } from "../core/waiting-events.ts";
import type { KubeletPorts } from "./kubelet-ports.ts";
import type { PodRecord } from "./pod-record.ts";
import { resizeStateOf } from "./pod-resizes.ts";
import { StatusPublisher } from "./status.ts";

export class PodTelling {
  readonly #ports: KubeletPorts;
  readonly #hostIp: string;
  readonly #status: StatusPublisher;

  constructor(ports: KubeletPorts, hostIp: string, scope: Scope) {
    this.#ports = ports;
    this.#hostIp = hostIp;
    this.#status = new StatusPublisher({ ...ports, scope });
  }

  /** A pod that the node does not take has failed before it began. */
  tellRejected({ pod }: PodRecord, { reason, message }: Rejection, trace: TraceContext | undefined): void {
    const status = failedStatus(pod, reason, `Pod was rejected: ${message}`, this.#ports.clock.now());
    this.#status.publish(pod, status, trace);
  }

  /** Resolves when all that was said of this pod has been told, or the pod is gone. */
  flushed(uid: string): Promise<void> {
    return this.#status.flushed(uid);
  }

  forget(uid: string): void {
    this.#status.forget(uid);
  }

  tellStatus(record: PodRecord, plan: Plan, situation: PodSituation, trace: TraceContext | undefined): void {
    const { runtime, messages } = record;
    const { pod, inForce } = situation;
    const over = isOver(pod, runtime) || situation.terminating !== undefined;
    const terminal = plan.finished && over;
    const { probes, nowMs } = situation;
    const { waiting } = plan;
    this.#tellBackOffs(record, waiting);
    this.#tellDeadline(record, nowMs);
    const hostIp = this.#hostIp;
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

  #tellDeadline(record: PodRecord, nowMs: number): void {
    const { pod } = record;
    if (record.isDeadlineTold || pod.status?.reason !== undefined || nowMs < deadlineMs(pod)) return;
    record.isDeadlineTold = true;
    this.#ports.events.pod(pod, "Normal", DEADLINE_EXCEEDED.reason, DEADLINE_EXCEEDED.message);
  }

  /** Events when a container begins to wait because it, or its image's pull, keeps failing. */
  #tellBackOffs(record: PodRecord, waiting: Plan["waiting"]): void {
    const { pod } = record;
    const now = new Map<string, string>();
    for (const [name, why] of waiting) {
      now.set(name, why.reason);
      if (record.waitingFor.get(name) === why.reason) continue;
      for (const event of waitingEvents(pod, name, why))
        this.#ports.events.pod(pod, event.type, event.reason, event.message, name);
    }
    record.waitingFor = now;
  }
}
