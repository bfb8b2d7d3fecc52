/** What the runtime has of one pod, and how we find it there again: the labels and annotations of upstream's kubelet. Pure. */
import type { Container, Pod, ResourceRequirements } from "@pilothouse/api/types/core-v1";
import { fnv32 } from "@pilothouse/kinds/fnv";
import type { ContainerStatus, Labels, SandboxStatus } from "@pilothouse/runtime";

export const LABEL_POD_NAME = "io.kubernetes.pod.name";
export const LABEL_POD_NAMESPACE = "io.kubernetes.pod.namespace";
export const LABEL_POD_UID = "io.kubernetes.pod.uid";
export const LABEL_CONTAINER_NAME = "io.kubernetes.container.name";
/** On all of ours, so that sandboxes of others on the same containerd are left alone. */
export const LABEL_NODE = "pilothouse.io/node";
export const ANNOTATION_HASH = "io.kubernetes.container.hash";
export const ANNOTATION_RESTART_COUNT = "io.kubernetes.container.restartCount";
export const ANNOTATION_TERMINATION_MESSAGE = "io.kubernetes.container.terminationMessagePath";
export const ANNOTATION_TERMINATION_POLICY = "io.kubernetes.container.terminationMessagePolicy";
/** The requests and limits that a container was made with, as JSON: after a restart of ours we know what is in force. */
export const ANNOTATION_RESOURCES = "pilothouse.io/container.resources";
/** Where volumes are mounted so that nothing within them can be written to, as JSON. */
export const ANNOTATION_RECURSIVE = "pilothouse.io/container.recursiveReadOnly";
export const ANNOTATION_GRACE = "io.kubernetes.pod.terminationGracePeriod";

export type RuntimeContainer = ContainerStatus & { readonly sandboxId: string };

export interface PodRuntime {
  /** Newest first. */
  readonly sandboxes: readonly SandboxStatus[];
  readonly containers: readonly RuntimeContainer[];
}

export const nothingRuns: PodRuntime = { sandboxes: [], containers: [] };

/** The instances of a container, newest first. */
export function instancesOf(runtime: PodRuntime, name: string): readonly RuntimeContainer[] {
  return runtime.containers
    .filter((it) => it.name === name)
    .toSorted((a, b) => b.attempt - a.attempt || b.createdAtMs - a.createdAtMs);
}

export function podLabels(pod: Pod, nodeName: string): Labels {
  return {
    [LABEL_POD_NAME]: pod.metadata.name ?? "",
    [LABEL_POD_NAMESPACE]: pod.metadata.namespace ?? "",
    [LABEL_POD_UID]: uidOf(pod),
    [LABEL_NODE]: nodeName,
  };
}

export function uidOf(pod: Pod): string {
  return pod.metadata.uid ?? "";
}

/** `web_default(uid)`: how messages name a pod. */
export function podTitle(pod: Pod): string {
  return `${pod.metadata.name}_${pod.metadata.namespace}(${uidOf(pod)})`;
}

/** Changes when a running container must be replaced: only its image can change in place. Hex. */
export function containerHash(container: Container): string {
  return fnv32(JSON.stringify([container.name, container.image ?? ""])).toString(16);
}

/** All containers of whatever sort, init containers first. */
export function allContainers({ spec }: Pod): readonly Container[] {
  return [...(spec.initContainers ?? []), ...(spec.containers ?? []), ...(spec.ephemeralContainers ?? [])];
}

export function containerNamed(pod: Pod, name: string): Container | undefined {
  return allContainers(pod).find((it) => it.name === name);
}

/** What the container's limits were made of; undefined if it does not say. */
export function resourcesMadeWith({
  annotations,
}: Pick<RuntimeContainer, "annotations">): ResourceRequirements | undefined {
  const text = annotations[ANNOTATION_RESOURCES];
  return text === undefined ? undefined : (JSON.parse(text) as ResourceRequirements);
}
