/**
 * What a kubelet may do, and with which objects: its own node, its own pods, and what those pods name.
 *
 * Two judgements: `nodeMay` decides a request by its attributes, `nodeWriteProblem` and `nodeDeleteProblem` the object that it
 * is about (upstream's Node authorizer and NodeRestriction admission).
 */
import type { Pod } from "@pilothouse/api/types/core-v1";
import { apiReferenceOf } from "@pilothouse/kinds/core/pod-references";
import type { ApiObject } from "@pilothouse/kinds/kind";
import type { Attributes } from "./authorize.ts";

/** What a node's pods name, by kind of thing. */
export interface NamedByPods {
  /** Does a pod of this node name the object `namespace/name` of this resource? */
  names(resource: NamedResource, namespace: string, name: string): boolean;
  /** The claim that a volume belongs to. */
  claimOf(volume: string): { readonly namespace?: string; readonly name?: string } | undefined;
}

export type NamedResource = "secrets" | "configmaps" | "persistentvolumeclaims" | "serviceaccounts";

interface Row {
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
  readonly when?: (attributes: Attributes, node: string, pods: NamedByPods) => boolean;
}

const READ = ["get", "list", "watch"];
const isOwnName = ({ name }: Attributes, node: string): boolean => name === node;
const isNamed =
  (resource: NamedResource) =>
  ({ namespace, name }: Attributes, _node: string, pods: NamedByPods): boolean =>
    name !== "" && pods.names(resource, namespace, name);

/** The first row that names resource and verb decides; `<resource>[.<group>][/<subresource>]`. */
const ROWS: readonly Row[] = [
  { resources: ["nodes"], verbs: ["create", ...READ] },
  { resources: ["nodes", "nodes/status"], verbs: ["update", "patch"], when: isOwnName },
  // Which pods they may change is judged on the pod itself, so that one that is gone is 404 and not 403.
  { resources: ["pods"], verbs: [...READ, "create", "delete"] },
  { resources: ["pods/status"], verbs: ["update", "patch"] },
  { resources: ["pods/eviction"], verbs: ["create"] },
  { resources: ["secrets"], verbs: READ, when: isNamed("secrets") },
  { resources: ["configmaps"], verbs: READ, when: isNamed("configmaps") },
  { resources: ["persistentvolumeclaims"], verbs: ["get"], when: isNamed("persistentvolumeclaims") },
  { resources: ["persistentvolumes"], verbs: ["get"], when: isVolumeOfNamedClaim },
  { resources: ["serviceaccounts/token"], verbs: ["create"], when: isNamed("serviceaccounts") },
  { resources: ["services"], verbs: READ },
  { resources: ["certificatesigningrequests.certificates.k8s.io"], verbs: ["create", ...READ] },
  { resources: ["events", "events.events.k8s.io"], verbs: ["create", "update", "patch"] },
  {
    resources: ["leases.coordination.k8s.io"],
    verbs: ["get", "update", "patch", "delete"],
    when: ({ namespace, name }, node) => namespace === "kube-node-lease" && name === node,
  },
  {
    resources: ["leases.coordination.k8s.io"],
    verbs: ["create"],
    when: ({ namespace }) => namespace === "kube-node-lease",
  },
  { resources: ["runtimeclasses.node.k8s.io", "csidrivers.storage.k8s.io"], verbs: READ },
  { resources: ["csinodes.storage.k8s.io"], verbs: ["get", "create", "update", "patch"], when: isOwnName },
  {
    resources: [
      "tokenreviews.authentication.k8s.io",
      "subjectaccessreviews.authorization.k8s.io",
      "localsubjectaccessreviews.authorization.k8s.io",
    ],
    verbs: ["create"],
  },
];

/** The volume itself is named by nobody: its claim is. */
function isVolumeOfNamedClaim({ name: volume }: Attributes, _node: string, pods: NamedByPods): boolean {
  const claim = pods.claimOf(volume);
  if (!claim?.name) return false;
  return pods.names("persistentvolumeclaims", claim.namespace ?? "", claim.name);
}

/** True when the node's kubelet may make this request. */
export function nodeMay(attributes: Attributes, node: string, pods: NamedByPods): boolean {
  if (!attributes.isResourceRequest) return false;
  const { group, resource, subresource } = attributes;
  const base = group === "" ? resource : `${resource}.${group}`;
  const asked = subresource === "" ? base : `${base}/${subresource}`;
  const row = ROWS.find(({ resources, verbs }) => resources.includes(asked) && verbs.includes(attributes.verb));
  return row !== undefined && (row.when?.(attributes, node, pods) ?? true);
}

/** Why a kubelet may not write this object; undefined when it may. `old` is undefined for creates. */
export function nodeWriteProblem(
  node: string,
  resource: string,
  object: ApiObject,
  old: ApiObject | undefined,
): string | undefined {
  switch (resource) {
    case "nodes":
      return nodeProblem(node, object, old);
    case "pods":
      return podProblem(node, object, old);
    case "leases":
      return object.metadata.name === node
        ? undefined
        : `node "${node}" can only access lease with the same name as the requesting node`;
    default:
      return undefined;
  }
}

function nodeProblem(node: string, object: ApiObject, old: ApiObject | undefined): string | undefined {
  if (object.metadata.name !== node) return `node "${node}" is not allowed to modify node "${object.metadata.name}"`;
  if (!old) return undefined;
  const changed = changedKeys(old.metadata.labels ?? {}, object.metadata.labels ?? {});
  const restricted = changed.filter((key) => /(^|\.)node-restriction\.kubernetes\.io\//.test(key));
  if (restricted.length > 0) return `is not allowed to modify labels: ${restricted.sort().join(", ")}`;
  const taints = (of: ApiObject): string => JSON.stringify((of["spec"] as { taints?: unknown } | undefined)?.taints);
  return taints(object) === taints(old) ? undefined : `node "${node}" is not allowed to modify taints`;
}

const MIRROR = "kubernetes.io/config.mirror";

function podProblem(node: string, object: ApiObject, old: ApiObject | undefined): string | undefined {
  const pod = object as unknown as Pod;
  if (old) return isOn(old, node) ? undefined : otherPodText(node, "only update pod status for");
  if (pod.metadata.annotations?.[MIRROR] === undefined) {
    return `pod does not have "${MIRROR}" annotation, node "${node}" can only create mirror pods`;
  }
  if (pod.spec?.nodeName !== node) return `node "${node}" can only create pods with spec.nodeName set to itself`;
  const [owner, second] = pod.metadata.ownerReferences ?? [];
  const may = `node "${node}" can only create pods with`;
  if (second !== undefined) return `${may} a single owner reference set to itself`;
  if (owner?.apiVersion !== "v1" || owner.kind !== "Node" || owner.name !== node)
    return `${may} an owner reference set to itself`;
  if (owner.controller !== true) return `${may} a controller owner reference set to itself`;
  if (owner.blockOwnerDeletion) return `node "${node}" must not set blockOwnerDeletion on an owner reference`;
  // It could read whatever its pods name: a node that names things itself would read everything.
  const reference = apiReferenceOf(pod);
  return reference === undefined ? undefined : `node "${node}" can not create pods that reference ${reference}`;
}

/** Why a kubelet may not delete or evict this object; undefined when it may. */
export function nodeDeleteProblem(
  node: string,
  resource: string,
  subresource: string,
  object: ApiObject,
): string | undefined {
  if (resource !== "pods" || isOn(object, node)) return undefined;
  return otherPodText(node, subresource === "eviction" ? "only evict" : "only delete");
}

function isOn(pod: ApiObject, node: string): boolean {
  return (pod as unknown as Pod).spec?.nodeName === node;
}

function otherPodText(node: string, may: string): string {
  return `node "${node}" can ${may} pods with spec.nodeName set to itself`;
}

function changedKeys(before: Readonly<Record<string, string>>, after: Readonly<Record<string, string>>): string[] {
  return [...new Set([...Object.keys(before), ...Object.keys(after)])].filter((key) => before[key] !== after[key]);
}

/** Every `resource/namespace/name` that a pod names. */
export function* namedBy(pod: Pod): Generator<readonly [NamedResource, string]> {
  const spec = pod.spec;
  if (!spec) return;
  if (spec.serviceAccountName) yield ["serviceaccounts", spec.serviceAccountName];
  for (const { name } of spec.imagePullSecrets ?? []) if (name) yield ["secrets", name];
  for (const volume of spec.volumes ?? []) {
    if (volume.secret?.secretName) yield ["secrets", volume.secret.secretName];
    if (volume.configMap?.name) yield ["configmaps", volume.configMap.name];
    if (volume.persistentVolumeClaim) yield ["persistentvolumeclaims", volume.persistentVolumeClaim.claimName];
    for (const source of volume.projected?.sources ?? []) {
      if (source.secret?.name) yield ["secrets", source.secret.name];
      if (source.configMap?.name) yield ["configmaps", source.configMap.name];
    }
  }
  for (const container of [
    ...(spec.containers ?? []),
    ...(spec.initContainers ?? []),
    ...(spec.ephemeralContainers ?? []),
  ]) {
    for (const { secretRef, configMapRef } of container.envFrom ?? []) {
      if (secretRef?.name) yield ["secrets", secretRef.name];
      if (configMapRef?.name) yield ["configmaps", configMapRef.name];
    }
    for (const { valueFrom } of container.env ?? []) {
      if (valueFrom?.secretKeyRef?.name) yield ["secrets", valueFrom.secretKeyRef.name];
      if (valueFrom?.configMapKeyRef?.name) yield ["configmaps", valueFrom.configMapKeyRef.name];
    }
  }
}
