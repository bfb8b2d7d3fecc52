/** Whether the cluster is whole again: every node Ready, every replica of a Deployment and a StatefulSet available, every Job complete. */
import type { Finding } from "../finding.ts";

export interface NodeObject {
  readonly metadata: { readonly name: string };
  readonly status?: {
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
    readonly addresses?: readonly { readonly type: string; readonly address: string }[];
  };
}

export interface DeploymentObject {
  readonly metadata: { readonly name: string; readonly generation?: number };
  readonly spec: { readonly replicas?: number };
  readonly status?: {
    readonly observedGeneration?: number;
    readonly replicas?: number;
    readonly updatedReplicas?: number;
    readonly availableReplicas?: number;
  };
}

/** The counts that matter are told alike. */
export type StatefulSetObject = DeploymentObject;

export interface JobObject {
  readonly metadata: { readonly name: string };
  readonly spec: { readonly completions?: number };
  readonly status?: {
    readonly active?: number;
    readonly succeeded?: number;
    readonly failed?: number;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
  };
}

export interface ClusterState {
  readonly nodes?: readonly NodeObject[];
  readonly deployments?: readonly DeploymentObject[];
  readonly statefulSets?: readonly StatefulSetObject[];
  readonly jobs?: readonly JobObject[];
}

export function judgeHealed({ nodes = [], deployments = [], statefulSets = [], jobs = [] }: ClusterState): Finding[] {
  const unready = nodes.filter((node) => !isReady(node)).map(({ metadata }) => `node ${metadata.name} is not Ready`);
  const incomplete = [
    ...deployments.map((it) => ["Deployment", it] as const),
    ...statefulSets.map((it) => ["StatefulSet", it] as const),
  ]
    .filter(([, it]) => !isWhole(it))
    .map(([kind, it]) => {
      const { updatedReplicas = 0, availableReplicas = 0, replicas = 0 } = it.status ?? {};
      const counts = `${replicas} replicas, ${updatedReplicas} updated, ${availableReplicas} available`;
      return `${kind} ${it.metadata.name} wants ${it.spec.replicas ?? 1} and has ${counts}`;
    });
  const unfinished = jobs
    .filter((it) => !isComplete(it))
    .map(({ metadata, spec, status = {} }) => {
      const { active = 0, succeeded = 0, failed = 0 } = status;
      const counts = `${active} active, ${succeeded} succeeded, ${failed} failed`;
      return `Job ${metadata.name} wants ${spec.completions ?? 1} completions and has ${counts}`;
    });
  return [...unready, ...incomplete, ...unfinished].map((message) => ({ checker: "healed", message }));
}

function isComplete({ status }: JobObject): boolean {
  return status?.conditions?.some(({ type, status }) => type === "Complete" && status === "True") ?? false;
}

function isReady({ status }: NodeObject): boolean {
  return status?.conditions?.some((condition) => condition.type === "Ready" && condition.status === "True") ?? false;
}

function isWhole({ metadata, spec, status = {} }: DeploymentObject): boolean {
  const { observedGeneration = 0, replicas = 0, updatedReplicas = 0, availableReplicas = 0 } = status;
  const counts = [replicas, updatedReplicas, availableReplicas];
  return observedGeneration === (metadata.generation ?? 0) && counts.every((count) => count === (spec.replicas ?? 1));
}
