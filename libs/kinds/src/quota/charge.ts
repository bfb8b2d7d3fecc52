/** What a write costs under the quotas of its namespace, or why they refuse it, in upstream's words. Pure. */
import type { ResourceQuota } from "@pilothouse/api/types/core-v1";
import { Quantity } from "@pilothouse/quantity";
import { addAll, amountsOf, listed, masked, textsOf, type Amounts } from "../core/amounts.ts";
import type { ApiObject } from "../kind.ts";
import { scopesOf } from "./scopes.ts";
import type { Evaluator } from "./usage.ts";

export interface Charged {
  readonly object: ApiObject;
  /** What was there before; undefined for a create. */
  readonly old: ApiObject | undefined;
}

export type Verdict =
  | { readonly kind: "refused"; readonly why: string }
  /** The quotas whose usage changes, with their new status. */
  | { readonly kind: "charged"; readonly quotas: readonly ResourceQuota[] };

const FREE: Verdict = { kind: "charged", quotas: [] };

/** @param quotas all of the object's namespace */
export function chargeOf(
  evaluator: Evaluator,
  { object, old }: Charged,
  quotas: readonly ResourceQuota[],
  nowMs: number,
): Verdict {
  if (old && !evaluator.isCharged(object, old)) return FREE;
  const concerned = quotas.filter((quota) => isConcerned(evaluator, object, quota));
  for (const quota of concerned) {
    const problem = stateProblem(evaluator, object, quota);
    if (problem !== undefined) return { kind: "refused", why: problem };
  }
  const usage = evaluator.usage(object, nowMs);
  const negative = [...usage].filter(([, amount]) => amount.compare(Quantity.zero) < 0).map(([name]) => name);
  if (negative.length > 0) {
    return { kind: "refused", why: `quota usage is negative for resource(s): ${negative.sort().join(",")}` };
  }
  const more = increase(usage, old ? evaluator.usage(old, nowMs) : new Map());
  const changed: ResourceQuota[] = [];
  for (const quota of concerned) {
    const charged = withCharge(quota, more);
    if (typeof charged === "string") return { kind: "refused", why: charged };
    if (charged !== quota) changed.push(charged);
  }
  return { kind: "charged", quotas: changed };
}

/** Whether a quota counts this object at all. */
export function isConcerned(evaluator: Evaluator, object: ApiObject, { spec, status }: ResourceQuota): boolean {
  if (!Object.keys(status?.hard ?? {}).some((name) => evaluator.tracks(name))) return false;
  return meetsScopes(evaluator, object, spec);
}

export function meetsScopes(evaluator: Evaluator, object: ApiObject, spec: ResourceQuota["spec"]): boolean {
  return scopesOf(spec ?? {}).every((requirement) => evaluator.meets(requirement, object));
}

function stateProblem(
  evaluator: Evaluator,
  object: ApiObject,
  { metadata, status }: ResourceQuota,
): string | undefined {
  const { name = "" } = metadata;
  const limited = Object.keys(status?.hard ?? {}).filter((resource) => evaluator.tracks(resource));
  const problem = evaluator.problem(limited, object);
  if (problem !== undefined) return `failed quota: ${name}: ${problem}`;
  if (limited.every((resource) => status?.used?.[resource] !== undefined)) return undefined;
  return `status unknown for quota: ${name}, resources: ${limited.sort().join(",")}`;
}

/** What is used more than before; what is used less is given back by the controller, which counts. */
function increase(usage: Amounts, before: Amounts): Map<string, Quantity> {
  const more = new Map<string, Quantity>();
  for (const [name, amount] of usage) {
    const difference = amount.sub(before.get(name) ?? Quantity.zero);
    if (difference.compare(Quantity.zero) > 0) more.set(name, difference);
  }
  return more;
}

/** The quota with its new usage, the same one if it costs nothing, or the refusal. */
function withCharge(quota: ResourceQuota, more: Amounts): ResourceQuota | string {
  const hard = amountsOf(quota.status?.hard);
  const used = amountsOf(quota.status?.used);
  const requested = masked(more, hard.keys());
  if (requested.size === 0) return quota;
  const total = new Map(used);
  addAll(total, requested);
  const exceeded = [...requested.keys()].filter((name) => isMore(total.get(name), hard.get(name)));
  if (exceeded.length > 0) {
    const [asked, before, limit] = [requested, used, hard].map((amounts) => listed(masked(amounts, exceeded)));
    const { name = "" } = quota.metadata;
    return `exceeded quota: ${name}, requested: ${asked}, used: ${before}, limited: ${limit}`;
  }
  return { ...quota, status: { ...quota.status, used: textsOf(total) } };
}

function isMore(total: Quantity | undefined, limit: Quantity | undefined): boolean {
  return total !== undefined && limit !== undefined && total.compare(limit) > 0;
}
