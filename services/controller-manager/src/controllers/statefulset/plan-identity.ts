/** Who a pod of a StatefulSet is: its ordinal, name, labels, host and claims. Pure. */
import type { StatefulSet } from "@pilothouse/api/types/apps-v1";
import type { PersistentVolumeClaim, Pod, PodTemplateSpec, Volume } from "@pilothouse/api/types/core-v1";
import { podFromTemplate } from "../../core/pod-from-template.ts";
import { POD_REVISION_LABEL } from "../../core/revisions.ts";

export const POD_NAME_LABEL = "statefulset.kubernetes.io/pod-name";
export const POD_INDEX_LABEL = "apps.kubernetes.io/pod-index";

/** A revision that a pod may be made of. */
export interface Version {
  readonly name: string;
  readonly template: PodTemplateSpec;
}

export interface Versions {
  /** What all pods were before the rollout that goes on, if one does. */
  readonly current: Version;
  /** What the template asks for. */
  readonly update: Version;
}

export function replicasOf({ spec }: StatefulSet): number {
  return spec.replicas ?? 1;
}

export function firstOrdinal({ spec }: StatefulSet): number {
  return spec.ordinals?.start ?? 0;
}

export function isWanted(set: StatefulSet, ordinal: number): boolean {
  const first = firstOrdinal(set);
  return ordinal >= first && ordinal < first + replicasOf(set);
}

/** Of a pod's name; undefined for one that is no member of the set. */
export function ordinalOf(set: StatefulSet, { metadata }: Pod): number | undefined {
  const [, parent, ordinal] = /^(.*)-(\d+)$/.exec(metadata.name ?? "") ?? [];
  return parent !== undefined && parent === set.metadata.name ? Number(ordinal) : undefined;
}

export function podName({ metadata }: StatefulSet, ordinal: number): string {
  return `${metadata.name ?? ""}-${ordinal}`;
}

export function revisionNameOf({ metadata }: Pod): string {
  return metadata.labels?.[POD_REVISION_LABEL] ?? "";
}

export function newPod(set: StatefulSet, ordinal: number, { name: revision, template }: Version): Pod {
  const name = podName(set, ordinal);
  const { metadata, spec } = podFromTemplate(template, { ...set, apiVersion: "apps/v1", kind: "StatefulSet" });
  const labels = { ...metadata.labels, ...identityLabels(set, ordinal), [POD_REVISION_LABEL]: revision };
  const volumes = volumesOf(set, ordinal, spec.volumes ?? []);
  return {
    metadata: { ...metadata, name, labels },
    spec: {
      ...spec,
      hostname: name,
      ...(set.spec.serviceName ? { subdomain: set.spec.serviceName } : {}),
      ...(volumes.length > 0 ? { volumes } : {}),
    },
  };
}

export function identityLabels(set: StatefulSet, ordinal: number): Record<string, string> {
  return { [POD_NAME_LABEL]: podName(set, ordinal), [POD_INDEX_LABEL]: String(ordinal) };
}

export function hasItsIdentity(set: StatefulSet, ordinal: number, { metadata }: Pod): boolean {
  return metadata.labels?.[POD_NAME_LABEL] === podName(set, ordinal);
}

/** The claims that the pod of this ordinal mounts, as they are made. */
export function claimsOf({ metadata, spec }: StatefulSet, ordinal: number): PersistentVolumeClaim[] {
  return (spec.volumeClaimTemplates ?? []).map(({ metadata: { labels, annotations, name = "" }, spec: wanted }) => ({
    metadata: {
      name: `${name}-${metadata.name ?? ""}-${ordinal}`,
      namespace: metadata.namespace ?? "",
      labels: { ...labels, ...spec.selector?.matchLabels },
      ...(annotations ? { annotations } : {}),
    },
    spec: wanted,
  }));
}

/** A claim takes the place of a volume of its name. */
function volumesOf(set: StatefulSet, ordinal: number, volumes: readonly Volume[]): Volume[] {
  const names = (set.spec.volumeClaimTemplates ?? []).map(({ metadata }) => metadata.name ?? "");
  const claims = claimsOf(set, ordinal).map(({ metadata }, index) => ({
    name: names[index] ?? "",
    persistentVolumeClaim: { claimName: metadata.name ?? "" },
  }));
  return [...claims, ...volumes.filter(({ name }) => !names.includes(name))];
}
