/** What a pod asks for and what a node offers, as plain numbers: CPU in millicores, everything else in whole units. */
import type { Container, ContainerStatus, Node, Pod, PodCondition } from "@pilothouse/api/types/core-v1";
import { parseQuantity } from "@pilothouse/quantity";
import { isPodLevel } from "./pod-amounts.ts";

/** Amount by resource name. `cpu` is in millicores, `memory` and `ephemeral-storage` in bytes, `pods` and others counted. */
export type Resources = ReadonlyMap<string, number>;

/**
 * A pod's requests: the larger of (all app containers and sidecars) and each init container's peak, plus overhead
 * (upstream's PodRequests: sidecars started before an init container count beside it). What the pod asks for as a whole
 * (`spec.resources`) goes before what its containers ask for.
 */
export function podRequests(pod: Pod): Resources {
  const total = new Map<string, number>();
  for (const container of pod.spec.containers) addAll(total, requestsOf(pod, container));
  const sidecars = new Map<string, number>();
  const initPeak = new Map<string, number>();
  for (const container of pod.spec.initContainers ?? []) {
    const requests = requestsOf(pod, container);
    if (container.restartPolicy === "Always") {
      addAll(sidecars, requests);
      addAll(total, requests);
      raiseTo(initPeak, sidecars);
    } else raiseTo(initPeak, sum(requests, sidecars));
  }
  raiseTo(total, initPeak);
  for (const [name, wanted] of podLevelRequests(pod)) total.set(name, wanted);
  for (const [name, text] of Object.entries(pod.spec.overhead ?? {})) add(total, name, amount(name, text));
  return total;
}

/** For scores: a container that requests nothing still uses something (upstream's non-zero requests). */
export function podRequestsNonZero(pod: Pod): Resources {
  const requests = new Map(podRequests(pod));
  const silent = pod.spec.containers.filter((container) => container.resources?.requests?.["cpu"] === undefined).length;
  const silentMemory = pod.spec.containers.filter(
    (container) => container.resources?.requests?.["memory"] === undefined,
  ).length;
  const asWhole = podLevelRequests(pod);
  if (!asWhole.has("cpu")) add(requests, "cpu", silent * 100);
  if (!asWhole.has("memory")) add(requests, "memory", silentMemory * 200 * 2 ** 20);
  return requests;
}

function podLevelRequests({ spec }: Pod): Resources {
  return new Map([...amounts(spec.resources?.requests)].filter(([name]) => isPodLevel(name)));
}

export function nodeAllocatable(node: Node): Resources {
  const offered = node.status?.allocatable ?? node.status?.capacity ?? {};
  return new Map(Object.entries(offered).map(([name, text]) => [name, amount(name, text)]));
}

const BINARY_STEPS = ["", "Ki", "Mi", "Gi", "Ti", "Pi"];

/** For people, at most one digit behind the point: `1.3` CPUs, `1.5Gi` of bytes, else the bare number. */
export function amountText(name: string, value: number): string {
  const round = (number: number): string => String(Math.round(number * 10) / 10);
  if (name === "cpu") return value >= 100 || value === 0 ? round(value / 1_000) : `${value}m`;
  if (name !== "memory" && name !== "ephemeral-storage" && !name.startsWith("hugepages-")) return String(value);
  const step = Math.min(BINARY_STEPS.length - 1, value < 1 ? 0 : Math.floor(Math.log2(value) / 10));
  return `${round(value / 1024 ** step)}${BINARY_STEPS[step] ?? ""}`;
}

/**
 * What a container asks for. While a resize is under way it is the most of what is wanted, granted and in force: what was not given
 * back yet is still used. A resize that its node can never grant does not count.
 */
function requestsOf({ status }: Pod, container: Container): Resources {
  const wanted = amounts(container.resources?.requests);
  const known = [...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? [])];
  const told = known.find(({ name }) => name === container.name);
  if (!told?.resources?.requests) return wanted;
  const most = new Map(isInfeasible(status?.conditions) ? [] : wanted);
  for (const list of heldBy(told)) raiseTo(most, list);
  for (const [name, value] of wanted) if (!most.has(name)) most.set(name, value);
  return most;
}

function heldBy({ resources, allocatedResources }: ContainerStatus): readonly Resources[] {
  return [amounts(resources?.requests), amounts(allocatedResources)];
}

function isInfeasible(conditions: readonly PodCondition[] = []): boolean {
  return conditions.some(({ type, reason }) => type === "PodResizePending" && reason === "Infeasible");
}

function amounts(list: Readonly<Record<string, string>> = {}): Resources {
  return new Map(Object.entries(list).map(([name, text]) => [name, amount(name, text)]));
}

function amount(name: string, text: string): number {
  const quantity = parseQuantity(text);
  return Number(name === "cpu" ? quantity.milliValue() : quantity.value());
}

function add(into: Map<string, number>, name: string, value: number): void {
  into.set(name, (into.get(name) ?? 0) + value);
}

function addAll(into: Map<string, number>, from: Resources): void {
  for (const [name, value] of from) add(into, name, value);
}

function sum(a: Resources, b: Resources): Resources {
  const total = new Map(a);
  addAll(total, b);
  return total;
}

function raiseTo(into: Map<string, number>, least: Resources): void {
  for (const [name, value] of least) into.set(name, Math.max(into.get(name) ?? 0, value));
}
