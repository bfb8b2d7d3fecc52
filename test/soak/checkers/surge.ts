/**
 * Never more pods than replicas + surge, followed event by event: whenever a ReplicaSet is made larger, all of its Deployment's
 * together are at most replicas + maxSurge; whenever a pod is created, its ReplicaSet has no more living pods than replicas.
 *
 * What a controller may not have heard of yet is allowed for: what was wanted within the last `LAG_MS` counts as wanted.
 */
import type { Finding } from "../finding.ts";

export interface WorkloadEvent {
  readonly revision: number;
  /** When it was seen. */
  readonly atMs: number;
  readonly kind: "Deployment" | "ReplicaSet" | "Pod" | "Job";
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly object: WorkloadObject;
}

/** As much of these kinds as matters here. */
export interface WorkloadObject {
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid: string;
    readonly deletionTimestamp?: string;
    readonly ownerReferences?: readonly { readonly uid: string; readonly controller?: boolean }[];
  };
  readonly spec?: {
    readonly replicas?: number;
    readonly strategy?: { readonly type?: string; readonly rollingUpdate?: { readonly maxSurge?: number | string } };
    readonly parallelism?: number;
    readonly completions?: number;
    readonly completionMode?: string;
  };
  readonly status?: {
    readonly phase?: string;
    readonly succeeded?: number;
    readonly completedIndexes?: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
  };
}

/** How long a controller may act on what it has not heard of being changed. */
export const LAG_MS = 30_000;

/** How many were wanted since when; the last one still is. */
type Wanted = { readonly atMs: number; readonly count: number }[];

export class SurgeMonitor {
  readonly findings: Finding[] = [];
  readonly figures = { "pods created": 0, "ReplicaSets made larger": 0 };
  readonly #deployments = new Map<string, Wanted>();
  readonly #replicaSets = new Map<string, { readonly owner: string | undefined; readonly wanted: Wanted }>();
  /** The living pods of each ReplicaSet. */
  readonly #pods = new Map<string, Set<string>>();

  /** In the order of their revisions. Other kinds are passed over. */
  observe(event: WorkloadEvent): void {
    const { kind, type, object, atMs } = event;
    const { uid } = object.metadata;
    if (kind === "Deployment") this.#want(this.#wantedOf(this.#deployments, uid), atMs, type, mostOf(object));
    else if (kind === "ReplicaSet") this.#replicaSet(event);
    else if (kind === "Pod") this.#pod(event);
  }

  #replicaSet({ revision, atMs, type, object }: WorkloadEvent): void {
    const { uid } = object.metadata;
    const owner = controllerOf(object);
    const known = this.#replicaSets.get(uid) ?? { owner, wanted: [] };
    this.#replicaSets.set(uid, known);
    const [before, after] = [known.wanted.at(-1)?.count ?? 0, type === "DELETED" ? 0 : (object.spec?.replicas ?? 1)];
    this.#want(known.wanted, atMs, type, after);
    if (after <= before || owner === undefined) return;
    this.figures["ReplicaSets made larger"]++;
    const most = mostLately(this.#deployments.get(owner), atMs);
    if (most === undefined) return;
    let sum = 0;
    for (const { owner: other, wanted } of this.#replicaSets.values())
      if (other === owner) sum += wanted.at(-1)?.count ?? 0;
    if (sum > most)
      this.#report(
        `ReplicaSet ${nameOf(object)} grew to ${after} at revision ${revision}: ${sum} replicas in all, ${most} allowed`,
      );
  }

  #pod({ revision, atMs, type, object }: WorkloadEvent): void {
    const owner = controllerOf(object);
    if (owner === undefined) return;
    const living = this.#pods.get(owner) ?? new Set();
    this.#pods.set(owner, living);
    const { uid, deletionTimestamp } = object.metadata;
    const isOver = object.status?.phase === "Succeeded" || object.status?.phase === "Failed";
    if (type === "DELETED" || deletionTimestamp !== undefined || isOver) {
      living.delete(uid);
      return;
    }
    if (living.has(uid)) return;
    living.add(uid);
    if (type !== "ADDED") return;
    this.figures["pods created"]++;
    const most = mostLately(this.#replicaSets.get(owner)?.wanted, atMs);
    if (most !== undefined && living.size > most)
      this.#report(
        `pod ${nameOf(object)} at revision ${revision}: its ReplicaSet has ${living.size} living pods, ${most} wanted`,
      );
  }

  #wantedOf(all: Map<string, Wanted>, uid: string): Wanted {
    const wanted = all.get(uid) ?? [];
    all.set(uid, wanted);
    return wanted;
  }

  #want(wanted: Wanted, atMs: number, type: WorkloadEvent["type"], count: number): void {
    wanted.push({ atMs, count: type === "DELETED" ? 0 : count });
    // Of all that was wanted before the lag only the last may have been wanted within it.
    while (wanted.length > 1 && (wanted[1]?.atMs ?? 0) < atMs - LAG_MS) wanted.shift();
  }

  #report(message: string): void {
    this.findings.push({ checker: "replicas + surge", message });
  }
}

/** Undefined: nothing is known of the owner, because it is older than the watch. */
function mostLately(wanted: Wanted | undefined, atMs: number): number | undefined {
  if (!wanted || wanted.length === 0) return undefined;
  const counts = wanted.filter((_, i) => (wanted[i + 1]?.atMs ?? atMs) >= atMs - LAG_MS).map(({ count }) => count);
  return Math.max(...counts);
}

function mostOf({ spec }: WorkloadObject): number {
  const replicas = spec?.replicas ?? 1;
  if (spec?.strategy?.type === "Recreate") return replicas;
  const surge = spec?.strategy?.rollingUpdate?.maxSurge ?? "25%";
  return replicas + (typeof surge === "number" ? surge : Math.ceil((Number.parseInt(surge, 10) / 100) * replicas));
}

function controllerOf({ metadata }: WorkloadObject): string | undefined {
  return metadata.ownerReferences?.find(({ controller }) => controller)?.uid;
}

function nameOf({ metadata }: WorkloadObject): string {
  return `${metadata.namespace ?? ""}/${metadata.name}`;
}
