/** The resize of a pod: cpu and memory of its containers change while they run, through a subresource of its own. */
import type { Container, ContainerStatus, Pod, ResourceRequirements } from "@pilothouse/api/types/core-v1";
import { forbidden, invalid, sameValue } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { nextGeneration } from "../isolation.ts";
import { keepMetadataAndStatus } from "./ephemeral-rules.ts";
import { qosClassOf } from "./resource-rules.ts";

const MIRROR_POD = "kubernetes.io/config.mirror";
const RESIZABLE: readonly string[] = ["cpu", "memory"];

/**
 * Everything but `resources` and `resizePolicy` of containers becomes what it was. In place. Containers that came or went are left
 * as they are: the rules refuse them.
 */
export function keepAllButResources(pod: Pod, old: Pod): void {
  const { containers, initContainers = [] } = pod.spec;
  const known = old.spec.initContainers ?? [];
  if (containers.length !== old.spec.containers.length || initContainers.length !== known.length) return;
  pod.spec = { ...old.spec, containers: withResources(containers, old.spec.containers) };
  if (known.length > 0) pod.spec.initContainers = withResources(initContainers, known);
  keepMetadataAndStatus(pod, old);
  nextGeneration(pod, old);
}

/** Names stay the new ones, so that the rules see who was renamed. */
function withResources(containers: readonly Container[], old: readonly Container[]): Container[] {
  return old.map((before, index) => {
    const { name, resources, resizePolicy } = containers[index] ?? before;
    const { resources: _resources, resizePolicy: _policy, ...rest } = before;
    return {
      ...rest,
      name,
      ...(resources === undefined ? {} : { resources }),
      ...(resizePolicy === undefined ? {} : { resizePolicy }),
    };
  });
}

/** Beside the rules for any pod. */
export function* resizeRules(pod: Pod, old: Pod): FieldErrors {
  if (old.metadata.annotations?.[MIRROR_POD] !== undefined) {
    yield forbidden("", "static pods cannot be resized");
    return;
  }
  if (old.spec.os?.name === "windows") {
    yield forbidden("", "windows pods cannot be resized");
    return;
  }
  if (qosClassOf(pod) !== (old.status?.qosClass ?? qosClassOf(old))) {
    yield invalid("spec", old.status?.qosClass ?? "", "Pod QOS Class may not change as a result of resizing");
  }
  if (!mayResize(old)) yield forbidden("spec", "Pod running on node without support for resize");
  let sameContainers = true;
  for (const field of ["containers", "initContainers"] as const) {
    const [now, before] = [pod.spec[field] ?? [], old.spec[field] ?? []];
    if (now.length !== before.length) {
      yield forbidden(`spec.${field}`, `${field} may not be added or removed on resize`);
      sameContainers = false;
    }
    for (const [index, { name }] of before.entries()) {
      if (now[index] === undefined || now[index].name === name) continue;
      yield forbidden(`spec.${field}[${index}].name`, `${field} may not be renamed or reordered on resize`);
      sameContainers = false;
    }
  }
  if (!sameContainers) return;
  for (const [index, before] of (old.spec.initContainers ?? []).entries()) {
    const now = pod.spec.initContainers?.[index] ?? before;
    if (before.restartPolicy === "Always") {
      const path = `spec.initContainers[${index}].resources`;
      const only = "only cpu and memory resources for sidecar containers are mutable";
      yield* containerResizeRules(now, before, path, only);
    } else if (!sameValue(now, before)) {
      yield forbidden("spec", "resources for non-sidecar init containers are immutable");
    }
  }
  for (const [index, before] of old.spec.containers.entries()) {
    const only = "only cpu and memory resources are mutable";
    yield* containerResizeRules(
      pod.spec.containers[index] ?? before,
      before,
      `spec.containers[${index}].resources`,
      only,
    );
  }
}

function* containerResizeRules(now: Container, before: Container, path: string, only: string): FieldErrors {
  for (const list of ["requests", "limits"] as const) {
    const kept = Object.keys(now.resources?.[list] ?? {});
    const removed = RESIZABLE.some((name) => before.resources?.[list]?.[name] !== undefined && !kept.includes(name));
    if (removed) yield forbidden(`${path}.${list}`, `resource ${list} cannot be removed`);
  }
  if (!sameValue(others(now.resources), others(before.resources))) yield forbidden("spec", only);
}

/** What of the resources may not change. */
function others(resources: ResourceRequirements | undefined): unknown {
  const rest = (amounts: Readonly<Record<string, string>> = {}): object =>
    Object.fromEntries(Object.entries(amounts).filter(([name]) => !RESIZABLE.includes(name)));
  return { ...resources, limits: rest(resources?.limits), requests: rest(resources?.requests) };
}

/** A node that can resize tells the resources of what runs. */
function mayResize({ status }: Pod): boolean {
  const running: ContainerStatus | undefined = status?.containerStatuses?.find(({ state }) => state?.running);
  return running === undefined || running.resources !== undefined;
}
