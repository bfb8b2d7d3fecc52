/** Whether the cluster is whole again: every node Ready, every replica of a Deployment available. */
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

export function judgeHealed(nodes: readonly NodeObject[], deployments: readonly DeploymentObject[]): Finding[] {
  const unready = nodes.filter((node) => !isReady(node)).map(({ metadata }) => `node ${metadata.name} is not Ready`);
  const incomplete = deployments
    .filter((it) => !isWhole(it))
    .map((it) => {
      const { updatedReplicas = 0, availableReplicas = 0, replicas = 0 } = it.status ?? {};
      const counts = `${replicas} replicas, ${updatedReplicas} updated, ${availableReplicas} available`;
      return `Deployment ${it.metadata.name} wants ${it.spec.replicas ?? 1} and has ${counts}`;
    });
  return [...unready, ...incomplete].map((message) => ({ checker: "healed", message }));
}

function isReady({ status }: NodeObject): boolean {
  return status?.conditions?.some((condition) => condition.type === "Ready" && condition.status === "True") ?? false;
}

function isWhole({ metadata, spec, status = {} }: DeploymentObject): boolean {
  const { observedGeneration = 0, replicas = 0, updatedReplicas = 0, availableReplicas = 0 } = status;
  const counts = [replicas, updatedReplicas, availableReplicas];
  return observedGeneration === (metadata.generation ?? 0) && counts.every((count) => count === (spec.replicas ?? 1));
}
