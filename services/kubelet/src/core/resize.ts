/**
 * Resizing a pod in place: what is wanted (its spec), what the node granted (its allocation), and what is in force (the limits of the
 * running containers). Pure.
 */
import type { Container, Pod, PodCondition, ResourceRequirements } from "@pilothouse/api/types/core-v1";
import { podRequests } from "@pilothouse/kinds/core/pod-resources";
import { parseQuantity } from "@pilothouse/quantity";

/** What each container was granted, by its name. */
export type Allocation = ReadonlyMap<string, ResourceRequirements>;

export const RESIZABLE = ["cpu", "memory"] as const;
type Resizable = (typeof RESIZABLE)[number];

/** Of a pod that an earlier life of ours looked after, the status tells; of a new one it is what it asks for. */
export function knownAllocation(pod: Pod): Allocation {
  const told = [...(pod.status?.containerStatuses ?? []), ...(pod.status?.initContainerStatuses ?? [])];
  return new Map(
    resizableContainers(pod).map(({ name, resources = {} }) => {
      const status = told.find((it) => it.name === name);
      if (!status?.resources) return [name, resources];
      const requests = { ...resources.requests, ...resizable(status.allocatedResources ?? status.resources.requests) };
      return [name, withAmounts(resources, requests, { ...resources.limits, ...resizable(status.resources.limits) })];
    }),
  );
}

export function wantedAllocation(pod: Pod): Allocation {
  return new Map(resizableContainers(pod).map(({ name, resources = {} }) => [name, resources]));
}

/** The pod with what it was granted in place of what it asks for. The same object when that is the same. */
export function allocatedPod(pod: Pod, allocation: Allocation): Pod {
  if (sameAllocation(wantedAllocation(pod), allocation)) return pod;
  const granted = (container: Container): Container => {
    const resources = allocation.get(container.name);
    return resources ? { ...container, resources } : container;
  };
  const { containers, initContainers } = pod.spec;
  const spec = { ...pod.spec, containers: containers.map(granted) };
  return { ...pod, spec: initContainers ? { ...spec, initContainers: initContainers.map(granted) } : spec };
}

export type ResizeVerdict =
  | { readonly is: "granted" }
  | { readonly is: "Deferred" | "Infeasible"; readonly message: string };

/** `others` use what their allocations say. Amounts in upstream's units: millicores and bytes. */
export function judgeResize(
  pod: Pod,
  node: { readonly allocatable: ReadonlyMap<string, number> },
  others: readonly Pod[],
): ResizeVerdict {
  const wanted = podRequests(withoutStatus(pod));
  for (const name of RESIZABLE) {
    const [requested, capacity] = [wanted.get(name) ?? 0, node.allocatable.get(name) ?? 0];
    if (requested <= capacity) continue;
    const message = `Node didn't have enough capacity: ${name}, requested: ${requested}, capacity: ${capacity}`;
    return { is: "Infeasible", message };
  }
  for (const name of RESIZABLE) {
    const [requested, capacity] = [wanted.get(name) ?? 0, node.allocatable.get(name) ?? 0];
    const used = others.reduce((sum, other) => sum + (podRequests(withoutStatus(other)).get(name) ?? 0), 0);
    if (requested <= capacity - used) continue;
    const amounts = `requested: ${requested}, used: ${used}, capacity: ${capacity}`;
    return { is: "Deferred", message: `Node didn't have enough resource: ${name}, ${amounts}` };
  }
  return { is: "granted" };
}

/** What must be done with a running container: its limits change in place, or it starts anew with them. */
export type ResizeStep = "none" | "update" | "restart";

export function resizeStep(container: Container, inForce: ResourceRequirements): ResizeStep {
  const changed = RESIZABLE.filter((name) => !sameAmounts(container.resources, inForce, name));
  if (changed.length === 0) return "none";
  const restarts = changed.some((name) =>
    container.resizePolicy?.some((it) => it.resourceName === name && it.restartPolicy === "RestartContainer"),
  );
  return restarts ? "restart" : "update";
}

/** A limit below what is used now would end the container: then it stays as it is. Bytes. */
export function memoryObstacle(
  container: Container,
  inForce: ResourceRequirements,
  usedBytes: number | undefined,
): string | undefined {
  const limit = amountOf(container.resources?.limits?.["memory"]);
  const before = amountOf(inForce.limits?.["memory"]);
  if (limit === 0n || usedBytes === undefined || (before !== 0n && limit >= before)) return undefined;
  const limitBytes = Number(limit / 1_000_000_000n);
  if (usedBytes < limitBytes) return undefined;
  return `attempting to set container "${container.name}" memory limit (${limitBytes}) below current usage (${usedBytes})`;
}

export interface ResizeState {
  /** Why what is wanted is not granted. */
  readonly pending: Exclude<ResizeVerdict, { is: "granted" }> | undefined;
  /** What is granted is not in force yet; `error` is why the last try failed. */
  readonly inProgress: { readonly error: string | undefined } | undefined;
}

/** Conditions that a pod has only while it is being resized. */
export function resizeConditions({
  pending,
  inProgress,
}: ResizeState): readonly Omit<PodCondition, "lastTransitionTime">[] {
  const result: Omit<PodCondition, "lastTransitionTime">[] = [];
  if (pending) result.push({ type: "PodResizePending", status: "True", reason: pending.is, message: pending.message });
  if (inProgress) {
    const error = inProgress.error === undefined ? {} : { reason: "Error", message: inProgress.error };
    result.push({ type: "PodResizeInProgress", status: "True", ...error });
  }
  return result;
}

/** `Pod resize started: {"containers":[…],"generation":2}`: the words of the events. */
export function resizeMessage(what: string, pod: Pod, error?: string): string {
  const described = (containers: readonly Container[] = []): object[] =>
    containers.map(({ name, resources = {} }) => ({ name, resources: orderly(resources) }));
  const sidecars = (pod.spec.initContainers ?? []).filter((it) => it.restartPolicy === "Always");
  const info = {
    ...(sidecars.length > 0 ? { initContainers: described(sidecars) } : {}),
    containers: described(pod.spec.containers),
    generation: pod.metadata.generation ?? 0,
    ...(error === undefined ? {} : { error }),
  };
  return `${what}: ${JSON.stringify(info)}`;
}

export function sameAllocation(a: Allocation, b: Allocation): boolean {
  return [...a].every(([name, resources]) => RESIZABLE.every((it) => sameAmounts(resources, b.get(name), it)));
}

function sameAmounts(
  a: ResourceRequirements | undefined,
  b: ResourceRequirements | undefined,
  name: Resizable,
): boolean {
  return (["requests", "limits"] as const).every((list) => {
    const [one, other] = [a?.[list]?.[name], b?.[list]?.[name]];
    return (one === undefined) === (other === undefined) && amountOf(one) === amountOf(other);
  });
}

function amountOf(text: string | undefined): bigint {
  return text === undefined ? 0n : parseQuantity(text).nanos;
}

function resizableContainers(pod: Pod): readonly Container[] {
  const sidecars = (pod.spec.initContainers ?? []).filter((it) => it.restartPolicy === "Always");
  return [...(pod.spec.containers ?? []), ...sidecars];
}

function resizable(amounts: Readonly<Record<string, string>> = {}): Record<string, string> {
  return Object.fromEntries(Object.entries(amounts).filter(([name]) => RESIZABLE.some((it) => it === name)));
}

function withAmounts(
  resources: ResourceRequirements,
  requests: Record<string, string>,
  limits: Record<string, string>,
): ResourceRequirements {
  return {
    ...resources,
    ...(Object.keys(limits).length > 0 ? { limits } : {}),
    ...(Object.keys(requests).length > 0 ? { requests } : {}),
  };
}

function orderly({ limits, requests }: ResourceRequirements): ResourceRequirements {
  return { ...(limits ? { limits } : {}), ...(requests ? { requests } : {}) };
}

/** Its requests by its spec alone. */
function withoutStatus({ metadata, spec }: Pod): Pod {
  return { metadata, spec };
}
