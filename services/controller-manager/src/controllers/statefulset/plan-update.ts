/** Which pods a rolling update takes away next, to be made again of the new revision: the highest ordinals first. Pure. */
import type { StatefulSet } from "@pilothouse/api/types/apps-v1";
import type { Pod } from "@pilothouse/api/types/core-v1";
import { scaledValue } from "../../core/values.ts";
import { firstOrdinal, replicasOf, revisionNameOf, type Versions } from "./plan-identity.ts";
import type { Replica } from "./rules.ts";

/** @param replicas all places that are wanted */
export function planUpdate(set: StatefulSet, { update }: Versions, replicas: readonly Replica[]): Pod[] {
  const { type = "RollingUpdate", rollingUpdate } = set.spec.updateStrategy ?? {};
  if (type !== "RollingUpdate") return [];
  const first = firstOrdinal(set) + (rollingUpdate?.partition ?? 0);
  const outdated = replicas.flatMap(({ ordinal, pod, state }) => {
    const isOld = pod !== undefined && ordinal >= first && revisionNameOf(pod) !== update.name;
    return isOld && CAN_GO.has(state) ? [{ pod, isAvailable: state === "available" }] : [];
  });
  const highestFirst = outdated.toReversed();
  const unavailable = replicas.filter(({ state }) => state !== "available").length;
  const budget = Math.max(0, maxUnavailable(set) - unavailable);
  if (set.spec.podManagementPolicy !== "Parallel") return highestFirst.slice(0, budget).map(({ pod }) => pod);
  // Those that serve nobody anyway cost nothing: else a rollout that was begun on broken pods would never go on.
  const useless = highestFirst.filter(({ isAvailable }) => !isAvailable);
  const others = highestFirst.filter(({ isAvailable }) => isAvailable).slice(0, budget);
  return [...useless, ...others].map(({ pod }) => pod);
}

const CAN_GO: ReadonlySet<string> = new Set(["not ready", "not available", "available"]);

/** A share is rounded down, but not to nothing. */
export function maxUnavailable(set: StatefulSet): number {
  const limit = set.spec.updateStrategy?.rollingUpdate?.maxUnavailable ?? 1;
  return Math.max(1, scaledValue(limit, replicasOf(set), "down"));
}
