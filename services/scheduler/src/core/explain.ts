/**
 * Why a pod is where it is, or nowhere: what the scheduler itself would decide, and what each plugin says of each node. Pure.
 *
 * This is the one part of the scheduler that others may import (the operator's command line does): the same code decides and
 * explains. It sees what the API shows; what the scheduler decided in this very moment and has not written yet, it does not.
 */
import type { Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod } from "@pilothouse/api/types/core-v1";
import type { PodDisruptionBudget } from "@pilothouse/api/types/policy-v1";
import type { StorageClass } from "@pilothouse/api/types/storage-v1";
import { plugins } from "../plugins/registry.ts";
import { goesBefore, refusedForNominated, schedule, type Decision, type Rejection } from "./cycle.ts";
import type { Obstacle } from "./framework.ts";
import { budgetOf, preempt, type Preemption } from "./preemption.ts";
import { ClusterState, isOver, podKey, type NodeSnapshot, type Snapshot } from "./snapshot.ts";

export type { Obstacle, Remedy } from "./framework.ts";

/** All objects of the kinds that decide. */
export interface ClusterObjects {
  readonly nodes: readonly Node[];
  readonly pods: readonly Pod[];
  readonly namespaces: readonly Namespace[];
  readonly claims: readonly PersistentVolumeClaim[];
  readonly volumes: readonly PersistentVolume[];
  readonly storageClasses: readonly StorageClass[];
  readonly budgets: readonly PodDisruptionBudget[];
}

export interface PluginVerdict {
  readonly plugin: string;
  /** Empty where the node fits. */
  readonly obstacles: readonly Obstacle[];
}

export interface NodeVerdicts {
  readonly node: string;
  /** Of each plugin that filters, in the order in which they are asked. */
  readonly verdicts: readonly PluginVerdict[];
}

export interface Explanation {
  readonly decision: Decision;
  readonly nodes: readonly NodeVerdicts[];
  /** Undefined where a node fits, or there is none. */
  readonly preemption: Preemption | undefined;
}

export function explain(pod: Pod, objects: ClusterObjects): Explanation {
  const snapshot = snapshotOf(objects);
  const decision = schedule(pod, snapshot, plugins, 0);
  const rejections: readonly Rejection[] = decision.outcome === "unschedulable" ? decision.rejections : [];
  const prepared = plugins.map((plugin) => plugin.prepare(pod, snapshot));
  return {
    decision,
    nodes: snapshot.nodes.map((node) => ({
      node: node.name,
      verdicts: [...verdictsOn(pod, node, prepared), ...verdictOfNominated(pod, node, snapshot, prepared)],
    })),
    preemption:
      rejections.length === 0 ? undefined : preempt(pod, snapshot, plugins, rejections, objects.budgets.map(budgetOf)),
  };
}

function snapshotOf(objects: ClusterObjects): Snapshot {
  const namespaces = new Map(objects.namespaces.map(({ metadata }) => [metadata.name, metadata.labels ?? {}]));
  const claims = new Map(objects.claims.map((claim) => [`${claim.metadata.namespace}/${claim.metadata.name}`, claim]));
  const classes = new Map(objects.storageClasses.map((one) => [one.metadata.name, one]));
  const state = new ClusterState({
    namespaceLabels: (name) => namespaces.get(name),
    storage: {
      claim: (namespace, name) => claims.get(`${namespace}/${name}`),
      volumes: () => objects.volumes,
      storageClass: (name) => classes.get(name),
    },
  });
  for (const node of objects.nodes) state.setNode(node);
  for (const pod of objects.pods) {
    const nominated = pod.status?.nominatedNodeName;
    if (pod.spec.nodeName) state.setPod(pod);
    else if (nominated && !isOver(pod)) state.nominate(pod, nominated);
  }
  return state.snapshot();
}

/** Unlike a decision, which ends with the first plugin that refuses, all are asked. */
function verdictsOn(pod: Pod, node: NodeSnapshot, prepared: readonly unknown[]): readonly PluginVerdict[] {
  return plugins.flatMap(({ name, filter, explain: tell }, index) => {
    if (!filter) return [];
    const verdict = filter(pod, node, prepared[index]);
    if (verdict.verdict === "fits") return [{ plugin: name, obstacles: [] }];
    const told = tell?.(pod, node, prepared[index]) ?? [];
    return [{ plugin: name, obstacles: told.length > 0 ? told : verdict.reasons.map((detail) => ({ detail })) }];
  });
}

/** The node would do, were its room not promised to pods that wait for it. */
function verdictOfNominated(
  pod: Pod,
  node: NodeSnapshot,
  snapshot: Snapshot,
  prepared: readonly unknown[],
): readonly PluginVerdict[] {
  if (verdictsOn(pod, node, prepared).some(({ obstacles }) => obstacles.length > 0)) return [];
  const refusal = refusedForNominated(pod, node, snapshot, plugins);
  if (!refusal) return [];
  const others = goesBefore(pod, node, snapshot).map(podKey).join(", ");
  const reasons = refusal.verdict.reasons.join(", ");
  return [{ plugin: refusal.plugin.name, obstacles: [{ detail: `room is kept for ${others}: ${reasons}` }] }];
}
