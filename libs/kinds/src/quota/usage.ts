/**
 * What an object uses of which quota: one evaluator for pods, Services and claims, and one that counts for all others. Pure.
 * Devices of resource claims are not measured.
 */
import type { PersistentVolumeClaim, Pod, Service } from "@pilothouse/api/types/core-v1";
import { parseQuantity, Quantity } from "@pilothouse/quantity";
import { amountsOf, type Amounts } from "../core/amounts.ts";
import { isPodLevel, podAmountsWithOverhead } from "../core/pod-amounts.ts";
import { isExtendedResource, isNativeResource } from "../core/resource-names.ts";
import type { ApiObject } from "../kind.ts";
import { claimMeets, isTerminating, podMeets, type ScopeRequirement } from "./scopes.ts";

export interface Evaluator {
  /** Whether its objects use what a quota calls so. */
  tracks(name: string): boolean;
  usage(object: ApiObject, nowMs: number): Amounts;
  /** Whether an update may change what is used; creates always do. */
  isCharged(object: ApiObject, old: ApiObject): boolean;
  meets(requirement: ScopeRequirement, object: ApiObject): boolean;
  /** Why the object may not be where these are limited; undefined: it may. */
  problem(limited: readonly string[], object: ApiObject): string | undefined;
}

interface GroupResource {
  readonly group: string;
  readonly resource: string;
}

const ONE = parseQuantity("1");
const REQUESTS = "requests.";
const HUGE_PAGES = "hugepages-";
const COMPUTE: readonly string[] = ["cpu", "memory", "ephemeral-storage"];
/** If a quota limits these, each container must say how much it asks for. A mistake of old that is kept. */
const MUST_BE_SAID: readonly string[] = [
  "cpu",
  "memory",
  "requests.cpu",
  "requests.memory",
  "limits.cpu",
  "limits.memory",
];
/** Core resources that may be counted by their plain names as well. */
const ALIASES: readonly string[] = ["configmaps", "resourcequotas", "replicationcontrollers", "secrets"];
const IGNORED: readonly string[] = ["events"];

/** `count/pods`, `count/deployments.apps`. */
export function countName({ group, resource }: GroupResource): string {
  return `count/${group === "" ? resource : `${resource}.${group}`}`;
}

/** Undefined for what no quota is about. */
export function evaluatorOf(target: GroupResource): Evaluator | undefined {
  if (IGNORED.includes(target.resource)) return undefined;
  if (target.group !== "") return counting(target);
  switch (target.resource) {
    case "pods":
      return pods;
    case "services":
      return services;
    case "persistentvolumeclaims":
      return claims;
    default:
      return counting(target);
  }
}

function counting(target: GroupResource): Evaluator {
  const names = [
    countName(target),
    ...(target.group === "" && ALIASES.includes(target.resource) ? [target.resource] : []),
  ];
  const usage = new Map(names.map((name) => [name, ONE]));
  return {
    tracks: (name) => names.includes(name),
    usage: () => usage,
    isCharged: () => false,
    meets: () => false,
    problem: () => undefined,
  };
}

const POD_NAMES: ReadonlySet<string> = new Set([
  "count/pods",
  "pods",
  ...COMPUTE.flatMap((name) => [name, `${REQUESTS}${name}`, `limits.${name}`]),
]);

const pods: Evaluator = {
  tracks(name) {
    if (POD_NAMES.has(name) || name.startsWith(HUGE_PAGES) || name.startsWith(`${REQUESTS}${HUGE_PAGES}`)) return true;
    return name.startsWith(REQUESTS) && !isNativeResource(name);
  },
  usage: (object, nowMs) => podUsage(object as unknown as Pod, nowMs),
  isCharged: (object, old) =>
    isTerminating(object as unknown as Pod) !== isTerminating(old as unknown as Pod) ||
    JSON.stringify(resourcesOf(object)) !== JSON.stringify(resourcesOf(old)),
  meets: (requirement, object) => podMeets(requirement, object as unknown as Pod),
  problem(limited, object) {
    const { spec } = object as unknown as Pod;
    const wholes = [...Object.keys(spec.resources?.requests ?? {}), ...Object.keys(spec.resources?.limits ?? {})];
    if (wholes.some(isPodLevel)) return undefined;
    const missing = limited
      .filter((name) => MUST_BE_SAID.includes(name))
      .sort()
      .map((name) => {
        const silent = [...spec.containers, ...(spec.initContainers ?? [])]
          .filter(({ resources }) => !asked(amountsOf(resources?.requests), amountsOf(resources?.limits)).has(name))
          .map((container) => container.name);
        return { name, silent: [...new Set(silent)].sort() };
      })
      .filter(({ silent }) => silent.length > 0)
      .map(({ name, silent }) => `${name} for: ${silent.join(",")}`);
    return missing.length === 0 ? undefined : `must specify ${missing.join("; ")}`;
  },
};

function resourcesOf(object: ApiObject): unknown {
  const { spec } = object as unknown as Pod;
  return [spec.resources, ...[...spec.containers, ...(spec.initContainers ?? [])].map(({ resources }) => resources)];
}

/** A pod that has ended, or should have, is one object more and nothing else. */
function podUsage(pod: Pod, nowMs: number): Amounts {
  const usage = new Map([["count/pods", ONE]]);
  if (hasReachedItsEnd(pod, nowMs)) return usage;
  usage.set("pods", ONE);
  const { spec } = pod;
  const amounts = asked(podAmountsWithOverhead(spec, "requests"), podAmountsWithOverhead(spec, "limits"));
  for (const [name, amount] of amounts) usage.set(name, amount);
  return usage;
}

function hasReachedItsEnd({ metadata, status }: Pod, nowMs: number): boolean {
  if (status?.phase === "Failed" || status?.phase === "Succeeded") return true;
  const { deletionTimestamp, deletionGracePeriodSeconds } = metadata;
  if (deletionTimestamp === undefined || deletionGracePeriodSeconds === undefined) return false;
  return nowMs > podForgottenAtMs(deletionTimestamp, deletionGracePeriodSeconds);
}

/** From when on a pod that should have gone counts no more, in milliseconds since the epoch. */
export function podForgottenAtMs(deletionTimestamp: string, graceSeconds: number): number {
  return Date.parse(deletionTimestamp) + graceSeconds * 1_000;
}

/** Requests and limits under the names by which quotas know them. */
function asked(requests: Amounts, limits: Amounts): Map<string, Quantity> {
  const named = new Map<string, Quantity>();
  for (const [name, amount] of requests) {
    if (COMPUTE.includes(name) || name.startsWith(HUGE_PAGES)) {
      named.set(name, amount);
      named.set(`${REQUESTS}${name}`, amount);
    } else if (isExtendedResource(name)) named.set(`${REQUESTS}${name}`, amount);
  }
  for (const [name, amount] of limits) if (COMPUTE.includes(name)) named.set(`limits.${name}`, amount);
  return named;
}

const SERVICE_NAMES: readonly string[] = ["count/services", "services", "services.nodeports", "services.loadbalancers"];

const services: Evaluator = {
  tracks: (name) => SERVICE_NAMES.includes(name),
  usage(object) {
    const { spec } = object as unknown as Service;
    const isBalanced = spec.type === "LoadBalancer";
    return new Map([
      ["count/services", ONE],
      ["services", ONE],
      ["services.nodeports", parseQuantity(nodePortsOf(spec))],
      ["services.loadbalancers", isBalanced ? ONE : Quantity.zero],
    ]);
  },
  isCharged: () => true,
  meets: () => false,
  problem: () => undefined,
};

function nodePortsOf({ type, ports = [], allocateLoadBalancerNodePorts }: Service["spec"]): number {
  if (type !== "NodePort" && type !== "LoadBalancer") return 0;
  const isOnlyGiven = type === "LoadBalancer" && allocateLoadBalancerNodePorts === false;
  return isOnlyGiven ? ports.filter(({ nodePort }) => nodePort).length : ports.length;
}

const CLAIM_NAMES: readonly string[] = ["count/persistentvolumeclaims", "persistentvolumeclaims", "requests.storage"];
const OF_CLASS = ".storageclass.storage.k8s.io/";
const CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class";

const claims: Evaluator = {
  tracks: (name) =>
    CLAIM_NAMES.includes(name) ||
    name.endsWith(`${OF_CLASS}requests.storage`) ||
    name.endsWith(`${OF_CLASS}persistentvolumeclaims`),
  usage(object) {
    const { metadata, spec, status } = object as unknown as PersistentVolumeClaim;
    const usage = new Map([
      ["count/persistentvolumeclaims", ONE],
      ["persistentvolumeclaims", ONE],
    ]);
    const storageClass = metadata.annotations?.[CLASS_ANNOTATION] ?? spec?.storageClassName ?? "";
    if (storageClass !== "") usage.set(`${storageClass}${OF_CLASS}persistentvolumeclaims`, ONE);
    const storage = larger(
      amountsOf(spec?.resources?.requests).get("storage"),
      amountsOf(status?.allocatedResources).get("storage"),
    );
    if (!storage) return usage;
    usage.set("requests.storage", storage);
    if (storageClass !== "") usage.set(`${storageClass}${OF_CLASS}requests.storage`, storage);
    return usage;
  },
  isCharged: () => true,
  meets: (requirement, object) => claimMeets(requirement, object as unknown as PersistentVolumeClaim),
  problem: () => undefined,
};

function larger(one: Quantity | undefined, other: Quantity | undefined): Quantity | undefined {
  if (!one || !other) return one ?? other;
  return one.compare(other) < 0 ? other : one;
}
