/**
 * The vocabulary of Pilothouse: every kind that the apiserver serves from storage, with what its fields mean.
 *
 * Promises: pure and synchronous, time and ids come in as values; defaults, rules and texts are Kubernetes' own.
 * `depth: "full"` kinds are complete as docs/kinds.md says; `"stored"` ones have names and scope only.
 * Non-promises: structure (field types, unknown fields) is the schema's in @pilothouse/api; allocation of addresses,
 * ports and uids is the apiserver's; kinds without storage (reviews, bindings, Status) are not listed here.
 * Limits: one version of each kind.
 */
import { controllerRevision } from "./apps/controller-revision.ts";
import { daemonSet } from "./apps/daemon-set.ts";
import { deployment } from "./apps/deployment.ts";
import { replicaSet } from "./apps/replica-set.ts";
import { statefulSet } from "./apps/stateful-set.ts";
import { cronJob } from "./batch/cron-job.ts";
import { job } from "./batch/job.ts";
import { horizontalPodAutoscaler } from "./autoscaling/horizontal-pod-autoscaler.ts";
import { horizontalPodAutoscalerV1 } from "./autoscaling/horizontal-pod-autoscaler-v1.ts";
import { certificateSigningRequest } from "./certificates/certificate-signing-request.ts";
import { lease } from "./coordination/lease.ts";
import { configMap } from "./core/config-map.ts";
import { endpoints } from "./core/endpoints.ts";
import { event } from "./core/event.ts";
import { limitRange } from "./core/limit-range.ts";
import { persistentVolume } from "./core/persistent-volume.ts";
import { persistentVolumeClaim } from "./core/persistent-volume-claim.ts";
import { namespace } from "./core/namespace.ts";
import { node } from "./core/node.ts";
import { pod } from "./core/pod.ts";
import { podTemplate } from "./core/pod-templates.ts";
import { replicationController } from "./core/replication-controller.ts";
import { resourceQuota } from "./core/resource-quota.ts";
import { secret } from "./core/secret.ts";
import { service } from "./core/service.ts";
import { serviceAccount } from "./core/service-account.ts";
import { endpointSlice } from "./discovery/endpoint-slice.ts";
import { ingress } from "./networking/ingress.ts";
import { ingressClass } from "./networking/ingress-class.ts";
import { ipAddress } from "./networking/ip-address.ts";
import { networkPolicy } from "./networking/network-policy.ts";
import { serviceCidr } from "./networking/service-cidr.ts";
import { runtimeClass } from "./node/runtime-class.ts";
import { eventView } from "./events/event.ts";
import { podDisruptionBudget } from "./policy/pod-disruption-budget.ts";
import { clusterRole } from "./rbac/cluster-role.ts";
import { clusterRoleBinding } from "./rbac/cluster-role-binding.ts";
import { role } from "./rbac/role.ts";
import { roleBinding } from "./rbac/role-binding.ts";
import { priorityClass } from "./scheduling/priority-class.ts";
import { csiDriver } from "./storage/csi-driver.ts";
import { storageClass } from "./storage/storage-class.ts";
import { volumeAttachment } from "./storage/volume-attachment.ts";
import { volumeAttributesClass } from "./storage/volume-attributes-class.ts";
import type { KindDefinition } from "./kind.ts";
import { deviceClass } from "./resource/device-class.ts";
import { resourceClaim } from "./resource/resource-claim.ts";
import { resourceClaimTemplate } from "./resource/resource-claim-template.ts";
import { resourceSlice } from "./resource/resource-slice.ts";
import { csiNode } from "./storage/csi-node.ts";
import { csiStorageCapacity } from "./storage/csi-storage-capacity.ts";

export * from "./kind.ts";
export { keepServerMeta, validateObjectMeta, validateObjectMetaUpdate } from "./meta.ts";

export const kinds: readonly KindDefinition[] = [
  erased(pod),
  erased(node),
  erased(namespace),
  erased(configMap),
  erased(secret),
  erased(service),
  erased(endpoints),
  erased(serviceAccount),
  erased(event),
  erased(lease),
  erased(certificateSigningRequest),
  erased(endpointSlice),
  erased(replicaSet),
  erased(deployment),
  erased(statefulSet),
  erased(daemonSet),
  erased(controllerRevision),
  erased(replicationController),
  erased(podTemplate),
  erased(job),
  erased(cronJob),
  erased(horizontalPodAutoscaler),
  erased(ingressClass),
  erased(ingress),
  erased(networkPolicy),
  erased(ipAddress),
  erased(serviceCidr),
  erased(role),
  erased(roleBinding),
  erased(clusterRole),
  erased(clusterRoleBinding),
  erased(limitRange),
  erased(persistentVolume),
  erased(persistentVolumeClaim),
  erased(podDisruptionBudget),
  erased(priorityClass),
  erased(resourceQuota),
  erased(runtimeClass),
  erased(storageClass),
  erased(csiDriver),
  erased(volumeAttachment),
  erased(volumeAttributesClass),
  erased(deviceClass),
  erased(resourceClaim),
  erased(resourceClaimTemplate),
  erased(resourceSlice),
  erased(csiNode),
  erased(csiStorageCapacity),
];

/** Second versions of kinds above: they store nothing of their own. */
export const views: readonly KindDefinition[] = [eventView, horizontalPodAutoscalerV1];

const byResource = new Map(kinds.map((kind) => [`${kind.group}/${kind.version}/${kind.resource}`, kind]));
const byName = new Map(kinds.map((kind) => [`${kind.group}/${kind.version}/${kind.kind}`, kind]));

/** The kind behind a path segment, e.g. ("apps", "v1", "deployments"); group is "" for core. */
export function kindOf(group: string, version: string, resource: string): KindDefinition | undefined {
  return byResource.get(`${group}/${version}/${resource}`);
}

/** The kind behind an object's apiVersion and kind, e.g. ("", "v1", "Pod"). */
export function kindByName(group: string, version: string, kind: string): KindDefinition | undefined {
  return byName.get(`${group}/${version}/${kind}`);
}

/** Its functions get only objects that the schema has decoded as T: the registry keeps that, the type cannot. */
function erased<T>(kind: KindDefinition<T>): KindDefinition {
  return kind as unknown as KindDefinition;
}
