/**
 * What LimitRanges make of pods and claims: defaults for containers, and whatever is out of bounds in upstream's words. Pure.
 */
import type { Container, LimitRange, LimitRangeItem, PersistentVolumeClaim, Pod } from "@pilothouse/api/types/core-v1";
import type { Quantity } from "@pilothouse/quantity";
import { amountsOf, type Amounts } from "./amounts.ts";
import { podAmounts } from "./pod-amounts.ts";

const ANNOTATION = "kubernetes.io/limit-ranger";

/** Gives containers what they do not say themselves, and says so in an annotation. In place. */
export function defaultFromLimitRange(pod: Pod, { spec }: LimitRange): void {
  const items = spec.limits.filter(({ type }) => type === "Container");
  const limits = Object.assign({}, ...items.map((item) => item.default)) as Record<string, string>;
  const requests = Object.assign({}, ...items.map((item) => item.defaultRequest)) as Record<string, string>;
  const told = [
    ...pod.spec.containers.flatMap((container) => fill(container, "container", requests, limits)),
    ...(pod.spec.initContainers ?? []).flatMap((container) => fill(container, "init container", requests, limits)),
  ];
  if (told.length === 0) return;
  pod.metadata.annotations = {
    ...pod.metadata.annotations,
    [ANNOTATION]: `LimitRanger plugin set: ${told.join("; ")}`,
  };
}

function fill(
  container: Container,
  what: string,
  requests: Readonly<Record<string, string>>,
  limits: Readonly<Record<string, string>>,
): string[] {
  const resources = (container.resources ??= {});
  const missing = (wanted: Readonly<Record<string, string>>, has: Readonly<Record<string, string>> | undefined) =>
    Object.keys(wanted)
      .filter((name) => has?.[name] === undefined)
      .sort();
  const told: string[] = [];
  for (const [field, wanted, word] of [
    ["requests", requests, "request"],
    ["limits", limits, "limit"],
  ] as const) {
    const names = missing(wanted, resources[field]);
    if (names.length === 0) continue;
    resources[field] = { ...wanted, ...resources[field] };
    told.push(`${names.join(", ")} ${word} for ${what} ${container.name}`);
  }
  return told;
}

/** Each thing that the range does not allow; empty: all is within bounds. */
export function podLimitProblems({ spec }: Pod, range: LimitRange): readonly string[] {
  const problems: string[] = [];
  for (const item of range.spec.limits) {
    if (item.type === "Container") {
      for (const { resources } of [...spec.containers, ...(spec.initContainers ?? [])]) {
        problems.push(...boundProblems(item, amountsOf(resources?.requests), amountsOf(resources?.limits)));
      }
    }
    if (item.type === "Pod") {
      problems.push(...boundProblems(item, podAmounts(spec, "requests"), podAmounts(spec, "limits")));
    }
  }
  return problems;
}

/** Claims have requests only. */
export function claimLimitProblems({ spec }: PersistentVolumeClaim, range: LimitRange): readonly string[] {
  const requests = amountsOf(spec?.resources?.requests);
  return range.spec.limits
    .filter(({ type }) => type === "PersistentVolumeClaim")
    .flatMap((item) => [
      ...each(item.min, (name, bound) => minProblem(name, item.type, bound, requests, new Map())),
      ...each(item.max, (name, bound) => maxRequestProblem(name, item.type, bound, requests)),
    ]);
}

function boundProblems(item: LimitRangeItem, requests: Amounts, limits: Amounts): string[] {
  const { type, min, max, maxLimitRequestRatio } = item;
  return [
    ...each(min, (name, bound) => minProblem(name, type, bound, requests, limits)),
    ...each(max, (name, bound) => maxProblem(name, type, bound, requests, limits)),
    ...each(maxLimitRequestRatio, (name, bound) => ratioProblem(name, type, bound, requests, limits)),
  ];
}

function each(
  bounds: Readonly<Record<string, string>> | undefined,
  problemOf: (name: string, bound: Quantity) => string | undefined,
): string[] {
  return [...amountsOf(bounds)]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, bound]) => problemOf(name, bound))
    .filter((problem) => problem !== undefined);
}

function minProblem(name: string, type: string, bound: Quantity, requests: Amounts, limits: Amounts) {
  const [request, limit] = [requests.get(name), limits.get(name)];
  const least = `minimum ${name} usage per ${type} is ${bound.toString()}`;
  if (!request) return `${least}.  No request is specified`;
  if (request.compare(bound) < 0) return `${least}, but request is ${request.toString()}`;
  if (limit && limit.compare(bound) < 0) return `${least}, but limit is ${limit.toString()}`;
  return undefined;
}

function maxProblem(name: string, type: string, bound: Quantity, requests: Amounts, limits: Amounts) {
  const [request, limit] = [requests.get(name), limits.get(name)];
  const most = `maximum ${name} usage per ${type} is ${bound.toString()}`;
  if (!limit) return `${most}.  No limit is specified`;
  if (limit.compare(bound) > 0) return `${most}, but limit is ${limit.toString()}`;
  if (request && request.compare(bound) > 0) return `${most}, but request is ${request.toString()}`;
  return undefined;
}

function maxRequestProblem(name: string, type: string, bound: Quantity, requests: Amounts) {
  const request = requests.get(name);
  const most = `maximum ${name} usage per ${type} is ${bound.toString()}`;
  if (!request) return `${most}.  No request is specified`;
  return request.compare(bound) > 0 ? `${most}, but request is ${request.toString()}` : undefined;
}

function ratioProblem(name: string, type: string, bound: Quantity, requests: Amounts, limits: Amounts) {
  const [request, limit] = [requests.get(name), limits.get(name)];
  const most = `${name} max limit to request ratio per ${type} is ${bound.toString()}`;
  if (!request || request.isZero()) return `${most}, but no request is specified or request is 0`;
  if (!limit || limit.isZero()) return `${most}, but no limit is specified or limit is 0`;
  // Compared without a fraction: limit / request > bound.
  if (limit.nanos * 1_000_000_000n <= bound.nanos * request.nanos) return undefined;
  return `${most}, but provided ratio is ${(limit.toNumber() / request.toNumber()).toFixed(6)}`;
}
