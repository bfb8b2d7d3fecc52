/** What a ResourceQuota's status is to say: which resources it is about, and how much of them is used. Pure. */
import type { Pod, ResourceQuota, ResourceQuotaStatus } from "@pilothouse/api/types/core-v1";
import type { KubernetesObject, ResourceType } from "@pilothouse/client";
import { addAll, amountsOf, masked, sameAmounts, textsOf } from "@pilothouse/kinds/core/amounts";
import type { ApiObject } from "@pilothouse/kinds/kind";
import { meetsScopes } from "@pilothouse/kinds/quota/charge";
import { evaluatorOf, podForgottenAtMs, type Evaluator } from "@pilothouse/kinds/quota/usage";

/** A resource that the quota limits. */
export interface CountedType<T extends ResourceType = ResourceType> {
  readonly type: T;
  readonly evaluator: Evaluator;
}

/** All its objects in the quota's namespace. */
export interface Counted extends CountedType {
  readonly objects: readonly KubernetesObject[];
}

export function countedTypes<T extends ResourceType>({ spec }: ResourceQuota, served: readonly T[]): CountedType<T>[] {
  const limited = Object.keys(spec?.hard ?? {});
  return served.flatMap((type) => {
    const evaluator = type.namespaced ? evaluatorOf(type) : undefined;
    return evaluator && limited.some((name) => evaluator.tracks(name)) ? [{ type, evaluator }] : [];
  });
}

/** @param counted every resource that `countedTypes` names */
export function statusOf(quota: ResourceQuota, counted: readonly Counted[], nowMs: number): ResourceQuotaStatus {
  const hard = { ...quota.spec?.hard };
  const limited = Object.keys(hard);
  const total = amountsOf({});
  for (const { evaluator, objects } of counted) {
    const mine = limited.filter((name) => evaluator.tracks(name));
    addAll(total, amountsOf(Object.fromEntries(mine.map((name) => [name, "0"]))));
    for (const object of objects as readonly ApiObject[]) {
      if (meetsScopes(evaluator, object, quota.spec ?? {})) addAll(total, masked(evaluator.usage(object, nowMs), mine));
    }
  }
  return { hard, used: textsOf(total) };
}

export function saysTheSame(status: ResourceQuotaStatus, old: ResourceQuotaStatus | undefined): boolean {
  if (!old?.hard || !old.used) return false;
  return (
    sameAmounts(amountsOf(status.hard), amountsOf(old.hard)) && sameAmounts(amountsOf(status.used), amountsOf(old.used))
  );
}

/** When a pod that should have gone counts no more; undefined when time alone changes nothing. */
export function nextForgottenMs(counted: readonly Counted[], nowMs: number): number | undefined {
  const times = counted
    .filter(({ type }) => type.group === "" && type.resource === "pods")
    .flatMap(({ objects }) => objects as readonly Pod[])
    .flatMap(({ metadata: { deletionTimestamp, deletionGracePeriodSeconds } }) =>
      deletionTimestamp === undefined || deletionGracePeriodSeconds === undefined
        ? []
        : [podForgottenAtMs(deletionTimestamp, deletionGracePeriodSeconds)],
    )
    .filter((atMs) => atMs >= nowMs);
  return times.length === 0 ? undefined : Math.min(...times);
}
