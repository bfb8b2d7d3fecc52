/**
 * Keeps the cgroups above containers as they should be: all pods together, the classes of service, each pod. What is decided is in
 * core/cgroups.ts.
 */
import type { Pod } from "@pilothouse/api/types/core-v1";
import {
  podCgroup,
  podLimits,
  podsCgroup,
  podsLimits,
  qosCgroup,
  qosLimits,
  widest,
  type CgroupLimits,
} from "../core/cgroups.ts";
import { allContainers, instancesOf, resourcesMadeWith } from "../core/pod-runtime.ts";
import { allocatedPod, type Allocation } from "../core/resize.ts";
import type { KubeletPorts } from "./kubelet-ports.ts";
import type { NodeSettings } from "./node-settings.ts";
import { grantedPod, type PodRecord } from "./pod-record.ts";

export class PodCgroups {
  readonly #ports: KubeletPorts;
  readonly #settings: NodeSettings;
  readonly #alive: () => readonly Pod[];
  #burstable: CgroupLimits | undefined;

  /** `alive` are the pods that take up room on the node. */
  constructor(ports: KubeletPorts, settings: NodeSettings, alive: () => readonly Pod[]) {
    this.#ports = ports;
    this.#settings = settings;
    this.#alive = alive;
  }

  /** Limits all pods together, and says so. Where it cannot be done the node works on: its pods have their own limits. */
  async enforceAllocatable(): Promise<void> {
    const { cgroups, events, log } = this.#ports;
    const { places, share } = this.#settings;
    try {
      await cgroups.ensure(podsCgroup(places.cgroupRoot), podsLimits(share));
      await cgroups.ensure(qosCgroup("BestEffort", places.cgroupRoot), qosLimits("BestEffort", []));
      await this.weighClasses();
      events.node("Normal", "NodeAllocatableEnforced", "Updated Node Allocatable limit across pods");
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      log.warn("the limits of all pods together could not be set", { error });
      const message = `Failed to update Node Allocatable Limits ${JSON.stringify(podsCgroup(places.cgroupRoot))}: ${why}`;
      events.node("Warning", "FailedNodeAllocatableEnforcement", message);
    }
  }

  /** Gives the pod's cgroup the limits that are due now. Rejects when the kernel refuses them. */
  async ensure(record: PodRecord): Promise<void> {
    const limits = limitsDue(record, this.#settings.podPids);
    if (JSON.stringify(limits) === JSON.stringify(record.cgroupLimits)) return;
    await this.weighClasses();
    await this.#ports.cgroups.ensure(podCgroup(record.pod, this.#settings.places.cgroupRoot), limits);
    record.cgroupLimits = limits;
  }

  /** Burstable pods weigh together what they ask for. */
  async weighClasses(): Promise<void> {
    const limits = qosLimits("Burstable", this.#alive());
    if (limits.cpuShares === this.#burstable?.cpuShares) return;
    await this.#ports.cgroups.ensure(qosCgroup("Burstable", this.#settings.places.cgroupRoot), limits);
    this.#burstable = limits;
  }
}

/** What was granted; while containers run with what they had before, that too. */
function limitsDue(record: PodRecord, podPids: number): CgroupLimits {
  const granted = grantedPod(record);
  return widest(podLimits(granted, podPids), podLimits(allocatedPod(granted, inForce(record)), podPids));
}

function inForce({ pod, runtime, inForce: known }: PodRecord): Allocation {
  return new Map(
    allContainers(pod).flatMap(({ name }) => {
      const [last] = instancesOf(runtime, name);
      const resources = last?.state === "running" ? (known.get(last.id) ?? resourcesMadeWith(last)) : undefined;
      return resources ? [[name, resources] as const] : [];
    }),
  );
}
