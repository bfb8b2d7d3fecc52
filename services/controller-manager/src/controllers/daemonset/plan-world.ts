/** What a DaemonSet's plan knows, and what it says. Pure. */
import type { DaemonSet } from "@pilothouse/api/types/apps-v1";
import type { Node, Pod } from "@pilothouse/api/types/core-v1";
import { hasPodEnded, podAvailableAtMs } from "../../core/pods.ts";
import { targetNode } from "./rules.ts";

/** What is known when it is planned. */
export interface DaemonSetWorld {
  readonly set: DaemonSet;
  /** Those that the set controls. */
  readonly pods: readonly Pod[];
  readonly nodes: readonly Node[];
  /** Of the newest template. */
  readonly hash: string;
  /** Until when pods that failed on this node are left, so that they do not fail all the time. */
  readonly backoffUntilMs: (nodeName: string) => number;
  readonly nowMs: number;
}

export interface DaemonSetPlan {
  /** Names of nodes. */
  readonly create: readonly string[];
  readonly delete: readonly Pod[];
  /** Of `delete`, those that have failed, by node. */
  readonly failed: readonly PodOnNode[];
  /** Of `delete`, those that ended well, which a daemon is not to do. */
  readonly succeeded: readonly PodOnNode[];
  /** When pods that failed may be deleted; undefined when none waits. */
  readonly wakeAtMs: number | undefined;
}

export interface PodOnNode {
  readonly pod: Pod;
  readonly nodeName: string;
}

/** Pods that have ended and are going are nobody's business any more. */
export function podsByNode(pods: readonly Pod[]): Map<string, Pod[]> {
  const byNode = new Map<string, Pod[]>();
  for (const pod of pods) {
    const nodeName = targetNode(pod);
    const isOver = hasPodEnded(pod) && pod.metadata.deletionTimestamp !== undefined;
    if (nodeName === undefined || isOver) continue;
    byNode.set(nodeName, [...(byNode.get(nodeName) ?? []), pod]);
  }
  return byNode;
}

/** Those on a node already first, then by age. */
export function oldestFirst(pods: readonly Pod[]): Pod[] {
  const key = ({ metadata, spec }: Pod): string =>
    `${spec.nodeName ? 0 : 1} ${metadata.creationTimestamp ?? ""} ${metadata.name ?? ""}`;
  return pods.toSorted((a, b) => (key(a) < key(b) ? -1 : 1));
}

export function isAvailable({ spec }: DaemonSet, pod: Pod, nowMs: number): boolean {
  return (podAvailableAtMs(pod, spec.minReadySeconds ?? 0) ?? Infinity) <= nowMs;
}
