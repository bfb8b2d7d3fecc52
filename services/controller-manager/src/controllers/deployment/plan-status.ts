/** What a Deployment's status says of its rollout. Pure; upstream's progress.go and deploymentutil. */
import type { Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet } from "@pilothouse/api/types/apps-v1";
import { timestampOf } from "../../core/values.ts";
import { maxUnavailable, nameOf, replicasOf } from "./rules.ts";

export interface Rollout {
  readonly deployment: Deployment;
  readonly fresh: ReplicaSet | undefined;
  readonly old: readonly ReplicaSet[];
}

/** A ReplicaSet was made or found in this pass; or making it failed. */
export type RolloutNews =
  | { readonly news: "created" | "found"; readonly replicaSet: string }
  | { readonly news: "create failed"; readonly message: string }
  | { readonly news: "collision" };

/** No deadline counts: the rollout is never given up. */
const NO_DEADLINE = 2 ** 31 - 1;

/** The status while rolling out, conditions and all. */
export function rolloutStatus(rollout: Rollout, news: RolloutNews | undefined, nowMs: number): DeploymentStatus {
  const status = countedStatus(rollout, nowMs);
  const conditions = new Conditions(status.conditions ?? [], nowMs);
  if (news?.news === "collision") status.collisionCount = (status.collisionCount ?? 0) + 1;
  if (hasDeadline(rollout.deployment)) judgeProgress(rollout, status, conditions, news, nowMs);
  else conditions.remove("Progressing");
  const failure = failureOf(rollout);
  if (failure) conditions.set({ type: "ReplicaFailure", status: failure.status, ...textOf(failure) });
  else conditions.remove("ReplicaFailure");
  return { ...status, conditions: conditions.all() };
}

/** The status while paused or being resized: progress is neither made nor missed. */
export function restingStatus(rollout: Rollout, nowMs: number): DeploymentStatus {
  const status = countedStatus(rollout, nowMs);
  const { deployment } = rollout;
  const conditions = new Conditions(status.conditions ?? [], nowMs);
  if (hasDeadline(deployment)) judgePause(deployment, conditions);
  return { ...status, conditions: conditions.all() };
}

/** All pods are new, there and available. */
export function isComplete(deployment: Deployment, status: DeploymentStatus | undefined): boolean {
  const wanted = replicasOf(deployment);
  return (
    (status?.updatedReplicas ?? 0) === wanted &&
    (status?.replicas ?? 0) === wanted &&
    (status?.availableReplicas ?? 0) === wanted &&
    (status?.observedGeneration ?? 0) >= (deployment.metadata.generation ?? 0)
  );
}

/** When the rollout will have taken too long; undefined when it is over, given up, or has no deadline. */
export function deadlineMs(deployment: Deployment, status: DeploymentStatus): number | undefined {
  const progressing = conditionOf(status, "Progressing");
  if (!hasDeadline(deployment) || !progressing || isComplete(deployment, status)) return undefined;
  if (progressing.reason === "NewReplicaSetAvailable" || progressing.reason === "ProgressDeadlineExceeded")
    return undefined;
  return Date.parse(progressing.lastUpdateTime ?? "") + (deployment.spec.progressDeadlineSeconds ?? 600) * 1_000;
}

function countedStatus({ deployment, fresh, old }: Rollout, nowMs: number): DeploymentStatus {
  const all = fresh ? [...old, fresh] : old;
  const sum = (count: (replicaSet: ReplicaSet) => number | undefined): number =>
    all.reduce((total, replicaSet) => total + (count(replicaSet) ?? 0), 0);
  const available = sum(({ status }) => status?.availableReplicas);
  const conditions = new Conditions(deployment.status?.conditions ?? [], nowMs);
  const enough = available >= replicasOf(deployment) - maxUnavailable(deployment);
  conditions.set(
    enough
      ? {
          type: "Available",
          status: "True",
          reason: "MinimumReplicasAvailable",
          message: "Deployment has minimum availability.",
        }
      : {
          type: "Available",
          status: "False",
          reason: "MinimumReplicasUnavailable",
          message: "Deployment does not have minimum availability.",
        },
  );
  const { generation } = deployment.metadata;
  const { collisionCount } = deployment.status ?? {};
  const total = sum(replicasOf);
  return {
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    replicas: sum(({ status }) => status?.replicas),
    updatedReplicas: fresh?.status?.replicas ?? 0,
    readyReplicas: sum(({ status }) => status?.readyReplicas),
    availableReplicas: available,
    unavailableReplicas: Math.max(0, total - available),
    terminatingReplicas: sum(({ status }) => status?.terminatingReplicas),
    ...(collisionCount === undefined ? {} : { collisionCount }),
    conditions: conditions.all(),
  };
}

function judgeProgress(
  rollout: Rollout,
  status: DeploymentStatus,
  conditions: Conditions,
  news: RolloutNews | undefined,
  nowMs: number,
): void {
  const { deployment, fresh } = rollout;
  judgePause(deployment, conditions);
  if (news?.news === "created" || (news?.news === "found" && !conditions.get("Progressing"))) {
    const [reason, verb] =
      news.news === "created" ? ["NewReplicaSetCreated", "Created"] : ["FoundNewReplicaSet", "Found"];
    const message = `${verb} new replica set ${JSON.stringify(news.replicaSet)}`;
    conditions.set({ type: "Progressing", status: "True", reason, message });
  }
  if (news?.news === "create failed")
    conditions.set({ type: "Progressing", status: "False", reason: "ReplicaSetCreateError", message: news.message });
  const present = conditions.get("Progressing");
  // Once a rollout is over, a pod that fails later is not a rollout that fails.
  if (status.replicas === status.updatedReplicas && present?.reason === "NewReplicaSetAvailable") return;
  const subject = fresh
    ? `ReplicaSet ${JSON.stringify(nameOf(fresh))}`
    : `Deployment ${JSON.stringify(nameOf(deployment))}`;
  if (isComplete(deployment, status)) {
    const message = `${subject} has successfully progressed.`;
    conditions.set({ type: "Progressing", status: "True", reason: "NewReplicaSetAvailable", message });
  } else if (hasProgressed(deployment, status)) {
    const message = `${subject} is progressing.`;
    conditions.renew({ type: "Progressing", status: "True", reason: "ReplicaSetUpdated", message });
  } else if ((deadlineMs(deployment, { ...status, conditions: conditions.all() }) ?? Infinity) < nowMs) {
    const message = `${subject} has timed out progressing.`;
    conditions.set({ type: "Progressing", status: "False", reason: "ProgressDeadlineExceeded", message });
  }
}

function judgePause({ spec }: Deployment, conditions: Conditions): void {
  const present = conditions.get("Progressing");
  if (present?.reason === "ProgressDeadlineExceeded") return;
  const isMarked = present?.reason === "DeploymentPaused";
  if (spec.paused && !isMarked)
    conditions.set({
      type: "Progressing",
      status: "Unknown",
      reason: "DeploymentPaused",
      message: "Deployment is paused",
    });
  if (!spec.paused && isMarked)
    conditions.set({
      type: "Progressing",
      status: "Unknown",
      reason: "DeploymentResumed",
      message: "Deployment is resumed",
    });
}

function hasProgressed({ status: before }: Deployment, now: DeploymentStatus): boolean {
  const oldReplicas = (status: DeploymentStatus | undefined): number =>
    (status?.replicas ?? 0) - (status?.updatedReplicas ?? 0);
  return (
    (now.updatedReplicas ?? 0) > (before?.updatedReplicas ?? 0) ||
    oldReplicas(now) < oldReplicas(before) ||
    (now.readyReplicas ?? 0) > (before?.readyReplicas ?? 0) ||
    (now.availableReplicas ?? 0) > (before?.availableReplicas ?? 0)
  );
}

function failureOf({ fresh, old }: Rollout): DeploymentCondition | undefined {
  const failures = (fresh ? [fresh, ...old] : old).flatMap(({ status }) => status?.conditions ?? []);
  return failures.find(({ type }) => type === "ReplicaFailure");
}

function textOf({ reason, message }: DeploymentCondition): Pick<DeploymentCondition, "reason" | "message"> {
  return { ...(reason === undefined ? {} : { reason }), ...(message === undefined ? {} : { message }) };
}

function hasDeadline({ spec }: Deployment): boolean {
  return spec.progressDeadlineSeconds !== undefined && spec.progressDeadlineSeconds !== NO_DEADLINE;
}

export function conditionOf(status: DeploymentStatus | undefined, type: string): DeploymentCondition | undefined {
  return status?.conditions?.find((condition) => condition.type === type);
}

/** Conditions with their times: set again for the same reason they stay as they are. */
class Conditions {
  #conditions: readonly DeploymentCondition[];
  readonly #now: string;

  constructor(conditions: readonly DeploymentCondition[], nowMs: number) {
    this.#conditions = conditions;
    this.#now = timestampOf(nowMs);
  }

  all(): DeploymentCondition[] {
    return [...this.#conditions];
  }

  get(type: string): DeploymentCondition | undefined {
    return this.#conditions.find((condition) => condition.type === type);
  }

  set(condition: DeploymentCondition): void {
    const before = this.get(condition.type);
    if (before?.status !== condition.status || before.reason !== condition.reason) this.renew(condition);
  }

  /** Sets it with a new update time even when nothing else changed. */
  renew(condition: DeploymentCondition): void {
    const before = this.get(condition.type);
    const since = before?.status === condition.status ? (before.lastTransitionTime ?? this.#now) : this.#now;
    this.remove(condition.type);
    this.#conditions = [...this.#conditions, { ...condition, lastUpdateTime: this.#now, lastTransitionTime: since }];
  }

  remove(type: string): void {
    this.#conditions = this.#conditions.filter((condition) => condition.type !== type);
  }
}
