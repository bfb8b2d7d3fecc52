/** Nodes and pods for tests of decisions, in few words. */
import type { Node, Pod, PodSpec, Taint } from "@pilothouse/api/types/core-v1";
import { ClusterState } from "./snapshot.ts";

export interface NodeSketch {
  readonly cpu?: string;
  readonly memory?: string;
  readonly labels?: Record<string, string>;
  readonly taints?: Taint[];
  readonly unschedulable?: boolean;
}

export function node(
  name: string,
  { cpu = "4", memory = "8Gi", labels = {}, taints, unschedulable }: NodeSketch = {},
): Node {
  return {
    metadata: { name, labels: { "kubernetes.io/hostname": name, ...labels } },
    spec: { ...(taints ? { taints } : {}), ...(unschedulable ? { unschedulable } : {}) },
    status: { allocatable: { cpu, memory, pods: "110" } },
  };
}

export function pod(name: string, spec: Partial<PodSpec> = {}, requests: Record<string, string> = {}): Pod {
  return {
    metadata: { name, namespace: "default", labels: { app: "web" } },
    spec: { containers: [{ name: "c", image: "web", resources: { requests } }], ...spec },
  };
}

export function stateOf(nodes: readonly Node[], running: readonly Pod[]): ClusterState {
  const state = new ClusterState();
  for (const one of nodes) state.setNode(one);
  for (const one of running) state.setPod(one);
  return state;
}
