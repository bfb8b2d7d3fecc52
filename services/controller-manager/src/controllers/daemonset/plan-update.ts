/** How a rolling update goes on: old pods go and are made again, or (surging) new ones come beside them first. Pure. */
import type { DaemonSet } from "@pilothouse/api/types/apps-v1";
import type { Pod } from "@pilothouse/api/types/core-v1";
import { scaledValue } from "../../core/values.ts";
import { isUpdated, type Verdict } from "./rules.ts";
import { isAvailable, type DaemonSetPlan, type DaemonSetWorld } from "./plan-world.ts";

type Update = Pick<DaemonSetPlan, "create" | "delete">;

/** A node on which one pod of each kind at most is there; `crowded`: more, which is put right first. */
interface Place {
  readonly nodeName: string;
  readonly fresh: Pod | undefined;
  readonly old: Pod | undefined;
  readonly crowded: boolean;
}

export function planUpdate(
  world: DaemonSetWorld,
  byNode: ReadonlyMap<string, readonly Pod[]>,
  verdicts: ReadonlyMap<string, Verdict>,
): Update {
  const wanted = [...verdicts].filter(([, { shouldRun }]) => shouldRun).map(([nodeName]) => nodeName);
  const nodeNames = [...new Set([...byNode.keys(), ...wanted])].sort();
  const places = nodeNames.map((nodeName) => placeOf(world, nodeName, byNode.get(nodeName) ?? []));
  const limits = limitsOf(world.set, wanted.length);
  return limits.surge === 0
    ? replacing(world, places, limits.unavailable)
    : surging(world, places, { surge: limits.surge, wanted: wanted.length, verdicts });
}

export function allowsSurge(set: DaemonSet): boolean {
  return amountOf(set, "maxSurge", 1) > 0;
}

/** Both 0 would never move, so one pod may be missing then. */
export function limitsOf(set: DaemonSet, wanted: number): { readonly surge: number; readonly unavailable: number } {
  const surge = amountOf(set, "maxSurge", wanted);
  const unavailable = amountOf(set, "maxUnavailable", wanted);
  return surge === 0 && unavailable === 0 ? { surge, unavailable: 1 } : { surge, unavailable };
}

/** Shares are rounded up. */
function amountOf({ spec }: DaemonSet, limit: "maxSurge" | "maxUnavailable", wanted: number): number {
  const { type = "RollingUpdate", rollingUpdate } = spec.updateStrategy ?? {};
  return type === "RollingUpdate" ? scaledValue(rollingUpdate?.[limit], wanted, "up") : 0;
}

function placeOf({ set, hash }: DaemonSetWorld, nodeName: string, pods: readonly Pod[]): Place {
  const staying = pods.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  const fresh = staying.filter((pod) => isUpdated(set, pod, hash));
  const old = staying.filter((pod) => !isUpdated(set, pod, hash));
  return { nodeName, fresh: fresh[0], old: old[0], crowded: fresh.length > 1 || old.length > 1 };
}

/** Old pods that serve nobody go at once; others while few enough are missing. */
function replacing({ set, nowMs }: DaemonSetWorld, places: readonly Place[], maxUnavailable: number): Update {
  const useless: Pod[] = [];
  const candidates: Pod[] = [];
  let unavailable = 0;
  for (const { fresh, old, crowded } of places) {
    if (crowded || Boolean(fresh) === Boolean(old)) unavailable++;
    else if (fresh) unavailable += isAvailable(set, fresh, nowMs) ? 0 : 1;
    else if (old && isAvailable(set, old, nowMs)) candidates.push(old);
    else if (old) {
      useless.push(old);
      unavailable++;
    }
  }
  const budget = Math.max(0, maxUnavailable - unavailable);
  return { create: [], delete: [...useless, ...candidates.slice(0, budget)] };
}

interface SurgeLimits {
  readonly surge: number;
  readonly wanted: number;
  readonly verdicts: ReadonlyMap<string, Verdict>;
}

function surging({ set, nowMs }: DaemonSetWorld, places: readonly Place[], limits: SurgeLimits): Update {
  const gone: Pod[] = [];
  /** Old pods on nodes that should run none any more. */
  const unwanted: Pod[] = [];
  const atOnce: string[] = [];
  const candidates: string[] = [];
  let surging = 0;
  let available = 0;
  for (const { nodeName, fresh, old, crowded } of places) {
    if (crowded) surging++;
    const counted = crowded ? undefined : (old ?? fresh);
    if (counted && isAvailable(set, counted, nowMs)) available++;
    if (crowded || !old) continue;
    const shouldRun = limits.verdicts.get(nodeName)?.shouldRun === true;
    if (fresh) {
      if (isAvailable(set, fresh, nowMs)) gone.push(old);
      else surging++;
    } else if (isAvailable(set, old, nowMs)) {
      if (shouldRun) candidates.push(nodeName);
      else unwanted.push(old);
    } else if (shouldRun) atOnce.push(nodeName);
    else gone.push(old);
  }
  // Whoever surges counts on all being served: pods on nodes that are given up go when those on the others have come.
  const spare = Math.max(0, available - limits.wanted);
  const budget = Math.max(0, limits.surge - surging);
  return {
    create: [...atOnce, ...candidates.slice(0, budget)],
    delete: [...gone, ...unwanted.slice(0, spare)],
  };
}
