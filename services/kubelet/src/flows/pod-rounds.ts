/**
 * One look at a pod and what follows from it: observe, plan (core/pod-machine.ts), tell the status, act.
 *
 * Restarting the kubelet touches no container: all that must be known is in the runtime and in the pod.
 */
import type { Pod } from "@pilothouse/api/types/core-v1";
import { resources } from "@pilothouse/client";
import { isStatus } from "@pilothouse/errors";
import type { Scope } from "@pilothouse/lifecycle";
import type { TraceContext } from "@pilothouse/telemetry";
import { isStatic, judgeAdmission } from "../core/admission.ts";
import { holdsShown } from "../core/holds.ts";
import { graceOf, planPod, type PodSituation } from "../core/pod-machine.ts";
import { podTitle, uidOf } from "../core/pod-runtime.ts";
import { isRefreshed } from "../core/volumes.ts";
import type { KubeletPorts } from "./kubelet-ports.ts";
import type { NodeSettings } from "./node-settings.ts";
import { PodActs } from "./pod-acts.ts";
import { PodCgroups } from "./pod-cgroups.ts";
import type { PodObserver } from "./pod-observer.ts";
import { grantedPod, podIpsOf, REFRESH_VOLUMES_MS, type PodRecord } from "./pod-record.ts";
import { grantResize } from "./pod-resizes.ts";
import { PodTelling } from "./pod-telling.ts";

/** `again`: something was done, look again; `gone`: nothing is left of the pod, not even its object. */
export type Round = "again" | "done" | "gone";

/** A pod's round is not alone on its node. */
export interface Company {
  /** Asks for another look at a pod. */
  wake(uid: string, afterMs: number): void;
  /** All other pods that take up room on the node. */
  othersThan(record: PodRecord): readonly PodRecord[];
  /** All pods that take up room on the node, with what they were granted. */
  alive(): readonly Pod[];
}

export class PodRounds {
  readonly #ports: KubeletPorts;
  readonly #settings: NodeSettings;
  readonly #acts: PodActs;
  readonly #telling: PodTelling;
  readonly #cgroups: PodCgroups;
  readonly #observer: PodObserver;
  readonly #company: Company;

  constructor(ports: KubeletPorts, settings: NodeSettings, scope: Scope, observer: PodObserver, company: Company) {
    this.#ports = ports;
    this.#settings = settings;
    this.#observer = observer;
    this.#company = company;
    this.#cgroups = new PodCgroups(ports, settings, () => company.alive());
    const wake = (uid: string, afterMs: number): void => company.wake(uid, afterMs);
    this.#acts = new PodActs(ports, settings, { scope, observer, cgroups: this.#cgroups, wake });
    this.#telling = new PodTelling(ports, settings.nodeIp, scope);
  }

  /** Limits all pods together. */
  enforceAllocatable(): Promise<void> {
    return this.#cgroups.enforceAllocatable();
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
    if (!record.vanished && record.admission === "taken") this.#telling.tellStatus(record, plan, situation, trace);
    if (plan.finished && isDeleted(record)) return this.#finish(record, trace);
    await this.#refreshVolumes(record, trace);
    await this.#keepCgroup(record);
    let acted = false;
    for (const action of plan.actions) acted = (await this.#acts.act(record, action, trace)) || acted;
    if (plan.wakeAtMs !== undefined) this.#company.wake(uidOf(pod), Math.max(0, plan.wakeAtMs - clock.now()) + 1);
    return acted ? "again" : "done";
  }

  /** False for a pod that the node does not take: it has failed before it began. A pod that has begun was taken by an earlier life. */
  #isTaken(record: PodRecord, trace: TraceContext | undefined): boolean {
    const { pod, vanished } = record;
    const { events, node } = this.#ports;
    const known = node() ?? (isStatic(pod) ? this.#settings.initialNode : undefined);
    const begun = pod.status?.startTime !== undefined || record.runtime.sandboxes.length > 0;
    if (vanished || begun || pod.metadata.deletionTimestamp !== undefined) record.admission ??= "taken";
    if (record.admission === undefined && known) {
      const others = this.#company.othersThan(record).map(grantedPod);
      const { allowedUnsafeSysctls, appArmor, pressures } = this.#settings;
      const input = { pod, node: known, others, allowedUnsafeSysctls, appArmor, pressures: pressures() };
      record.admission = judgeAdmission(input) ?? "taken";
      if (record.admission !== "taken") events.pod(pod, "Warning", record.admission.reason, record.admission.message);
    }
    if (record.admission === undefined) this.#company.wake(uidOf(pod), NODE_RETRY_MS);
    if (record.admission === undefined || record.admission === "taken") return record.admission === "taken";
    this.#telling.tellRejected(record, record.admission, trace);
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

  /** Nothing of the pod runs any more: tell the last status, remove what it had, and let the object go. */
  async #finish(record: PodRecord, trace: TraceContext | undefined): Promise<Round> {
    const { pod, runtime } = record;
    const uid = uidOf(pod);
    const { name = "", namespace = "" } = pod.metadata;
    if (record.deleted && !record.vanished) return "done";
    if (!record.vanished) await this.#telling.flushed(uid);
    // What was begun before the end was heard of must not leave anything after it.
    await Promise.allSettled(record.making);
    for (const { id } of runtime.sandboxes) await this.#ports.runtime.removePodSandbox(id);
    await this.#acts.removePod(pod);
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
    this.#telling.forget(uid);
    await this.#cgroups.weighClasses().catch(() => {});
    void record.scope.close();
    return "gone";
  }

  /** A pod that runs has the limits that are due; it is made with them (PodActs). */
  async #keepCgroup(record: PodRecord): Promise<void> {
    if (record.vanished || !record.runtime.sandboxes.some(({ state }) => state === "ready")) return;
    try {
      await this.#cgroups.ensure(record);
    } catch (error) {
      this.#ports.log.warn("the limits of a pod could not be set", { pod: podTitle(record.pod), error });
    }
  }

  /** ConfigMaps, Secrets and tokens change while the pod runs. */
  async #refreshVolumes(record: PodRecord, trace: TraceContext | undefined): Promise<void> {
    const { pod } = record;
    const nowMs = this.#ports.clock.monotonicMs();
    const alive = record.runtime.containers.some((it) => it.state === "running");
    // A kubelet that starts anew finds pods that run already.
    if (alive && !record.isFollowed) this.#ports.watched().follow(pod);
    record.isFollowed ||= alive;
    if (!alive || nowMs < record.volumesRefreshAtMs || !(pod.spec.volumes ?? []).some(isRefreshed)) return;
    record.volumesRefreshAtMs = nowMs + REFRESH_VOLUMES_MS;
    try {
      await this.#acts.renewVolumes(record, trace);
    } catch (error) {
      // The pod runs on with what it has.
      this.#ports.log.warn("volumes could not be brought up to date", { pod: podTitle(pod), error });
    }
  }
}

function isDeleted({ pod, vanished }: PodRecord): boolean {
  return vanished || pod.metadata.deletionTimestamp !== undefined;
}

/** How soon it is asked again whether the Node object is known. */
const NODE_RETRY_MS = 500;
