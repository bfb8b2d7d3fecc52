/**
 * What a DaemonSet needs: one pod on every node that should run one, none elsewhere, each of the newest template in the end. Pure.
 *
 * First pods are where they should be; only when nothing is left to do about that a rolling update goes on.
 */
import type { Pod } from "@pilothouse/api/types/core-v1";
import { hasPodEnded, isPodReady } from "../../core/pods.ts";
import { POD_REVISION_LABEL } from "../../core/revisions.ts";
import { allowsSurge, planUpdate } from "./plan-update.ts";
import {
  isAvailable,
  oldestFirst,
  podsByNode,
  type DaemonSetPlan,
  type DaemonSetWorld,
  type PodOnNode,
} from "./plan-world.ts";
import { verdictOn, type Verdict } from "./rules.ts";

export function plan(world: DaemonSetWorld): DaemonSetPlan {
  const byNode = podsByNode(world.pods);
  const verdicts = new Map(world.nodes.map((node) => [node.metadata.name ?? "", verdictOn(world.set, node)]));
  const placed = placing(world, byNode, verdicts);
  if (placed.create.length + placed.delete.length > 0) return placed;
  if (world.set.spec.updateStrategy?.type === "OnDelete") return placed;
  return { ...placed, ...planUpdate(world, byNode, verdicts) };
}

function placing(
  world: DaemonSetWorld,
  byNode: ReadonlyMap<string, readonly Pod[]>,
  verdicts: ReadonlyMap<string, Verdict>,
): DaemonSetPlan {
  const create: string[] = [];
  const surplus: Pod[] = [];
  const failed: PodOnNode[] = [];
  const succeeded: PodOnNode[] = [];
  const waits: number[] = [];
  for (const [nodeName, { shouldRun, mayStay }] of verdicts) {
    const pods = byNode.get(nodeName);
    const staying = (pods ?? []).filter(({ metadata }) => metadata.deletionTimestamp === undefined);
    if (!mayStay) {
      surplus.push(...staying);
      continue;
    }
    if (!pods) {
      if (shouldRun) create.push(nodeName);
      continue;
    }
    for (const pod of staying.filter(hasFailed)) {
      const untilMs = world.backoffUntilMs(nodeName);
      if (untilMs > world.nowMs) waits.push(untilMs);
      else failed.push({ pod, nodeName });
    }
    for (const pod of staying.filter(hasSucceeded)) succeeded.push({ pod, nodeName });
    const running = oldestFirst(staying.filter((pod) => !hasPodEnded(pod)));
    if (allowsSurge(world.set)) {
      if (running.length === 0 && shouldRun) create.push(nodeName);
      surplus.push(...surplusOfSurge(world, running));
    } else surplus.push(...running.slice(1));
  }
  // No scheduler will bind them: their node is gone.
  for (const [nodeName, pods] of byNode)
    if (!verdicts.has(nodeName))
      surplus.push(...pods.filter(({ metadata, spec }) => !spec.nodeName && metadata.deletionTimestamp === undefined));
  return {
    create,
    delete: [...[...failed, ...succeeded].map(({ pod }) => pod), ...surplus],
    failed,
    succeeded,
    wakeAtMs: waits.length === 0 ? undefined : Math.min(...waits),
  };
}

/** Two may be there while the new one gets ready and the old one serves; the oldest of each is meant. */
function surplusOfSurge({ set, hash, nowMs }: DaemonSetWorld, running: readonly Pod[]): Pod[] {
  if (running.length <= 1) return [];
  const isNew = ({ metadata }: Pod): boolean => metadata.labels?.[POD_REVISION_LABEL] === hash;
  const [fresh, ...otherFresh] = running.filter(isNew);
  const [old, ...otherOld] = running.filter((pod) => !isNew(pod));
  const surplus = [...otherFresh, ...otherOld];
  if (!fresh || !old) return surplus;
  const isReplaced = !isPodReady(old) || isAvailable(set, fresh, nowMs);
  return isReplaced ? [...surplus, old] : surplus;
}

function hasFailed({ status }: Pod): boolean {
  return status?.phase === "Failed";
}

function hasSucceeded({ status }: Pod): boolean {
  return status?.phase === "Succeeded";
}
