/** The resource types our own processes speak to. */
import type * as appsV1 from "@pilothouse/api/types/apps-v1";
import type * as authenticationV1 from "@pilothouse/api/types/authentication-v1";
import type * as authorizationV1 from "@pilothouse/api/types/authorization-v1";
import type * as autoscalingV2 from "@pilothouse/api/types/autoscaling-v2";
import type * as batchV1 from "@pilothouse/api/types/batch-v1";
import type * as certificatesV1 from "@pilothouse/api/types/certificates-v1";
import type * as coordinationV1 from "@pilothouse/api/types/coordination-v1";
import type * as coreV1 from "@pilothouse/api/types/core-v1";
import type * as discoveryV1 from "@pilothouse/api/types/discovery-v1";
import type * as networkingV1 from "@pilothouse/api/types/networking-v1";
import type * as nodeV1 from "@pilothouse/api/types/node-v1";
import type * as policyV1 from "@pilothouse/api/types/policy-v1";
import type * as rbacV1 from "@pilothouse/api/types/rbac-v1";
import type * as storageV1 from "@pilothouse/api/types/storage-v1";
import type { KubernetesObject, ResourceType } from "./contract.ts";

function core<T extends KubernetesObject>(resource: string, kind: string, namespaced = true): ResourceType<T> {
  return { group: "", version: "v1", resource, kind, namespaced };
}

function grouped<T extends KubernetesObject>(
  group: string,
  resource: string,
  kind: string,
  namespaced = true,
): ResourceType<T> {
  return { group, version: "v1", resource, kind, namespaced };
}

const RBAC = "rbac.authorization.k8s.io";

export const resources = {
  pods: core<coreV1.Pod>("pods", "Pod"),
  nodes: core<coreV1.Node>("nodes", "Node", false),
  namespaces: core<coreV1.Namespace>("namespaces", "Namespace", false),
  configMaps: core<coreV1.ConfigMap>("configmaps", "ConfigMap"),
  secrets: core<coreV1.Secret>("secrets", "Secret"),
  persistentVolumes: core<coreV1.PersistentVolume>("persistentvolumes", "PersistentVolume", false),
  persistentVolumeClaims: core<coreV1.PersistentVolumeClaim>("persistentvolumeclaims", "PersistentVolumeClaim"),
  podTemplates: core<coreV1.PodTemplate>("podtemplates", "PodTemplate"),
  replicationControllers: core<coreV1.ReplicationController>("replicationcontrollers", "ReplicationController"),
  services: core<coreV1.Service>("services", "Service"),
  endpoints: core<coreV1.Endpoints>("endpoints", "Endpoints"),
  serviceAccounts: core<coreV1.ServiceAccount>("serviceaccounts", "ServiceAccount"),
  resourceQuotas: core<coreV1.ResourceQuota>("resourcequotas", "ResourceQuota"),
  events: core<coreV1.Event>("events", "Event"),
  endpointSlices: grouped<discoveryV1.EndpointSlice>("discovery.k8s.io", "endpointslices", "EndpointSlice"),
  certificateSigningRequests: grouped<certificatesV1.CertificateSigningRequest>(
    "certificates.k8s.io",
    "certificatesigningrequests",
    "CertificateSigningRequest",
    false,
  ),
  leases: grouped<coordinationV1.Lease>("coordination.k8s.io", "leases", "Lease"),
  replicaSets: grouped<appsV1.ReplicaSet>("apps", "replicasets", "ReplicaSet"),
  statefulSets: grouped<appsV1.StatefulSet>("apps", "statefulsets", "StatefulSet"),
  daemonSets: grouped<appsV1.DaemonSet>("apps", "daemonsets", "DaemonSet"),
  controllerRevisions: grouped<appsV1.ControllerRevision>("apps", "controllerrevisions", "ControllerRevision"),
  deployments: grouped<appsV1.Deployment>("apps", "deployments", "Deployment"),
  jobs: grouped<batchV1.Job>("batch", "jobs", "Job"),
  cronJobs: grouped<batchV1.CronJob>("batch", "cronjobs", "CronJob"),
  horizontalPodAutoscalers: {
    ...grouped<autoscalingV2.HorizontalPodAutoscaler>(
      "autoscaling",
      "horizontalpodautoscalers",
      "HorizontalPodAutoscaler",
    ),
    version: "v2",
  },
  podDisruptionBudgets: grouped<policyV1.PodDisruptionBudget>("policy", "poddisruptionbudgets", "PodDisruptionBudget"),
  serviceCidrs: grouped<networkingV1.ServiceCIDR>("networking.k8s.io", "servicecidrs", "ServiceCIDR", false),
  ipAddresses: grouped<networkingV1.IPAddress>("networking.k8s.io", "ipaddresses", "IPAddress", false),
  roles: grouped<rbacV1.Role>(RBAC, "roles", "Role"),
  roleBindings: grouped<rbacV1.RoleBinding>(RBAC, "rolebindings", "RoleBinding"),
  clusterRoles: grouped<rbacV1.ClusterRole>(RBAC, "clusterroles", "ClusterRole", false),
  clusterRoleBindings: grouped<rbacV1.ClusterRoleBinding>(RBAC, "clusterrolebindings", "ClusterRoleBinding", false),
  storageClasses: grouped<storageV1.StorageClass>("storage.k8s.io", "storageclasses", "StorageClass", false),
  tokenReviews: grouped<authenticationV1.TokenReview>("authentication.k8s.io", "tokenreviews", "TokenReview", false),
  subjectAccessReviews: grouped<authorizationV1.SubjectAccessReview>(
    "authorization.k8s.io",
    "subjectaccessreviews",
    "SubjectAccessReview",
    false,
  ),
  runtimeClasses: grouped<nodeV1.RuntimeClass>("node.k8s.io", "runtimeclasses", "RuntimeClass", false),
} as const;
