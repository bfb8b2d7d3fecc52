/**
 * The scheduler: while it leads its election, it binds pending pods to nodes.
 *
 * Promises: one decision at a time, each on what the API shows plus what was decided before; its writes carry its leadership's
 * fence. Does not promise: that a bound pod runs; that is the kubelet's.
 */
import type { ApiClient } from "@pilothouse/client";
import { resources } from "@pilothouse/client";
import { eventRecorder } from "@pilothouse/controller";
import { electedLife, type ElectedPorts } from "@pilothouse/controller/elected";
import { startInformer } from "@pilothouse/informer";
import { SchedulingLoop } from "./flows/scheduling-loop.ts";

export interface SchedulerPorts extends ElectedPorts {
  /** Makes the client whose writes carry `fence()`. */
  readonly openApi: (fence: () => string | undefined) => ApiClient;
}

export interface SchedulerConfig {
  readonly schedulerName: string;
  readonly maxBindings: number;
}

export const defaultConfig: SchedulerConfig = { schedulerName: "default-scheduler", maxBindings: 64 };

export interface SchedulerService {
  /** What is unwell; empty when all is well. */
  problems(): readonly string[];
}

/** Starts at once; ends with the ports' scope. */
export function start(ports: SchedulerPorts, config: SchedulerConfig): SchedulerService {
  const life = electedLife(ports, "kube-scheduler");
  const client = ports.openApi(life.fence);
  const informerPorts = { ...ports, client };
  const pods = startInformer(informerPorts, { type: resources.pods });
  const nodes = startInformer(informerPorts, { type: resources.nodes });
  const budgets = startInformer(informerPorts, { type: resources.podDisruptionBudgets });
  const namespaces = startInformer(informerPorts, { type: resources.namespaces });
  const claims = startInformer(informerPorts, { type: resources.persistentVolumeClaims });
  const volumes = startInformer(informerPorts, { type: resources.persistentVolumes });
  const storageClasses = startInformer(informerPorts, { type: resources.storageClasses });
  const informed = { pods, nodes, budgets, namespaces, claims, volumes, storageClasses };
  life.run(Object.values(informed), async (scope, signal) => {
    const events = eventRecorder({ ...ports, client, scope, component: config.schedulerName });
    const loop = new SchedulingLoop({ ...ports, client, scope, events }, config, informed);
    await loop.run(signal);
  });
  return {
    problems: () => (Object.values(informed).every((one) => one.synced()) ? [] : ["informers have not synced"]),
  };
}
